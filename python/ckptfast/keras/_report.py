"""What loading weights did, or why it did nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .. import _patterns
from .._report import Mismatch, some
from ..errors import CheckpointError, MismatchError, NotFoundError, _located

_HINTS = 10
"""Missing names that get a list of nearest keys; finding those takes a while in a long index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsReport:
    """What `ckptfast.keras.load_weights` did; `print` it for a small table.

    - `path`: the prefix that was read.
    - `matched_by`: "object", "name", or "renumbered name".
    - `loaded`: the key that each variable was loaded from, by the variable's path.
    - `missing`: variables without a key (`strict=False` only).
    - `mismatched`: variables of another type or shape than their tensor (`strict=False` only).
    - `unexpected`: keys of the checkpoint that no variable took.
    - `kept`: states of random seeds, which `tf.train.Checkpoint` does not save for Keras 3. They
      have the values they had.
    - `unbuilt`: layers inside the model without variables yet, which nothing can be loaded into.
    - `nbytes`: size of the loaded values in bytes.
    - `seconds`: how long it took, opening and checking included.
    """

    path: str
    matched_by: str
    loaded: Mapping[str, str]
    missing: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    unexpected: tuple[str, ...]
    kept: tuple[str, ...]
    unbuilt: tuple[str, ...]
    nbytes: int
    seconds: float

    def __str__(self) -> str:
        size = f"{self.nbytes / 2**20:,.1f} MiB in {self.seconds:.3f} s, by {self.matched_by}"
        rows = [
            ("loaded", len(self.loaded), size),
            ("missing", len(self.missing), some(self.missing)),
            ("mismatched", len(self.mismatched), some([item.name for item in self.mismatched])),
            ("unexpected", len(self.unexpected), some(self.unexpected)),
            ("kept", len(self.kept), some(self.kept)),
            ("unbuilt", len(self.unbuilt), some(self.unbuilt)),
        ]
        lines = [
            f"{name:<10} {count:>7,}  {note}".rstrip()
            for name, count, note in rows
            if count or name not in ("kept", "unbuilt")
        ]
        return "\n".join([self.path, *lines])


@dataclass(slots=True)
class Misfits:
    """What does not fit. `ambiguous` has the keys of names that several tensors have."""

    missing: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    mismatched: list[Mismatch] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.missing) + len(self.ambiguous) + len(self.mismatched)


def error_of(
    prefix: str, misfits: Misfits, unused: Sequence[str], *, with_optimizer: bool
) -> CheckpointError:
    """The one error that lists everything that does not fit; `unused` are names without a variable.

    `NotFoundError` where something is missing, else `MismatchError`.
    """
    head = f"{len(misfits)} of the model's variables cannot be loaded from {prefix}:"
    tail = (
        "Nothing was assigned. strict=False loads the variables that fit; "
        "names={path of the variable: name in the checkpoint} says which tensor goes where."
    )
    if with_optimizer:
        tail += " optimizer=False leaves the optimizer as it is."
    if unused:
        tail = f"Of the checkpoint were left over: {some(unused)}.\n{tail}"
    lines = [f"  {line}" for line in _complaints(misfits, unused)]
    absent = [*misfits.missing, *misfits.ambiguous]
    kind = NotFoundError if absent else MismatchError
    error = kind("\n".join([head, *lines, tail]))
    names = [*absent, *(item.name for item in misfits.mismatched)]
    return _located(error, path=prefix, key=names[0])


def _complaints(misfits: Misfits, unused: Sequence[str]) -> Iterator[str]:
    for number, name in enumerate(misfits.missing):
        hint = _patterns.near(name, unused) if number < _HINTS else ""
        yield f"{name}: not in the checkpoint{hint}"
    for name, keys in misfits.ambiguous.items():
        yield f"{name}: several tensors have that name: {', '.join(keys)}"
    for mismatch in misfits.mismatched:
        yield str(mismatch)
