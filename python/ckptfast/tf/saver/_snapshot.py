"""The values of a session's variables, all taken in one run.

Resource variables are not copied: what a py_func receives is a view of their memory, and the next
update copies that first. A reference variable changes under its view, so its value is copied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow.python.training.saving.saveable_object import SaveableObject

from ... import _stats
from .. import _session
from .._kept import kept, lock
from .._targets import Target
from .._upstream import upstream
from .._variables import REFERENCE_OPS
from . import _graph_nodes, _layout, _reads, _slots
from ._inbox import Inbox


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
        self.layout = _layout.Layout(
            [targets[at].sink for at in self._fast],
            [(devices[at] or "", targets[at].parts[0].dtype) for at in self._fast],
        )
        self._graph = graph
        self._reads = _reads.of(graph, self.layout) if self._fast else None
        self.slots = _slots.of(graph, self.layout) if self._fast else None
        self._others = _others(graph, [targets[at] for at in self._rest]) if self._rest else None

    def in_slots(self, session: Any) -> tuple[list[int], dict[str, str]]:
        """Which targets the session's slots can hold, and the names of their devices."""
        if self.slots is None or not self.layout.has_names or _session.is_remote(session):
            return [], {}
        devices = _layout.full_names(session, self.layout)
        return ([], {}) if devices is None else (self._fast, devices)

    def take(self, session: Any) -> list[Taken]:
        """The values of all parts of all targets, in order; one run reads them all."""
        fast, devices = self.in_slots(session)
        feeds: list[tuple[Any, Any]] = []
        inboxes: list[Inbox] = []
        fetched: list[Any] = []
        if fast and self._reads is not None and self.slots is not None:
            sparse = self.layout.sparse(self._graph)
            if sparse:
                self.slots.share(session, self.layout, sparse, devices)
            feeds = self._reads.feeds(self.layout, devices)
            inboxes += self._reads.inboxes
        else:
            fetched = [_read_of(self.targets[at].sink) for at in self._fast]
        if self._others is not None:
            if self._others.inbox is None or fetched or _session.is_remote(session):
                fetched += self._others.tensors
            else:
                inboxes.append(self._others.inbox)
        try:
            values = _run(session, inboxes, fetched, feeds)
        except tf.errors.FailedPreconditionError:
            if feeds and self.slots is not None:
                # A variable has no value; this fails with the message that people know.
                self.slots.share(session, self.layout, self.layout.order, devices)
            raise
        return self._in_order(values, self.layout.order if feeds else range(len(self._fast)))

    def _in_order(self, values: list[Any], order: Sequence[int]) -> list[Taken]:
        """`values` are those of the variables in slots, in that order, and those of the others."""
        found: list[Any] = [None] * len(self._fast)
        for number, value in zip(order, values, strict=False):
            found[number] = value
        if self._others is None:
            return found
        of_fast = dict(zip(self._fast, found, strict=True))
        others = iter(self._others.decoded(values[len(found) :]))
        in_order: list[Taken] = []
        for at, target in enumerate(self.targets):
            in_order += [of_fast[at]] if at in of_fast else [next(others) for _ in target.parts]
        return in_order


def _run(
    session: Any, inboxes: Sequence[Inbox], fetched: Sequence[Any], feeds: Sequence[_session.Feed]
) -> list[Any]:
    """What the inboxes receive in one run, and what it fetches, which are copies."""
    calls = [inbox.open() for inbox in inboxes]
    fed = [*feeds, *(feed for _, feed in calls)]
    received: list[Any] = []
    try:
        last = _session.run(session, [inbox.op for inbox in inboxes], fed, fetched)
    finally:
        for inbox, (call, _) in zip(inboxes, calls, strict=True):
            received += inbox.collect(call)
    return received + last


def _slot_device(sink: Any) -> str | None:
    """The device in the graph of what a slot can hold; `None` for what it cannot."""
    if isinstance(sink, SaveableObject):
        return None
    op = sink.op
    if op.type != "VarHandleOp":
        return None
    device: str = op.device
    return device if _layout.may_be_cpu(device) else None


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
        self.inbox: Inbox | None = None
        if graph.finalized:
            self.tensors = [tensor for target in targets for tensor in _existing(target)]
            self._variants = [False] * len(self.tensors)
            return
        with _graph_nodes.building(graph, "take"):
            tensors = [tensor for target in targets for tensor in _tensors(target)]
            self._references = [_may_share_memory(tensor) for tensor in tensors]
            self._variants = [tensor.dtype == tf.variant for tensor in tensors]
            self.tensors = [
                tf.raw_ops.SerializeTensor(tensor=tensor) if variant else tensor
                for tensor, variant in zip(tensors, self._variants, strict=True)
            ]
            self.inbox = Inbox(self.tensors, self._keep)

    def _keep(self, values: Sequence[Any]) -> list[Any]:
        return [
            # A scalar string is `bytes`, not an array.
            value.copy() if reference and not isinstance(value, bytes) else value
            for value, reference in zip(values, self._references, strict=True)
        ]

    def decoded(self, values: Sequence[Any]) -> list[Taken]:
        """What was read, as it is stored."""
        return [
            variant(value) if is_variant else value
            for value, is_variant in zip(values, self._variants, strict=True)
        ]


def _tensors(target: Target) -> list[Any]:
    sink = target.sink
    if isinstance(sink, SaveableObject):
        return [tf.convert_to_tensor(spec.tensor) for spec in sink.specs]
    return [_new_read(sink) if sink.dtype == tf.resource else sink]


def _existing(target: Target) -> list[Any]:
    """The same in a finalized graph, where nothing can be added."""
    sink = target.sink
    if isinstance(sink, SaveableObject):
        return [_graph_element(spec.tensor) for spec in sink.specs]
    return [_read_of(sink) if sink.dtype == tf.resource else sink]


def _graph_element(value: Any) -> Any:
    """A tensor, or what stands for a variable that a `SaveSpec` holds."""
    return value.graph.as_graph_element(value)


def _may_share_memory(tensor: Any) -> bool:
    """Whether it may be a view of a reference variable, which changes in its place."""
    return any(op.type in REFERENCE_OPS for op in upstream([tensor.op], control=False))


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
