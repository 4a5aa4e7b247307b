"""What a run found out: rows beside TensorFlow, raw ceilings, and other people's formats."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from benches.measure import Measure


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the main table.  Without a `target` it is there for information."""

    name: str
    tensorflow: Measure | None
    ckptfast: Measure
    target: str = ""
    met: bool | None = None
    nbytes: int = 0
    """Bytes handled, to show a time as a speed too; 0 where that says nothing."""
    beside: str = ""
    """The raw speed of the machine that limits this row."""

    @property
    def ratio(self) -> float | None:
        """How many times faster (or smaller) than TensorFlow, by the medians."""
        if self.tensorflow is None:
            return None
        ours, theirs = self.ckptfast.median, self.tensorflow.median
        if self.ckptfast.unit == "GB/s":
            return ours / theirs if theirs else None
        return theirs / ours if ours else None


@dataclass(frozen=True)
class Ceiling:
    """A raw speed of this machine, in GB/s."""

    name: str
    speed: Measure


@dataclass(frozen=True)
class Other:
    """One way of doing what a row does, with its time: where other formats stand."""

    task: str
    name: str
    seconds: Measure
    nbytes: int
    """Bytes handled; 0 where nothing reads them."""


@dataclass
class Results:
    """Everything one run found out."""

    judged: bool = True
    """Whether the sizes are large enough to say that a target is met or not."""
    rows: list[Row] = field(default_factory=list)
    ceilings: dict[str, Ceiling] = field(default_factory=dict)
    others: list[Other] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What was left out, and why."""
    failures: list[str] = field(default_factory=list)
    """Scenarios that did not run, or whose values were wrong."""

    def ceiling(self, name: str, seconds: Measure, nbytes: int) -> Ceiling:
        """Adds a ceiling from the times that `nbytes` bytes took."""
        self.ceilings[name] = Ceiling(name, seconds.per_second(nbytes))
        return self.ceilings[name]

    def beside(self, name: str) -> str:
        """A ceiling as the text that stands beside a row."""
        return f"{name} {self.ceilings[name].speed.median:.1f} GB/s"


def at_least(
    name: str,
    times: Mapping[str, Measure],
    tensorflow: str,
    ckptfast: str,
    *,
    target: float | None,
    nbytes: int = 0,
    beside: str = "",
) -> Row:
    """The usual row: two contenders, and how many times faster the second one has to be."""
    theirs, ours = times[tensorflow], times[ckptfast]
    return Row(
        name=name,
        tensorflow=theirs,
        ckptfast=ours,
        target="" if target is None else f"≥ {target:g}×",
        met=None if target is None else theirs.median >= target * ours.median,
        nbytes=nbytes,
        beside=beside,
    )
