"""What a restore did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from .._report import Mismatch, some


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What `ckptfast.restore` did; `print` it for a table.

    - `path`: the prefix that was read.
    - `restored`: names of the variables that now have the checkpoint's values.
    - `missing`: names of variables that the checkpoint does not have (only where that is allowed).
    - `unexpected`: keys of the checkpoint that no variable asked for.
    - `mismatched`: variables of another type or shape than their tensor, that were skipped.
    - `nbytes`: size of the restored values in bytes.
    - `seconds`: how long it took, opening and checking included.
    - `renamed`: names of variables, with the name in the checkpoint that `rename` found for each.
    - `averaged`: names of the variables that were given their moving averages.
    - `sliced`: variables of which only the rows that both sides have were restored.
    - `skipped`: names of the variables that were left alone, with the reason for each.
    - `initialized`: names of the variables that were given their initial values.
    - `uninitialized`: names of the variables among `skipped` that have no value in the session.
    """

    path: str
    restored: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    nbytes: int
    seconds: float
    renamed: Mapping[str, str] = field(default_factory=dict)
    averaged: tuple[str, ...] = ()
    sliced: tuple[Mismatch, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    initialized: tuple[str, ...] = ()
    uninitialized: tuple[str, ...] = ()

    def __str__(self) -> str:
        size = f"{self.nbytes / 2**20:,.1f} MiB in {self.seconds:.3f} s"
        rows = [
            ("restored", len(self.restored), size),
            ("missing", len(self.missing), some(self.missing)),
            ("mismatched", len(self.mismatched), some([item.name for item in self.mismatched])),
            ("unexpected", len(self.unexpected), some(self.unexpected)),
        ]
        rows += [(name, number, note) for name, number, note in self._more() if number]
        lines = [f"{name:<13} {count:>7,}  {note}".rstrip() for name, count, note in rows]
        return "\n".join([self.path, *lines])

    def _more(self) -> Iterator[tuple[str, int, str]]:
        """Rows of what only some restores do."""
        renamed = [f"{old} as {new}" for new, old in self.renamed.items()]
        yield "renamed", len(renamed), some(renamed)
        yield "averaged", len(self.averaged), some(self.averaged)
        yield "sliced", len(self.sliced), some([_rows(item) for item in self.sliced])
        reasons: dict[str, list[str]] = {}
        for name, reason in self.skipped.items():
            reasons.setdefault(reason, []).append(name)
        for reason, names in reasons.items():
            yield "skipped", len(names), f"{reason}: {some(names)}"
        yield "initialized", len(self.initialized), some(self.initialized)
        yield "to initialize", len(self.uninitialized), some(self.uninitialized)


def _rows(item: Mismatch) -> str:
    return f"{item.name} {item.variable} from {item.stored}"
