"""The nodes that TensorFlow's `Saver` would add to a graph, made without touching that graph.

A scratch graph holds a stand-in for every variable, and for the operation that reads it, under
their own names; nothing else. There TensorFlow's own builder makes its nodes. They refer to
variables by name, so they fit into the `GraphDef` of the live graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.ops import resource_variable_ops
from tensorflow.python.training.saving import saveable_object_util
from tensorflow.python.training.saving.saveable_object import SaveSpec

from .._targets import Target
from . import _many

_COLOCATION = "loc:@"


class StandardNodes(NamedTuple):
    """`NodeDef`s with `_output_shapes`, in TensorFlow's order, and the `SaverDef` naming them."""

    nodes: list[Any]
    saver_def: Any


def build(
    builder: Any, scope: str, targets: Sequence[Target], arguments: Mapping[str, Any]
) -> StandardNodes:
    """The nodes of `builder` for `targets`, all in `scope`; `arguments` are those of its `build`.

    For every target `is_possible` has to hold.
    """
    kinds = None if arguments["reshape"] else _many.kinds(builder, targets, _read)
    if kinds is None:
        return _build(builder, scope, targets, arguments)
    few = _build(builder, scope, [members[0] for members in kinds.values()], arguments)
    return StandardNodes(_many.expanded(few.nodes, kinds, targets, _read), few.saver_def)


def _build(
    builder: Any, scope: str, targets: Sequence[Target], arguments: Mapping[str, Any]
) -> StandardNodes:
    scratch = tf.Graph()
    with scratch.as_default():
        tf.import_graph_def(_stand_ins(targets), name="")
        # TensorFlow goes by the order of these names.
        saveables = {
            f"{number:09}": _saveable(scratch, target) for number, target in enumerate(targets)
        }
        saver_def = builder._build_internal(saveables, name=f"{scope}/", **arguments)
    made = scratch.as_graph_def(add_shapes=True).node
    return StandardNodes([node for node in made if node.name.startswith(f"{scope}/")], saver_def)


def is_possible(targets: Iterable[Target]) -> bool:
    """Whether every target is a variable whose node depends on no other node."""
    return all(
        isinstance(target.sink, tf.Tensor) and _stands_alone(target.sink.op) for target in targets
    )


def _stands_alone(op: Any) -> bool:
    # No `VarHandleOp` has inputs, and to be asked for them takes it several times as long.
    return op.type == "VarHandleOp" or not op.inputs


def _stand_ins(targets: Iterable[Target]) -> Any:
    """A `GraphDef` of the variables, their reads, and something where they are placed beside."""
    found: dict[str, Any] = {}
    beside: set[str] = set()
    for target in targets:
        for op in _needed(target):
            node = tf.compat.v1.NodeDef()
            node.CopyFrom(op.node_def)
            inputs = [name for name in node.input if not name.startswith("^")]
            del node.input[:]
            node.input.extend(inputs)
            found[node.name] = node
            beside.update(_placed_beside(node))
    nodes = [*found.values()]
    nodes += [tf.compat.v1.NodeDef(name=name, op="NoOp") for name in sorted(beside - set(found))]
    return tf.compat.v1.GraphDef(node=nodes)


def _needed(target: Target) -> Iterator[Any]:
    yield target.sink.op
    read = _read(target)
    if read is not None:
        yield read.op


def _read(target: Target) -> Any:
    """The tensor that TensorFlow's Saver saves of a whole resource variable, or of a slice.

    `None` where it adds a read of its own, or needs none.
    """
    handle, is_slice = target.sink, target.parts[0].box is not None
    if (handle.dtype == tf.resource) is is_slice:
        return None
    name, kind = ("read", "Identity") if is_slice else ("Read/ReadVariableOp", "ReadVariableOp")
    try:
        read = handle.graph.get_tensor_by_name(f"{handle.op.name}/{name}:0")
    except KeyError:
        return None
    return read if read.op.type == kind and read.op.inputs[0] is handle else None


def _placed_beside(node: Any) -> Iterator[str]:
    if "_class" in node.attr:
        for text in node.attr["_class"].list.s:
            yield text.decode().removeprefix(_COLOCATION)


def _saveable(scratch: Any, target: Target) -> Any:
    (part,) = target.parts
    spec = "" if part.box is None else part.box.spec
    tensor = scratch.get_tensor_by_name(target.sink.name)
    read = _read(target)
    if tensor.dtype != tf.resource:
        saveable = saveable_object_util.ReferenceVariableSaveable(tensor, spec, part.name)
        if read is not None:
            value = scratch.get_tensor_by_name(read.name)
            saveable.specs = [SaveSpec(value, spec, part.name, dtype=value.dtype)]
        return saveable
    if read is not None:
        variable = scratch.get_tensor_by_name(read.name)
    else:
        variable = resource_variable_ops.BaseResourceVariable(
            shape=tf.TensorShape(part.shape),
            dtype=tf.as_dtype(part.dtype),
            handle=tensor,
            in_graph_mode=True,
        )
    return saveable_object_util.ResourceVariableSaveable(variable, spec, part.name)
