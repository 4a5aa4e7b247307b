"""What a meta graph says of a `ckptfast.Saver` whose standard nodes are not in the live graph."""

from __future__ import annotations

import weakref
from typing import Any, Final

from tensorflow.python.training import saver as stock

from .._kept import kept, lock
from . import _standard_nodes
from ._standard_nodes import StandardNodes

_made: Final[weakref.WeakKeyDictionary[Any, StandardNodes]] = weakref.WeakKeyDictionary()


def has_no_nodes(saver: Any) -> bool:
    """Whether it is a `ckptfast.Saver` that TensorFlow's nodes have not been made for."""
    if not isinstance(saver, stock.Saver):
        return False
    return saver.__dict__.get("_definition") is None and bool(saver.__dict__.get("_snapshots"))


def definition(saver: Any) -> StandardNodes:
    """The nodes and the `SaverDef` of such a saver. The live graph stays as it is.

    Objects other than variables (hash tables, iterators) can only be saved by nodes made from them
    in their own graph; with one of these among the saver's, the nodes are made there, which fails
    with `RuntimeError` if the graph is finalized.
    """
    if not has_no_nodes(saver):
        return StandardNodes([], saver.saver_def)
    targets = saver._snapshots.targets
    if not _standard_nodes.is_possible(targets):
        if saver._target_graph.finalized:
            raise RuntimeError(
                "the graph is finalized, so the nodes that save hash tables and other objects "
                "cannot be added to it: make the Saver before graph.finalize(), or leave the meta "
                "graph out by write_meta_graph=False"
            )
        return StandardNodes([], saver.saver_def)
    with lock:
        if saver not in _made:
            builder = saver._builder or stock.BulkSaverBuilder(saver._write_version)
            arguments = {
                "reshape": saver._reshape,
                "sharded": saver._sharded,
                "max_to_keep": saver._max_to_keep,
                "keep_checkpoint_every_n_hours": saver._keep_checkpoint_every_n_hours,
                "restore_sequentially": saver._restore_sequentially,
                "filename": saver._filename,
            }
            _made[saver] = _standard_nodes.build(builder, saver._node_scope, targets, arguments)
        return _made[saver]


def reserved(graph: Any) -> set[str]:
    """The scopes in which the standard nodes of our savers are, or will be. To be added to."""
    found: set[str] = kept(graph, "saver_scopes", set)
    return found


def missing_nodes(graph: Any, graph_def: Any, saver_def: Any) -> list[Any]:
    """What a saver of ours, whose `SaverDef` was passed, lacks in a `GraphDef` that was passed.

    Its nodes are made when they are asked for, which may be after that `GraphDef`; in a finalized
    graph they are never made.
    """
    scope = saver_def.save_tensor_name.rpartition("/")[0]
    there = {node.name for node in graph_def.node}
    if scope not in reserved(graph) or saver_def.restore_op_name in there:
        return []
    with lock:
        made = [found for saver, found in _made.items() if saver._target_graph is graph]
    nodes = [node for found in made for node in found.nodes]
    nodes += graph.as_graph_def(add_shapes=True).node
    return [node for node in nodes if node.name.startswith(f"{scope}/")]
