"""`convert_variables_to_constants`: values from a session, or from a function's captures."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from tensorflow.python.framework import convert_to_constants, ops, tensor_util

from ...freezing import _rewrite, _savers
from ...freezing._spread import RESOURCE, Value
from ..graphs import _size
from ._sub_graph import extract_sub_graph


def convert_variables_to_constants(
    sess: Any,
    input_graph_def: Any,
    output_node_names: Sequence[str],
    variable_names_whitelist: Collection[str] | None = None,
    variable_names_blacklist: Collection[str] | None = None,
) -> Any:
    """A `GraphDef` of what the outputs need, with the session's values in place of variables.

    Arguments, result and errors are those of
    `tf.compat.v1.graph_util.convert_variables_to_constants`. Beyond it, `ResourceGather` with
    `batch_dims` and within functions is rewritten, and a handle needs no `NAME/Read/ReadVariableOp`
    as long as something in the session's graph reads it.
    """
    graph_def = extract_sub_graph(input_graph_def, output_node_names)
    fetches: dict[str, str] = {}
    for node in graph_def.node:
        if node.op not in _savers.VARIABLES:
            continue
        if variable_names_whitelist is not None and node.name not in variable_names_whitelist:
            continue
        if variable_names_blacklist is not None and node.name in variable_names_blacklist:
            continue
        fetches[node.name] = _fetch(sess.graph, node)
    values = _arrays(sess.run(fetches) if fetches else {})
    types = {node.name: node.attr["dtype"].type for node in graph_def.node if node.name in values}
    with _size.limited("The frozen graph"):
        return _converted(graph_def, values, types)


def _fetch(graph: Any, node: Any) -> str:
    """The name of the tensor that is a variable's value."""
    if node.op != "VarHandleOp":
        return f"{node.name}:0"
    usual = f"{node.name}/Read/ReadVariableOp"
    try:
        graph.get_operation_by_name(usual)
    except KeyError:
        for handle in _handles(graph, node.name):
            for reader in handle.consumers():
                if reader.type == "ReadVariableOp":
                    return str(reader.outputs[0].name)
    return f"{usual}:0"


def _handles(graph: Any, name: str) -> list[Any]:
    try:
        return list(graph.get_operation_by_name(name).outputs)
    except KeyError:
        return []


def convert_variables_to_constants_v2(
    func: Any, lower_control_flow: bool = True, aggressive_inlining: bool = False
) -> Any:
    """A `ConcreteFunction` like `func`, with constants in place of what it captures.

    Arguments, result and errors are those of TensorFlow's function of that name. Functions are
    inlined by Grappler as there. Captured resources that are no variables (tables) stay inputs.
    """
    data = convert_to_constants._FunctionConverterDataInEager(
        func=func,
        lower_control_flow=lower_control_flow,
        aggressive_inlining=aggressive_inlining,
    )
    values = _arrays({name: tensor.numpy for name, tensor in data.tensor_data.items()})
    types = {name: tensor.dtype for name, tensor in data.tensor_data.items()}
    with _size.limited("The frozen graph"):
        graph_def = _converted(data.graph_def, values, types)
    indices = {tensor.index for tensor in data.tensor_data.values() if tensor.index is not None}
    return convert_to_constants._construct_concrete_function(func, graph_def, indices)


def _arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    """A scalar string comes as plain `bytes`."""
    return {
        name: value if hasattr(value, "shape") else np.array(value, dtype=object)
        for name, value in values.items()
    }


def _converted(graph_def: Any, values: Mapping[str, Any], types: Mapping[str, int]) -> Any:
    """`graph_def`, changed in place: the nodes named in `values` are constants."""
    nodes = {node.name: node for node in graph_def.node if node.name in values}
    kinds = {
        name: Value(types[name], tuple(values[name].shape), _kind(nodes[name])) for name in nodes
    }

    def fill(node: Any) -> None:
        value = values[node.name]
        proto = tensor_util.make_tensor_proto(value, types[node.name], value.shape)
        node.attr["value"].tensor.CopyFrom(proto)

    _rewrite.rewrite(graph_def, kinds, fill, ops.uid)
    return graph_def


def _kind(node: Any) -> Any:
    if node.op == "Placeholder":
        return "resource" if node.attr["dtype"].type == RESOURCE else "value"
    return "resource" if node.op == "VarHandleOp" else "ref"
