"""Graphs written to files and read from them, binary and text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("as_text", [False, True])
def test_a_graph_changes_on_its_way_through_a_file(tf: Any, tmp_path: Path, as_text: bool) -> None:
    from ckptfast.tf.graphs._files import import_graph_def, write_graph

    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder(tf.float32, name="x")
        tf.multiply(x, 3.0, name="y")
    path = write_graph(graph, tmp_path / "a" / "b", "graph", as_text=as_text)
    assert path == str(tmp_path / "a" / "b" / "graph")
    other = tf.Graph()
    with other.as_default():
        given = tf.constant(2.0)
        (y,) = import_graph_def(Path(path), {"x:0": given}, ["y:0"], name="in")
        with tf.compat.v1.Session() as session:
            assert session.run(y) == 6.0
    assert y.name == "in/y:0"
    with tf.Graph().as_default() as again:
        import_graph_def(graph.as_graph_def(), name="")
        assert again.as_graph_def() == graph.as_graph_def()


def test_a_file_that_is_no_graph_is_taken_for_an_empty_one(tf: Any, tmp_path: Path) -> None:
    from ckptfast.tf.graphs._files import import_graph_def

    path = tmp_path / "page.html"
    path.write_text("<html>")
    with tf.Graph().as_default(), pytest.raises(ValueError, match="neither binary nor text"):
        import_graph_def(path)
    path.write_bytes(b"\xff\xfe\x00")
    with tf.Graph().as_default(), pytest.raises(ValueError, match="neither binary nor text"):
        import_graph_def(path)
    with tf.Graph().as_default(), pytest.raises(tf.errors.NotFoundError):
        import_graph_def(tmp_path / "missing")


def test_an_argument_of_tensorflows_import_is_another_one_here(tf: Any) -> None:
    import inspect

    from ckptfast.tf.graphs._files import import_graph_def

    ours = inspect.signature(import_graph_def).parameters
    theirs = inspect.signature(tf.import_graph_def).parameters
    assert list(ours) == list(theirs)
    assert [p.default for p in ours.values()] == [p.default for p in theirs.values()]
    with tf.Graph().as_default() as graph:
        tf.constant(1.0, name="c")
    for function in (tf.import_graph_def, import_graph_def):
        with tf.Graph().as_default():
            (c,) = function(graph.as_graph_def(), None, ["c:0"], "in", {}, None)
            assert c.name == "in/c:0"
            (c,) = function(graph_def=graph.as_graph_def(), return_elements=["c:0"], name="by")
            assert c.name == "by/c:0"
