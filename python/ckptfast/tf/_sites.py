"""The operations of a graph that assign its variables, found in the graph itself.

Every variable comes with an operation that assigns its initial value. Feeding another value in the
place of that one assigns what we want, so a restore needs no node of its own. Where a `Saver` was
built, its assignments serve better: each has a value of its own, while variables may share an
initial value. And TensorFlow optimises a new combination of operations together with all that
computes the tensors it is fed, which for a random initial value is five nodes per variable; a
`Saver` gets all of its values from one node.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.framework import ops
from tensorflow.python.training.saving.saveable_object import SaveableObject

from .. import _dtypes
from ._kept import kept, lock
from ._targets import Corner, Target

ASSIGNMENTS = frozenset({"Assign", "AssignVariableOp"})
_RESTORES = frozenset({"Restore", "RestoreSlice", "RestoreV2"})


class Site(NamedTuple):
    """An operation, and the tensors to feed so that running it assigns a target's values."""

    op: Any
    values: tuple[Any, ...]
    keeps: bool
    """Whether the variable will hold the very memory it is fed, if that is aligned."""


class _Sites:
    """What is known of one graph. It lives on the graph, so that both go together."""

    def __init__(self) -> None:
        self.of: dict[int, tuple[Any, Site]] = {}  # by id; the object is kept, so the id is its own
        self.taken: set[int] = set()  # ids of the tensors to feed


def find(graph: Any, targets: list[Target]) -> list[Site]:
    """The site of every target.

    Where a variable has no usable assignment (in a graph that was pruned) one is added, once, and
    found again by later calls. Raises `RuntimeError` when it would have to be added to a finalized
    graph.
    """
    with lock:
        known = kept(graph, "sites", _Sites)
        return [_find(graph, known, target) for target in targets]


def _find(graph: Any, known: _Sites, target: Target) -> Site:
    found = known.of.get(id(target.sink))
    if found is None:
        op, values = _existing(known, target) or _added(graph, target)
        found = target.sink, Site(op, values, _keeps(target))
        known.of[id(target.sink)] = found
        known.taken.update(map(id, found[1].values))
    return found[1]


def _keeps(target: Target) -> bool:
    """Resource variables in the memory of this machine do; strings have a form of their own."""
    sink = target.sink
    if isinstance(sink, SaveableObject | Corner) or target.parts[0].dtype == _dtypes.STRING:
        return False
    return bool(sink.dtype == tf.resource) and _is_host(sink.device)


@functools.cache
def _is_host(device: str) -> bool:
    return tf.DeviceSpec.from_string(device).device_type in (None, "CPU")


_Assignment = tuple[Any, tuple[Any, ...]]


def _existing(known: _Sites, target: Target) -> _Assignment | None:
    """The best assignment in the graph: first one whose value no other variable's site feeds."""
    if isinstance(target.sink, SaveableObject | Corner):
        return None
    return min(
        _assignments(target.sink),
        key=lambda found: (id(found[1][0]) in known.taken, not _is_restored(found[1][0])),
        default=None,
    )


def _assignments(handle: Any) -> Iterator[_Assignment]:
    """Operations that do nothing but assign one value to the variable.

    Control inputs would run with them. The value must not itself be a reference variable: feeding
    it would take the variable's place wherever it is used.
    """
    for op in handle.consumers():
        if op.type not in ASSIGNMENTS or op.inputs[0] is not handle or op.control_inputs:
            continue
        value = op.inputs[1]
        if value.dtype._is_ref_dtype or op._get_control_flow_context() is not None:
            continue
        if _is_restored(value):
            value = origin(value)
        if op.graph.is_feedable(value):
            yield op, (value,)


def _is_restored(value: Any) -> bool:
    """Whether the tensor is, unchanged, one that a `Saver` reads from a checkpoint."""
    return origin(value).op.type in _RESTORES


def origin(value: Any) -> Any:
    """What a tensor is identical to, with nothing else to run on the way."""
    while value.op.type == "Identity" and not value.op.control_inputs:
        value = value.op.inputs[0]
    return value


def _added(graph: Any, target: Target) -> _Assignment:
    """A new assignment, of fed values, on the variable's device."""
    name = target.parts[0].name
    if graph.finalized:
        raise RuntimeError(
            f"the graph has no operation that assigns {name}, and it is finalized, so none can be "
            "added: restore once before graph.finalize(), or build a Saver before it"
        )
    from .saver._graph_nodes import building  # it is loaded after this module

    sink = target.sink
    with building(graph, "assign"):
        values = tuple(
            tf.compat.v1.placeholder(tf.as_dtype(part.dtype), part.shape) for part in target.parts
        )
        if isinstance(sink, SaveableObject):
            op = sink.restore(list(values), None)
        else:
            op = assignment(sink, values[0])
    return (op if isinstance(op, tf.Operation) else op.op), values


def assignment(handle: Any, value: Any) -> Any:
    """A new operation that assigns `value` to the variable of `handle`, where that variable is."""
    if isinstance(handle, Corner):
        with ops.colocate_with(handle.variable.op, ignore_existing=True):
            return assign_corner(handle.variable, handle.length, value)
    with ops.colocate_with(handle.op, ignore_existing=True):
        if handle.dtype == tf.resource:
            return tf.raw_ops.AssignVariableOp(resource=handle, value=value)
        whole = handle.shape.is_fully_defined()
        return tf.raw_ops.Assign(ref=handle, value=value, validate_shape=whole)


def assign_corner(variable: Any, length: tuple[int, ...], value: Any) -> Any:
    """Assign the first `length` rows (columns, …) of a variable, in its own memory."""
    kind = tf.raw_ops.StridedSliceAssign
    if variable.dtype == tf.resource:
        kind = tf.raw_ops.ResourceStridedSliceAssign
    return kind(
        ref=variable, begin=[0] * len(length), end=length, strides=[1] * len(length), value=value
    )
