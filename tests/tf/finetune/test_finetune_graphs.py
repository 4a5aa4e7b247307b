"""`ckptfast.finetune` on graphs: initial values, freezing, new heads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast

BOTH = pytest.mark.parametrize("resource", [True, False], ids=["resource", "reference"])


@pytest.fixture
def v1(tf: ModuleType) -> Iterator[Any]:
    """`tf.compat.v1`, with a graph of its own as the default one."""
    with tf.Graph().as_default():
        yield tf.compat.v1


# ----------------------------------------------------------------------------- initial values


@BOTH
def test_what_has_a_value_keeps_it(v1: Any, resource: bool) -> None:
    a = v1.get_variable("a", initializer=1.0, use_resource=resource)
    b = v1.get_variable("b", initializer=2.0, use_resource=resource)
    with v1.Session() as session:
        session.run(a.assign(10.0))
        assert ckptfast.finetune.initialize_uninitialized(session) == ["b"]
        assert session.run([a, b]) == [10, 2]
        assert ckptfast.finetune.initialize_uninitialized(session) == []


@BOTH
def test_initial_values_that_read_others_come_after_them(v1: Any, resource: bool) -> None:
    """`global_variables_initializer` runs all at once, and some of these read what is not there."""
    first = v1.Variable(2.0, name="z", use_resource=resource)
    second = v1.Variable(first.read_value() * 3, name="y", use_resource=resource)
    third = v1.Variable(second.read_value() + first.read_value(), name="x", use_resource=resource)
    with v1.Session() as session:
        with pytest.raises(Exception, match="ninitialized"):
            session.run(third.initializer)
        ckptfast.finetune.initialize_uninitialized(session)
        assert session.run([first, second, third]) == [2, 6, 8]


@BOTH
def test_an_initial_value_reads_what_was_restored(v1: Any, resource: bool, tmp_path: Path) -> None:
    path = ckptfast.save(tmp_path / "model", {"a": np.float32(5)})
    a = v1.Variable(1.0, name="a", use_resource=resource)
    value = a.read_value() if resource else a.initialized_value()
    b = v1.Variable(value * 2, name="b", use_resource=resource)
    with v1.Session() as session:
        ckptfast.restore(session, path, on_missing="skip")
        ckptfast.finetune.initialize_uninitialized(session)
        assert session.run([a, b]) == [5, 10]


def test_a_list_says_which(v1: Any) -> None:
    variables = [v1.get_variable(name, [2]) for name in "abc"]
    with v1.Session() as session:
        assert ckptfast.finetune.initialize_uninitialized(session, variables[1:2]) == ["b"]
        assert ckptfast.uninitialized(session) == ["a", "c"]


def test_a_circle_is_named_before_anything_runs(tf: ModuleType, v1: Any) -> None:
    a = v1.get_variable("a", initializer=1.0, use_resource=True)
    b = v1.get_variable("b", initializer=1.0, use_resource=True)
    v1.get_variable("c", initializer=1.0, use_resource=True)
    for here, there in ((a, b), (b, a)):
        here._initializer_op = tf.raw_ops.AssignVariableOp(
            resource=here.handle, value=there.read_value()
        )
    with v1.Session() as session:
        with pytest.raises(ValueError, match=r"(a reads b reads a|b reads a reads b)"):
            ckptfast.finetune.initialize_uninitialized(session)
        assert ckptfast.uninitialized(session) == ["a", "b", "c"]


def test_a_graph_without_collections_has_initializers_too(tf: ModuleType, v1: Any) -> None:
    v1.get_variable("a", initializer=3.0, use_resource=True)
    v1.train.Saver()
    definition = v1.get_default_graph().as_graph_def()
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(definition, name="")
        with v1.Session() as session:
            assert ckptfast.finetune.initialize_uninitialized(session) == ["a"]
            assert session.run(graph.get_tensor_by_name("a/Read/ReadVariableOp:0")) == 3


def test_a_variable_without_an_initial_value_is_named(tf: ModuleType, v1: Any) -> None:
    tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[2], shared_name="bare", name="bare")
    with v1.Session() as session, pytest.raises(ValueError, match="no initial value for bare"):
        ckptfast.finetune.initialize_uninitialized(session)


# ----------------------------------------------------------------------------------- freezing


def layers(v1: Any) -> tuple[Any, Any, Any]:
    """Two layers and a loss; the placeholder, and the outputs of both."""
    v1.set_random_seed(1)  # once in 32 times no unit lets anything through, and nothing learns
    x = v1.placeholder(v1.float32, [None, 4], name="x")
    low = v1.nn.relu(x @ v1.get_variable("low/kernel", [4, 5]), name="features")
    high = v1.identity(low @ v1.get_variable("high/kernel", [5, 3]), name="logits")
    return x, low, high


def test_only_what_lies_below_is_frozen(v1: Any) -> None:
    _, low, high = layers(v1)
    assert names(ckptfast.finetune.freeze_below(low).trainable) == ["high/kernel"]
    assert names(ckptfast.finetune.freeze_below("features").trainable) == ["high/kernel"]
    assert ckptfast.finetune.freeze_below("logits:0").trainable == []
    assert names(
        ckptfast.finetune.freeze_below(high.graph.get_tensor_by_name("x:0")).trainable
    ) == [
        "low/kernel",
        "high/kernel",
    ]


def names(variables: list[Any]) -> list[str]:
    return [variable.op.name for variable in variables]


def test_no_gradient_passes_the_frozen_tensor(v1: Any) -> None:
    x, low, _ = layers(v1)
    tensor, _ = ckptfast.finetune.freeze_below(low)
    assert v1.gradients(v1.reduce_sum(tensor), v1.trainable_variables()) == [None, None]
    with v1.Session() as session:
        ckptfast.finetune.initialize_uninitialized(session)
        same, frozen = session.run([low, tensor], {x: np.ones([2, 4])})
    assert np.array_equal(same, frozen)


def test_freezing_works_on_a_graph_that_a_session_has_run(v1: Any) -> None:
    """And on layers that were built on the tensor before: there, by the variables alone."""
    x, low, high = layers(v1)
    with v1.Session() as session:
        ckptfast.finetune.initialize_uninitialized(session)
        feed = {x: np.ones([2, 4], np.float32)}
        session.run(high, feed)
        _, variables = ckptfast.finetune.freeze_below(low)
        train = v1.train.MomentumOptimizer(0.1, 0.9).minimize(
            v1.reduce_sum(v1.square(high - 1)), var_list=variables
        )
        ckptfast.finetune.initialize_uninitialized(session)
        before = session.run(v1.trainable_variables())
        for _ in range(3):
            session.run(train, feed)
        after = session.run(v1.trainable_variables())
    assert before[0].tobytes() == after[0].tobytes()
    assert not np.array_equal(before[1], after[1])


def test_a_variable_used_on_both_sides_is_not_trained(v1: Any) -> None:
    shared = v1.get_variable("shared", [3, 3])
    x = v1.placeholder(v1.float32, [None, 3])
    low = x @ shared
    v1.identity(low @ shared, name="out")
    assert ckptfast.finetune.freeze_below(low).trainable == []


@pytest.mark.parametrize(
    ("name", "message"),
    [("featuers", "nearest: features"), ("high", "in that scope"), ("features:1", "1 outputs"),
     ("init", "0 outputs")],
)  # fmt: skip
def test_a_wrong_name_says_what_is_near(v1: Any, name: str, message: str) -> None:
    layers(v1)
    v1.no_op(name="init")
    with pytest.raises(ValueError, match=message):
        ckptfast.finetune.freeze_below(name)


# ---------------------------------------------------------------------------------- new heads


@pytest.mark.parametrize(
    ("shape", "options", "kernel", "logits"),
    [
        ([None, 5], {}, [5, 2], [None, 2]),
        ([8, 5], {}, [5, 2], [8, 2]),
        ([None, 1, 1, 6], {}, [6, 2], [None, 2]),
        ([None, 3, 4, 5], {}, [60, 2], [None, 2]),
        ([None], {}, [1, 2], [None, 2]),
        ([None, None, 5], {"flatten": False}, [5, 2], [None, None, 2]),
        ([None, 7, 5], {"flatten": False}, [5, 2], [None, 7, 2]),
    ],
)
def test_a_head_fits_a_tensor_of_any_rank(
    v1: Any, shape: list[Any], options: dict[str, Any], kernel: list[int], logits: list[Any]
) -> None:
    features = v1.placeholder(v1.float32, shape, name="features")
    graph = v1.get_default_graph()
    head = ckptfast.finetune.replace_head(graph, "features", 2, **options)
    assert [variable.shape.as_list() for variable in head.variables] == [kernel, [2]]
    assert head.logits.shape.as_list() == logits
    assert names(head.variables) == ["head/kernel", "head/bias"]
    data = np.random.default_rng(0).normal(size=[size or 3 for size in shape])
    with v1.Session() as session:
        ckptfast.finetune.initialize_uninitialized(session)
        found, weights, _ = session.run([head.logits, *head.variables], {features: data})
    flat = data.reshape([*data.shape[:-1], -1] if options else [data.shape[0], -1])
    np.testing.assert_allclose(found, flat @ weights, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "options"),
    [(None, {}), ([], {}), ([None, None, 5], {}), ([3, None], {"flatten": False})],
)
def test_a_shape_that_does_not_say_the_width_is_refused(
    v1: Any, shape: Any, options: dict[str, Any]
) -> None:
    v1.placeholder(v1.float32, shape, name="features")
    with pytest.raises(ValueError, match="features"):
        ckptfast.finetune.replace_head(v1.get_default_graph(), "features", 2, **options)


def test_a_head_refuses_what_it_cannot_be_put_on(v1: Any) -> None:
    graph = v1.get_default_graph()
    v1.placeholder(v1.int32, [None, 5], name="ids")
    v1.placeholder(v1.float32, [None, 5], name="features")
    with pytest.raises(ValueError, match="int32"):
        ckptfast.finetune.replace_head(graph, "ids", 2)
    with pytest.raises(ValueError, match="at least 1, not 0"):
        ckptfast.finetune.replace_head(graph, "features", 0)
    with v1.Graph().as_default() as other, pytest.raises(ValueError, match="of another graph"):
        ckptfast.finetune.replace_head(other, graph.get_tensor_by_name("features:0"), 2)
    assert not other.get_operations()
    with v1.Session(graph=graph) as session, pytest.raises(TypeError, match=r"is a tf\.Graph"):
        ckptfast.finetune.replace_head(session, "features", 2)
    ckptfast.finetune.replace_head(graph, "features", 2)
    with pytest.raises(ValueError, match="head/kernel already"):
        ckptfast.finetune.replace_head(graph, "features", 2)
    assert names(ckptfast.finetune.replace_head(graph, "features", 3, name="other").variables) == [
        "other/kernel",
        "other/bias",
    ]


@pytest.mark.parametrize("stop", [True, False])
def test_gradients_stop_at_the_cut_unless_they_shall_not(v1: Any, stop: bool) -> None:
    layers(v1)
    graph = v1.get_default_graph()
    head = ckptfast.finetune.replace_head(graph, "features", 2, stop_gradient=stop)
    below = graph.get_collection("trainable_variables")[0]
    (gradient,) = v1.gradients(head.logits, [below])
    assert (gradient is None) == stop
