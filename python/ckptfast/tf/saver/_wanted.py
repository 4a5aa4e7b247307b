"""What a `Saver` saves: its `var_list` as targets, in TensorFlow's order, with its errors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import device as pydev
from tensorflow.python.ops import ref_variable, resource_variable_ops
from tensorflow.python.training.saving import saveable_object_util
from tensorflow.python.training.saving.saveable_object import SaveableObject

from .. import _saveables
from .._targets import Part, Target
from .._variables import shape_of


def targets(var_list: Any) -> list[Target]:
    """The targets of a list or mapping of variables, sorted by name. Adds no node for variables.

    Raises what TensorFlow's `Saver` raises for a list that it cannot save.
    """
    return with_saveables(var_list)[0]


def with_saveables(var_list: Any) -> tuple[list[Target], Any]:
    """The same, and what TensorFlow's builder takes to save just these.

    Where TensorFlow has made a `SaveableObject` of each, that is these: making them again would add
    the nodes again that hash tables and the like are saved by.
    """
    found = _plain(var_list)
    if found is not None:
        return found, dict(var_list) if isinstance(var_list, Mapping) else list(var_list)
    named = var_list
    if not isinstance(named, dict):
        named = saveable_object_util.op_list_to_dict(named)
    saveables = saveable_object_util.validate_and_slice_inputs(named)
    # The builder sorts by these names.
    numbered = {f"{number:09}": saveable for number, saveable in enumerate(saveables)}
    return [_target(item) for item in saveables], numbered


def _plain(var_list: Any) -> list[Target] | None:
    """The targets of nothing but ordinary, whole variables, or `None`.

    Thousands of them are the reason for a way of their own: TensorFlow's takes 0.1 ms for each.
    Whatever it would complain about is left to it.
    """
    if context.executing_eagerly():
        return None
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(var_list, Mapping):
        pairs = var_list.items()
    elif isinstance(var_list, list | tuple):
        pairs = ((None, item) for item in var_list)
    else:
        return None
    found: dict[str, Target] = {}
    sinks = set()
    for given, variable in pairs:
        kind = type(variable)
        if kind is resource_variable_ops.ResourceVariable and variable._in_graph_mode:
            sink = variable._handle
        elif kind is ref_variable.RefVariable:
            sink = variable._variable
        else:
            return None
        if given is None and variable._save_slice_info is not None:
            return None
        name = sink.op.name if given is None else given
        if not isinstance(name, str) or name in found or id(sink) in sinks:
            return None
        sinks.add(id(sink))
        dtype = variable.dtype.base_dtype.as_datatype_enum
        found[name] = Target((Part(name, dtype, shape_of(variable.shape)),), sink)
    return [found[name] for name in sorted(found)]


def _target(saveable: Any) -> Target:
    kind = type(saveable)
    if kind is saveable_object_util.ResourceVariableSaveable:
        sink = saveable.op if context.executing_eagerly() else saveable.handle_op
        shape = saveable._var_shape
    elif kind is saveable_object_util.ReferenceVariableSaveable:
        sink = saveable.op if isinstance(saveable.op, tf.Tensor) else saveable.op._variable
        shape = saveable.op.shape
    else:
        return _saveables.target(saveable)
    (part,) = _saveables.target(saveable).parts
    return Target((part._replace(shape=shape_of(shape)),), sink)


def by_device(items: Iterable[Target]) -> list[tuple[str, list[Target]]]:
    """The targets of each device, as `sharded=True` files them, sorted by device.

    Raises `ValueError` where the tensors of one object are on several devices.
    """
    found: dict[str, list[Target]] = {}
    for item in items:
        sink = item.sink
        holders = sink.specs if isinstance(sink, SaveableObject) else [sink]
        devices = {pydev.canonical_name(holder.device) for holder in holders}
        if len(devices) != 1:
            raise ValueError(
                f"All tensors of a saveable object must be on the same device: {sink.name}"
            )
        found.setdefault(devices.pop(), []).append(item)
    return sorted(found.items(), key=lambda entry: entry[0])
