"""What the reports of restores and of loaded weights have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A variable whose tensor in the checkpoint is not of its kind.

    `variable` and `stored` describe both sides where they differ: "float32" and "float64", or
    "(3, 4)" and "(3, 5)". `key` is the tensor's, where names alone do not tell which it is.
    """

    name: str
    variable: str
    stored: str
    key: str | None = None

    def __str__(self) -> str:
        key = "" if self.key is None else f" ({self.key})"
        return f"{self.name}: {self.variable} here, {self.stored} in the checkpoint{key}"


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")
