"""An open checkpoint as tensors: over the pages of the file where memory allows it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python import pywrap_tfe
from tensorflow.python.eager import context

from ... import _dtypes, _remote, _stats
from ..._bundle import Reader, _array
from ..._checkpoint_reader import CheckpointReader, _opening, _reading
from ..._paths import AnyPath
from ...errors import DataLossError
from .. import _eager, _errors, _values
from .._saveables import box_of
from .._targets import Part
from .._tensorflow_ops import _path
from ..saver import _config
from ._open import OpenReader

_NO_FILES = "Unsuccessful TensorSliceReader constructor: Failed to find any matching files for "
_NO_CAPSULES = (tuple, list)
_DLPACK = {_dtypes.number(name): element for name, element in _eager._DLPACK.items()}


class Source(CheckpointReader):
    """A `CheckpointReader` that also hands out tensors.

    Objects that may be made later keep it. Its files stay open only while few others are used.
    """

    def __init__(self, path: AnyPath) -> None:
        options = _config.options()
        where: Any = path

        def opened() -> Reader:
            nonlocal where
            with _opening(path):
                reader = Reader(where, verify=options.verify, copy=options.copy, _private=True)
            where = reader._source  # absolute: the working directory may be another later
            return reader

        self._opened = OpenReader(opened)
        self._opened.get()

    @property
    def _reader(self) -> Reader:  # type: ignore[override]  # not always the same one
        return self._opened.get()

    def held(self) -> contextlib.AbstractContextManager[None]:
        """While this is entered, numbers of tensors in the index keep their meaning."""
        return self._opened.held()

    @property
    def prefix(self) -> str:
        """A path under which TensorFlow's own operations find the checkpoint."""
        return _path(self._reader) or self._reader._local_prefix

    def get_variable_to_dtype_map(self) -> Any:
        """As the method it overrides, but each type is looked up when it is asked for."""
        return _Signatures(self, lambda number, shape: tf.as_dtype(number))

    def get_variable_to_shape_map(self) -> Any:
        """As the method it overrides, but each shape is looked up when it is asked for."""
        return _Signatures(self, lambda number, shape: list(shape))

    def signature(self, key: str) -> tuple[int, tuple[int, ...]] | None:
        """The number of a tensor's type and its shape, or `None` where there is no such tensor."""
        reader = self._reader
        index = reader._native.find(key)
        return None if index < 0 else reader._signatures[index]

    def find(self, keys: Sequence[str]) -> list[int]:
        """The number of each tensor in the index, or -1 where there is none."""
        return self._reader._native.find_all(keys)

    @property
    def signatures(self) -> Sequence[tuple[int, tuple[int, ...]]]:
        """Number of the type and shape of every tensor in the index."""
        return self._reader._signatures

    def tensors(
        self,
        keys: Sequence[str],
        types: Sequence[int] | None = None,
        indices: Sequence[int] | None = None,
    ) -> list[Any]:
        """The tensors of `keys`, every byte checked before the first is made.

        With `types`, numbers of the types that are wanted, raises `tf.errors.InvalidArgumentError`
        as TensorFlow does unless they are the stored ones. Raises `tf.errors.NotFoundError` for a
        key that is not there. `indices` is what `find` says of the keys, if that is known.
        """
        reader = self._reader
        if indices is None:
            indices = reader._native.find_all(keys)
        if -1 in indices:
            with _reading():
                raise reader._missing(keys[indices.index(-1)])
        signatures = reader._signatures
        if types is not None:
            stored = [signatures[index][0] for index in indices]
            if stored != types:
                self._check_types(keys, types, stored)
        with _reading():
            values = reader._native.capsules(
                indices,
                verify=reader._verify_reads,
                copy=reader._copy,
                align=_values.ALIGNMENT,
                elements=_DLPACK,
            )
        eager = context.context()
        eager.ensure_initialized()
        handle = eager._handle
        # What `tf.experimental.dlpack.from_dlpack` ends in.
        from_capsule = pywrap_tfe.TFE_FromDlpackCapsule
        return [
            from_capsule(value, handle)
            if type(value) not in _NO_CAPSULES
            else self._by_value(key, *signatures[index], value)
            for key, index, value in zip(keys, indices, values, strict=True)
        ]

    def _by_value(self, key: str, number: int, shape: tuple[int, ...], place: Any) -> Any:
        """A tensor that DLPack cannot express."""
        if number == _dtypes.VARIANT:
            return self.by_tensorflow(key, "", number, "variant tensor")
        part = Part(key, number, shape)
        return _eager._tensor(part, _values._value(self._reader._as_array(key, place), place))

    def part(self, key: str, spec: str, number: int) -> Any:
        """The slice `spec` of a tensor of type `number`.

        Where the tensor is another, TensorFlow's operation says so.
        """
        box = box_of(spec)
        if box is None or self.signature(key) != (number, box.full_shape):
            return self.by_tensorflow(key, spec, number, "slice of another tensor")
        with _reading():
            place = self._reader._box_place(key, box.start, box.length, align=_values.ALIGNMENT)
        value = _values._value(_array(number, box.length, place), place)
        return _eager._tensor(Part(key, number, box.length), value)

    def by_tensorflow(self, key: str, spec: str, number: int, reason: str) -> Any:
        """The tensor, or the slice `spec` of it, read by TensorFlow's own operation; counted."""
        _stats.count_fallback(reason)
        with tf.device("CPU:0"):
            (tensor,) = tf.raw_ops.RestoreV2(
                prefix=self.prefix,
                tensor_names=[key],
                shape_and_slices=[spec],
                dtypes=[tf.as_dtype(number)],
            )
        return tensor

    def _check_types(
        self, keys: Sequence[str], wanted: Sequence[int], stored: Sequence[int]
    ) -> None:
        wrong = [at for at, number in enumerate(wanted) if number != stored[at]]
        if wrong:
            lines = [
                f"tensor_name = {keys[at]}; expected dtype {_type_string(wanted[at])} "
                f"does not equal original dtype {_type_string(stored[at])}"
                for at in wrong
            ]
            raise tf.errors.InvalidArgumentError(None, None, "\n".join(lines))


def _type_string(number: int) -> str:
    """The name of a type in TensorFlow's messages."""
    name = _dtypes.name(number)
    return {"float32": "float", "float64": "double", "float16": "half"}.get(name, name)


def refuse_directory(path: AnyPath) -> None:
    """TensorFlow's `restore` takes a prefix, and says so of a directory; a guess would be no help.

    An empty path is a prefix without files.
    """
    if _remote.is_remote(path):
        return
    path = os.fsdecode(path)
    if not path:
        raise _errors.combined(FileNotFoundError(errno.ENOENT, _NO_FILES, path))
    if os.path.isdir(path) and not os.path.exists(f"{path}.index"):
        error = DataLossError(
            f"Unable to open table file {path}: FAILED_PRECONDITION: {path}; Is a directory"
        )
        raise _errors.combined(error, data_loss=True)


class _Signatures(Mapping[str, Any]):
    """One aspect of every tensor, by name, made when it is asked for."""

    def __init__(self, source: Source, aspect: Any) -> None:
        self._source = source
        self._aspect = aspect

    def __getitem__(self, key: str) -> Any:
        signature = self._source.signature(key)
        if signature is None:
            raise KeyError(key)
        return self._aspect(*signature)

    def __iter__(self) -> Iterator[str]:
        return iter(self._source._names)

    def __len__(self) -> int:
        return len(self._source._names)
