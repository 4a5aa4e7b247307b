"""`import_meta_graph`: TensorFlow's importer, with a `ckptfast.Saver` as its result."""

from __future__ import annotations

import os
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow.python.eager import context
from tensorflow.python.framework import meta_graph
from tensorflow.python.ops import variables

from ..saver._saver import Saver
from ._export import _EAGER


def import_meta_graph(
    meta_graph_or_file: Any,
    clear_devices: bool = False,
    import_scope: str | None = None,
    **kwargs: Any,
) -> Saver | None:
    """Add a meta graph (a message or its file, binary or text) to the default graph.

    Arguments and errors are those of `tf.compat.v1.train.import_meta_graph`; `input_map`,
    `return_elements` and the others of its keywords included. Returns a `ckptfast.Saver` for the
    variables, `None` if there are none.
    """
    return import_with_elements(meta_graph_or_file, clear_devices, import_scope, **kwargs)[0]


def import_with_elements(
    meta_graph_or_file: Any,
    clear_devices: bool = False,
    import_scope: str | None = None,
    return_elements: Any = None,
    **kwargs: Any,
) -> tuple[Saver | None, Any]:
    """The same, with the operations and tensors that `return_elements` names."""
    if context.executing_eagerly():
        raise RuntimeError(_EAGER)
    if isinstance(meta_graph_or_file, meta_graph_pb2.MetaGraphDef):
        message = meta_graph_or_file
    else:
        message = meta_graph.read_meta_graph_file(os.fspath(meta_graph_or_file))
    imported, elements = meta_graph.import_scoped_meta_graph_with_return_elements(
        message,
        clear_devices=clear_devices,
        import_scope=import_scope,
        return_elements=return_elements,
        **kwargs,
    )
    return _saver(message, import_scope, imported), elements


def _saver(message: Any, import_scope: str | None, imported: dict[str, Any]) -> Saver | None:
    if message.HasField("saver_def"):
        scope = import_scope
        for name, variable in imported.items():
            # The importer may have made the scope unique.
            scope = variable.name.removesuffix(name)
            break
        return Saver(saver_def=message.saver_def, name=scope)
    if variables._all_saveable_objects(scope=import_scope):
        return Saver()
    tf.compat.v1.logging.info(
        "Saver not created because there are no variables in the graph to restore"
    )
    return None
