"""TensorFlow's standard nodes (`save/SaveV2`, …), made when something asks for them."""

from __future__ import annotations

from typing import Any

from tensorflow.python.training import saver as stock

from ..graphs import _savers


def reserve(graph: Any, name: str | None) -> str:
    """The scope that TensorFlow's nodes would have if they were made now; nobody else gets it."""
    with graph.as_default(), graph.name_scope(name or "save") as scope:  # "a/" is that very scope
        reserved = str(scope).removesuffix("/")
    _savers.reserved(graph).add(reserved)
    return reserved


def build(saver: Any) -> Any:
    """Make the nodes for a `ckptfast.Saver` in its graph, and return their `SaverDef`.

    Raises `RuntimeError` if the graph is finalized.
    """
    builder = saver._builder or stock.BulkSaverBuilder(saver._write_version)
    with saver._target_graph.as_default(), saver._target_graph.control_dependencies(None):
        return builder._build_internal(
            saver._listed,
            reshape=saver._reshape,
            sharded=saver._sharded,
            max_to_keep=saver._max_to_keep,
            keep_checkpoint_every_n_hours=saver._keep_checkpoint_every_n_hours,
            name=f"{saver._node_scope}/",
            restore_sequentially=saver._restore_sequentially,
            filename=saver._filename,
            build_save=True,
            build_restore=True,
        )
