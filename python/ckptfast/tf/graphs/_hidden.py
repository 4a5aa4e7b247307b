"""Keeping nodes of ours out of every `GraphDef` of a graph.

Some of them call back into this process, so in a file they are of no use to anybody. Meta graphs,
`write_graph`, the SavedModel builder, freezing, summaries and users' own code all begin with
`Graph.as_graph_def()`; so it is the one place that leaves them out. Nothing of the user's depends
on them, and `Graph.get_operations()` still shows them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._kept import lock

_MARK = "_ckptfast_hidden"


def hide(graph: Any, is_ours: Callable[[Any], bool]) -> None:
    """From now on no `GraphDef` of `graph` has a node for which `is_ours(node_def)` is true."""
    with lock:
        if hasattr(graph, _MARK):
            return
        whole = graph._as_graph_def  # behind `as_graph_def()` and `Session.graph_def`

        def as_graph_def(*arguments: Any, **keywords: Any) -> tuple[Any, Any]:
            graph_def, version = whole(*arguments, **keywords)
            leave_out(graph_def, is_ours)
            return graph_def, version

        graph._as_graph_def = as_graph_def
        setattr(graph, _MARK, True)


def leave_out(graph_def: Any, is_ours: Callable[[Any], bool]) -> None:
    """Delete the nodes for which `is_ours(node_def)` is true from a `GraphDef`."""
    nodes = graph_def.node
    end = 0
    for at in reversed(range(len(nodes))):
        if is_ours(nodes[at]):
            end = end or at + 1
        elif end:
            del nodes[at + 1 : end]
            end = 0
    if end:
        del nodes[:end]
