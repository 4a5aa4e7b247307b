"""What the parts of a conversion hand to one another."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .. import _dtypes

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

Batches = Callable[[Sequence[str]], Iterable[list[tuple[str, "Array"]]]]
"""The values of the named tensors, as many at a time as fit into memory."""

_BATCH = 64 << 20


class Signature(NamedTuple):
    """The number of a tensor's type, and its shape."""

    number: int
    shape: tuple[int, ...]


def nbytes(signature: Signature) -> int:
    """Size of the values; 0 for strings, whose size is not known before."""
    return math.prod(signature.shape) * _dtypes.itemsize(signature.number)


def check_shape(shape: tuple[int, ...], itemsize: int) -> None:
    """Raise `ValueError` unless NumPy can have an array of this shape."""
    import numpy

    if not itemsize:
        raise ValueError("its elements have no bytes")
    try:
        numpy.ndarray(shape, f"V{itemsize}", bytes(itemsize), strides=(0,) * len(shape))
    except (TypeError, OverflowError) as error:
        raise ValueError(str(error)) from error


class Source(Protocol):
    """A file or a checkpoint that is read."""

    @property
    def path(self) -> str:
        """The file, or the prefix."""
        ...

    @property
    def tensors(self) -> Mapping[str, Signature]:
        """Every tensor, in the order of the names."""
        ...

    def arrays(self, names: Sequence[str]) -> Mapping[str, Array]:
        """Read-only arrays, pages of the file where that can be."""
        ...

    def close(self) -> None:
        """Let go of the file. Arrays that were handed out stay valid."""
        ...


def raw(array: Array) -> memoryview:
    """The bytes of an array without gaps. NumPy itself offers none of bfloat16 and the like."""
    # NumPy's stubs do not know that arrays offer a buffer.
    plain: Any = array.reshape(-1).view("uint8")
    return memoryview(plain)


def batches(names: Sequence[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """The names, in order, in groups of 64 MiB; what is larger is a group of its own."""
    batch: list[str] = []
    total = 0
    for name in names:
        if batch and total + sizes[name] > _BATCH:
            yield batch
            batch, total = [], 0
        batch.append(name)
        total += sizes[name]
    if batch:
        yield batch
