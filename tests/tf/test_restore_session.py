"""`ckptfast.restore` into a local session: which variables, from where, by which operation."""

from __future__ import annotations

import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from restore_cases import assert_same, graph_of, removed, saved, session, v1, values_of, write

import ckptfast

BOTH = pytest.mark.parametrize("resource", [True, False], ids=["resource", "reference"])


def variable(name: str, value: Any, *, resource: bool = True, **options: Any) -> Any:
    return v1().get_variable(name, initializer=value, use_resource=resource, **options)


def small_model(resource: bool) -> None:
    """Odd sizes, so that TensorFlow's packing leaves most tensors misaligned; 0-d and empty."""
    rng = np.random.default_rng(1)
    for number, shape in enumerate([(3,), (2, 5), (), (0, 3), (7, 1, 3), (64,)]):
        value = rng.standard_normal(shape).astype(np.float32)
        variable(f"v{number}", value, resource=resource)
    variable("step", np.int64(7), resource=resource, trainable=False)


@BOTH
def test_values_are_those_of_the_saver(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    graph = graph_of(lambda: small_model(resource))
    path, expected = saved(graph, tmp_path / "model")
    with session(graph) as sess:  # nothing is initialized
        report = ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)
    assert report.restored == tuple(expected)
    assert report.nbytes == sum(np.asarray(value).nbytes for value in expected.values())
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())


@BOTH
def test_values_replace_initialized_ones(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    graph = graph_of(lambda: small_model(resource))
    path, expected = saved(graph, tmp_path / "model")
    with graph.as_default(), session(graph) as sess:
        sess.run(v1().global_variables_initializer())
        sess.run([v1().assign_add(item, item + 1) for item in v1().trainable_variables()])
        ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)


@BOTH
def test_a_graph_does_not_grow_and_may_be_finalized(
    tf: ModuleType, tmp_path: Path, resource: bool
) -> None:
    graph = graph_of(lambda: small_model(resource))
    path, expected = saved(graph, tmp_path / "model")
    graph = graph_of(lambda: small_model(resource))  # one without a Saver
    before = len(graph.get_operations())
    graph.finalize()
    with session(graph) as sess:
        for _ in range(3):
            ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)
    assert len(graph.get_operations()) == before


def test_no_fallback_is_counted(tf: ModuleType, tmp_path: Path) -> None:
    graph = graph_of(lambda: small_model(True))
    path, _ = saved(graph, tmp_path / "model")
    before = ckptfast.stats()
    with session(graph) as sess:
        ckptfast.restore(sess, path)
    assert ckptfast.stats().fallbacks == before.fallbacks


@BOTH
def test_a_v1_file_restores(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    graph = graph_of(lambda: small_model(resource))
    version = v1().train.SaverDef.V1
    path, expected = saved(graph, tmp_path / "model.ckpt", write_version=version)
    with session(graph) as sess:
        ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)


def test_a_sharded_save_restores(tf: ModuleType, tmp_path: Path) -> None:
    def build() -> None:
        for number in range(4):
            with tf.device(f"/cpu:{number % 2}"):
                variable(f"v{number}", np.full(9, number, np.float32))

    graph = graph_of(build)
    config = v1().ConfigProto(device_count={"CPU": 2})
    with graph.as_default(), v1().Session(graph=graph, config=config) as sess:
        sess.run(v1().global_variables_initializer())
        path = v1().train.Saver(sharded=True).save(sess, str(tmp_path / "model"))
        expected = values_of(sess)
    with v1().Session(graph=graph, config=config) as sess:
        ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)


def test_a_folder_means_its_latest_checkpoint(tf: ModuleType, tmp_path: Path) -> None:
    graph = graph_of(lambda: small_model(True))
    saved(graph, tmp_path / "model-1")
    path, expected = saved(graph, tmp_path / "model-2")
    with session(graph) as sess:
        report = ckptfast.restore(sess, tmp_path)
        assert_same(values_of(sess), expected)
    assert report.path == path


def test_a_variable_keeps_its_device(tf: ModuleType, tmp_path: Path) -> None:
    """A variable on CPU:1 that came to life on CPU:0 would be uninitialized where it is read."""

    def build() -> None:
        for resource in (True, False):
            with tf.device("/cpu:1"):
                variable(f"on_1_{resource}", np.arange(4.0), resource=resource)

    graph = graph_of(build)
    config = v1().ConfigProto(device_count={"CPU": 2})
    path = write(tmp_path / "model", {f"on_1_{kind}": np.full(4, 5.0) for kind in (True, False)})
    with graph.as_default(), v1().Session(graph=graph, config=config) as sess:
        ckptfast.restore(sess, path)
        with tf.device("/cpu:1"):
            sums = [tf.reduce_sum(item) for item in v1().global_variables()]
        metadata = v1().RunMetadata()
        options = v1().RunOptions(output_partition_graphs=True)
        assert sess.run(sums, options=options, run_metadata=metadata) == [20.0, 20.0]
    nodes = [node for part in metadata.partition_graphs for node in part.node]
    devices = {node.device[-5:] for node in nodes if node.name.startswith("on_1")}
    assert devices == {"CPU:1"}


# ------------------------------------------------------------------------- the list of variables


def test_by_default_exactly_what_a_saver_takes(tf: ModuleType, tmp_path: Path) -> None:
    """Slots and the step belong to it, local variables do not."""

    def build() -> None:
        weight = variable("weight", np.ones([3, 2], np.float32))
        step = v1().train.get_or_create_global_step()
        v1().train.AdamOptimizer(0.1).minimize(tf.reduce_sum(weight**2), global_step=step)
        variable("count", np.float32(0), collections=[v1().GraphKeys.LOCAL_VARIABLES])

    graph = graph_of(build)
    path, expected = saved(graph, tmp_path / "model")
    with session(graph) as sess:
        report = ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)
    assert sorted(report.restored) == sorted(name for name, _ in tf.train.list_variables(path))
    assert "count" not in report.restored


def test_a_list_restores_nothing_else(tf: ModuleType, tmp_path: Path) -> None:
    graph = graph_of(lambda: small_model(True))
    path = write(
        tmp_path / "model", {"v0": np.full(3, 8, np.float32), "v1": np.zeros([2, 5], np.float32)}
    )
    with graph.as_default(), session(graph) as sess:
        sess.run(v1().global_variables_initializer())
        before = values_of(sess)
        chosen = next(item for item in v1().global_variables() if item.op.name == "v0")
        report = ckptfast.restore(sess, path, [chosen])
        after = values_of(sess)
    assert report.restored == ("v0",)
    assert report.unexpected == ("v1",)
    assert_same(after, before | {"v0": np.full(3, 8, np.float32)})


def test_a_mapping_renames(tf: ModuleType, tmp_path: Path) -> None:
    made: list[Any] = []
    graph = graph_of(lambda: made.append(variable("new/name", np.zeros(2, np.float32))))
    path = write(tmp_path / "model", {"old": np.float32([1, 2])})
    with session(graph) as sess:
        assert ckptfast.restore(sess, path, {"old": made[0]}).restored == ("old",)
        assert sess.run(made[0]).tolist() == [1, 2]


@pytest.mark.parametrize("container", [list, tuple, set, lambda items: [items[:1], [items[1:]]]])
def test_every_kind_of_list_a_saver_takes(tf: ModuleType, tmp_path: Path, container: Any) -> None:
    graph = graph_of(lambda: small_model(True))
    path, expected = saved(graph, tmp_path / "model")
    with graph.as_default(), session(graph) as sess:
        report = ckptfast.restore(sess, path, container(v1().global_variables()))
        assert sorted(report.restored) == sorted(expected)
        assert_same(values_of(sess), expected)


@BOTH
def test_tensors_stand_for_their_variables(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    made: list[Any] = []
    graph = graph_of(lambda: made.append(variable("w", np.zeros(2, np.float32), resource=resource)))
    path = write(tmp_path / "model", {"w": np.float32([3, 4])})
    tensors = [made[0]._graph_element, made[0].handle] if resource else [made[0]._ref()]
    for tensor in tensors:
        with session(graph) as sess:
            assert ckptfast.restore(sess, path, [tensor]).restored == ("w",)
            assert sess.run(made[0]).tolist() == [3, 4]


# --------------------------------------------------------------- which operation does the assigning


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


# ------------------------------------------------------------------------------------ element types


DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8",
          "uint16", "uint32", "uint64", "bool", "complex64", "complex128", "qint8", "quint8",
          "qint32", "float8_e5m2", "float8_e4m3fn", "int4", "uint4", "int2", "uint2",
          "float4_e2m1fn")  # fmt: skip


@pytest.mark.parametrize("shape", [(5, 7), (), (0, 2)], ids=["matrix", "scalar", "empty"])
@pytest.mark.parametrize("name", DTYPES)
def test_every_type_that_a_variable_can_have(
    tf: ModuleType, tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    dtype = tf.as_dtype(name)
    memory_type = np.dtype(dtype.as_numpy_dtype)
    if dtype.is_quantized:
        memory_type = memory_type[0]  # TensorFlow's is a structure of one plain integer
    noise = np.random.default_rng(3).integers(0, 256, [*shape, memory_type.itemsize], np.uint8)
    stored = noise.view(memory_type).reshape(shape)
    if name in ("bool", "int4", "uint4", "int2", "uint2", "float4_e2m1fn"):
        stored = (np.arange(stored.size).reshape(shape) % 2).astype(memory_type)
    path = str(tmp_path / "model")
    with graph_of(lambda: None).as_default(), v1().Session() as sess:
        fed = v1().placeholder(dtype, shape)
        pad = tf.constant([1], tf.uint8)  # so that the value is not aligned by chance
        save = tf.raw_ops.SaveV2(
            prefix=path, tensor_names=["a", "w"], shape_and_slices=["", ""], tensors=[pad, fed]
        )
        sess.run(save, {fed: stored.view(dtype.as_numpy_dtype)})
    made: list[Any] = []

    def build() -> None:
        initial = v1().placeholder(dtype, shape)
        made.append(v1().Variable(initial, name="w", use_resource=True, dtype=dtype))

    with session(graph_of(build)) as sess:
        report = ckptfast.restore(sess, path)
        found = sess.run(made[0]._graph_element)
        assert report.nbytes == stored.nbytes
        assert found.dtype == stored.dtype
        assert found.shape == stored.shape
        assert found.tobytes() == stored.tobytes()


@BOTH
def test_strings(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    text = np.array([[b"", b"\0a\0"], [b"x" * 100_000, "ü".encode()]], object)

    def build() -> None:
        variable("text", tf.constant(text), resource=resource)
        variable("scalar", tf.constant(b"alone"), resource=resource)
        variable("empty", tf.zeros([0, 2], tf.string), resource=resource)

    graph = graph_of(build)
    path, expected = saved(graph, tmp_path / "model")
    with session(graph) as sess:
        ckptfast.restore(sess, path)
        found = values_of(sess)
    assert found["text"].tolist() == text.tolist() == expected["text"].tolist()
    assert found["scalar"] == b"alone"
    assert found["empty"].shape == (0, 2)


def test_a_tensor_of_more_than_2_gib(tf: ModuleType, tmp_path: Path) -> None:
    size = (1 << 31) + 3
    value = np.zeros(size, np.uint8)
    value[-1] = 9
    path = write(tmp_path / "model", {"w": value})
    del value
    made: list[Any] = []

    def build() -> None:
        zeros = v1().zeros_initializer()
        made.append(v1().get_variable("w", [size], tf.uint8, zeros, use_resource=True))
        made.append(made[0][-3:])

    with removed(path), session(graph_of(build)) as sess:
        assert ckptfast.restore(sess, path).nbytes == size
        assert sess.run(made[1]).tolist() == [0, 0, 9]


# ------------------------------------------------------------- other objects, checkpoints, sessions


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


def test_hooks_of_a_monitored_session_do_not_run(tf: ModuleType, tmp_path: Path) -> None:
    runs: list[object] = []

    class Hook(v1().train.SessionRunHook):  # type: ignore[misc]
        def before_run(self, context: Any) -> None:
            runs.append(context)

    graph = graph_of(lambda: (small_model(True), v1().train.get_or_create_global_step()))
    path, expected = saved(graph, tmp_path / "model")
    graph = graph_of(lambda: (small_model(True), v1().train.get_or_create_global_step()))
    with graph.as_default(), v1().train.MonitoredSession(hooks=[Hook()]) as sess:
        runs.clear()
        ckptfast.restore(sess, path)
        assert runs == []
        assert_same(values_of(sess), expected)


def test_two_sessions_of_one_graph_hold_their_own_values(tf: ModuleType, tmp_path: Path) -> None:
    graph = graph_of(lambda: variable("w", np.zeros(64, np.float32)))
    paths = [write(tmp_path / f"m{n}", {"w": np.full(64, n, np.float32)}) for n in (1, 2)]
    with session(graph) as one, session(graph) as two:
        ckptfast.restore(one, paths[0])
        ckptfast.restore(two, paths[1])
        assert values_of(one)["w"][0] == 1
        assert values_of(two)["w"][0] == 2


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


def test_the_report_prints_as_a_table(tf: ModuleType, tmp_path: Path) -> None:
    graph = graph_of(lambda: variable("w", np.zeros(64, np.float32)))
    tensors = {"w": np.zeros(64, np.float32)} | {f"x{n}": np.float32(n) for n in range(7)}
    path = write(tmp_path / "model", tensors)
    with session(graph) as sess:
        lines = str(ckptfast.restore(sess, path)).splitlines()
    assert lines[0] == path
    assert lines[1].split()[:2] == ["restored", "1"]
    assert lines[-1].split(maxsplit=2) == ["unexpected", "7", "x0, x1, x2, x3, x4 and 2 more"]
