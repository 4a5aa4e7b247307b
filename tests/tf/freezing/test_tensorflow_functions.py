"""Functions with TensorFlow's names do what TensorFlow's do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import freeze_cases
import numpy as np
import pytest
import tensorflow as tf

import ckptfast

v1 = tf.compat.v1


@pytest.fixture(params=["ref", "resource"])
def session(request: pytest.FixtureRequest) -> Iterator[Any]:
    """A session with a = 3 and b = 5, an output "out" and an assignment that nothing needs."""
    with tf.Graph().as_default(), v1.Session() as session:
        with v1.variable_scope("", use_resource=request.param == "resource"):
            a = v1.get_variable("a", initializer=tf.constant([3.0, 4.0]))
            b = v1.get_variable("b", initializer=tf.constant(5.0))
        v1.assign(a, [1.0, 1.0], name="assign")
        tf.identity(tf.debugging.check_numerics(a * b, "bad", name="check"), name="out")
        session.run(v1.global_variables_initializer())
        yield session


def ops(graph_def: Any) -> dict[str, str]:
    return {node.name: node.op for node in graph_def.node}


def test_a_sub_graph_keeps_order_library_and_versions(api: SimpleNamespace, session: Any) -> None:
    whole = session.graph.as_graph_def()
    part = api.extract_sub_graph(whole, ["out"])
    kept = [node.name for node in part.node]
    assert kept == [node.name for node in whole.node if node.name in kept]
    assert "assign" not in kept and "check" in kept
    assert part.versions == whole.versions and part.HasField("library")


def test_what_lies_beside_a_node_is_needed(api: SimpleNamespace) -> None:
    with tf.Graph().as_default() as graph:
        other = tf.constant(1.0, name="other")
        first = tf.constant(2.0, name="first")
        with v1.colocate_with(other.op), v1.control_dependencies([first]):
            tf.constant(3.0, name="out")
    part = api.extract_sub_graph(graph.as_graph_def(), ["out"])
    assert [node.name for node in part.node] == ["other", "first", "out"]


@pytest.mark.parametrize(
    ("graph_def", "names", "error", "text"),
    [
        (v1.GraphDef(), ["nope"], AssertionError, "nope is not in graph"),
        (v1.GraphDef(), "out", TypeError, "dest_nodes must be an iterable of strings"),
        ("no graph", ["out"], TypeError, "graph_def must be a graph_pb2.GraphDef proto"),
    ],
)
def test_a_sub_graph_of_nothing(
    api: SimpleNamespace, graph_def: Any, names: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        api.extract_sub_graph(graph_def, names)


def test_constants_have_the_values_of_the_session(api: SimpleNamespace, session: Any) -> None:
    frozen = api.convert_variables_to_constants(session, session.graph.as_graph_def(), ["out"])
    assert ops(frozen)["a"] == ops(frozen)["b"] == "Const"
    assert set(ops(frozen).values()) == {"Const", "Identity", "Mul", "CheckNumerics"}
    assert "_class" not in next(node for node in frozen.node if node.name == "a").attr
    np.testing.assert_array_equal(freeze_cases.run(frozen, "out", {}), [15.0, 20.0])


def test_lists_of_variables_choose(api: SimpleNamespace, session: Any) -> None:
    graph_def = session.graph.as_graph_def()
    variable = ops(graph_def)["a"]
    for chosen in ({"variable_names_whitelist": ["b"]}, {"variable_names_blacklist": ["a"]}):
        frozen = ops(api.convert_variables_to_constants(session, graph_def, ["out"], **chosen))
        assert (frozen["a"], frozen["b"]) == (variable, "Const")


def test_a_variable_without_a_value_says_so(api: SimpleNamespace) -> None:
    with tf.Graph().as_default() as graph, v1.Session() as session:
        a = v1.get_variable("a", [])
        tf.identity(a, name="out")
        with pytest.raises(tf.errors.FailedPreconditionError):
            api.convert_variables_to_constants(session, graph.as_graph_def(), ["out"])


def test_what_assigns_stays(api: SimpleNamespace) -> None:
    with tf.Graph().as_default() as graph, v1.Session() as session:
        a = v1.get_variable("a", initializer=tf.constant(3.0), use_resource=True)
        with tf.control_dependencies([a.assign(4.0).op]):
            tf.identity(a.read_value(), name="out")
        session.run(v1.global_variables_initializer())
        frozen = api.convert_variables_to_constants(session, graph.as_graph_def(), ["out"])
    assert "AssignVariableOp" in ops(frozen).values()
    assert ops(frozen)["a"] == "Const"


def test_no_node_of_ours_is_in_a_frozen_graph(
    api: SimpleNamespace, session: Any, tmp_path: Path
) -> None:
    values = {"a": np.array([1, 2], np.float32), "b": np.float32(3)}
    with session.graph.as_default():
        ckptfast.restore(session, ckptfast.save(tmp_path / "m", values))
    for graph_def in (session.graph.as_graph_def(), session.graph_def):
        frozen = api.convert_variables_to_constants(session, graph_def, ["out"])
        assert not {op for op in ops(frozen).values() if "Py" in op}
        assert not {name for name in ops(frozen) if "ckptfast" in name}


def test_training_nodes_go(api: SimpleNamespace) -> None:
    with tf.Graph().as_default() as graph:
        x = tf.constant([1.0], name="x")
        checked = tf.debugging.check_numerics(x, "bad", name="checked")
        stopped = tf.stop_gradient(tf.identity(x, name="spliced"), name="stopped")
        kept = tf.identity(x, name="kept")
        with tf.control_dependencies([kept]):
            waits = tf.identity(stopped, name="waits")
        with v1.colocate_with(tf.identity(x, name="beside").op):
            tf.add(waits, tf.identity(stopped, name="protected"), name="out")
        with tf.control_dependencies([checked]):
            tf.identity(x, name="after_check")
    graph_def = graph.as_graph_def()
    light = api.remove_training_nodes(graph_def, protected_nodes=["protected"])
    assert list(ops(light)) == ["x", "kept", "waits", "beside", "protected", "out"]
    assert [list(node.input) for node in light.node if node.name == "protected"] == [["x"]]
    assert not light.HasField("versions") and not light.HasField("library")


@pytest.mark.parametrize("lower", [True, False])
def test_a_function_without_its_captures(api: SimpleNamespace, lower: bool) -> None:
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer([1, 2], [10.0, 20.0]), 0.0
    )
    weight, rows = tf.Variable(3.0), tf.Variable([[1.0], [2.0]])
    fixed = tf.constant([1.0, 2.0, 3.0])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def model(x: Any) -> Any:
        y = tf.reduce_sum(tf.gather(rows, x)) + tf.reduce_sum(fixed)
        for _ in tf.range(3):
            y = y * weight
        return tf.cond(y > 0, lambda: y + weight, lambda: y), table.lookup(x)

    concrete = model.get_concrete_function()
    wanted = concrete(tf.constant([0, 1]))
    frozen = api.convert_variables_to_constants_v2(concrete, lower_control_flow=lower)
    assert [(tensor.shape.as_list(), tensor.dtype) for tensor in frozen.inputs] == [
        ([None], tf.int32),
        ([], tf.resource),
    ]
    assert not frozen.graph.variables
    graph_def = frozen.graph.as_graph_def()
    assert bool(graph_def.library.function) is not lower
    assert not {"VarHandleOp", "ReadVariableOp", "ResourceGather"} & set(ops(graph_def).values())
    for got, want in zip(frozen(tf.constant([0, 1]), table.resource_handle), wanted, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("inline", [True, False])
def test_a_keras_layer_as_a_function(api: SimpleNamespace, inline: bool) -> None:
    layer = tf.keras.layers.Dense(3, activation="relu")
    layer.build((None, 4))
    concrete = tf.function(layer).get_concrete_function(tf.TensorSpec([None, 4], tf.float32))
    frozen = api.convert_variables_to_constants_v2(concrete, aggressive_inlining=inline)
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32))
    np.testing.assert_array_equal(frozen(x)[0], concrete(x))
    assert [tensor.shape.as_list() for tensor in frozen.inputs] == [[None, 4]]


def test_batch_dimensions_from_a_session(tmp_path: Path) -> None:
    case = freeze_cases.save(freeze_cases.batched_gather, tmp_path, resource=True, lowered=False)
    frozen = ckptfast.convert_variables_to_constants(
        case.session, case.meta_graph.graph_def, ["out"]
    )
    np.testing.assert_array_equal(freeze_cases.run(frozen, "out", case.feeds), case.wanted)
    case.session.close()


def test_a_handle_that_only_the_model_reads(tmp_path: Path) -> None:
    with tf.Graph().as_default() as graph, v1.Session() as session:
        handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="h", name="h")
        assign = tf.raw_ops.AssignVariableOp(resource=handle, value=2.0)
        tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32, name="out")
        session.run(assign)
        frozen = ckptfast.convert_variables_to_constants(session, graph.as_graph_def(), ["out"])
    assert freeze_cases.run(frozen, "out", {}) == 2.0
