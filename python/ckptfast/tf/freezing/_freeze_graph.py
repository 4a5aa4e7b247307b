"""`freeze_graph`: TensorFlow's tool, without its session."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.tools import freeze_graph as tools
from tensorflow.python.tools import saved_model_utils

from ... import _files, _paths, _remote, _stats
from ..._bundle import open, while_replaced
from ..._checkpoints import checkpoint_exists
from ...errors import CheckpointError
from ...freezing import _prepare, _savers, _source
from .._errors import combined

_V2 = 2  # SaverDef.V2


def freeze_graph(
    input_graph: str | None,
    input_saver: str,
    input_binary: bool,
    input_checkpoint: str | None,
    output_node_names: str,
    restore_op_name: str | None,
    filename_tensor_name: str | None,
    output_graph: str,
    clear_devices: bool,
    initializer_nodes: str,
    variable_names_whitelist: str = "",
    variable_names_denylist: str = "",
    input_meta_graph: bool | str | None = None,
    input_saved_model_dir: str | None = None,
    saved_model_tags: str = "serve",
    checkpoint_version: int = _V2,
) -> Any:
    """Freeze the variables of a graph in a file with the values of a checkpoint.

    Arguments, result (a `GraphDef`) and errors are those of
    `tensorflow.python.tools.freeze_graph.freeze_graph`. Values go from the checkpoint to
    `output_graph` without a session, and the file is replaced at once. `initializer_nodes` have to
    run in a session: with them TensorFlow's function does all the work, which is counted in
    `ckptfast.stats().fallbacks`. `ckptfast.freeze` does the same without TensorFlow.
    """
    arguments = locals()
    if initializer_nodes and not input_saved_model_dir and not input_saver:
        _stats.count_fallback("freeze_graph: initializer_nodes")
        return tools.freeze_graph(**arguments)
    given = _given(
        input_graph,
        input_meta_graph,
        input_saver,
        (input_saved_model_dir, saved_model_tags),
        is_binary=input_binary,
    )
    if not input_saved_model_dir and not checkpoint_exists(input_checkpoint or ""):
        raise ValueError(f"Input checkpoint '{input_checkpoint}' doesn't exist!")
    if not output_node_names:
        raise ValueError("You need to supply the name of a node to --output_node_names.")
    meta_graph = given.joined()
    if clear_devices:
        for node in meta_graph.graph_def.node:
            node.device = ""
    wanted = _wanted(
        meta_graph.graph_def, output_node_names, variable_names_whitelist, variable_names_denylist
    )
    folder = input_saved_model_dir or None
    path = folder or input_checkpoint
    try:
        return while_replaced(lambda: _frozen(meta_graph, folder, path, wanted, output_graph))
    except (CheckpointError, OSError) as error:
        raise combined(error) from None


class _Given(NamedTuple):
    """The messages in the files that were named."""

    graph_def: Any
    meta_graph: Any
    saver_def: Any

    def joined(self) -> Any:
        """All of it as one meta graph. Raises `ValueError` for a graph without variables."""
        graph_def, meta_graph, saver_def = self
        if meta_graph is None:
            if graph_def is None:
                raise ValueError("there is no graph: pass input_graph, or input_meta_graph")
            if saver_def is None and not any(map(_is_variable, graph_def.node)):
                raise ValueError(
                    "No variables were found in this model. It is likely the model was frozen "
                    "previously. You cannot freeze a graph twice."
                )
            meta_graph = tf.compat.v1.MetaGraphDef(graph_def=graph_def)
        if saver_def is not None:
            meta_graph.saver_def.CopyFrom(saver_def)
        return meta_graph


def _is_variable(node: Any) -> bool:
    return bool(node.op.startswith("Variable") or node.op.endswith("VariableOp"))


def _given(
    graph: str | None,
    meta_graph: bool | str | None,
    saver: str,
    saved_model: tuple[str | None, str],
    *,
    is_binary: bool,
) -> _Given:
    """Read the files. A meta graph beats a SavedModel (folder and tags), which beats a graph."""
    saver_def = tools._parse_input_saver_proto(saver, is_binary) if saver else None
    if meta_graph:
        found = tools._parse_input_meta_graph_proto(meta_graph, is_binary)
        return _Given(None, found, saver_def)
    if saved_model[0]:  # which says itself how it is restored
        return _Given(None, saved_model_utils.get_meta_graph_def(*saved_model), None)
    graph_def = tools._parse_input_graph_proto(graph, is_binary) if graph else None
    return _Given(graph_def, None, saver_def)


def _wanted(graph_def: Any, outputs: str, whitelist: str, denylist: str) -> _prepare.Wanted:
    """What to freeze, from lists with commas. Raises `AssertionError` for an unknown output."""
    names = {node.name for node in graph_def.node}
    for name in _split(outputs):
        if name not in names:
            raise AssertionError(f"{name} is not in graph")
    # TensorFlow passes over what is no variable.
    variables = {node.name for node in graph_def.node if node.op in _savers.VARIABLES}
    return _prepare.Wanted.of(
        _split(outputs),
        variables.intersection(_split(whitelist)) if whitelist else None,
        variables.intersection(_split(denylist)),
        moving_averages=False,
    )


def _frozen(
    meta_graph: Any, folder: str | None, path: Any, wanted: _prepare.Wanted, output: str
) -> Any:
    if output and not _remote.is_remote(output):
        _files.check_target(_paths.local(output))
    with open(path) as reader:
        frozen = _prepare.prepare(_source.read(meta_graph, folder=folder), reader, wanted)
        content = frozen.pieces.join(reader)
        if output and _remote.is_remote(output):
            with tf.io.gfile.GFile(output, "wb") as file:
                file.write(content)
        elif output:
            frozen.pieces.write(reader, _paths.local(output), durability="full")
    return tf.compat.v1.GraphDef.FromString(content)


def _split(names: str) -> list[str]:
    return names.replace(" ", "").split(",") if names else []
