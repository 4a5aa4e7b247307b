"""By which operation of a graph `ckptfast.restore` assigns a variable."""

from __future__ import annotations

import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from restore_cases import assert_same, graph_of, saved, session, v1, values_of, write
from restore_models import BOTH, small_model, variable

import ckptfast


@BOTH
def test_variables_that_share_an_initial_value(
    tf: ModuleType, tmp_path: Path, resource: bool
) -> None:
    def build() -> None:
        shared = tf.zeros([3])
        for name in "abc":
            variable(name, shared, resource=resource)
        variable("other", tf.ones([3]), resource=resource)

    tensors = {name: np.full(3, ord(name), np.float32) for name in ("a", "b", "c")}
    tensors["other"] = np.full(3, 9, np.float32)
    path = write(tmp_path / "model", tensors)
    graph = graph_of(build)
    graph.finalize()
    with session(graph) as sess:
        ckptfast.restore(sess, path)
        assert_same(values_of(sess), tensors)


@BOTH
@pytest.mark.parametrize("options", [{}, {"reshape": True}, {"sharded": True}], ids=str)
def test_the_assignments_of_a_saver_serve(
    tf: ModuleType, tmp_path: Path, resource: bool, options: dict[str, Any]
) -> None:
    """Two savers, of which one has only some of the variables, and a shared initial value."""

    def build() -> None:
        shared = tf.zeros([3])
        some = [variable(name, shared, resource=resource) for name in "abc"]
        v1().train.Saver(some[1:], **options)
        variable("other", tf.ones([2]), resource=resource)
        v1().train.Saver(**options)

    tensors = {name: np.full(3, ord(name), np.float32) for name in ("a", "b", "c")}
    tensors["other"] = np.full(2, 9, np.float32)
    path = write(tmp_path / "model", tensors)
    graph = graph_of(build)
    graph.finalize()
    with session(graph) as sess:
        for _ in range(2):
            ckptfast.restore(sess, path)
            assert_same(values_of(sess), tensors)


def test_variables_made_after_a_restore(tf: ModuleType, tmp_path: Path) -> None:
    """Nothing that was remembered of the graph hides them."""
    path = write(tmp_path / "model", {"a": np.float32([1]), "b": np.float32([2])})
    graph = graph_of(lambda: variable("a", np.zeros(1, np.float32)))
    with graph.as_default(), session(graph) as sess:
        assert ckptfast.restore(sess, path).restored == ("a",)
        variable("b", np.zeros(1, np.float32))
        assert ckptfast.restore(sess, path).restored == ("a", "b")
        assert values_of(sess)["b"].tolist() == [2]


def test_a_mirrored_variable(tf: ModuleType, tmp_path: Path) -> None:
    """Every replica gets the value."""
    path = write(tmp_path / "model", {"w": np.float32([1, 2])})
    config = v1().ConfigProto(device_count={"CPU": 2})
    made: list[Any] = []

    def build() -> None:
        strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
        with strategy.scope():
            made.append(tf.Variable([0.0, 0.0], name="w"))

    graph = graph_of(build)
    with v1().Session(graph=graph, config=config) as sess:
        assert ckptfast.restore(sess, path, made).restored == ("w",)
        size = len(graph.get_operations())
        ckptfast.restore(sess, path, made)
        assert len(graph.get_operations()) == size
        replicas = [sess.run(item._graph_element) for item in made[0].values]
    assert [value.tolist() for value in replicas] == [[1, 2]]


@BOTH
def test_initial_values_that_depend_on_each_other(
    tf: ModuleType, tmp_path: Path, resource: bool
) -> None:
    """One is computed from another variable's, one is a condition, one has more consumers."""

    def build() -> None:
        base = tf.random.uniform([4])
        a = variable("a", base, resource=resource)
        variable("b", base * 2, resource=resource)  # `base` feeds a, and computes this one
        once_initialized = v1().cond(  # what Variable.initialized_value() gave
            v1().is_variable_initialized(a), a.read_value, lambda: a.initial_value
        )
        variable("c", once_initialized + 1, resource=resource)
        variable("d", once_initialized, resource=resource)
        flag = v1().placeholder_with_default(True, [])
        variable("e", tf.cond(flag, lambda: tf.ones([4]), lambda: tf.zeros([4])), resource=resource)

    tensors = {name: np.full(4, ord(name), np.float32) for name in ("a", "b", "c", "d", "e")}
    path = write(tmp_path / "model", tensors)
    graph = graph_of(build)
    graph.finalize()
    with session(graph) as sess:
        ckptfast.restore(sess, path)
        assert_same(values_of(sess), tensors)


def test_an_initial_value_that_is_another_reference_variable(
    tf: ModuleType, tmp_path: Path
) -> None:
    """Feeding it would put an array in the place of that variable."""

    def build() -> None:
        a = variable("a", np.zeros(2, np.float32), resource=False)
        b = v1().get_variable("b", [2], use_resource=False)
        v1().assign(b, a._ref())  # reads the reference itself

    tensors = {"a": np.float32([1, 2]), "b": np.float32([3, 4])}
    path = write(tmp_path / "model", tensors)
    graph = without_collections(graph_of(build), drop=("b/Assign",))
    with session(graph) as sess:
        ckptfast.restore(sess, path)
        assert values_by_name(sess, ["a", "b"]) == {"a": [1, 2], "b": [3, 4]}


def test_control_inputs_of_an_assignment_do_not_run(tf: ModuleType, tmp_path: Path) -> None:
    def build() -> None:
        count = variable("count", np.float32(0))
        handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[2], shared_name="w", name="w")
        value = tf.zeros([2])
        with tf.control_dependencies([count.assign_add(1.0)]):
            # Made by hand: get_variable would lift the assignment out of the dependency.
            tf.raw_ops.AssignVariableOp(resource=handle, value=value, name="w/Assign")

    graph = graph_of(build)
    assert graph.get_operation_by_name("w/Assign").control_inputs
    path = write(tmp_path / "model", {"w": np.float32([1, 2])})
    with graph.as_default(), session(graph) as sess:
        sess.run(v1().global_variables_initializer())
        for _ in range(2):
            ckptfast.restore(sess, path, [graph.get_tensor_by_name("w:0")])
        assert values_by_name(sess, ["w", "count"]) == {"w": [1, 2], "count": 0}


def test_a_loaded_meta_graph_of_old_variables(tf: ModuleType, tmp_path: Path) -> None:
    """VariableDefs of 2016 name no initial value."""
    from tensorflow.core.framework import variable_pb2

    graph = graph_of(lambda: (small_model(True), small_old_model()))
    path, expected = saved(graph, tmp_path / "model")
    with graph.as_default():
        meta = v1().train.export_meta_graph()
    for key in ("variables", "trainable_variables"):
        values = meta.collection_def[key].bytes_list.value
        for number, serialized in enumerate(values):
            definition = variable_pb2.VariableDef.FromString(serialized)
            definition.ClearField("initial_value_name")
            values[number] = definition.SerializeToString()
    loaded = v1().Graph()
    with loaded.as_default():
        v1().train.import_meta_graph(meta)
        assert all(item.initial_value is None for item in v1().global_variables())
    loaded.finalize()
    with session(loaded) as sess:
        ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)


def small_old_model() -> None:
    variable("old", np.arange(5, dtype=np.int32), resource=False)


def without_collections(
    graph: Any, drop: tuple[str, ...] = (), ops: frozenset[str] = frozenset()
) -> Any:
    """The graph again, as a bare GraphDef gives it, without some of its operations."""
    definition = graph.as_graph_def()
    kept = [node for node in definition.node if node.name not in drop and node.op not in ops]
    del definition.node[:]
    definition.node.extend(kept)
    return graph_of(lambda: v1().import_graph_def(definition, name=""))


def values_by_name(sess: Any, names: list[str]) -> dict[str, Any]:
    graph = sess.graph
    values = {}
    for name in names:
        tensor = graph.get_tensor_by_name(f"{name}:0")
        if tensor.dtype == "resource":
            with graph.as_default():
                dtype = tensor.op.get_attr("dtype")
                tensor = v1().raw_ops.ReadVariableOp(resource=tensor, dtype=dtype)
        values[name] = sess.run(tensor).tolist()
    return values


@BOTH
def test_a_graph_without_collections(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    graph = graph_of(lambda: small_model(resource))
    path, expected = saved(graph, tmp_path / "model")
    bare = without_collections(graph_of(lambda: small_model(resource)))
    before = len(bare.get_operations())
    with session(bare) as sess:
        report = ckptfast.restore(sess, path)
        assert len(bare.get_operations()) == before
        found = values_by_name(sess, list(expected))
    assert sorted(report.restored) == sorted(expected)
    assert found == {name: value.tolist() for name, value in expected.items()}


@BOTH
def test_a_pruned_graph_gets_its_assignments_once(
    tf: ModuleType, tmp_path: Path, resource: bool
) -> None:
    graph = graph_of(lambda: small_model(resource))
    path, expected = saved(graph, tmp_path / "model")
    pruned = without_collections(
        graph_of(lambda: small_model(resource)), ops=frozenset({"Assign", "AssignVariableOp"})
    )
    with session(pruned) as sess:
        ckptfast.restore(sess, path)
        after_one = len(pruned.get_operations())
        ckptfast.restore(sess, path)
        assert len(pruned.get_operations()) == after_one
        pruned.finalize()
        ckptfast.restore(sess, path)  # the ones of before serve a finalized graph too
        found = {name: sess.run(read(pruned, name)).tolist() for name in expected}
    assert found == {name: value.tolist() for name, value in expected.items()}


def read(graph: Any, name: str) -> Any:
    try:
        return graph.get_tensor_by_name(f"{name}/Read/ReadVariableOp:0")
    except KeyError:
        return graph.get_tensor_by_name(f"{name}:0")


def test_assignments_in_a_loop_or_a_branch_are_left_alone(tf: ModuleType, tmp_path: Path) -> None:
    """They are the only ones of this graph, and feeding inside of a loop is not possible."""

    def build() -> None:
        handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[2], shared_name="w", name="w")

        def body(number: Any) -> Any:
            assign = tf.raw_ops.AssignVariableOp(resource=handle, value=tf.ones([2]))
            with tf.control_dependencies([assign]):
                return number + 1

        was_v2 = v1().control_flow_v2_enabled()
        v1().disable_control_flow_v2()
        try:
            v1().while_loop(lambda number: number < 3, body, [tf.constant(0)])
            v1().cond(tf.constant(True), lambda: body(tf.constant(0)), lambda: tf.constant(0))
        finally:
            if was_v2:
                v1().enable_control_flow_v2()

    graph = graph_of(build)
    path = write(tmp_path / "model", {"w": np.float32([1, 2])})
    with session(graph) as sess:
        ckptfast.restore(sess, path)
        assert values_by_name(sess, ["w"]) == {"w": [1, 2]}


def test_a_variable_made_inside_of_a_condition(tf: ModuleType, tmp_path: Path) -> None:
    made: list[Any] = []

    def branch() -> Any:
        made.append(
            v1().get_variable("w", [2], initializer=v1().zeros_initializer(), use_resource=True)
        )
        return made[0] + 1.0

    graph = graph_of(lambda: v1().cond(tf.constant(True), branch, lambda: tf.zeros([2])))
    path = write(tmp_path / "model", {"w": np.float32([1, 2])})
    with session(graph) as sess:
        ckptfast.restore(sess, path)
        assert values_by_name(sess, ["w"]) == {"w": [1, 2]}


@pytest.mark.parametrize("resource", [True, False], ids=["resource", "reference"])
@pytest.mark.parametrize("how", ["shape", "validate_shape"])
def test_a_variable_of_unknown_shape_takes_any(
    tf: ModuleType, tmp_path: Path, resource: bool, how: str
) -> None:
    """Its initial value has a shape of its own, which must not count."""
    made: list[Any] = []

    def build() -> None:
        options: dict[str, Any] = {"validate_shape": False}
        if how == "shape":
            options["shape"] = tf.TensorShape(None)
        made.append(v1().Variable(tf.zeros([2]), name="w", use_resource=resource, **options))

    graph = graph_of(build)
    value = np.arange(15, dtype=np.float32).reshape(5, 3)
    path = write(tmp_path / "model", {"w": value})
    with session(graph) as sess:
        ckptfast.restore(sess, path)
        assert np.array_equal(sess.run(made[0]), value)


def test_many_threads_restore_one_graph(tf: ModuleType, tmp_path: Path) -> None:
    graph = graph_of(lambda: small_model(True))
    path, expected = saved(graph, tmp_path / "model")
    pruned = without_collections(
        graph_of(lambda: small_model(True)), ops=frozenset({"AssignVariableOp"})
    )
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with session(pruned) as sess:
                ckptfast.restore(sess, path)
                for name, value in expected.items():
                    assert np.array_equal(sess.run(read(pruned, name)), value)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
