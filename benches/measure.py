"""Taking times: several ways to do one thing, interleaved in one run."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from . import machine

Unit = Literal["s", "GB/s", "MiB"]


@dataclass(frozen=True)
class Measure:
    """Values of one quantity, in the order in which they were measured."""

    values: tuple[float, ...]
    unit: Unit = "s"

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def best(self) -> float:
        return max(self.values) if self.unit == "GB/s" else min(self.values)

    def per_second(self, nbytes: int) -> Measure:
        """Times of handling `nbytes` bytes, as speeds in GB/s (10^9 bytes per second)."""
        return Measure(tuple(nbytes / seconds / 1e9 for seconds in self.values), "GB/s")


def _nothing() -> None:
    pass


def _no_check(_result: Any, _whole: bool) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One way to do the thing that is measured.  Only `run` is inside the clock."""

    name: str
    run: Callable[[], Any]
    before: Callable[[], None] = _nothing
    check: Callable[[Any, bool], None] = _no_check
    """Takes what `run` returned and whether to compare everything; raises if it is wrong.  It
    also frees what the run left behind."""


def clock(run: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call takes, and its result; the garbage collector waits meanwhile."""
    gc.collect()
    gc.disable()
    try:
        start = time.perf_counter()
        result = run()
        return time.perf_counter() - start, result
    finally:
        gc.enable()


def interleave(
    contenders: Sequence[Contender], repeats: int, *, fresh_bytes: int = 0
) -> dict[str, Measure]:
    """Times every contender `repeats` times, in the order A B C A B C …

    Before every run `fresh_bytes` of memory are touched and given back: the hosts of virtual
    machines take back what lies idle, within seconds, and who allocates next would pay for that.

    Whatever drifts in the machine then drifts for all.  A first round, in which every value is
    compared, is not timed.
    """
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    if len(seconds) != len(contenders):
        raise ValueError("two contenders have the same name")
    with _little_garbage():
        for round_number in range(-1, repeats):
            for contender in contenders:
                contender.before()
                machine.touch_memory(fresh_bytes)
                taken, result = clock(contender.run)
                contender.check(result, round_number < 0)
                del result
                if round_number >= 0:
                    seconds[contender.name].append(taken)
    return {name: Measure(tuple(taken)) for name, taken in seconds.items()}


@contextmanager
def _little_garbage() -> Iterator[None]:
    """Keeps the many objects of TensorFlow's modules out of every collection meanwhile."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
