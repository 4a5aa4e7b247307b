"""Parts of a graph: what nodes depend on, and what is of use after training only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import tensorflow as tf

from ...freezing import _prune, _wires

_GraphDef = tf.compat.v1.GraphDef
_DROPPED: Final = "CheckNumerics"
_SPLICED: Final = ("Identity", "StopGradient")


def extract_sub_graph(graph_def: Any, dest_nodes: Iterable[str]) -> Any:
    """The `GraphDef` of all that the nodes `dest_nodes` depend on, in the order it has.

    As `tf.compat.v1.graph_util.extract_sub_graph`: inputs, control inputs and nodes to lie beside
    count as dependencies, and the library of functions is kept whole. Raises `TypeError` for other
    types, and `AssertionError` for a node that is not there.
    """
    if not isinstance(graph_def, _GraphDef):
        raise TypeError(
            f"graph_def must be a graph_pb2.GraphDef proto, but got type {type(graph_def)}."
        )
    if isinstance(dest_nodes, str):
        raise TypeError(f"dest_nodes must be an iterable of strings, but got type {str}.")
    nodes = {node.name: node for node in graph_def.node}
    wanted = list(dest_nodes)
    for name in wanted:
        if name not in nodes:
            raise AssertionError(f"{name} is not in graph")
    kept = _prune.reachable(nodes, wanted)
    for name in kept:
        nodes[name]  # a KeyError for what is named and is not there
    return _GraphDef(
        node=[node for node in graph_def.node if node.name in kept],
        library=graph_def.library,
        versions=graph_def.versions,
    )


def remove_training_nodes(input_graph: Any, protected_nodes: Iterable[str] | None = None) -> Any:
    """A `GraphDef` without the nodes that only training needs.

    As `tf.compat.v1.graph_util.remove_training_nodes`: `CheckNumerics` goes; `Identity` and
    `StopGradient` go where nothing waits for them, they wait for nothing, and nothing has to lie
    beside them. The nodes `protected_nodes` stay. Library and versions are not taken over.
    """
    protected = set(protected_nodes or ())
    checks = {
        node.name for node in input_graph.node if node.op == _DROPPED and node.name not in protected
    }
    nodes = []
    for node in input_graph.node:
        if node.name not in checks:
            inputs = [text for text in node.input if text.removeprefix("^") not in checks]
            nodes.append(_with_inputs(node, inputs))
    spliced = _spliced(nodes, protected)
    result = _GraphDef()
    for node in nodes:
        if node.name not in spliced:
            inputs = [_through(text, spliced) for text in node.input]
            result.node.append(_with_inputs(node, inputs))
    return result


def _spliced(nodes: Iterable[Any], protected: set[str]) -> dict[str, str]:
    """Nodes to leave out, by name, with the input that takes their place."""
    waited_for: set[str] = set()
    waiting: set[str] = set()
    beside: set[str] = set()
    for node in nodes:
        for text in node.input:
            if text.startswith("^"):
                waited_for.add(text[1:])
                waiting.add(node.name)
        beside.update(_wires.colocated(node))
    kept = protected | waited_for | waiting | beside
    return {
        node.name: node.input[0] for node in nodes if node.op in _SPLICED and node.name not in kept
    }


def _through(text: str, spliced: dict[str, str]) -> str:
    while text.removeprefix("^") in spliced:
        text = spliced[text.removeprefix("^")]
    return text


def _with_inputs(node: Any, inputs: Iterable[str]) -> Any:
    copy = type(node)()
    copy.CopyFrom(node)
    del copy.input[:]
    copy.input.extend(inputs)
    return copy
