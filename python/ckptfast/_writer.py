"""Writing bundles: any mapping of names to arrays, and the merging of bundles."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _arguments, _dtypes, _fingerprint, _native, _pages, _paths, _remote, _threads
from ._files import Durability, check_durability
from .errors import UnsupportedError, _located

if TYPE_CHECKING:
    import numpy
    import numpy.typing

    Array = numpy.ndarray[Any, Any]


# Types narrower than a byte take one byte each, of which these bits count. TensorFlow stores the
# others as zero, whatever they are in memory.
_USED_BITS = {
    _dtypes.number("int4"): 0x0F,
    _dtypes.number("uint4"): 0x0F,
    _dtypes.number("float4_e2m1fn"): 0x0F,
    _dtypes.number("int2"): 0x03,
    _dtypes.number("uint2"): 0x03,
}


# The header counts data files in 32 bits.
MAX_SHARDS = 2**31 - 1
# A page. A mapping begins at one, so more would promise nothing.
MAX_ALIGN = 4096


class Tensor:
    """A value for `ckptfast.save` that a plain array cannot express.

    - `dtype`: TensorFlow's name where NumPy has no such type: "qint8", "quint8", "qint16",
      "quint16", "qint32" over plain integers of that width, "variant" over serialized
      `VariantTensorDataProto` messages (`bytes`).
    - `slice`: the shape of the whole tensor and which part `data` is, in TensorFlow's notation:
      "10 6 0,3:-" is rows 0, 1, 2 of a 10 by 6 tensor. Save a list of such parts under the name.
    """

    __slots__ = ("data", "dtype", "slice")

    def __init__(
        self,
        data: numpy.typing.ArrayLike,
        dtype: str | None = None,
        slice: str | None = None,
    ) -> None:
        self.data = data
        self.dtype = dtype
        self.slice = slice

    def __repr__(self) -> str:
        return f"Tensor({self.data!r}, dtype={self.dtype!r}, slice={self.slice!r})"


def save(
    path: _paths.AnyPath,
    tensors: Mapping[str, Any],
    *,
    shards: int | None = None,
    align: int = 64,
    durability: Durability = "full",
    threads: int | None = None,
) -> str:
    """Write `tensors` as the bundle with prefix `path`, and return the prefix.

    Values are arrays of any shape, strides and byte order, anything `numpy.asarray` takes, strings
    (`str` is stored as UTF-8), `Tensor`, or a list of `Tensor` slices of one partitioned tensor.

    - `shards`: number of data files. `None` writes one for a new prefix (several threads write at
      their offsets). Over an existing bundle it takes a number whose file names are free, so that
      the old bundle stays whole until the new index takes its place: one file, then two, then one.
      Giving the number that is there already keeps the names and is *not* atomic.
    - `align`: every tensor begins at a multiple of this many bytes (a power of two up to 4096).
      With 64 the file can be mapped straight into memory and into TensorFlow's variables; with 1
      (and `shards=1`) the files are byte for byte what TensorFlow's Saver writes.
    - `durability`: how much of a power failure the save survives; the death of the process harms
      none. "full" returns when data, index and directory are on disk, in that order. "rename" puts
      files on disk before they are renamed and leaves the directory to the file system: the old or
      the new bundle is whole, but for some seconds it may be the old one. "none" flushes nothing:
      a power failure within the next half minute may leave neither.
    - `threads`: by default as many as the process may use.

    Written over the variables of a SavedModel (`variables/variables`), a `fingerprint.pb` beside
    that folder is brought up to date; one that was wrong before is removed with a warning.

    A failed save leaves what was there, and no temporary files. Raises `ValueError` for names and
    slices that contradict each other, `TypeError` for values TensorFlow has no type for and for
    arguments of a wrong type, and `OSError` when the disk is full or fails.
    """
    _arguments.mapping("tensors", tensors)
    if shards is not None and not 1 <= _arguments.number("shards", shards) <= MAX_SHARDS:
        raise ValueError(f"shards is between 1 and {MAX_SHARDS}, not {shards}")
    if not 1 <= _arguments.number("align", align) <= MAX_ALIGN:
        raise ValueError(f"align is a power of two up to {MAX_ALIGN}, not {align}")
    check_durability(durability)
    if _remote.is_remote(path):
        with _remote.staging(path) as (local, finish):
            save(local, tensors, shards=shards, align=align, durability="none", threads=threads)
            return finish()
    prefix = _paths.local(path)
    if not prefix:
        raise ValueError("the path of a checkpoint must not be empty")
    rows = [row for name, value in tensors.items() for row in _rows(name, value)]
    with _fingerprint.kept_right(prefix, durability):
        _native.write(
            prefix,
            rows,
            shards=shards,
            align=align,
            durability=durability,
            threads=_threads.checked(threads),
            mapped=_mapped(rows),
        )
    return prefix


def merge(
    prefixes: Sequence[_paths.AnyPath],
    path: _paths.AnyPath,
    *,
    durability: Durability = "full",
    delete_old: bool = True,
    allow_missing: bool = False,
) -> str:
    """Make one bundle with prefix `path` of the bundles at `prefixes`, and return the prefix.

    What TensorFlow's `MergeV2Checkpoints` does: data files are renamed, not copied, so the bundles
    at `prefixes` are gone afterwards. `delete_old` also removes their directories where they are
    empty then and not the directory of `path`. With `allow_missing`, prefixes without an index are
    left out, as long as one is there.

    Raises `ValueError` when two bundles hold the same tensor or differ in byte order, and
    `TypeError` for one prefix that is not in a list.
    """
    if isinstance(prefixes, str | bytes | os.PathLike):
        raise TypeError(f"prefixes is a list of checkpoints, not one: {prefixes!r}")
    if not isinstance(prefixes, Iterable):
        raise TypeError(f"prefixes is a list of checkpoints, not {prefixes!r}")
    check_durability(durability)
    prefix = _paths.local(path)
    with _fingerprint.kept_right(prefix, durability):
        _native.merge(
            [_paths.local(source) for source in prefixes],
            prefix,
            durability=durability,
            delete_old=delete_old,
            allow_missing=allow_missing,
        )
    return prefix


Row = tuple[str, int, Sequence[int], str | None, Any, int, int]


def _mapped(rows: Sequence[Row]) -> set[int]:
    """The numbers of the rows whose values are pages of a file, as `_native.write` takes them.

    Where they have gaps, nobody knows which pages will be touched: all of them are looked at now.
    """
    found = set()
    for number, (name, *_, data, _, _) in enumerate(rows):
        if not isinstance(data, list) and _pages.are_mapped(data):
            found.add(number)
            if not data.flags.c_contiguous:
                _pages.enter(data, name)
    return found


def _rows(name: str, value: Any) -> list[Row]:
    if not isinstance(name, str):
        raise TypeError(f"names are text, not {type(name).__name__}: {name!r}")
    try:
        name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise ValueError(f"{name!r} cannot be a name: {error}") from error
    if not isinstance(value, list | tuple) or not any(isinstance(part, Tensor) for part in value):
        return [_row(name, value)]
    for part in value:
        if not isinstance(part, Tensor) or part.slice is None:
            raise TypeError(f"{name!r}: every part of a partitioned tensor is a Tensor with slice=")
    return [_row(name, part) for part in value]


def _row(name: str, value: Any) -> Row:
    tensor = value if isinstance(value, Tensor) else Tensor(value)
    try:
        array, number = _typed(tensor)
    except UnsupportedError as error:
        raise _located(UnsupportedError(f"{name!r}: {error}"), key=name) from error
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name!r}: {error}") from error
    shape = array.shape
    if array.dtype.kind in "OSUT":
        return name, number, shape, tensor.slice, _elements(name, array), 0, 0
    width = array.dtype.itemsize // (2 if array.dtype.kind == "c" else 1)
    swap = 0 if array.dtype.isnative else width
    # Plain bytes of the same width: NumPy offers no buffer of bfloat16 and the like.
    raw = array.view(f"V{array.dtype.itemsize}")
    if array.ndim == 0:
        raw = raw.reshape(1)
    return name, number, shape, tensor.slice, raw, swap, _USED_BITS.get(number, 0)


def _typed(tensor: Tensor) -> tuple[Array, int]:
    import numpy

    _check_text("dtype", tensor.dtype, "qint8")
    _check_text("slice", tensor.slice, "10 6 0,3:-")
    if isinstance(tensor.data, numpy.ma.MaskedArray):
        raise TypeError("a masked array cannot be saved; fill its masked elements first")
    array = numpy.asarray(tensor.data)
    if array.dtype.kind == "O" and array.ndim == 0 and not isinstance(array.item(), str | bytes):
        hint = "; join the names of nested mappings with '/'" * isinstance(tensor.data, Mapping)
        kind = type(tensor.data).__name__
        raise TypeError(f"a value is an array, a number, text or a list of such, not {kind}{hint}")
    if array.dtype.kind in "SU" and not isinstance(tensor.data, numpy.ndarray):
        # An array of fixed-width strings would forget the zero bytes at their ends.
        array = numpy.asarray(tensor.data, dtype=object)
    natural = _dtypes.from_numpy(array.dtype)
    if tensor.dtype is None:
        return array, natural
    number = _dtypes.number(tensor.dtype)
    wanted = _dtypes.numpy_dtype(number)
    if array.size == 0 and not isinstance(tensor.data, numpy.ndarray):
        return array.astype(wanted), number  # an empty list is of any type
    if natural == number or _dtypes.numpy_dtype(natural) == wanted:
        return array, number
    raise TypeError(f"a {tensor.dtype} tensor is made of {wanted} values, not {array.dtype}")


def _check_text(what: str, value: Any, example: str) -> None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f'{what} is text such as "{example}", not {value!r}')


def _elements(name: str, array: Array) -> list[bytes]:
    elements = []
    for element in array.ravel().tolist():
        if isinstance(element, str):
            try:
                element = element.encode()
            except UnicodeEncodeError as error:
                raise ValueError(f"{name!r}: {error}; encode the text, and save bytes") from error
        if not isinstance(element, bytes):
            kind = type(element).__name__
            problem = "an array of objects is a string tensor, whose elements are bytes or str"
            raise TypeError(f"{name!r}: {problem}, not {kind}")
        elements.append(element)
    return elements
