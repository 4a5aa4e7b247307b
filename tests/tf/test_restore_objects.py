"""`ckptfast.restore` of what is no plain variable, and from object-based checkpoints."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from restore_cases import assert_same, graph_of, session, v1, values_of
from restore_models import small_model, variable

import ckptfast


def test_a_hash_table_of_the_graph(tf: ModuleType, tmp_path: Path) -> None:
    def build() -> None:
        table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1, name="words")
        tf.no_op("keep").graph._table = table
        variable("w", np.float32([1, 2]))

    graph = graph_of(build)
    with graph.as_default(), session(graph) as sess:
        sess.run(v1().global_variables_initializer())
        sess.run(graph._table.insert(tf.constant(["a", "b"]), tf.constant([1, 2], tf.int64)))
        path = v1().train.Saver().save(sess, str(tmp_path / "model"))
    graph = graph_of(build)
    with graph.as_default():
        looked_up = graph._table.lookup(tf.constant(["b", "a", "c"]))
    with session(graph) as sess:
        report = ckptfast.restore(sess, path)
        assert sess.run(looked_up).tolist() == [2, 1, -1]
        size = len(graph.get_operations())
        ckptfast.restore(sess, path)
        assert len(graph.get_operations()) == size
    assert sorted(report.restored) == sorted(name for name, _ in tf.train.list_variables(path))


def test_the_state_of_an_iterator(tf: ModuleType, tmp_path: Path) -> None:
    """A variant cannot be fed: TensorFlow's operation reads it, and that is counted.

    The nodes made for it are in no export.
    """
    made: list[Any] = []

    def build() -> None:
        iterator = v1().data.make_initializable_iterator(tf.data.Dataset.range(10))
        from tensorflow.python.data.ops import iterator_ops

        v1().add_to_collection(
            v1().GraphKeys.SAVEABLE_OBJECTS,
            iterator_ops._IteratorSaveable(iterator._iterator_resource, "iterator"),
        )
        variable("w", np.float32([1, 2]))
        made[:] = [iterator.initializer, iterator.get_next()]

    graph = graph_of(build)
    with graph.as_default(), session(graph) as sess:
        sess.run([v1().global_variables_initializer(), made[0]])
        assert [sess.run(made[1]) for _ in range(4)] == [0, 1, 2, 3]
        path = v1().train.Saver().save(sess, str(tmp_path / "model"))
    graph = graph_of(build)
    before = ckptfast.stats().fallbacks.get("variant tensor", 0)
    plain = {node.name for node in graph.as_graph_def().node}
    with session(graph) as sess:
        sess.run(made[0])
        ckptfast.restore(sess, path)
        assert {node.name for node in graph.as_graph_def().node} == plain
        assert sess.run(made[1]) == 4
        assert values_of(sess)["w"].tolist() == [1, 2]
    assert ckptfast.stats().fallbacks["variant tensor"] == before + 1


def test_an_object_based_checkpoint(tf: ModuleType, tmp_path: Path) -> None:
    """Its keys are paths of attributes; plain names stand in the object graph beside them."""
    graph = graph_of(lambda: small_model(True))
    with graph.as_default(), session(graph) as sess:
        objects = tf.train.Checkpoint(
            list=[item for item in v1().global_variables() if item.op.name != "v0"],
            other=tf.train.Checkpoint(first=v1().global_variables()[0]),
        )
        sess.run(v1().global_variables_initializer())
        expected = values_of(sess)
        with sess.as_default():
            path = objects.write(str(tmp_path / "objects"))
    graph = graph_of(lambda: small_model(True))
    with session(graph) as sess:
        report = ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)
    assert sorted(report.restored) == sorted(expected)
    assert report.unexpected == ()
