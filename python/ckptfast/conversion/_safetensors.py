"""Files in the format of safetensors.

A file is the length of the header (8 bytes, little-endian), the header (JSON, with blanks up to a
multiple of 8 bytes), and the values. The header maps each name to type, shape and the range of the
tensor's bytes, counted from the header's end; the ranges leave no gap and share nothing. The name
`__metadata__` stands for remarks.

The `safetensors` package has a writer that takes the addresses of all tensors at once, and a
reader that copies each. With the first, the tensors of a compressed or V1 file, and all that are
converted to another type, would have to be in memory together; with the second, those for a bundle.
Where everything can be mapped it is neither faster nor slower (0.10 s for 472 MiB, in the page
cache). So we write the format, and a test compares the files with those of the package.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from .. import _dtypes, _parts
from ..errors import UnsupportedError, _located
from ._file_bytes import FileBytes
from ._tensors import Batches, Signature, check_shape, nbytes, raw

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

# In the order of the package's enumeration: it writes tensors of later types first, so that each
# begins at a multiple of its elements' size.
_TYPES: Final = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "I16": "int16",
    "U16": "uint16",
    "F16": "float16",
    "BF16": "bfloat16",
    "I32": "int32",
    "U32": "uint32",
    "F32": "float32",
    "C64": "complex64",
    "F64": "float64",
    "I64": "int64",
    "U64": "uint64",
}
_NUMBERS: Final = {name: _dtypes.number(ours) for name, ours in _TYPES.items()}
_NAMES: Final = {number: name for name, number in _NUMBERS.items()}
_ORDER: Final = {number: place for place, number in enumerate(_NAMES)}
TYPES: Final = frozenset(_NAMES)
"""Numbers of the types that such a file can hold."""

METADATA: Final = "__metadata__"
_PREFIX: Final = 8
_ALIGNMENT: Final = 8
# The limit of the package.
_LONGEST_HEADER: Final = 100_000_000
_MOST_DIMENSIONS: Final = 64


def write(
    file: BinaryIO, tensors: Mapping[str, Signature], values: Batches, threads: int | None
) -> None:
    """Write a file whose tensors have these types and shapes; `values` gives them in any order."""
    names = sorted(tensors, key=str.encode)
    names.sort(key=lambda name: _ORDER[tensors[name].number], reverse=True)
    offsets, header = _header(tensors, names)
    _parts.reserve(file, len(header) + sum(map(nbytes, tensors.values())))
    file.write(header)
    file.flush()
    for batch in values(names):
        parts = [(raw(array), offsets[name], name) for name, array in batch]
        _parts.write(file.fileno(), parts, threads=threads)


def _header(tensors: Mapping[str, Signature], names: Sequence[str]) -> tuple[dict[str, int], bytes]:
    """Where each tensor begins in the file, and all bytes before the first."""
    entries, begins, at = {}, {}, 0
    for name in names:
        number, shape = tensors[name]
        end = at + nbytes(tensors[name])
        entries[name] = {
            "dtype": _NAMES[number],
            "shape": list(shape),
            "data_offsets": [at, end],
        }
        begins[name], at = at, end
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    start = _PREFIX + len(text)
    offsets = {name: start + begin for name, begin in begins.items()}
    return offsets, len(text).to_bytes(_PREFIX, "little") + text


class SafetensorsFile:
    """A file that is read. Its bytes have no checksums."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._bytes = FileBytes(path)
        try:
            self._entries = self._read()
        except BaseException:
            self._bytes.close()
            raise
        self.tensors: dict[str, Signature] = {
            name: signature for name, (signature, _) in self._entries.items()
        }

    def close(self) -> None:
        """Let go of the file. Arrays that were handed out stay valid."""
        self._bytes.close()

    def arrays(self, names: Sequence[str]) -> dict[str, Array]:
        """Read-only arrays, pages of the file where it is mapped."""
        return {name: self._array(*self._entries[name]) for name in names}

    def _array(self, signature: Signature, start: int) -> Array:
        import numpy

        memory: Any = self._bytes.view(start, nbytes(signature))
        dtype = _dtypes.numpy_dtype(signature.number)
        array: Array = numpy.ndarray(signature.shape, dtype, memory)
        array.flags.writeable = False
        return array

    def _read(self) -> dict[str, tuple[Signature, int]]:
        """Type, shape and first byte of every tensor, in the order of their names."""
        length = int.from_bytes(self._bytes.view(0, _PREFIX), "little")
        if length > _LONGEST_HEADER:
            raise self._bytes.damaged(f"its header would be {length} bytes long")
        text = bytes(self._bytes.view(_PREFIX, length))
        try:
            header = json.loads(text, object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError) as error:
            raise self._bytes.damaged(f"its header is no JSON that makes sense: {error}") from error
        if not isinstance(header, dict):
            raise self._bytes.damaged("its header is no JSON object")
        header.pop(METADATA, None)
        entries = [(name, *self._entry(name, entry)) for name, entry in header.items()]
        at = _PREFIX + length
        for name, signature, begin in sorted(entries, key=_place):
            if _PREFIX + length + begin != at:
                raise self._bytes.damaged(f"{name} does not begin where the one before ends", name)
            at += nbytes(signature)
        if at != self._bytes.size:
            raise self._bytes.damaged(f"its tensors end at byte {at}, it at {self._bytes.size}")
        start = _PREFIX + length
        entries.sort(key=operator.itemgetter(0))
        return {name: (signature, start + begin) for name, signature, begin in entries}

    def _entry(self, name: str, entry: Any) -> tuple[Signature, int]:
        """Type, shape and begin of a tensor, as the header has them."""
        if not isinstance(entry, dict):
            raise self._bytes.damaged(f"the header's entry of {name} is {entry!r:.80}", name)
        dtype: Any = entry.get("dtype")
        shape: Any = entry.get("shape")
        offsets: Any = entry.get("data_offsets")
        if not isinstance(dtype, str) or not _are_sizes(shape) or not _are_sizes(offsets):
            raise self._bytes.damaged(f"the header's entry of {name} is {entry!r:.80}", name)
        if dtype not in _NUMBERS or len(shape) > _MOST_DIMENSIONS:
            what = f"type {dtype}" if dtype not in _NUMBERS else f"{len(shape)} dimensions"
            message = f"{self.path}: {name} has {what}, which TensorFlow or NumPy has not"
            raise _located(UnsupportedError(message), path=self.path, key=name)
        signature = Signature(_NUMBERS[dtype], tuple(shape))
        size = math.prod(shape) * _dtypes.itemsize(signature.number)
        if len(offsets) != 2 or offsets[1] - offsets[0] != size:
            raise self._bytes.damaged(f"{name} is {size} bytes, its range is {offsets}", name)
        try:
            check_shape(signature.shape, _dtypes.itemsize(signature.number))
        except ValueError as error:
            raise self._bytes.damaged(f"{name}: {error}", name) from error
        return signature, offsets[0]


def _place(entry: tuple[str, Signature, int]) -> tuple[int, int]:
    _, signature, begin = entry
    return begin, nbytes(signature)


def _are_sizes(value: object) -> bool:
    """Whether this is a list of numbers that a size or an offset may be."""
    return isinstance(value, list) and all(
        type(item) is int and 0 <= item < 1 << 63 for item in value
    )


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands in it twice")
    return found
