"""NumPy's .npz: a zip file with an array in NumPy's own format for each name.

The members are written like those of `numpy.savez`, but with a fixed date, so that the same values
make the same file, and as they come. What was stored without compression is mapped when it is read,
which `numpy.load` does not do.
"""

from __future__ import annotations

import contextlib
import math
import operator
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, BinaryIO, Final, Literal, NamedTuple

from .. import _dtypes, _pages
from ..errors import UnsupportedError, _located
from . import _tensors
from ._file_bytes import FileBytes
from ._tensors import Batches, Signature

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

TYPES: Final = frozenset(
    _dtypes.number(name)
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
)
"""Numbers of the types that such a file can hold: NumPy's own."""

LONGEST_NAME: Final = 0xFFFF - len(".npy")

_SUFFIX: Final = ".npy"
# The first date that a zip file can have.
_DATE: Final = (1980, 1, 1, 0, 0, 0)
# What zipfile and NumPy raise for files that are not what they wrote.
_DAMAGE: Final = (
    *(zipfile.BadZipFile, zlib.error, EOFError, ValueError, SyntaxError, tokenize.TokenError),
    *(struct.error, OverflowError, TypeError),
)
_LOCAL_HEADER: Final = struct.Struct("<4s22xHH")
# The end record, of which the total number of members matters here; more stand elsewhere.
_END: Final = struct.Struct("<10xH10x")
_MANY: Final = 0xFFFF
# The limit of NumPy, which reads as many bytes as the header says before it looks.
_LONGEST_HEADER: Final = 10_000


def write(
    file: BinaryIO, tensors: Mapping[str, Signature], values: Batches, threads: int | None
) -> None:
    """Write a file of these tensors, in the order of their names, one after another.

    `threads` is for formats whose bytes do not depend on those before them.
    """
    from numpy.lib import format

    with zipfile.ZipFile(file, "w") as zipped:
        for batch in values(sorted(tensors)):
            for name, array in batch:
                member = zipfile.ZipInfo(name + _SUFFIX, _DATE)
                with zipped.open(member, "w", force_zip64=True) as stream:
                    format.write_array_header_1_0(stream, format.header_data_from_array_1_0(array))
                    for piece in _pages.pieces(_tensors.raw(array), name):
                        stream.write(piece)


class _Member(NamedTuple):
    """An array in the zip file: how it is stored, and what NumPy's header says of it."""

    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: Any
    start: int
    """First byte of the values in the member."""


class _Head:
    """The beginning of a member, for NumPy's parser of headers."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes. Raises `ValueError` for more than any header has."""
        if not 0 <= size <= _LONGEST_HEADER:
            raise ValueError(f"its header would be {size} bytes long")
        return self._stream.read(size)


class NpzFile:
    """A file that is read. With `verify`, each array is checked against its CRC-32."""

    def __init__(self, path: str, *, verify: bool) -> None:
        self.path = path
        self._verify = verify
        self._bytes = FileBytes(path)
        try:
            with self._reading(None):
                self._zipped = zipfile.ZipFile(self._bytes.file)
                found = self._zipped.infolist()
                self._check_count(len(found))
                self._members = {
                    info.filename.removesuffix(_SUFFIX): self._member(info)
                    for info in sorted(found, key=operator.attrgetter("filename"))
                }
            if len(self._members) != len(found):
                raise self._bytes.damaged("it has two members of one name")
            self.tensors = {
                name: Signature(self._number(name, member), member.shape)
                for name, member in self._members.items()
            }
        except BaseException:
            self._bytes.close()
            raise

    def close(self) -> None:
        """Let go of the file. Arrays that were handed out stay valid."""
        self._bytes.close()

    def arrays(self, names: Sequence[str]) -> dict[str, Array]:
        """Read-only arrays: pages of the file where it is mapped and they are not compressed."""
        return {name: self._array(name, self._members[name]) for name in names}

    def _check_count(self, found: int) -> None:
        """Compare with the number of members that the end of the file gives.

        `zipfile` does not, and finds fewer where the directory's length is damaged.
        """
        start = self._bytes.size - _END.size - len(self._zipped.comment)
        (count,) = _END.unpack(self._bytes.view(start, _END.size))
        if count not in (found, _MANY):
            raise self._bytes.damaged(f"its directory lists {found} members of {count}")

    def _member(self, info: zipfile.ZipInfo) -> _Member:
        from numpy.lib import format

        name = info.filename
        if not name.endswith(_SUFFIX):
            raise self._unsupported(name, f"{name} in it is no array of NumPy's")
        if not 0 <= info.header_offset < self._bytes.size:  # zipfile would seek to it
            raise self._bytes.damaged(f"{name} would begin at byte {info.header_offset}", name)
        with self._reading(name), self._zipped.open(info) as stream:
            readers = {(1, 0): format.read_array_header_1_0, (2, 0): format.read_array_header_2_0}
            head = _Head(stream)
            version = format.read_magic(head)
            if version not in readers:
                raise self._unsupported(name, f"{name} is of version {version} of NumPy's format")
            shape, is_fortran, dtype = readers[version](head)
            start = stream.tell()
            if not dtype.hasobject:
                _tensors.check_shape(shape, dtype.itemsize)
        size = info.file_size if dtype.hasobject else start + math.prod(shape) * dtype.itemsize
        if size != info.file_size or min(shape, default=0) < 0:
            raise self._bytes.damaged(f"{name} is not as long as its header says", name)
        return _Member(info, shape, is_fortran, dtype, start)

    def _number(self, name: str, member: _Member) -> int:
        if member.dtype.hasobject:
            raise self._unsupported(name, f"{name} is pickled, and ckptfast runs no pickled code")
        try:
            return _dtypes.from_numpy(member.dtype)
        except TypeError as error:
            raise self._unsupported(name, f"{name}: {error}") from error

    def _array(self, name: str, member: _Member) -> Array:
        import numpy

        if member.info.compress_type == zipfile.ZIP_STORED and self._bytes.is_mapped:
            memory: Any = self._stored(name, member.info)[member.start :]
        else:
            with self._reading(name), self._zipped.open(member.info) as stream:
                # To the end, where the CRC-32 is compared.
                memory = memoryview(stream.read())[member.start :]
        order: Literal["C", "F"] = "F" if member.is_fortran else "C"
        with self._reading(name):
            array: Array = numpy.ndarray(member.shape, member.dtype, memory, order=order)
        array.flags.writeable = False
        return array

    def _stored(self, name: str, info: zipfile.ZipInfo) -> memoryview:
        """The bytes of a member that is not compressed. Its name and more stand before them."""
        header = self._bytes.view(info.header_offset, _LOCAL_HEADER.size)
        _, named, extra = _LOCAL_HEADER.unpack(header)
        start = info.header_offset + _LOCAL_HEADER.size + named + extra
        memory = self._bytes.view(start, info.file_size)
        crc = 0
        for piece in _pages.pieces(memory, name, self.path) if self._verify else ():
            crc = zlib.crc32(piece, crc)
        if self._verify and crc != info.CRC:
            raise self._bytes.damaged(f"{name} does not match its CRC-32", name)
        return memory

    @contextlib.contextmanager
    def _reading(self, name: str | None) -> Iterator[None]:
        """Errors of the libraries as ours."""
        try:
            with self._bytes.named():
                yield
        except _DAMAGE as error:
            where = "" if name is None else f"{name}: "
            raise self._bytes.damaged(f"{where}{error}", name) from error
        except (RuntimeError, NotImplementedError) as error:  # a password, another compression
            if isinstance(error, UnsupportedError):
                raise
            raise self._unsupported(name, str(error)) from error

    def _unsupported(self, name: str | None, problem: str) -> UnsupportedError:
        error = UnsupportedError(f"{self.path}: {problem}")
        _located(error, path=self.path, key=name)
        return error
