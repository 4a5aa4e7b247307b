"""An open checkpoint as a mapping from names to arrays."""

from __future__ import annotations

import contextlib
import errno
import operator
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from types import EllipsisType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, SupportsIndex, TypeVar

from . import _arguments, _dtypes, _native, _object_graph, _pages, _paths, _remote, _threads
from ._cached import cached_property
from ._nearest import Nearest
from .errors import NotFoundError, UnsupportedError, _located

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

Backend = Literal["auto", "mmap", "pread"]
Index = SupportsIndex | slice | EllipsisType
"""One dimension of `Reader.read(slice=…)`."""
Place = tuple[_native.Region, int] | list[bytes]
"""Memory and where in it a tensor begins, or the elements of a string tensor."""

Result = TypeVar("Result")

# No writer is that much faster than a reader; a network file system that is gone says the same.
_MOST_REPLACEMENTS = 100

# `slice` is the name of a parameter below, as everywhere in the field.
_Slice = slice


class TensorInfo(NamedTuple):
    """What the index says of one tensor.

    `dtype` is TensorFlow's name ("bfloat16", "qint8", "string"), `shape` that of the whole tensor.
    `shard`, `offset` and `crc32c` (masked, as stored) are `None` where the bytes are not in one
    piece of a data file: for a partitioned tensor, whose parts are in `slices` ("0,2:-": start and
    length per dimension, or - for all of it), and in V1 files. `nbytes` is the size of the values,
    `None` where that is only known after decoding (strings in V1 files).
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    shard: int | None
    offset: int | None
    nbytes: int | None
    crc32c: int | None
    slices: tuple[str, ...]


class Reader(Mapping[str, "Array"]):
    """A checkpoint, opened by `ckptfast.open`.

    A mapping from names to read-only arrays, ordered by the bytes of the names. Arrays of a mapped
    checkpoint are the pages of its files where type, alignment and `copy` allow: see
    `ckptfast.open`. Strings and variants are object arrays of `bytes`. May be used by many threads;
    can be pickled, which takes the path along, not the data.
    """

    def __init__(
        self,
        path: _paths.AnyPath | _paths.Location,
        *,
        verify: bool = True,
        copy: bool | None = None,
        backend: Backend = "auto",
        threads: int | None = None,
        _private: bool = False,
    ) -> None:
        _arguments.flag("verify", verify)
        _arguments.flag("copy", copy, optional=True)
        _arguments.text("backend", backend)
        self._options = (verify, copy, backend, threads)
        self._verify_reads = verify
        self._copy = copy
        self._is_closed = False
        self._local = None
        self._source: _paths.AnyPath | _paths.Location = path
        if not isinstance(path, _paths.Location) and _remote.is_remote(path):
            self._local = _remote.localize(path)
            path = self._local.path
        try:
            with contextlib.nullcontext() if self._local is None else self._local.names.in_errors():
                location = path if isinstance(path, _paths.Location) else _paths.resolve(path)
                self._prefix = location.prefix
                # Data files open later, when the working directory may be another.
                location = _paths.absolute(location)
                self._native = _native.Reader(
                    location.prefix,
                    location.files,
                    backend=backend,
                    private=_private,
                    threads=_threads.checked(threads),
                )
        except BaseException:
            if self._local is not None:
                self._local.close()
            raise
        if self._local is None:
            self._source = location
        else:
            self._native = self._local.names.reader(self._native)

    @property
    def format(self) -> Literal["V1", "V2"]:
        """V2: a bundle (`.index` and `.data-…`). V1: the format of single files before it."""
        return self._native.format

    @property
    def prefix(self) -> str:
        """The path stem of the checkpoint's files; on other file systems the URL."""
        return self._prefix if self._local is None else self._local.names.shown(self._prefix)

    @property
    def num_shards(self) -> int:
        """Number of data files."""
        return self._native.num_shards

    def __getitem__(self, name: str) -> Array:
        return self._arrays([name])[name]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._native.find(name) >= 0

    def get(self, name: str, default: Any = None) -> Any:
        """The tensor `name`, or `default` where there is none."""
        # The mixin of `Mapping` would look for the nearest names, only to drop the error.
        if name not in self:
            return default
        return self[name]

    # A reader is itself alone. As mappings, two would be read in whole to be compared, only to find
    # that arrays are not simply equal or unequal.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else f"{len(self)} tensors"
        return f"<ckptfast.Reader of {self.prefix!r}: {state}, {self.format}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Where the data was found, not what was asked for: a directory's latest checkpoint may be
        # another one by then.
        return _reopen, (self._source, *self._options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the files. Arrays that were handed out stay valid."""
        self._is_closed = True
        self._native.close()
        if self._local is not None:
            self._local.close()

    def info(self, name: str) -> TensorInfo:
        """Type, shape and place of the tensor `name`.

        Raises `NotFoundError` where there is none.
        """
        index = self._index(name)
        number, shape = self._signatures[index]
        shard, offset, nbytes, crc32c, slices = self._native.entry(index)
        dtype = _dtypes.name(number)
        return TensorInfo(name, dtype, shape, shard, offset, nbytes, crc32c, tuple(slices))

    def read(
        self,
        name: str,
        slice: Index | tuple[Index, ...] | None = None,
        out: Array | None = None,
    ) -> Array:
        """The tensor `name`, or a box of it.

        `slice` indexes like NumPy's basic slicing, without steps: `numpy.s_[10:20, :, 3]`. Of a
        partitioned tensor only the parts that overlap the box are read. `out`, an array of the
        result's shape and type, is filled and returned.

        Raises `NotFoundError`, `DataLossError` when the checksum of the tensor does not match, and
        `IndexError` or `TypeError` for a slice that does not fit.
        """
        value = self[name] if slice is None else self._box(name, slice)
        if out is None:
            return value
        if not hasattr(out, "dtype"):
            raise TypeError(f"out is a NumPy array, not {type(out).__name__}")
        if out.shape != value.shape or out.dtype != value.dtype:
            raise ValueError(
                f"out has shape {out.shape} and type {out.dtype}, "
                f"{name!r} has {value.shape} and {value.dtype}"
            )
        _pages.enter_array(value, name, self.prefix)
        out[...] = value
        return out

    @cached_property
    def objects(self) -> _object_graph.ObjectGraph | None:
        """The objects of a checkpoint that `tf.train.Checkpoint` wrote; `None` for another one."""
        return _object_graph.read(self, self.prefix)

    def _box(self, name: str, slice: Index | tuple[Index, ...]) -> Array:
        index = self._index(name)
        number, shape = self._signatures[index]
        start, length, dropped = _box_of(slice, shape)
        if 0 in length:
            value = _read_only(_empty(number, length))
        else:
            place = self._box_place(name, start, length)
            value = self._array(name, number, tuple(length), place)
        return value.reshape([size for axis, size in enumerate(length) if axis not in dropped])

    # What other modules of the package use.

    @property
    def _local_prefix(self) -> str:
        """Where the files are, or the copy of them, for TensorFlow's own operations."""
        return self._prefix

    @cached_property
    def _names(self) -> list[str]:
        return self._native.names()

    @cached_property
    def _signatures(self) -> list[tuple[int, tuple[int, ...]]]:
        """Number of the type and shape of every tensor, in the order of the names."""
        return self._native.signatures()

    @cached_property
    def _nearest(self) -> Nearest:
        return Nearest(self._names)

    def _index(self, name: str) -> int:
        try:
            index = self._native.find(name)
        except TypeError:
            raise TypeError(f"the name of a tensor is text, not {name!r}") from None
        if index < 0:
            raise self._missing(name)
        return index

    def _missing(self, name: str, names: Collection[str] = ()) -> NotFoundError:
        close = Nearest(names).to(name) or self._nearest.to(name)
        hint = f"; nearest names: {', '.join(close)}" if close else ""
        if name in self:
            hint += "; there is such a key, but by= and moving_averages= ask for other names"
        message = f"Key {name} not found in checkpoint {self.prefix}{hint}"
        error = NotFoundError(message)
        _located(error, path=self.prefix, key=name)
        return error

    def _places(
        self, names: Iterable[str], *, verify: bool | None = None, align: int = 1
    ) -> dict[str, Place]:
        """Memory and offset of every tensor, or its elements where they are strings."""
        indices = {name: self._index(name) for name in names}
        places = self._native.read(
            list(indices.values()),
            verify=self._verify_reads if verify is None else verify,
            copy=self._copy,
            align=align,
        )
        return dict(zip(indices, places, strict=True))

    def _box_place(
        self, name: str, start: Sequence[int], length: Sequence[int], *, align: int = 1
    ) -> Place:
        """The same of a box of a tensor."""
        return self._native.read_box(
            self._index(name),
            start,
            length,
            verify=self._verify_reads,
            copy=self._copy,
            align=align,
        )

    def _arrays(
        self, names: Iterable[str], *, verify: bool | None = None, align: int = 1
    ) -> dict[str, Array]:
        """Read-only arrays, each aligned to its type, and to `align` bytes (at most 64)."""
        places = self._places(names, verify=verify, align=align)
        return {name: self._as_array(name, place) for name, place in places.items()}

    def _all_arrays(self) -> dict[str, Array]:
        places = self._native.read(
            range(len(self._names)), verify=self._verify_reads, copy=self._copy
        )
        rows = zip(self._names, self._signatures, places, strict=True)
        return {name: self._array(name, *signature, place) for name, signature, place in rows}

    def _as_array(self, name: str, place: Place) -> Array:
        return self._array(name, *self._signatures[self._index(name)], place)

    def _array(
        self,
        name: str,
        number: int,
        shape: tuple[int, ...],
        place: Place,
    ) -> Array:
        try:
            return _array(number, shape, place)
        except ValueError as error:  # NumPy has a limit where TensorFlow has a higher one
            message = f"{self.prefix}: tensor {name!r} of {len(shape)} dimensions: {error}"
            raise _located(UnsupportedError(message), path=self.prefix, key=name) from error

    def _owned(self, name: str) -> Array:
        """A writable array that nothing else refers to."""
        index = self._index(name)
        number, shape = self._signatures[index]
        (place,) = self._native.read([index], verify=self._verify_reads, copy=True, writable=True)
        value = self._array(name, number, shape, place)
        value.flags.writeable = True
        return value

    def _verify(self, names: Sequence[str]) -> list[tuple[str, Exception]]:
        """Check every byte of the tensors; the bad ones with what is wrong."""
        indices = {self._index(name): name for name in names}
        return [(indices[index], error) for index, error in self._native.verify(list(indices))]

    def _raw_keys(self) -> list[bytes]:
        return self._native.raw_keys()

    def _raw_signature(self, key: bytes) -> tuple[int, tuple[int, ...]] | None:
        return self._native.raw_signature(key)


def open(
    path: _paths.AnyPath,
    *,
    verify: bool = True,
    copy: bool | None = None,
    backend: Backend = "auto",
    threads: int | None = None,
) -> Reader:
    """Open a checkpoint for reading.

    `path` is the prefix (what `Saver.save` returned), or any file of the checkpoint, a directory
    (then its latest whole checkpoint), a state file (`checkpoint`), a SavedModel directory, or a V1
    file. The index is read and checked at once; data files open when the first tensor in them is
    read.

    - `verify`: compare the data of every tensor with its checksum when it is first read. Whatever
      part of a tensor is asked for, all of it is checked.
    - `copy`: `None` hands out the pages of the mapped file where they can be used as they are and
      the file lies on a local file system, and a copy otherwise. `True` always copies; arrays then
      depend on nothing. `False` never copies, and fails where it would have to.
    - `backend`: "mmap" maps data files into memory, "pread" reads them; "auto" maps on local file
      systems and reads on network ones.
    - `threads`: for parallel work; by default as many as the process may use.

    An array that is pages of the file is valid while nobody changes that file *in place*. Deleting
    or replacing it (as ckptfast and TensorFlow do when they save) is harmless; rewriting it changes
    the array, and truncating it makes the next access kill the process with SIGBUS. Pass
    `copy=True` where that may happen.

    Raises `FileNotFoundError` where there is nothing, `DataLossError` where what there is is not a
    whole checkpoint, and says what it seems to be.
    """
    return Reader(path, verify=verify, copy=copy, backend=backend, threads=threads)


def open_private(
    path: _paths.AnyPath,
    *,
    verify: bool = True,
    copy: bool | None = None,
    backend: Backend = "auto",
    threads: int | None = None,
) -> Reader:
    """Open for values that TensorFlow will hold: mappings are private and writable.

    No kernel can then fault on a value or change the file, whatever it takes itself to own.
    """
    return Reader(path, verify=verify, copy=copy, backend=backend, threads=threads, _private=True)


def is_replaced(error: BaseException) -> bool:
    """Whether a read failed because the prefix was saved again after it was opened."""
    return isinstance(error, OSError) and error.errno == errno.ESTALE


def while_replaced(read: Callable[[], Result]) -> Result:
    """Call `read`, which opens a checkpoint and reads it, until no save gets in between.

    A writer that overwrites a prefix leaves a whole checkpoint there at every instant, but not the
    same one.
    """
    for _ in range(_MOST_REPLACEMENTS):
        try:
            return read()
        except OSError as error:
            if not is_replaced(error):
                raise
    return read()


def _reopen(
    path: _paths.AnyPath | _paths.Location,
    verify: bool,
    copy: bool | None,
    backend: Backend,
    threads: int | None,
) -> Reader:
    return Reader(path, verify=verify, copy=copy, backend=backend, threads=threads)


def _array(
    number: int, shape: tuple[int, ...], place: tuple[_native.Region, int] | list[bytes]
) -> Array:
    import numpy

    if isinstance(place, tuple):
        region, offset = place
        # NumPy's stubs do not know that any object may offer a buffer.
        memory: Any = region
        return numpy.ndarray(shape, _dtypes.numpy_dtype(number), memory, offset)
    value = _empty(number, shape)
    value.ravel()[:] = place
    return _read_only(value)


def _empty(number: int, shape: Sequence[int]) -> Array:
    import numpy

    return numpy.empty(shape, _dtypes.numpy_dtype(number))


def _read_only(array: Array) -> Array:
    array.flags.writeable = False
    return array


def _box_of(
    index: Index | tuple[Index, ...], shape: tuple[int, ...]
) -> tuple[list[int], list[int], set[int]]:
    """Start and length of every dimension, and the dimensions that were given by a number."""
    items = list(index) if isinstance(index, tuple) else [index]
    dots = [position for position, item in enumerate(items) if item is Ellipsis]
    if dots:
        at = dots[0]
        missing = len(shape) - (len(items) - 1)
        items[at : at + 1] = [_Slice(None)] * missing
    if len(items) > len(shape):
        raise IndexError(f"too many indices: {len(items)} for a tensor of shape {shape}")
    items += [_Slice(None)] * (len(shape) - len(items))
    start, length, dropped = [], [], set()
    for axis, (item, size) in enumerate(zip(items, shape, strict=True)):
        if isinstance(item, _Slice):
            first, stop, step = item.indices(size)
            if step != 1:
                raise IndexError(f"a slice of a stored tensor has step 1, not {step}")
            start.append(first)
            length.append(max(stop - first, 0))
            continue
        if isinstance(item, EllipsisType):
            raise IndexError("an index can have only one ellipsis ('...')")
        if isinstance(item, bool):
            raise TypeError("a stored tensor is indexed by numbers and slices, not by a mask")
        try:
            position = operator.index(item)
        except TypeError:
            problem = f"a stored tensor is indexed by numbers and slices, not by {item!r}"
            raise TypeError(problem) from None
        if not -size <= position < size:
            raise IndexError(f"index {position} is out of bounds for axis {axis} of size {size}")
        start.append(position % size)
        length.append(1)
        dropped.add(axis)
    return start, length, dropped
