"""What a restore did."""

from __future__ import annotations

from dataclasses import dataclass

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A variable whose tensor in the checkpoint is not of its kind.

    `variable` and `stored` describe both sides where they differ: "float32" and "float64", or
    "(3, 4)" and "(3, 5)".
    """

    name: str
    variable: str
    stored: str

    def __str__(self) -> str:
        return f"{self.name}: {self.variable} here, {self.stored} in the checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreReport:
    """What `ckptfast.restore` did; `print` it for a small table.

    - `path`: the prefix that was read.
    - `restored`: names of the variables that now have the checkpoint's values.
    - `missing`: names of variables that the checkpoint does not have (`strict=False` only).
    - `unexpected`: keys of the checkpoint that no variable asked for.
    - `mismatched`: variables of another type or shape than their tensor (`strict=False` only).
    - `nbytes`: size of the restored values in bytes.
    - `seconds`: how long it took, opening and checking included.
    """

    path: str
    restored: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    nbytes: int
    seconds: float

    def __str__(self) -> str:
        size = f"{self.nbytes / 2**20:,.1f} MiB in {self.seconds:.3f} s"
        rows = [
            ("restored", len(self.restored), size),
            ("missing", len(self.missing), _some(self.missing)),
            ("mismatched", len(self.mismatched), _some([item.name for item in self.mismatched])),
            ("unexpected", len(self.unexpected), _some(self.unexpected)),
        ]
        lines = [f"{name:<10} {count:>7,}  {note}".rstrip() for name, count, note in rows]
        return "\n".join([self.path, *lines])


def _some(names: tuple[str, ...] | list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")
