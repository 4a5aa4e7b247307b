"""Nodes of ours are in no GraphDef, whoever asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest


def is_ours(node: Any) -> bool:
    return str(node.name).startswith("ours")


@pytest.fixture
def graph(tf: Any) -> Any:
    """A graph whose first, middle and last nodes are ours."""
    from ckptfast.tf.graphs import _hidden

    graph = tf.Graph()
    with graph.as_default():
        tf.numpy_function(lambda: np.float32(1), [], tf.float32, name="ours_first")
        tf.constant(1.0, name="one")
        tf.constant(1.0, name="ours_middle")
        tf.constant(1.0, name="ours_too")
        tf.constant(2.0, name="two")
        tf.constant(1.0, name="ours_last")
    _hidden.hide(graph, is_ours)
    _hidden.hide(graph, is_ours)
    return graph


def test_a_graph_def_has_a_node_of_ours(tf: Any, graph: Any, tmp_path: Path) -> None:
    names = ["one", "two"]
    assert [node.name for node in graph.as_graph_def().node] == names
    assert [node.name for node in graph.as_graph_def(add_shapes=True).node] == names
    with tf.compat.v1.Session(graph=graph) as session:
        assert [node.name for node in session.graph_def.node] == names
        assert session.run("ours_first:0") == 1.0, "the node itself is still there"
    tf.io.write_graph(graph, str(tmp_path), "graph.pbtxt")
    assert "ours" not in (tmp_path / "graph.pbtxt").read_text()
    with graph.as_default():
        message = tf.compat.v1.train.export_meta_graph()
    assert [node.name for node in message.graph_def.node] == names
    assert "EagerPyFunc" not in {op.name for op in message.meta_info_def.stripped_op_list.op}


def test_nodes_added_later_are_missing(tf: Any, graph: Any) -> None:
    with graph.as_default():
        tf.constant(3.0, name="three")
        tf.constant(3.0, name="ours_later")
    assert [node.name for node in graph.as_graph_def().node] == ["one", "two", "three"]


def test_another_graph_loses_nodes(tf: Any, graph: Any) -> None:
    other = tf.Graph()
    with other.as_default():
        tf.constant(1.0, name="ours_or_not")
    assert len(other.as_graph_def().node) == 1
