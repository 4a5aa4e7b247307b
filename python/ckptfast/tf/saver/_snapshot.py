"""The values of a session's variables, as they were at one moment.

Resource variables are not copied: what a py_func receives is a view of their memory, and the next
update copies that first. A reference variable changes under its view, so its value is copied.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.python.training.saving.saveable_object import SaveableObject

from ... import _stats
from .. import _session
from .._kept import kept, lock
from .._targets import Target
from . import _graph_nodes, _slots


class Messages(NamedTuple):
    """A variant tensor: its elements, and its shape, which a list does not have."""

    elements: list[bytes]
    shape: tuple[int, ...]


Taken = Any
"""One value: an array (of objects for strings), the `bytes` of a string scalar, or `Messages`."""


class Snapshots:
    """The nodes that read one list of targets in one graph, and the reading."""

    def __init__(self, graph: Any, targets: Sequence[Target]) -> None:
        self.targets = targets
        self.names = [part.name for target in targets for part in target.parts]
        self.signatures = [(part.dtype, part.shape) for target in targets for part in target.parts]
        self.has_slices = any(part.box for target in targets for part in target.parts)
        devices = [_slot_device(target.sink) for target in targets]
        self._fast = [at for at, device in enumerate(devices) if device is not None]
        self._rest = [at for at, device in enumerate(devices) if device is None]
        self.layout = _slots.Layout(
            [targets[at].sink for at in self._fast],
            [(devices[at] or "", targets[at].parts[0].dtype) for at in self._fast],
        )
        self.slots = _slots.of(graph, self.layout) if self._fast else None
        self._others = _others(graph, [targets[at] for at in self._rest]) if self._rest else None

    def in_slots(self, session: Any) -> tuple[list[int], dict[str, str]]:
        """Which targets the session's slots can hold, and the names of their devices."""
        if self.slots is None or not self.layout.has_names or _session.is_remote(session):
            return [], {}
        devices = _slots.full_names(session, self.layout)
        return ([], {}) if devices is None else (self._fast, devices)

    def take(self, session: Any) -> list[Taken]:
        """The values of all parts of all targets, in order."""
        fast, devices = self.in_slots(session)
        if self.slots is not None and fast:
            quick = self.slots.read(session, self.layout, devices)
        else:
            quick = self._fetch(session) if self._fast else []
        if self._others is None:
            return quick
        values = dict(zip(self._fast, quick, strict=True))
        others = iter(self._others.take(session))
        found: list[Taken] = []
        for at, target in enumerate(self.targets):
            found += [values[at]] if at in values else [next(others) for _ in target.parts]
        return found

    def _fetch(self, session: Any) -> list[Any]:
        """Copies, of variables whose device is TensorFlow's choice or that no slots were made for.

        Variables come with an operation that reads them, so nothing is added.
        """
        reads = [_read_of(self.targets[at].sink) for at in self._fast]
        values: list[Any] = session.run(reads)
        return values


def _slot_device(sink: Any) -> str | None:
    """The device in the graph of what a slot can hold; `None` for what it cannot."""
    if isinstance(sink, SaveableObject):
        return None
    op = sink.op
    if op.type != "VarHandleOp":
        return None
    device: str = op.device
    return device if _slots.may_be_cpu(device) else None


def _read_of(handle: Any) -> Any:
    for op in handle.consumers():
        if op.type == "ReadVariableOp" and not op.control_inputs:
            return op.outputs[0]
    with _graph_nodes.building(handle.graph, "read"):
        return _new_read(handle)


def _new_read(handle: Any) -> Any:
    dtype = handle.op.get_attr("dtype") if handle.op.type == "VarHandleOp" else _dtype_of(handle)
    with tf.device(handle.device):
        sharing = tf.raw_ops.DisableCopyOnRead(resource=handle)
        with tf.control_dependencies([sharing]):
            return tf.raw_ops.ReadVariableOp(resource=handle, dtype=dtype)


def _dtype_of(handle: Any) -> Any:
    """The type of a variable whose handle comes out of something else than its own node."""
    from tensorflow.python.ops import handle_data_util

    data = handle_data_util.get_resource_handle_data(handle)
    return tf.as_dtype(data.shape_and_type[0].dtype)


def _others(graph: Any, targets: Sequence[Target]) -> _Others:
    with lock:
        known: dict[Any, _Others] = kept(graph, "snapshots", dict)
        key = tuple(id(target.sink) for target in targets)  # the sinks are kept, so ids stay theirs
        if key not in known:
            known[key] = _Others(graph, targets)
        return known[key]


class _Others:
    """What has no slot: reference variables, objects behind `SaveableObject`, other devices."""

    def __init__(self, graph: Any, targets: Sequence[Target]) -> None:
        self._kept = list(targets)
        self._pending: dict[int, list[Any]] = {}
        self._calls = itertools.count()
        self._sink: Any = None
        self._tensors: list[Any] = []
        if graph.finalized:
            self._tensors = [tensor for target in targets for tensor in _existing(target)]
            self._variants = [False] * len(self._tensors)
            return
        with _graph_nodes.building(graph, "take"):
            self._tensors = [tensor for target in targets for tensor in _tensors(target)]
            self._references = [tensor.dtype._is_ref_dtype for tensor in self._tensors]
            self._variants = [tensor.dtype == tf.variant for tensor in self._tensors]
            self._call = tf.compat.v1.placeholder(tf.int64, [], name="call")
            inputs = [
                tf.raw_ops.SerializeTensor(tensor=tensor) if variant else tensor
                for tensor, variant in zip(self._tensors, self._variants, strict=True)
            ]
            with graph.device("/device:CPU:0"):
                self._sink = tf.numpy_function(self._take, [self._call, *inputs], [], name="take")

    def _take(self, call: Any, *values: Any) -> None:
        self._pending[int(call)] = [
            value.copy() if reference else value
            for value, reference in zip(values, self._references, strict=True)
        ]

    def take(self, session: Any) -> list[Taken]:
        """The values of all tensors."""
        if self._sink is None or _session.is_remote(session):
            values = session.run(self._tensors)
        else:
            call = next(self._calls)
            try:
                feeds = [(self._call, numpy.array(call, numpy.int64))]
                _session.run(session, [self._sink], feeds)
                values = self._pending[call]
            finally:
                self._pending.pop(call, None)
        return [
            variant(value) if is_variant else value
            for value, is_variant in zip(values, self._variants, strict=True)
        ]


def _tensors(target: Target) -> list[Any]:
    sink = target.sink
    if isinstance(sink, SaveableObject):
        return [spec.tensor for spec in sink.specs]
    return [_new_read(sink) if sink.dtype == tf.resource else sink]


def _existing(target: Target) -> list[Any]:
    sink = target.sink
    if not isinstance(sink, SaveableObject) and sink.dtype == tf.resource:
        return [_read_of(sink)]
    return _tensors(target)


def variant(text: Any) -> Messages:
    """A variant tensor from what `SerializeTensor` made of it. Counted: TensorFlow did the work."""
    _stats.count_fallback("variant tensor")
    tensor = tensor_pb2.TensorProto.FromString(text if isinstance(text, bytes) else text.item())
    return Messages(_messages(tensor), tuple(dim.size for dim in tensor.tensor_shape.dim))


def _messages(tensor: Any) -> list[bytes]:
    """The elements of a serialized variant tensor: all lengths as varints, then all messages."""
    if tensor.variant_val:
        return [message.SerializeToString() for message in tensor.variant_val]
    content = tensor.tensor_content
    lengths = []
    at = 0
    for _ in range(math.prod(dim.size for dim in tensor.tensor_shape.dim)):
        length = shift = 0
        while content[at] & 0x80:
            length |= (content[at] & 0x7F) << shift
            shift += 7
            at += 1
        lengths.append(length | content[at] << shift)
        at += 1
    messages = []
    for length in lengths:
        messages.append(content[at : at + length])
        at += length
    return messages
