"""Variables that have more or fewer rows than their tensor: what the two have in common.

That is how a model looks whose vocabulary has grown or shrunk. Common are the first rows, or the
first columns of a layer that has one for every word.
"""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ._kept import kept, lock
from ._targets import Box, Corner, Part, Shape, Target


def common(part: Part, stored: tuple[int, ...]) -> Box | None:
    """The box of the stored tensor that the variable has too; it may be empty.

    `None` unless the shapes differ in the size of exactly one dimension.
    """
    whole: Shape | None = part.shape if part.box is None else part.box.full_shape
    lengths, start = part.shape, (0,) * len(stored)
    if part.box is not None:
        lengths, start = part.box.length, part.box.start
    if whole is None or lengths is None or len(whole) != len(stored):
        return None
    sizes = [size for size in lengths if size is not None]
    if len(sizes) != len(lengths) or sum(a != b for a, b in zip(whole, stored, strict=True)) != 1:
        return None
    length = tuple(
        max(min(size, there - first), 0)
        for size, there, first in zip(sizes, stored, start, strict=True)
    )
    return Box(stored, tuple(map(min, start, stored)), length)


def narrowed(target: Target, length: tuple[int, ...]) -> Target:
    """The target of the variable's first rows; the variable itself where those are all it has."""
    part = target.parts[0]
    whole = part.shape if part.box is None else part.box.length
    if length == whole:
        return target
    return Target((Part(part.name, part.dtype, length),), _corner(target.sink, length))


def _corner(variable: Any, length: tuple[int, ...]) -> Corner:
    """Always the same one for a tensor of a graph, so that a graph does not grow by restores."""
    corner = Corner(variable, length)
    if not isinstance(variable, tf.Tensor):
        return corner
    with lock:
        known: dict[Any, Corner] = kept(variable.graph, "corners", dict)
        return known.setdefault((id(variable), length), corner)
