"""What freezing did."""

from __future__ import annotations

import dataclasses
import os


@dataclasses.dataclass(frozen=True, slots=True)
class FreezeReport(os.PathLike[str]):
    """What `ckptfast.freeze` wrote; its `str` is a table, and it can be passed as a path."""

    path: str
    """The file that was written."""
    nbytes: int
    """Its size in bytes."""
    nodes: int
    """Number of nodes in the frozen graph."""
    constants: dict[str, str]
    """Every variable that is a constant now (name of the node), with the key of its value.

    Of a value that the model's initialisation gives it is the path of the asset, or the name of the
    constant.
    """
    variables: tuple[str, ...]
    """Variables that stayed variables, because `variables` or `exclude` said so."""
    averaged: tuple[str, ...]
    """Variables frozen with their moving average; the others have none."""
    unconverted: tuple[str, ...]
    """Nodes that take the handle of a constant and cannot run (an assignment, for example)."""

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        lines = [
            f"{self.path}: {self.nodes} nodes, {self.nbytes} bytes, "
            f"{len(self.constants)} variables frozen"
        ]
        averaged = set(self.averaged)
        for name, key in self.constants.items():
            note = " (moving average)" if name in averaged else ""
            lines.append(f"  {name}" + (f" from {key}" if key != name else "") + note)
        lines += [f"  {name}: still a variable" for name in self.variables]
        lines += [f"  {name}: takes a handle that is gone" for name in self.unconverted]
        return "\n".join(lines)
