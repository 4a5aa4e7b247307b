"""Meta graphs are TensorFlow's to the byte, though the live graph lacks TensorFlow's nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from meta_graph_cases import graph_of


def exported(tf: Any, kind: Any, saver: dict[str, Any], export: dict[str, Any]) -> bytes:
    """The meta graph of a saver of that class over the model."""
    from tensorflow.python.training import saver as stock

    from ckptfast.tf.graphs import _export

    graph = graph_of(tf)
    with graph.as_default():
        made = kind(**saver)
        if kind is stock.Saver:
            message = made.export_meta_graph(**export)
        else:
            if not export:  # TensorFlow itself clears a collection for some arguments
                graph.finalize()
            message = _export.export(made, **export)
    return bytes(message.SerializeToString(deterministic=True))


@pytest.mark.parametrize(
    "saver",
    [
        {},
        {"sharded": True},
        {"reshape": True},
        {"name": "keeper", "max_to_keep": 3, "filename": "there"},
        {"keep_checkpoint_every_n_hours": 0.1, "max_to_keep": None},
    ],
    ids=str,
)
def test_a_meta_graph_differs_from_tensorflows(tf: Any, saver: dict[str, Any]) -> None:
    from tensorflow.python.training import saver as stock

    import ckptfast.tf.saver

    theirs = exported(tf, stock.Saver, saver, {})
    ours = exported(tf, ckptfast.tf.saver.Saver, saver, {})
    assert ours == theirs


@pytest.mark.parametrize(
    "export",
    [
        {"clear_devices": True},
        {"strip_default_attrs": True},
        {"clear_extraneous_savers": True},
        {"collection_list": ["predict"]},
        {"export_scope": "scope"},
    ],
    ids=str,
)
def test_an_argument_of_the_export_is_lost(tf: Any, export: dict[str, Any]) -> None:
    from tensorflow.python.training import saver as stock

    import ckptfast.tf.saver

    theirs = exported(tf, stock.Saver, {}, export)
    ours = exported(tf, ckptfast.tf.saver.Saver, {}, export)
    assert ours == theirs


def test_a_slice_of_a_reference_variable_is_saved_from_another_node(tf: Any) -> None:
    from tensorflow.python.training import saver as stock

    import ckptfast.tf.saver

    messages = []
    for kind in (stock.Saver, ckptfast.tf.saver.Saver):
        with tf.Graph().as_default():
            v1 = tf.compat.v1
            v1.get_variable(
                "p", [6, 2], use_resource=False, partitioner=v1.fixed_size_partitioner(3)
            )
            messages.append(kind().export_meta_graph())
    assert messages[0] == messages[1]


@pytest.mark.parametrize("scope", [None, "scope"])
def test_a_saver_in_a_collection_is_lost_or_adds_nodes(tf: Any, scope: str | None) -> None:
    from tensorflow.python.training import saver as stock

    from ckptfast.tf.graphs import _export
    from ckptfast.tf.saver import Saver

    messages = []
    for kind in (stock.Saver, Saver):
        graph = graph_of(tf)
        with graph.as_default():
            tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.SAVERS, kind())
            if scope is None:  # TensorFlow itself makes a collection for what is outside the scope
                graph.finalize()
            messages.append(_export.export_meta_graph(export_scope=scope))
    theirs, ours = messages
    assert (len(ours.collection_def["savers"].bytes_list.value) == 1) is (scope is None)
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(
        deterministic=True
    )


@pytest.mark.parametrize("as_text", [False, True])
def test_the_file_differs_from_the_message(tf: Any, tmp_path: Path, as_text: bool) -> None:
    from google.protobuf import text_format

    from ckptfast.tf.graphs import _export

    path = tmp_path / "new" / "folder" / "graph.meta"
    with graph_of(tf).as_default():
        message = _export.export_meta_graph(str(path), as_text=as_text, save_debug_info=True)
    read = type(message)()
    if as_text:
        text_format.Parse(path.read_text(), read)
    else:
        read.ParseFromString(path.read_bytes())
    assert read == message
    assert path.with_suffix(".debug").stat().st_size > 0


def test_a_graph_that_was_passed_is_changed(tf: Any) -> None:
    from ckptfast.tf.graphs import _export
    from ckptfast.tf.saver import Saver

    graph = graph_of(tf)
    with graph.as_default():
        saver = Saver()
        given = tf.compat.v1.GraphDef(node=graph.as_graph_def(add_shapes=True).node[:5])
        before = given.SerializeToString(deterministic=True)
        message = _export.export(saver, graph_def=given)
    assert given.SerializeToString(deterministic=True) == before
    assert message.graph_def.node[0].name == given.node[0].name


@pytest.mark.parametrize("finalized", [False, True])
def test_a_graph_def_older_than_the_savers_nodes_restores_nothing(
    tf: Any, tmp_path: Path, finalized: bool
) -> None:
    from tensorflow.python.training import saver as stock

    from ckptfast.tf.graphs import _export
    from ckptfast.tf.saver import Saver

    v1 = tf.compat.v1
    path = str(tmp_path / "m.meta")
    with tf.Graph().as_default() as graph, v1.Session() as session:
        v1.get_variable("w", initializer=[1.0, 2.0])
        session.run(v1.global_variables_initializer())
        saver = Saver(name="keeper")
        Saver()  # whose nodes nobody asked for
        prefix = saver.save(session, str(tmp_path / "m"), write_meta_graph=False)
        older = graph.as_graph_def()
        if finalized:
            graph.finalize()
        message = _export.export_meta_graph(path, graph_def=older, saver_def=saver.as_saver_def())
    assert not any(node.name.startswith("keeper/") for node in older.node)
    assert not any(node.name.startswith("save/") for node in message.graph_def.node)
    with tf.Graph().as_default(), v1.Session() as session:
        stock.import_meta_graph(path).restore(session, prefix)
        assert session.run("w/Read/ReadVariableOp:0").tolist() == [1.0, 2.0]


def test_exporting_in_eager_mode_says_something_else(tf: Any) -> None:
    from ckptfast.tf.graphs import _export

    assert tf.executing_eagerly()
    with pytest.raises(RuntimeError, match="not supported when eager execution is enabled"):
        _export.export_meta_graph()
    graph = graph_of(tf)
    message = _export.export_meta_graph(graph=graph, graph_def=graph.as_graph_def())
    assert len(message.graph_def.node) == len(graph.get_operations())


def test_a_graph_that_is_too_large_leaves_a_file(
    tf: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ckptfast.tf.graphs import _export, _size

    monkeypatch.setattr(_size, "LIMIT", 1000)  # 2 GiB take long to make
    too_large = pytest.raises(ValueError, match=r"cannot be larger than 2GB\. Received size: ")
    with graph_of(tf).as_default(), too_large as error, _size.after_saving("/there/model-7"):
        _export.export_meta_graph(str(tmp_path / "graph.meta"))
    assert "/there/model-7 is valid" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_an_error_that_is_not_about_size_is_renamed(tf: Any) -> None:
    from ckptfast.tf.graphs import _size

    with pytest.raises(tf.errors.NotFoundError), _size.limited("x"):
        raise tf.errors.NotFoundError(None, None, "no such file")
    with pytest.raises(ValueError, match=r"^something else$"), _size.limited("x"):
        raise ValueError("something else")
