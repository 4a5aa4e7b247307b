"""What a restore fills: variables and other stateful objects, seen as boxes of stored tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

Shape = tuple[int | None, ...]
"""Sizes of a variable's dimensions, `None` where TensorFlow does not know one."""


class Box(NamedTuple):
    """The part of a stored tensor that one slice of a partitioned variable holds."""

    full_shape: tuple[int, ...]
    start: tuple[int, ...]
    length: tuple[int, ...]

    @property
    def spec(self) -> str:
        """As TensorFlow writes it: "4 2 0,2:0,2", sizes of the whole, then start,length pairs."""
        sizes = "".join(f"{size} " for size in self.full_shape)
        return sizes + ":".join(
            f"{start},{length}" for start, length in zip(self.start, self.length, strict=True)
        )


class Part(NamedTuple):
    """One value that a target takes.

    `name` is the tensor's name in a name-based checkpoint; `dtype` is a `DataType` number; `shape`
    is `None` where any shape will do; `box` is `None` for all of the stored tensor.
    """

    name: str
    dtype: int
    shape: Shape | None
    box: Box | None = None


@dataclass(slots=True, eq=False)
class Corner:
    """The first rows (columns, …) of a variable, as a sink: `length` counts them per dimension.

    `variable` is what the sink of the whole variable would be. The rest keeps its value.
    """

    variable: Any
    length: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Target:
    """Something that is assigned in one piece.

    `sink` says where its values go: the handle of a resource variable or the output of a reference
    variable (tensors of the graph), a `tf.Variable` (eager), a `Corner` of one of these, or a
    `SaveableObject`, the only one with other than a single part.
    """

    parts: tuple[Part, ...]
    sink: Any
