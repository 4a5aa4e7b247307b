"""The values of an object graph at one moment, as rows for the native writer.

Variables are not copied: what is read shares their memory, and the next update copies it first. So
a snapshot is free, and may be written later.
"""

from __future__ import annotations

import functools
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
from .. import _eager
from ..saver import _eager_values
from ..saver._snapshot import variant
from . import _plain
from ._graph import ObjectGraph
from ._layout import Batch, Layout
from ._plain import OnlyTensorFlow

Row = tuple[str, int, Sequence[int], str | None, Any, int, int]
"""One tensor for `_native.write`."""

_PLAIN = frozenset(map(_dtypes.number, _eager._DLPACK)) - {_dtypes.number("bfloat16")}
"""Types that NumPy has too: only of those is a tensor on the CPU a buffer."""


def take(graph: ObjectGraph, layout: Layout, policy: Any = None) -> list[list[Row]]:
    """The rows of each data file: one file, or as many as the sharding callback `policy` makes.

    Raises `OnlyTensorFlow` before anything is read where an object needs TensorFlow's own path.
    """
    _check_savers(graph, layout)
    tensors, attributes = _of_others(graph, layout)
    message = layout.message(attributes)
    plain, shapes = _read(graph, layout)
    if policy is not None:
        return _by_policy(layout, plain, tensors, message, policy)
    rows: list[Row] = []
    values = zip(layout.plain, layout.types, shapes, plain, strict=True)
    for (_, key), number, shape, tensor in values:
        if shape and number in _PLAIN:
            # What nearly all are, at once: the core takes the tensor's own memory.
            rows.append((key, number, shape, None, tensor, 0, 0))
        elif tensor is not None:
            rows.append(_row(key, None, tensor))
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
    """The tensor of a spec, or of what an object gives in its place: a variable, say.

    `None` where a spec has none now. Raises `AttributeError` as TensorFlow for what is no tensor.
    """
    if isinstance(part, saveable_object.SaveSpec):
        _plain.check_device(part.device)
        with tf.device(part.device):
            part = part.tensor
        if part is None:
            return None
    if isinstance(part, tf.Tensor):
        return part
    _plain.check_device(part.device)
    return tf.convert_to_tensor(part)


def _read(graph: ObjectGraph, layout: Layout) -> tuple[list[Any], list[Any]]:
    """Tensors of the plain variables, over their own memory, and the shapes of these.

    `None` twice where a variable is not initialized: it is in the object graph, without a value.
    """
    for device in {batch.device for batch in layout.batches}:
        _plain.check_device(device)
    variables = [graph.variables[number] for number, _ in layout.plain]
    result: list[Any] = [None] * len(variables)
    shapes: list[Any] = [None] * len(variables)
    with tf.init_scope():
        for batch in layout.batches:
            found = _read_together([variables[place] for place in batch.places], batch)
            for place, tensor in zip(batch.places, found, strict=True):
                shape = tensor._shape_tuple()
                # What is read of a variable that has no value has shape (0,).
                known = shape == layout.shapes[place] and 0 not in shape
                if known or variables[place].is_initialized().numpy():
                    result[place], shapes[place] = tensor, shape
    return result, shapes


def _read_together(variables: Sequence[Any], batch: Batch) -> list[Any]:
    handles = [variable._handle for variable in variables]
    if batch.is_large:
        for handle in handles:
            gen_resource_variable_ops.disable_copy_on_read(handle)
    tensors: list[Any] = execute.execute(
        b"_ReadVariablesOp",
        len(handles),
        inputs=handles,
        attrs=("N", len(handles), "dtypes", batch.types),
        ctx=context.context(),
    )
    if tf.DeviceSpec.from_string(batch.device).device_type == "CPU":
        return tensors
    return [_eager_values.on_host(tensor) for tensor in tensors]


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
    shards = [
        [
            _row(key, spec.strip() or None, tensor)
            for key, parts in shard.items()
            for spec, tensor in parts.items()
            if tensor is not None
        ]
        for _, of_task in saver._get_shards_by_task(policy)
        for shard in of_task
    ]
    if not shards:
        raise tf.errors.InvalidArgumentError(
            None, None, f"{policy.description}: the sharding callback returned no shards"
        )
    # `MaxShardSizePolicy` forgets what has no elements, and a restore would miss it.
    given = {key for rows in shards for key, *_ in rows}
    shards[0] += [
        _row(key, None, values[key])
        for _, key in layout.plain
        if key in values and key not in given and 0 in values[key].shape
    ]
    return shards


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
    array = _eager_values.array(tensor)
    raw = array.view(_opaque(array.dtype.itemsize))
    if not raw.ndim:
        raw = raw.reshape(1)
    return key, number, array.shape, spec, raw, 0, _USED_BITS.get(number, 0)


@functools.cache
def _opaque(itemsize: int) -> Any:
    """Plain bytes of a width: NumPy offers no buffer of bfloat16 and the like."""
    return numpy.dtype(f"V{itemsize}")


def _elements(values: Iterable[Any]) -> list[bytes]:
    return [value.encode() if isinstance(value, str) else bytes(value) for value in values]
