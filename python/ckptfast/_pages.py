"""Memory that may be pages of a mapped file, which somebody may have cut since.

To touch a page that its file no longer has ends the process. Entering the pages first costs what
touching them does, and fails instead. What happens between the two nobody can know, so this is for
memory that is used at once, a piece at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from . import _native
from .errors import DataLossError, _located

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_PIECE: Final = 8 << 20


def enter(memory: Any, name: str, path: str | None = None) -> None:
    """Raise `DataLossError` where memory without gaps cannot be touched.

    `name` and `path` are of the tensor, and of the file that it comes from.
    """
    if not _native.enter(memory):
        raise gone(name, path)


def enter_array(array: Array, name: str, path: str | None = None) -> None:
    """The same for an array of any layout. Strings are in memory of their own."""
    if array.dtype.kind != "O":
        raw = array.view(f"V{array.dtype.itemsize}")  # NumPy has no buffer of bfloat16 and the like
        enter(raw if raw.ndim else raw.reshape(1), name, path)


def pieces(memory: memoryview, name: str, path: str | None = None) -> Iterator[memoryview]:
    """The memory in pieces, each of which can be touched when it comes. Raises as `enter`."""
    for start in range(0, len(memory), _PIECE):
        piece = memory[start : start + _PIECE]
        enter(piece, name, path)
        yield piece


def gone(name: str, path: str | None) -> DataLossError:
    """The error for values that are no longer in their file."""
    where = "its file" if path is None else path
    error = DataLossError(f"{name}: {where} was cut while it was read, or its disk fails")
    _located(error, path=path, key=name)
    return error


def are_mapped(array: Array) -> bool:
    """Whether an array is a view of a mapped file, ours or Python's."""
    base: Any = array
    while hasattr(base, "base"):
        base = base.base
    if isinstance(base, memoryview):
        base = base.obj
    if isinstance(base, _native.Region):
        return base.aliases_file
    return type(base).__name__ == "mmap"
