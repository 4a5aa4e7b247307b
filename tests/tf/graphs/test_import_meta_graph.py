"""`import_meta_graph` with all its arguments, TensorFlow's results, and a fast Saver."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

VALUE = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def saved(tf: Any, tmp_path: Path) -> str:
    """The prefix of a checkpoint with meta graph, by TensorFlow's Saver."""
    from tensorflow.python.training import saver as stock

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as sess:
        w = v1.get_variable("w", initializer=VALUE)
        x = v1.placeholder(tf.float32, [None, 2], name="x")
        with v1.device("/cpu:0"):
            v1.add_to_collection("predict", tf.matmul(x, w, name="y"))
        sess.run(v1.global_variables_initializer())
        saver = stock.Saver(max_to_keep=3)
        prefix: str = saver.save(sess, str(tmp_path / "model"), global_step=7)
        saver.export_meta_graph(f"{prefix}.text", as_text=True)
    return prefix


def predicted(tf: Any, saver: Any, prefix: str) -> list[Any]:
    v1 = tf.compat.v1
    with v1.Session() as sess:
        saver.restore(sess, prefix)
        (y,) = v1.get_collection("predict")
        found: list[Any] = sess.run(y, {y.op.inputs[0]: [[1.0, 1.0]]}).tolist()
        return found


@pytest.mark.parametrize("suffix", ["meta", "text"])
@pytest.mark.parametrize("scope", [None, "there"])
def test_an_imported_saver_restores_other_values(
    tf: Any, saved: str, suffix: str, scope: str | None
) -> None:
    import ckptfast
    from ckptfast.tf.graphs._import import import_meta_graph
    from ckptfast.tf.saver import Saver

    before = sum(ckptfast.stats().fallbacks.values())
    with tf.Graph().as_default():
        saver = import_meta_graph(Path(f"{saved}.{suffix}"), import_scope=scope)
        assert isinstance(saver, Saver)
        assert saver.saver_def.max_to_keep == 3
        assert predicted(tf, saver, saved) == [[3.0, 5.0, 7.0]]
    assert sum(ckptfast.stats().fallbacks.values()) == before


def test_an_argument_is_ignored(tf: Any, saved: str) -> None:
    from ckptfast.tf.graphs._import import import_with_elements

    with tf.Graph().as_default() as graph:
        given = tf.constant([[1.0, 0.0]])
        saver, (y, op) = import_with_elements(
            f"{saved}.meta",
            clear_devices=True,
            import_scope="in",
            input_map={"x:0": given},
            return_elements=["y:0", "w"],
            restore_collections_predicate=lambda key: key != "predict",
        )
        assert (y.name, op.name, y.op.inputs[0]) == ("in/y:0", "in/w", given)
        assert graph.get_collection("predict") == []
        assert y.device == ""
        assert saver is not None


def test_a_graph_without_variables_has_a_saver(tf: Any) -> None:
    from ckptfast.tf.graphs._export import export_meta_graph
    from ckptfast.tf.graphs._import import import_meta_graph
    from ckptfast.tf.saver import Saver

    with tf.Graph().as_default():
        tf.constant(1.0)
        message = export_meta_graph()
    with tf.Graph().as_default():
        assert import_meta_graph(message) is None
    with tf.Graph().as_default():
        tf.compat.v1.get_variable("v", [1])
        message = export_meta_graph()
    with tf.Graph().as_default():
        assert isinstance(import_meta_graph(message), Saver)


def test_a_file_that_is_none_raises_something_else(tf: Any, tmp_path: Path) -> None:
    from ckptfast.tf.graphs._import import import_meta_graph

    path = tmp_path / "page.meta"
    path.write_text("<html>")
    with tf.Graph().as_default():
        with pytest.raises(OSError, match="Cannot parse file"):
            import_meta_graph(str(path))
        with pytest.raises(OSError, match="File does not exist"):
            import_meta_graph(str(tmp_path / "missing.meta"))
    with pytest.raises(RuntimeError, match="eager execution"):
        import_meta_graph(str(path))


def test_tensorflow_cannot_use_what_a_saver_of_ours_wrote(
    tf: Any, saved: str, tmp_path: Path
) -> None:
    from tensorflow.python.training import saver as stock

    from ckptfast.tf.graphs._import import import_meta_graph

    with tf.Graph().as_default() as graph:
        saver = import_meta_graph(f"{saved}.meta")
        assert saver is not None
        with tf.compat.v1.Session() as sess:
            saver.restore(sess, saved)
            again = saver.save(sess, str(tmp_path / "again"))
            count = len(graph.get_operations())
            saver.save(sess, str(tmp_path / "again"))
        assert len(graph.get_operations()) == count
    with tf.Graph().as_default():
        theirs = stock.import_meta_graph(f"{again}.meta")
        assert type(theirs) is stock.Saver
        assert predicted(tf, theirs, str(again)) == [[3.0, 5.0, 7.0]]
