"""Reading the values of a plan, as arrays that TensorFlow can take as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import _dtypes
from .._bundle import Reader, _array
from .._native import Region
from ._plan import Match, Source

ALIGNMENT = 64
"""Bytes. TensorFlow uses memory that is aligned so without copying it (EIGEN_MAX_ALIGN_BYTES)."""


class Value(NamedTuple):
    """An array (of `bytes` objects for strings), and the memory and offset it lies at.

    `region` is `None` for strings, whose elements are objects.
    """

    array: Any
    region: Region | None
    offset: int

    @property
    def nbytes(self) -> int:
        """Size of the values in bytes."""
        if self.array.dtype.kind == "O":
            return sum(map(len, self.array.flat))
        return int(self.array.nbytes)

    @property
    def copied(self) -> int:
        """How many of the bytes lie in memory of this process, not in the page cache."""
        return 0 if self.region is not None and self.region.aliases_file else self.nbytes


def read(reader: Reader, sources: Sequence[Source], *, verify: bool) -> list[Value]:
    """One value for each source, aligned to 64 bytes.

    With `verify`, every byte has been compared with its checksum when this returns.
    """
    copy, align = reader._copy, ALIGNMENT
    indices = [reader._index(source.key) for source in sources]
    whole = [index for index, source in zip(indices, sources, strict=True) if source.box is None]
    places = iter(reader._native.read(whole, verify=verify, copy=copy, align=align))
    values = []
    for index, source in zip(indices, sources, strict=True):
        dtype, shape = reader._signatures[index]
        if source.box is None:
            place = next(places)
        else:
            _, start, shape = source.box
            place = reader._native.read_box(
                index, start, shape, verify=verify, copy=copy, align=align
            )
        values.append(_value(_array(dtype, shape, place), place))
    return values


def _value(array: Any, place: tuple[Region, int] | list[bytes]) -> Value:
    return Value(array, *place) if isinstance(place, tuple) else Value(array, None, 0)


def verify(reader: Reader, sources: Sequence[Source]) -> None:
    """Check every byte of the sources and raise the first error, without keeping a value."""
    keys = list(dict.fromkeys(source.key for source in sources))
    for _, error in reader._verify(keys):
        raise error


def nbytes(reader: Reader, source: Source) -> int:
    """Size of a value in bytes before it is read; of strings, their size on disk."""
    dtype, shape = reader._signatures[reader._index(source.key)]
    itemsize = _dtypes.itemsize(dtype)
    if not itemsize:
        return reader.info(source.key).nbytes or 0
    return itemsize * math.prod(shape if source.box is None else source.box.length)


def has_variant(match: Match) -> bool:
    """Whether a value is a variant, which no array can hold."""
    return any(part.dtype == _dtypes.VARIANT for part in match.target.parts)
