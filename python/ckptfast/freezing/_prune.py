"""What outputs need of a graph: nodes by their inputs, order and place, and functions."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from . import _wires


def reachable(nodes: Mapping[str, Any], outputs: Iterable[str]) -> set[str]:
    """The outputs and every node that they depend on, also to wait for it or to lie beside it.

    Names of nodes that are not there are among them.
    """
    found: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        node = nodes.get(name)
        if node is not None:
            waiting += map(_wires.node_of, node.input)
            waiting += _wires.colocated(node)
    return found


def keep_nodes(graph_def: Any, names: Container[str]) -> None:
    """Delete all other nodes of a graph, in place; the rest stays in order."""
    nodes = graph_def.node
    end = len(nodes)
    # Runs at once: every deletion moves what is behind it.
    while end:
        start = end
        while start and nodes[start - 1].name not in names:
            start -= 1
        if start < end:
            del nodes[start:end]
        end = start
        while end and nodes[end - 1].name in names:
            end -= 1


def used_functions(graph_def: Any) -> set[str]:
    """The functions of the library that the nodes call, directly or through other functions."""
    library = {function.signature.name: function for function in graph_def.library.function}
    gradients = {item.function_name: item.gradient_func for item in graph_def.library.gradient}
    found: set[str] = set()
    waiting = [name for node in graph_def.node for name in _wires.functions_in(node)]
    while waiting:
        name = waiting.pop()
        if name in found or name not in library:
            continue
        found.add(name)
        if name in gradients:
            waiting.append(gradients[name])
        for node in library[name].node_def:
            waiting += _wires.functions_in(node)
    return found


def keep_functions(graph_def: Any, names: Container[str]) -> None:
    """Delete all other functions of a graph's library, in place, with their gradients."""
    library = graph_def.library
    for at in reversed(range(len(library.function))):
        if library.function[at].signature.name not in names:
            del library.function[at]
    for at in reversed(range(len(library.gradient))):
        if library.gradient[at].function_name not in names:
            del library.gradient[at]
    for at in reversed(range(len(library.registered_gradients))):
        if library.registered_gradients[at].function_name not in names:
            del library.registered_gradients[at]
