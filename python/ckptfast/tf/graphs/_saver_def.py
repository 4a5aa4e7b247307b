"""What a `SaverDef` saves and restores, read from the nodes that it names.

A saver that came with a meta graph has no list of variables, only TensorFlow's nodes. They have a
fixed form: `SaveV2` and `RestoreV2` with constant names and slices, one assignment for each value.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.framework import tensor_util

from .._targets import Box, Part, Target
from .._variables import REFERENCE_OPS

_ASSIGNMENTS = frozenset({"Assign", "AssignVariableOp"})
_GROUP = "NoOp"
_RESTORE = "RestoreV2"
_SAVE = "SaveV2"


class _Foreign(Exception):
    """The nodes have another form: somebody else's builder made them."""


class _Key(NamedTuple):
    name: str
    spec: str


def targets_of(graph: Any, saver_def: Any) -> list[Target] | None:
    """The variables that a `SaverDef` in the V2 format restores, sorted by name.

    `None` where only the nodes themselves can say what they do: custom builders, objects other than
    variables, `reshape=True`, the V1 format, and a saver that saves other values than it restores.
    """
    try:
        restore = graph.get_operation_by_name(saver_def.restore_op_name)
        save = graph.as_graph_element(saver_def.save_tensor_name).op
        found = dict(_restored(restore))
        if set(found) != {key for key, _ in _saved(save)}:
            return None
        for key, source in _saved(save):
            if source is not found[key].sink:
                return None
    except (_Foreign, KeyError, ValueError):
        return None
    return [found[key] for key in sorted(found)]


def _restored(restore: Any) -> Iterator[tuple[_Key, Target]]:
    if restore.type != _GROUP:  # a function, in the SavedModels of TensorFlow 2
        raise _Foreign(restore.name)
    for op in _group(restore, frozenset({_GROUP})):
        if op.type not in _ASSIGNMENTS:
            raise _Foreign(op.name)
        value = op.inputs[1]
        while value.op.type == "Identity":
            value = value.op.inputs[0]
        if value.op.type != _RESTORE:
            raise _Foreign(value.op.name)
        keys = _keys(value.op)
        key = keys[value.value_index]
        yield key, _target(key, op, value.dtype)


def _group(op: Any, passed: frozenset[str]) -> Iterator[Any]:
    """What runs before a `tf.group`, through the groups by device within it."""
    for other in op.control_inputs:
        if other.type in passed:
            yield from _group(other, passed)
        else:
            yield other


def _saved(last: Any) -> Iterator[tuple[_Key, Any]]:
    """Every key with the variable whose value is saved under it."""
    pending, seen = [last], set()
    while pending:
        op = pending.pop()
        if op.name in seen:
            continue
        seen.add(op.name)
        if op.type == _SAVE:
            yield from zip(_keys(op), map(_variable, op.inputs[3:]), strict=True)
        elif op.type in ("Identity", "MergeV2Checkpoints", "NoOp", "Pack", "ShardedFilename"):
            pending += op.control_inputs
            pending += [tensor.op for tensor in op.inputs if tensor.dtype == tf.string]


def _variable(tensor: Any) -> Any:
    """The variable behind a value that is saved."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    if tensor.op.type == "ReadVariableOp":
        return tensor.op.inputs[0]
    if tensor.op.type in REFERENCE_OPS:
        return tensor
    raise _Foreign(tensor.op.name)


def _keys(op: Any) -> list[_Key]:
    names = tensor_util.constant_value(op.inputs[1])
    specs = tensor_util.constant_value(op.inputs[2])
    if names is None or specs is None:
        raise _Foreign(op.name)
    return [
        _Key(name.decode("utf-8", "surrogateescape"), spec.decode())
        for name, spec in zip(names.ravel(), specs.ravel(), strict=True)
    ]


def _target(key: _Key, assignment: Any, dtype: Any) -> Target:
    sink = assignment.inputs[0]
    if sink.dtype == tf.resource:
        if sink.op.type != "VarHandleOp":
            raise _Foreign(sink.op.name)
        shape = tf.TensorShape(sink.op.get_attr("shape"))
    elif sink.op.type in REFERENCE_OPS:
        shape = sink.shape if assignment.get_attr("validate_shape") else tf.TensorShape(None)
    else:
        raise _Foreign(sink.op.name)
    sizes = None if shape.rank is None else tuple(shape.as_list())
    part = Part(key.name, dtype.base_dtype.as_datatype_enum, sizes, _box(key.spec))
    return Target((part,), sink)


def _box(spec: str) -> Box | None:
    """The box that "4 2 0,2:0,2" describes; "-" is all of a dimension."""
    if not spec:
        return None
    *sizes, slices = spec.split(" ")
    full = tuple(map(int, sizes))
    start, length = [], []
    for size, text in zip(full, slices.split(":"), strict=True):
        first, _, count = text.partition(",")
        start.append(0 if text == "-" else int(first))
        length.append(size if text == "-" else int(count))
    return Box(full, tuple(start), tuple(length))
