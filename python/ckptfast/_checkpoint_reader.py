"""TensorFlow's functions for looking into one checkpoint: same names, arguments and results.

They read what TensorFlow's cannot (partitioned tensors of every type, every type in V1 files), and
take every path that `ckptfast.open` takes. Values are owned, writable arrays. Where TensorFlow has
been imported, types are `tf.DType` and errors are instances of TensorFlow's classes as well.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Final

from . import _dtypes, _paths, _remote
from ._bundle import Reader
from ._cached import cached_property
from ._paths import AnyPath
from .errors import CheckpointError, DataLossError, UnsupportedError


class CheckpointReader:
    """What `NewCheckpointReader` and `load_checkpoint` return."""

    def __init__(self, filename: AnyPath) -> None:
        with _opening(filename):
            self._reader = Reader(filename)

    def get_variable_to_shape_map(self) -> dict[str, list[int]]:
        """The shape of every tensor; a partitioned one is listed once, with its whole shape."""
        signatures = self._reader._signatures
        return {name: list(shape) for name, (_, shape) in zip(self._names, signatures, strict=True)}

    def get_variable_to_dtype_map(self) -> dict[str, Any]:
        """The type of every tensor: `tf.DType` if TensorFlow has been imported, else our `DType`.

        Both have `name`, `as_numpy_dtype` and `as_datatype_enum`, and equal each other.
        """
        numbers = self._GetVariableToDataTypeMap()
        if not _tensorflow_is_loaded():
            return {name: _dtypes.DType(number) for name, number in numbers.items()}
        convert = importlib.import_module(".tf._dtypes", __package__).tensorflow_dtype
        return {name: convert(number) for name, number in numbers.items()}

    def _GetVariableToDataTypeMap(self) -> dict[str, int]:
        """The number of the type of every tensor (`DataType` in types.proto)."""
        signatures = self._reader._signatures
        return {name: number for name, (number, _) in zip(self._names, signatures, strict=True)}

    def has_tensor(self, tensor_str: str | bytes) -> bool:
        """Whether there is such a key. In V2 the keys of slices and of the header ("") count."""
        name = _text(tensor_str)
        if name in self._reader:
            return True
        return name.encode("utf-8", "surrogateescape") in self._other_keys

    _HasTensor = has_tensor

    def get_tensor(self, tensor_str: str | bytes) -> Any:
        """The value of a tensor: an array, or for a scalar a NumPy scalar or `bytes`.

        Strings are object arrays of `bytes`, quantised types plain integers. Raises `NotFoundError`
        for a name that is not there and `DataLossError` if the data does not match its checksum.
        """
        with _reading():
            value = self._reader._owned(_text(tensor_str))
        return value[()] if value.ndim == 0 else value

    CheckpointReader_GetTensor = get_tensor

    def debug_string(self) -> bytes:
        """A line for each tensor: name, type, shape; in a V2 bundle slices instead of the whole."""
        lines = self._debug_v2() if self._reader.format == "V2" else self._debug_v1()
        return b"".join(lines)

    @property
    def _names(self) -> list[str]:
        return self._reader._names

    @cached_property
    def _other_keys(self) -> frozenset[bytes]:
        """Keys in the table that are not names."""
        return frozenset(self._reader._raw_keys() if self._reader.format == "V2" else ())

    def _debug_v2(self) -> Iterator[bytes]:
        for key in self._reader._raw_keys():
            name = key.decode("utf-8", "surrogateescape")
            if key == b"" or (name in self._reader and self._reader.info(name).slices):
                continue
            signature = self._reader._raw_signature(key)
            if signature is not None:
                yield _debug_line(key, *signature)

    def _debug_v1(self) -> Iterator[bytes]:
        # By name: TensorFlow's order here is that of a hash table, and no order in particular.
        for name in self._reader:
            info = self._reader.info(name)
            count = len(info.slices)
            more = f", {count} slices" if count > 1 else ""
            key = name.encode("utf-8", "surrogateescape")
            yield _debug_line(key, _dtypes.number(info.dtype), info.shape, more)


def _debug_line(key: bytes, number: int, shape: Iterable[int], more: str = "") -> bytes:
    sizes = ",".join(map(str, shape))
    return key + f" ({_dtypes.enum_name(number)}) [{sizes}]{more}\n".encode()


def _text(name: str | bytes) -> str:
    if isinstance(name, bytes):
        return name.decode("utf-8", "surrogateescape")
    if isinstance(name, str):
        return name
    raise TypeError(f"Expected binary or unicode string, got {name!r}")


def NewCheckpointReader(filepattern: AnyPath) -> CheckpointReader:
    """A reader of the checkpoint at `filepattern`: a prefix, or anything `ckptfast.open` takes.

    Raises `FileNotFoundError` where there is nothing, or no checkpoint in a folder; `DataLossError`
    or `UnsupportedError` where there is something else; `ValueError` where a pattern matches
    several checkpoints. Where TensorFlow is loaded, the first is a `tf.errors.NotFoundError` if
    nothing has that name; what has it and is no checkpoint is a `tf.errors.DataLossError`, and the
    last a `tf.errors.OpError`.
    """
    return CheckpointReader(filepattern)


def load_checkpoint(ckpt_dir_or_file: AnyPath) -> CheckpointReader:
    """A reader of a checkpoint, or of the latest whole one of a directory.

    Raises `ValueError` for a directory without any, and what `NewCheckpointReader` raises.
    """
    try:
        return CheckpointReader(ckpt_dir_or_file)
    except FileNotFoundError as error:
        if _remote.is_remote(ckpt_dir_or_file):
            raise
        path = _paths.local(ckpt_dir_or_file)
        if not os.path.isdir(path):
            raise
        message = "Couldn't find 'checkpoint' file or checkpoints in given directory"
        raise ValueError(f"{message} {path}") from error


def load_variable(ckpt_dir_or_file: AnyPath, name: str) -> Any:
    """The value of one tensor of a checkpoint; `:0` at the end of `name` is left out."""
    return load_checkpoint(ckpt_dir_or_file).get_tensor(name.removesuffix(":0"))


def list_variables(ckpt_dir_or_file: AnyPath) -> list[tuple[str, list[int]]]:
    """Name and shape of every tensor of a checkpoint, sorted by name."""
    return sorted(load_checkpoint(ckpt_dir_or_file).get_variable_to_shape_map().items())


# -------------------------------------------------------------------------------------- errors

_UNOPENED: Final = "Unable to open table file"


@contextlib.contextmanager
def _opening(filename: AnyPath) -> Iterator[None]:
    """Give errors of opening the words that TensorFlow's users look for."""
    try:
        if not _paths.text(filename):
            raise FileNotFoundError(errno.ENOENT, "the path is empty", filename)
        yield
    except FileNotFoundError as error:
        # Of a folder without a checkpoint, say: something is there, and cannot be opened.
        there = _remote.exists(filename)
        text = "Unsuccessful TensorSliceReader constructor: Failed to find any matching files for"
        text = f"{_UNOPENED if there else text} {_paths.text(filename)}: {error.strerror}"
        missing = FileNotFoundError(errno.ENOENT, text, error.filename)
        raise _known_to_tensorflow(missing, data_loss=there) from None
    except (DataLossError, UnsupportedError) as error:
        text = f"{_UNOPENED} {_paths.text(filename)}: {error}"
        result = type(error)(text)
        vars(result).update(vars(error))
        raise _known_to_tensorflow(result, data_loss=True) from None
    except (CheckpointError, OSError) as error:
        raise _known_to_tensorflow(error) from None


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except (CheckpointError, OSError) as error:
        raise _known_to_tensorflow(error) from None


def _known_to_tensorflow(error: Exception, *, data_loss: bool = False) -> Exception:
    if not _tensorflow_is_loaded():
        return error
    errors = importlib.import_module(".tf._errors", __package__)
    result: Exception = errors.combined(error, data_loss=data_loss)
    return result


def _unpickled_error(
    kind: type[Exception], arguments: tuple[Any, ...], place: dict[str, Any], data_loss: bool
) -> Exception:
    """An exception from another process, which had TensorFlow loaded; this one need not."""
    error = kind(*arguments)
    vars(error).update(place)
    return _known_to_tensorflow(error, data_loss=data_loss)


def _tensorflow_is_loaded() -> bool:
    return "tensorflow.python" in sys.modules
