"""`export_meta_graph`: the meta graph that TensorFlow would write, whatever is in the graph."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import error_interpolation, meta_graph, ops

from . import _files, _savers, _size

_SAVERS = tf.compat.v1.GraphKeys.SAVERS
_EAGER = (
    "Exporting/importing meta graphs is not supported when eager execution is enabled. "
    "No graph exists when eager execution is enabled."
)


def export_meta_graph(
    filename: str | None = None,
    meta_info_def: Any = None,
    graph_def: Any = None,
    saver_def: Any = None,
    collection_list: Sequence[str] | None = None,
    as_text: bool = False,
    graph: Any = None,
    export_scope: str | None = None,
    clear_devices: bool = False,
    clear_extraneous_savers: bool = False,
    strip_default_attrs: bool = False,
    save_debug_info: bool = False,
    **kwargs: Any,
) -> Any:
    """The `MetaGraphDef` of a graph (the default one), also written to `filename` if that is given.

    Arguments, result and errors are those of `tf.compat.v1.train.export_meta_graph`. A
    `ckptfast.Saver` in the collection of savers brings along TensorFlow's nodes for it, so a
    TensorFlow without ckptfast restores with what it finds in the file.
    """
    return export(
        None,
        filename,
        meta_info_def=meta_info_def,
        graph_def=graph_def,
        saver_def=saver_def,
        collection_list=collection_list,
        as_text=as_text,
        graph=graph,
        export_scope=export_scope,
        clear_devices=clear_devices,
        clear_extraneous_savers=clear_extraneous_savers,
        strip_default_attrs=strip_default_attrs,
        save_debug_info=save_debug_info,
        **kwargs,
    )


def export(
    saver: Any,
    filename: str | None = None,
    *,
    graph_def: Any = None,
    saver_def: Any = None,
    collection_list: Sequence[str] | None = None,
    as_text: bool = False,
    graph: Any = None,
    export_scope: str | None = None,
    clear_extraneous_savers: bool = False,
    save_debug_info: bool = False,
    **kwargs: Any,
) -> Any:
    """`export_meta_graph` with the `SaverDef` and the nodes of `saver`, if one is given."""
    if context.executing_eagerly() and (graph_def is None or graph is None):
        raise RuntimeError(_EAGER)
    graph = graph or ops.get_default_graph()
    with _size.limited(filename or "The meta graph"):
        given = collection_list
        keys = graph.get_all_collection_keys() if given is None else given
        listed = _listed(graph, keys) if not clear_extraneous_savers else []
        definitions = [_savers.definition(item) for item in listed if _savers.has_no_nodes(item)]
        nodes = [node for found in definitions for node in found.nodes]
        if saver is not None:
            found = _savers.definition(saver)
            saver_def = found.saver_def
            if found.nodes and saver._target_graph is graph:
                nodes += found.nodes
        elif saver_def is not None:
            graph_def = graph.as_graph_def(add_shapes=True) if graph_def is None else graph_def
            nodes += _savers.missing_nodes(graph, graph_def, saver_def)
        if definitions:
            # Asked by TensorFlow's exporter, these savers would add their nodes to the live graph.
            # It makes a collection of its own while it runs, which is empty if there is no scope.
            unbound = kwargs.get("unbound_inputs_col_name", "unbound_inputs")
            kept = dict.fromkeys([*keys, *([unbound] if unbound and given is None else [])])
            collection_list = [key for key in kept if key != _SAVERS]
        result, _ = meta_graph.export_scoped_meta_graph(
            graph_def=_with_nodes(graph, graph_def, nodes),
            saver_def=saver_def,
            graph=graph,
            export_scope=export_scope,
            clear_extraneous_savers=clear_extraneous_savers,
            collection_list=collection_list,
            **kwargs,
        )
        if definitions:
            meta_graph.add_collection_def(
                result,
                _SAVERS,
                graph=graph,
                export_scope=export_scope,
                override_contents=[_Described(item) for item in listed],
            )
        if filename:
            _write(result, filename, as_text)
            if save_debug_info:
                _write_debug_info(graph, result, filename, export_scope, as_text)
    return result


def _listed(graph: Any, keys: Iterable[Any]) -> list[Any]:
    return list(graph.get_collection(_SAVERS)) if _SAVERS in keys else []


class _Described:
    """What TensorFlow's exporter needs to see of a saver in a collection."""

    def __init__(self, saver: Any) -> None:
        self.saver_def = _savers.definition(saver).saver_def


def _with_nodes(graph: Any, graph_def: Any, nodes: Sequence[Any]) -> Any:
    """The graph with what is to be added; the message that was passed stays as it is."""
    if graph_def is None:
        graph_def = graph.as_graph_def(add_shapes=True)
    elif nodes:
        given, graph_def = graph_def, tf.compat.v1.GraphDef()
        graph_def.CopyFrom(given)
    if nodes:
        there = {node.name for node in graph_def.node}
        graph_def.node.extend(
            {node.name: node for node in nodes if node.name not in there}.values()
        )
    return graph_def


def _write(message: Any, filename: str, as_text: bool) -> None:
    size = message.ByteSize()
    if size > _size.LIMIT:
        raise _size.too_large(filename, size)
    _files.write(message, filename, as_text=as_text)


def _write_debug_info(
    graph: Any, message: Any, filename: str, export_scope: str | None, as_text: bool
) -> None:
    """Where each node was made, in a file beside; nothing is known of nodes outside the graph."""
    names = (ops.prepend_name_scope(node.name, export_scope) for node in message.graph_def.node)
    known = {op.name: op for op in graph.get_operations()}
    made = [("", known[name]) for name in names if name in known]
    info = error_interpolation.create_graph_debug_info_def(made)
    _write(info, f"{os.path.splitext(filename)[0]}.debug", as_text)
