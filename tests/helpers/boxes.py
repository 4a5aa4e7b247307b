"""Boxes of a tensor, and random ways to cut a tensor into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import strategies as st


class Box(NamedTuple):
    """A part of a tensor: start and length of every dimension."""

    start: tuple[int, ...]
    length: tuple[int, ...]

    def index(self) -> tuple[slice, ...]:
        """The index that selects the box of an array."""
        pairs = zip(self.start, self.length, strict=True)
        return tuple(slice(start, start + length) for start, length in pairs)

    def text(self, shape: Sequence[int], dashes: Sequence[bool] = ()) -> str:
        """`0,2:-`; a whole dimension is a dash where `dashes` says so."""
        extents = []
        for axis, (start, length) in enumerate(zip(self.start, self.length, strict=True)):
            dash = axis < len(dashes) and dashes[axis] and length == shape[axis]
            extents.append("-" if dash else f"{start},{length}")
        return ":".join(extents)

    def spec(self, shape: Sequence[int], dashes: Sequence[bool] = ()) -> str:
        """TensorFlow's shape_and_slice: `10 6 0,2:-`."""
        return " ".join(map(str, shape)) + " " + self.text(shape, dashes)


def _split(box: Box, axis: int, at: int) -> tuple[Box, Box]:
    def replaced(values: tuple[int, ...], value: int) -> tuple[int, ...]:
        return (*values[:axis], value, *values[axis + 1 :])

    first = Box(box.start, replaced(box.length, at))
    start = replaced(box.start, box.start[axis] + at)
    return first, Box(start, replaced(box.length, box.length[axis] - at))


@st.composite
def partitions(draw: st.DrawFn) -> tuple[tuple[int, ...], list[Box]]:
    """A shape, and boxes (in any order) that cover it without overlap."""
    shape = tuple(draw(st.lists(st.integers(1, 7), min_size=1, max_size=4)))
    boxes = [Box((0,) * len(shape), shape)]
    for _ in range(draw(st.integers(1, 6))):
        box = boxes.pop(draw(st.integers(0, len(boxes) - 1)))
        axes = [axis for axis, length in enumerate(box.length) if length > 1]
        if not axes:
            boxes.append(box)
            continue
        axis = draw(st.sampled_from(axes))
        boxes += _split(box, axis, draw(st.integers(1, box.length[axis] - 1)))
    return shape, draw(st.permutations(boxes))


def boxes_in(shape: Sequence[int]) -> st.SearchStrategy[Box]:
    """Any box, not empty, of a tensor of this shape."""

    def extent(size: int) -> st.SearchStrategy[tuple[int, int]]:
        ends = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)).map(sorted)
        return ends.map(lambda pair: (pair[0], pair[1] - pair[0] + 1))

    extents = st.tuples(*map(extent, shape))
    return extents.map(
        lambda pairs: Box(tuple(start for start, _ in pairs), tuple(length for _, length in pairs))
    )
