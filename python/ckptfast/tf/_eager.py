"""Restoring `tf.Variable`s of eager mode, without a copy where the memory allows it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.distribute import sharded_variable
from tensorflow.python.ops import resource_variable_ops
from tensorflow.python.trackable import base as trackable
from tensorflow.python.training.saving import saveable_object

from .. import _dtypes, _stats
from .._bundle import Reader
from . import _saveables, _session, _sites, _values, _variables
from ._plan import Match
from ._targets import Box, Corner, Part, Target
from ._values import Value

# Codes and bits of DLPack for the types that TensorFlow takes from it, by DataType name.
_INT, _UINT, _FLOAT, _BFLOAT, _COMPLEX, _BOOL = 0, 1, 2, 4, 5, 6
_DLPACK = {
    "float16": (_FLOAT, 16),
    "float32": (_FLOAT, 32),
    "float64": (_FLOAT, 64),
    "bfloat16": (_BFLOAT, 16),
    "int8": (_INT, 8),
    "int16": (_INT, 16),
    "int32": (_INT, 32),
    "int64": (_INT, 64),
    "uint8": (_UINT, 8),
    "uint16": (_UINT, 16),
    "uint32": (_UINT, 32),
    "uint64": (_UINT, 64),
    "complex64": (_COMPLEX, 64),
    "complex128": (_COMPLEX, 128),
    "bool": (_BOOL, 8),
}


def eager_targets(var_list: Any) -> list[Target]:
    """The targets of a list of eager variables, or of a mapping from names to them.

    A variable's own name is the one `Saver` gives it in eager mode: that of its creation, without
    the ":0". Such names are not unique, so a mapping is the safer way. Raises as `graph_targets`.
    """
    if var_list is None:
        raise TypeError("without a session, var_list says what to restore: a list or a mapping")
    targets = [
        target for name, item in _variables.pairs(var_list) for target in _targets(name, item)
    ]
    targets = [target for target in targets if target.parts]
    _variables.check(targets)
    return targets


def _targets(name: str | None, item: Any) -> Iterator[Target]:
    if isinstance(item, resource_variable_ops.BaseResourceVariable):
        if item._in_graph_mode:
            raise ValueError(f"variable {item.name!r} belongs to a graph: pass its session")
        box = _variables.slice_of(item)
        if name is None:
            name = item._shared_name if box is None else item._save_slice_info.full_name
        dtype = item.dtype.base_dtype.as_datatype_enum
        yield Target((Part(name, dtype, _variables.shape_of(item.shape), box),), item)
    elif isinstance(item, sharded_variable.ShardedVariableMixin):
        yield from _shards(item.name if name is None else name, item)
    elif isinstance(item, list | tuple):  # only as a value of a mapping: slices of one variable
        _variables.check_slices(item)
        for part in item:
            yield from _targets(name, part)
    elif isinstance(item, saveable_object.SaveableObject):
        yield _saveables.target(item)
    elif isinstance(item, trackable.Trackable):
        yield from map(_saveables.target, _saveables.of_eager(item, name))
    else:
        raise TypeError(f"not a variable: {item!r}")


def _shards(name: str, sharded: Any) -> Iterator[Target]:
    """The variables of a `ShardedVariable`: they follow each other along the first axis."""
    full_shape = tuple(sharded.shape.as_list())
    first = 0
    for variable in sharded.variables:
        length = tuple(variable.shape.as_list())
        box = Box(full_shape, (first, *(0 for _ in length[1:])), length)
        dtype = variable.dtype.as_datatype_enum
        yield Target((Part(name, dtype, length, box),), variable)
        first += length[0]


def assign(reader: Reader, matches: Sequence[Match], *, verify: bool) -> int:
    """Assign every match; returns the number of bytes. All bytes are checked before the first."""
    fed = [match for match in matches if not _values.has_variant(match)]
    values = _values.read(
        reader, [source for match in fed for source in match.sources], verify=verify
    )
    opaque = [_by_tensorflow(reader, match) for match in matches if _values.has_variant(match)]
    tensors = iter(
        [
            _tensor(part, value)
            for part, value in zip(
                [part for match in fed for part in match.target.parts], values, strict=True
            )
        ]
    )
    for match in fed:
        _give(match, [next(tensors) for _ in match.target.parts])
    for match, read in opaque:
        _give(match, read)
    return sum(value.nbytes for value in values)


def _give(match: Match, tensors: list[Any]) -> None:
    sink = match.target.sink
    if isinstance(sink, saveable_object.SaveableObject):
        sink.restore(tensors, None)
    elif isinstance(sink, Corner):
        with tf.device(sink.variable.device):
            _sites.assign_corner(sink.variable.handle, sink.length, tensors[0])
    else:
        with tf.device(sink.device):
            tf.raw_ops.AssignVariableOp(resource=sink.handle, value=tensors[0])


def _by_tensorflow(reader: Reader, match: Match) -> tuple[Match, list[Any]]:
    _stats.count_fallback("variant tensor")
    parts = match.target.parts
    return match, tf.raw_ops.RestoreV2(
        prefix=reader._local_prefix,
        tensor_names=[source.key for source in match.sources],
        shape_and_slices=["" if part.box is None else part.box.spec for part in parts],
        dtypes=[tf.as_dtype(part.dtype) for part in parts],
    )


def _tensor(part: Part, value: Value) -> Any:
    """An eager tensor: over the very memory if DLPack knows the type, else a copy.

    The tensor keeps the memory alive. DLPack must never be given a misaligned address: TensorFlow
    would take it, and a later kernel abort the process. `Region.dlpack` refuses to.
    """
    element = _DLPACK.get(_dtypes.name(part.dtype))
    if value.region is None or element is None or not value.array.size:
        with tf.device("CPU:0"):
            return tf.convert_to_tensor(
                _session.feedable(part.dtype, value.array), tf.as_dtype(part.dtype)
            )
    capsule = value.region.dlpack(value.offset, value.array.shape, *element)
    return tf.experimental.dlpack.from_dlpack(capsule)
