"""`freeze_graph` with the arguments of TensorFlow's tool, for every kind of source."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import freeze_cases
import numpy as np
import pytest
import tensorflow as tf

import ckptfast

v1 = tf.compat.v1

NOTHING: Final[dict[str, Any]] = {
    "input_graph": None,
    "input_saver": "",
    "input_binary": True,
    "input_checkpoint": None,
    "output_node_names": "out",
    "restore_op_name": None,
    "filename_tensor_name": None,
    "output_graph": "",
    "clear_devices": True,
    "initializer_nodes": "",
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one model in every form: out = (v1 + v2) * x, for which x is 2."""
    folder = tmp_path_factory.mktemp("model")
    with tf.Graph().as_default() as graph, v1.Session() as session:
        x = v1.placeholder(tf.float32, [], "x")
        with tf.device("/cpu:0"):
            first = v1.get_variable("v1", initializer=tf.constant([1.0, 2.0]), use_resource=False)
        second = v1.get_variable("v2", initializer=tf.constant(3.0), use_resource=False)
        out = tf.multiply(tf.add(first, second, name="add"), x, name="out")
        third = v1.get_variable("third", initializer=tf.constant(7.0), use_resource=False)
        tf.add(out, third, name="more")
        saver = v1.train.Saver([first, second])
        session.run(v1.global_variables_initializer())
        saver.save(session, str(folder / "model"))
        (folder / "saver.pb").write_bytes(saver.saver_def.SerializeToString())
        v1.train.write_graph(graph, str(folder), "graph.pb", as_text=False)
        v1.train.write_graph(graph, str(folder), "graph.pbtxt", as_text=True)
        v1.saved_model.simple_save(session, str(folder / "saved"), {"x": x}, {"out": out})
    return folder


def check(graph_def: Any, *, device: str = "") -> None:
    assert {node.device for node in graph_def.node} <= {device, ""}
    assert not any(node.op.startswith("Var") for node in graph_def.node)
    np.testing.assert_array_equal(freeze_cases.run(graph_def, "out", {"x:0": 2.0}), [8.0, 10.0])


SOURCES: Final[dict[str, dict[str, Any]]] = {
    "binary": {"input_graph": "graph.pb", "input_checkpoint": "model"},
    "text": {"input_graph": "graph.pbtxt", "input_binary": False, "input_checkpoint": "model"},
    "saver": {"input_graph": "graph.pb", "input_saver": "saver.pb", "input_checkpoint": "model"},
    "meta": {"input_meta_graph": "model.meta", "input_checkpoint": "model"},
    "saved model": {"input_saved_model_dir": "saved"},
}


def arguments(source: str, folder: Path, **more: Any) -> dict[str, Any]:
    found = SOURCES[source]
    places = {
        name: str(folder / value) if isinstance(value, str) else value
        for name, value in found.items()
    }
    return {**NOTHING, **places, **more}


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_gives_the_same_graph(
    api: SimpleNamespace, model: Path, tmp_path: Path, source: str
) -> None:
    file = tmp_path / "frozen.pb"
    with tf.Graph().as_default():
        frozen = api.freeze_graph(**arguments(source, model, output_graph=str(file)))
    check(frozen)
    assert file.read_bytes() == frozen.SerializeToString(deterministic=True)
    assert isinstance(frozen, v1.GraphDef)


@pytest.mark.parametrize("source", ["binary", "meta", "saved model"])
def test_both_write_the_same_bytes(model: Path, source: str) -> None:
    from tensorflow.python.tools.freeze_graph import freeze_graph

    frozen = []
    for function in (freeze_graph, ckptfast.freeze_graph):
        with tf.Graph().as_default():
            frozen.append(function(**arguments(source, model)))
    ours, theirs = (graph.SerializeToString(deterministic=True) for graph in frozen)
    assert ours == theirs


def test_devices_stay_unless_they_are_cleared(api: SimpleNamespace, model: Path) -> None:
    with tf.Graph().as_default():
        frozen = api.freeze_graph(**arguments("binary", model, clear_devices=False))
    check(frozen, device="/device:CPU:0")


def test_lists_are_texts_with_commas(api: SimpleNamespace, model: Path) -> None:
    for lists in ({"variable_names_whitelist": "v2, nope"}, {"variable_names_denylist": "v1"}):
        with tf.Graph().as_default():
            frozen = api.freeze_graph(**arguments("meta", model, **lists))
        ops = {node.name: node.op for node in frozen.node}
        assert (ops["v1"], ops["v2"]) == ("VariableV2", "Const")


def test_initializers_run_after_the_restore(api: SimpleNamespace, model: Path) -> None:
    before = ckptfast.stats().fallbacks.get("freeze_graph: initializer_nodes", 0)
    with tf.Graph().as_default():
        frozen = api.freeze_graph(
            **arguments("meta", model, output_node_names="more", initializer_nodes="third/Assign")
        )
    value = freeze_cases.run(frozen, "more", {"x:0": 2.0})
    np.testing.assert_array_equal(value, [15.0, 17.0])
    after = ckptfast.stats().fallbacks.get("freeze_graph: initializer_nodes", 0)
    assert after - before == (api.freeze_graph is ckptfast.freeze_graph)


@pytest.mark.parametrize(
    ("more", "error", "text"),
    [
        ({"input_checkpoint": "/nowhere/m"}, ValueError, "Input checkpoint '/nowhere/m' doesn't"),
        ({"output_node_names": ""}, ValueError, "You need to supply the name of a node"),
        ({"output_node_names": "nope"}, AssertionError, "nope is not in graph"),
        ({"input_graph": "/nowhere/g"}, OSError, "Input graph file '/nowhere/g' does not exist!"),
        ({"input_saver": "/nowhere/s"}, OSError, "Input saver file '/nowhere/s' does not exist!"),
        ({"input_meta_graph": "/nowhere/m"}, OSError, "Input meta graph file '/nowhere/m' does"),
    ],
)
def test_what_is_missing_is_named(
    api: SimpleNamespace, model: Path, more: dict[str, Any], error: type[Exception], text: str
) -> None:
    with tf.Graph().as_default(), pytest.raises(error, match=text):
        api.freeze_graph(**{**arguments("binary", model), **more})


def test_a_variable_that_is_not_in_the_checkpoint(api: SimpleNamespace, model: Path) -> None:
    with (
        tf.Graph().as_default(),
        pytest.raises((tf.errors.NotFoundError, tf.errors.FailedPreconditionError), match="third"),
    ):
        api.freeze_graph(**arguments("meta", model, output_node_names="more"))


def test_a_graph_is_not_frozen_twice(api: SimpleNamespace, model: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "frozen.pb")
    with tf.Graph().as_default():
        api.freeze_graph(**arguments("binary", model, output_graph=file))
    with (
        tf.Graph().as_default(),
        pytest.raises(ValueError, match="You cannot freeze a graph twice"),
    ):
        api.freeze_graph(**{**arguments("binary", model), "input_graph": file})


def test_a_bare_graph_with_resource_variables(tmp_path: Path) -> None:
    case = freeze_cases.save(freeze_cases.addition, tmp_path, resource=True, lowered=False)
    v1.train.write_graph(case.session.graph, str(tmp_path), "graph.pb", as_text=False)
    frozen = ckptfast.freeze_graph(
        **{**NOTHING, "input_graph": str(tmp_path / "graph.pb"), "input_checkpoint": case.prefix}
    )
    np.testing.assert_array_equal(freeze_cases.run(frozen, "out", {}), case.wanted)
    case.session.close()
