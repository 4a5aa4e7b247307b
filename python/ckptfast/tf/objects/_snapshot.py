"""The values of an object graph at one moment, as rows for the native writer.

Variables are not copied: what is read shares their memory, and the next update copies it first. So
a snapshot is free, and may be written later.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2
from tensorflow.python.checkpoint import functional_saver, save_util, saveable_compat
from tensorflow.python.eager import context, execute
from tensorflow.python.ops import gen_resource_variable_ops
from tensorflow.python.saved_model import registration
from tensorflow.python.trackable import base, python_state
from tensorflow.python.training.saving import saveable_object, saveable_object_util
from tensorflow.python.util import object_identity

from ... import _dtypes
from ..._writer import _USED_BITS
from ..saver._snapshot import variant
from . import _plain
from ._graph import ObjectGraph
from ._layout import Layout
from ._plain import OnlyTensorFlow

Row = tuple[str, int, Sequence[int], str | None, Any, int, int]
"""One tensor for `_native.write`."""

_TOGETHER = 64
"""Variables that one operation reads; a longer list of inputs is slower again."""
_LARGE = 1 << 20
"""Bytes. A variable that sparse updates put into copy-on-read mode is taken out of it from here."""


def take(graph: ObjectGraph, layout: Layout, policy: Any = None) -> list[list[Row]]:
    """The rows of each data file: one file, or as many as the sharding callback `policy` makes.

    Raises `OnlyTensorFlow` before anything is read where an object needs TensorFlow's own path.
    """
    _check_savers(graph, layout)
    tensors, attributes = _of_others(graph, layout)
    message = layout.message(attributes)
    plain = _read([graph.variables[number] for number, _ in layout.plain])
    if policy is not None:
        return _by_policy(layout, plain, tensors, message, policy)
    rows = [
        _row(key, None, tensor)
        for (_, key), tensor in zip(layout.plain, plain, strict=True)
        if tensor is not None  # not initialized: in the object graph, without a value
    ]
    rows += [_row(key, spec, tensor) for key, spec, tensor in _evaluated(tensors)]
    rows.append((base.OBJECT_GRAPH_PROTO_KEY, _dtypes.STRING, (), None, [message], 0, 0))
    return [rows]


def _check_savers(graph: ObjectGraph, layout: Layout) -> None:
    objects = (graph.objects[number] for number in layout.others)
    for obj in graph.objects if _plain.may_have_registered_savers() else objects:
        if registration.get_registered_saver_name(obj):
            raise OnlyTensorFlow("registered saver")


def _of_others(graph: ObjectGraph, layout: Layout) -> tuple[dict[str, Any], list[tuple[int, Any]]]:
    """Tensors by key of all objects but plain variables, and their attributes by object."""
    tensors: dict[str, Any] = {}
    attributes = []
    for number in layout.others:
        obj = graph.objects[number]
        if not _has_values(obj):
            continue
        node, found = _serialized(obj, layout.names[number])
        tensors.update(found)
        attributes.append((number, node))
    return tensors, attributes


def _has_values(obj: Any) -> bool:
    return (
        isinstance(obj, python_state.PythonState)
        or saveable_object_util.trackable_has_serialize_to_tensor(obj)
        or bool(obj._gather_saveables_for_checkpoint())
    )


def _serialized(obj: Any, name: str) -> tuple[Any, dict[str, Any]]:
    """An object's message with its attributes, and its tensors by key, both by TensorFlow."""
    message = trackable_object_graph_pb2.TrackableObjectGraph()
    message.nodes.add()
    data = save_util._TrackableData(obj, 0, name, [], [], obj)
    if saveable_object_util.trackable_has_serialize_to_tensor(
        obj
    ) and not saveable_compat.get_saveable_name(obj):
        return message.nodes[0], save_util._get_tensors_from_trackable(data, None, message)
    numbers = object_identity.ObjectIdentityDictionary()
    numbers[obj] = 0
    _, tensors = save_util._get_tensors_from_legacy_saveable(data, numbers, None, message)
    return message.nodes[0], tensors


def _evaluated(tensors: dict[str, Any]) -> Iterator[tuple[str, str | None, Any]]:
    """Key, slice and tensor of everything that has a value now."""
    for key, item in tensors.items():
        for spec, part in (item if isinstance(item, dict) else {"": item}).items():
            if not isinstance(spec, str) or not isinstance(getattr(part, "name", ""), str | None):
                raise OnlyTensorFlow("names that are tensors")
            tensor = _tensor(part)
            if tensor is not None:
                yield key, spec.strip() or None, tensor


def _tensor(part: Any) -> Any:
    if not isinstance(part, saveable_object.SaveSpec):
        return part
    _plain.check_device(part.device)
    with tf.device(part.device):
        return part.tensor


def _read(variables: Sequence[Any]) -> list[Any]:
    """A tensor of each variable, over its own memory; `None` where it is not initialized."""
    places = defaultdict(list)
    for at, variable in enumerate(variables):
        places[variable.device].append(at)
    for device in places:
        _plain.check_device(device)
    result: list[Any] = [None] * len(variables)
    with tf.init_scope():
        for group in places.values():
            for first in range(0, len(group), _TOGETHER):
                together = group[first : first + _TOGETHER]
                found = _read_together([variables[at] for at in together])
                for at, tensor in zip(together, found, strict=True):
                    result[at] = tensor
    return result


def _read_together(variables: Sequence[Any]) -> list[Any]:
    handles = [variable._handle for variable in variables]
    for variable, handle in zip(variables, handles, strict=True):
        if _nbytes(variable) >= _LARGE:
            gen_resource_variable_ops.disable_copy_on_read(handle)
    tensors = execute.execute(
        b"_ReadVariablesOp",
        len(handles),
        inputs=handles,
        attrs=("N", len(handles), "dtypes", [item._dtype._type_enum for item in variables]),
        ctx=context.context(),
    )
    return [
        tensor if _is_initialized(variable, tensor) else None
        for variable, tensor in zip(variables, tensors, strict=True)
    ]


def _is_initialized(variable: Any, tensor: Any) -> bool:
    """Whether the tensor is a value; of a variable that has none, what is read has shape (0,)."""
    shape = tensor._shape_tuple()
    return bool(
        (shape == variable._shape._dims and 0 not in shape) or variable.is_initialized().numpy()
    )


def _nbytes(variable: Any) -> int:
    sizes = variable._shape._dims
    if sizes is None or None in sizes:
        return _LARGE  # nobody knows
    return int(math.prod(sizes) * variable._dtype.size)


def _by_policy(
    layout: Layout, plain: Sequence[Any], tensors: dict[str, Any], message: bytes, policy: Any
) -> list[list[Row]]:
    """The rows of each data file, where a sharding callback says which is which."""
    with tf.device("/cpu:0"):
        values = {
            key: tf.identity(tensor)
            for (_, key), tensor in zip(layout.plain, plain, strict=True)
            if tensor is not None
        }
        values[base.OBJECT_GRAPH_PROTO_KEY] = tf.constant(message, tf.string)
    for key, spec, tensor in _evaluated(tensors):
        if spec is None:
            values[key] = tensor
        else:
            values.setdefault(key, {})[spec] = tensor
    saver = functional_saver.MultiDeviceSaver({None: values})
    return [
        [
            _row(key, spec.strip() or None, tensor)
            for key, parts in shard.items()
            for spec, tensor in parts.items()
            if tensor is not None
        ]
        for _, shards in saver._get_shards_by_task(policy)
        for shard in shards
    ]


def _row(key: str, spec: str | None, tensor: Any) -> Row:
    number = tensor.dtype._type_enum
    if number == _dtypes.STRING:
        value = tensor.numpy()
        if isinstance(value, bytes):
            return key, number, (), spec, [value], 0, 0
        return key, number, value.shape, spec, _elements(value.ravel()), 0, 0
    if number == _dtypes.VARIANT:
        elements, shape = variant(tf.raw_ops.SerializeTensor(tensor=tensor).numpy())
        return key, number, shape, spec, elements, 0, 0
    array = _array(tensor)
    raw = array.view(_opaque(array.dtype.itemsize))
    if not raw.ndim:
        raw = raw.reshape(1)
    return key, number, array.shape, spec, raw, 0, _USED_BITS.get(number, 0)


def _array(tensor: Any) -> Any:
    """The tensor's memory; `numpy()` would copy it."""
    try:
        return tensor._numpy()
    except (RuntimeError, TypeError, ValueError, tf.errors.OpError):
        return tensor.cpu()._numpy()  # it is on another device


@functools.cache
def _opaque(itemsize: int) -> Any:
    """Plain bytes of a width: NumPy offers no buffer of bfloat16 and the like."""
    return numpy.dtype(f"V{itemsize}")


def _elements(values: Iterable[Any]) -> list[bytes]:
    return [value.encode() if isinstance(value, str) else bytes(value) for value in values]
