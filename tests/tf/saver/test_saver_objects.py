"""Things other than variables, and variables that are not plain (C8 of the inventory)."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest


def test_hash_tables(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    keys = tf.constant(["x", "y", "z"])
    saver = Saver({"table": table})
    with v1.Session() as session:
        session.run(table.insert(["x", "y"], [1, 2]))
        prefix = saver.save(session, "./m", write_meta_graph=False)
        session.run(table.insert(["x", "z"], [8, 9]))
        saver.restore(session, prefix)
        assert session.run(table.lookup(keys)).tolist() == [1, 2, -1]
    assert [name for name, _ in tf.train.list_variables(prefix)] == ["table-keys", "table-values"]


def test_iterators(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    """Their state is a variant, which TensorFlow alone can take apart."""
    iterator = v1.data.make_initializable_iterator(tf.data.Dataset.range(100))
    following = iterator.get_next()
    saveable = tf.data.experimental.make_saveable_from_iterator(iterator)
    variable = v1.get_variable("a", initializer=[1.0])
    v1.add_to_collection(v1.GraphKeys.SAVEABLE_OBJECTS, saveable)
    saver = Saver()
    with v1.Session() as session:
        session.run([iterator.initializer, variable.initializer])
        assert [session.run(following) for _ in range(3)] == [0, 1, 2]
        prefix = saver.save(session, "./m", write_meta_graph=False)
        assert [session.run(following) for _ in range(3)] == [3, 4, 5]
        nodes = len(v1.get_default_graph().get_operations())
        saver.restore(session, prefix)
        assert [session.run(following) for _ in range(3)] == [3, 4, 5]
        assert len(v1.get_default_graph().get_operations()) == nodes
        v1.train.Saver().restore(session, prefix)
        assert session.run(following) == 3


def test_a_saveable_object(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    from tensorflow.python.training.saving import saveable_object

    a = v1.get_variable("a", initializer=[1.0, 2.0])

    class Negated(saveable_object.SaveableObject):  # type: ignore[misc]
        def __init__(self) -> None:
            spec = saveable_object.SaveSpec(-a.value(), "", "negated")
            super().__init__(a, [spec], "negated")

        def restore(self, restored_tensors: Any, restored_shapes: Any) -> Any:
            return a.assign(-restored_tensors[0])

    saver = Saver([Negated()])
    with v1.Session() as session:
        session.run(a.initializer)
        prefix = saver.save(session, "./m", write_meta_graph=False)
        session.run(a.assign([0.0, 0.0]))
        saver.restore(session, prefix)
        assert session.run(a).tolist() == [1.0, 2.0]
    assert tf.train.load_variable(prefix, "negated").tolist() == [-1.0, -2.0]


DTYPES = (
    *("float16", "bfloat16", "float32", "float64", "complex64", "complex128", "bool"),
    *("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"),
    *("float8_e5m2", "float8_e4m3fn", "qint8", "quint8", "qint32"),
)


@pytest.mark.parametrize("resource", [True, False], ids=["resource", "reference"])
@pytest.mark.parametrize("name", DTYPES)
def test_types(Saver: Any, v1: Any, tf: ModuleType, here: Path, name: str, resource: bool) -> None:
    if name.startswith("float8") and not resource:
        return  # TensorFlow has no such variables
    dtype = tf.as_dtype(name)
    plain = numpy.array([[0, 1], [1, 0], [1, 1]])
    value = plain.astype(dtype.as_numpy_dtype) if not name.startswith("q") else None
    if value is None:
        value = numpy.zeros((3, 2), dtype.as_numpy_dtype)
        value[1, 0] = (1,)
    variable = v1.get_variable("v", initializer=tf.constant(value, dtype), use_resource=resource)
    saver = Saver()
    with v1.Session() as session:
        session.run(variable.initializer)
        prefix = saver.save(session, "./m", write_meta_graph=False)
    with v1.Session() as session:
        saver.restore(session, prefix)
        found = session.run(variable)
        v1.train.Saver().restore(session, prefix)
    assert found.shape == value.shape
    assert found.tobytes() == value.tobytes()


@pytest.mark.parametrize("resource", [True, False])
def test_scalars_and_empty_tensors(
    Saver: Any, v1: Any, tf: ModuleType, here: Path, resource: bool
) -> None:
    values = {"a": 1.5, "b": numpy.zeros((0, 3), numpy.float32), "c": b"x\0", "d": numpy.int64(7)}
    variables = {
        name: v1.get_variable(name, initializer=value, use_resource=resource)
        for name, value in values.items()
    }
    saver = Saver()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        prefix = saver.save(session, "./m", write_meta_graph=False)
    with v1.Session() as session:
        saver.restore(session, prefix)
        found = session.run(variables)
    assert found["a"] == 1.5
    assert found["b"].shape == (0, 3)
    assert found["c"] == b"x\0"
    assert found["d"] == 7


def test_variables_of_a_distribution_strategy(
    Saver: Any, v1: Any, tf: ModuleType, here: Path
) -> None:
    devices = ["/cpu:0", "/cpu:1"]
    strategy = tf.compat.v1.distribute.MirroredStrategy(devices)
    with strategy.scope():
        mirrored = v1.get_variable("m", initializer=[1.0, 2.0], use_resource=True)
        summed = v1.get_variable(
            "s",
            initializer=[4.0],
            use_resource=True,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
        )
    saver = Saver([mirrored, summed])
    copies = [*mirrored.values]
    with v1.Session(config=v1.ConfigProto(device_count={"CPU": 2})) as session:
        session.run([variable.initializer for variable in (*copies, *summed.values)])
        prefix = saver.save(session, "./m", write_meta_graph=False)
        assert tf.train.load_variable(prefix, "s").tolist() == [8.0]
        session.run([copy.assign([0.0, 0.0]) for copy in copies])
        saver.restore(session, prefix)
        assert [value.tolist() for value in session.run(copies)] == [[1.0, 2.0]] * 2


def test_a_hash_table_in_a_finalized_graph(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    insert = table.insert(["x"], [1])
    saver = Saver({"table": table})
    v1.get_default_graph().finalize()
    with v1.Session() as session:
        session.run(insert)
        saver.restore(session, saver.save(session, "./m"))
    with tf.Graph().as_default():
        v1.train.import_meta_graph("m.meta")


def test_a_saver_of_a_finalized_graph_says_what_its_meta_graph_lacks(
    FastSaver: Any, v1: Any, tf: ModuleType, here: Path
) -> None:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    FastSaver([table])  # now the nodes that save it are there
    v1.get_default_graph().finalize()
    with pytest.raises(RuntimeError, match="finalized"):
        FastSaver([table]).export_meta_graph()


def test_a_saver_adds_the_nodes_of_a_hash_table_twice(Saver: Any, v1: Any, tf: ModuleType) -> None:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    before = _exports(v1)
    Saver({"table": table}).as_saver_def()
    assert _exports(v1) - before == 1


def _exports(v1: Any) -> int:
    nodes = v1.get_default_graph().as_graph_def().node
    return sum(node.op == "LookupTableExportV2" for node in nodes)


@pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])
@pytest.mark.parametrize("finalized", [False, True])
def test_a_save_spec_holds_a_variable(
    Saver: Any, v1: Any, tf: ModuleType, here: Path, resource: bool, finalized: bool
) -> None:
    saver = Saver([_held(v1, resource, lambda a: a), v1.get_variable("b", [2])])
    initializer = v1.global_variables_initializer()
    if finalized:
        v1.get_default_graph().finalize()
    # With two devices it is TensorFlow that puts `b` somewhere, so values are fetched.
    with v1.Session(config=v1.ConfigProto(device_count={"CPU": 2})) as session:
        session.run(initializer)
        saver.save(session, "./m", write_meta_graph=False)
    assert tf.train.load_variable("./m", "held").tolist() == [1.0, 2.0]


def test_a_step_gets_into_the_snapshot_of_an_object(
    FastSaver: Any, v1: Any, tf: ModuleType, here: Path
) -> None:
    """An `Identity` of a reference variable is a view of it."""
    held = _held(v1, False, tf.identity)
    step = v1.assign_add(held.op, [1.0, 1.0])
    saver = FastSaver([held])
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        (taken,) = saver._snapshots.take(session)
        session.run(step)
        assert taken.tolist() == [1.0, 2.0]


def _held(v1: Any, resource: bool, value: Any) -> Any:
    """A `SaveableObject` that saves `value` of a variable."""
    from tensorflow.python.training.saving import saveable_object

    class Held(saveable_object.SaveableObject):  # type: ignore[misc]
        def restore(self, restored_tensors: Any, restored_shapes: Any) -> Any:
            return v1.assign(self.op, restored_tensors[0])

    a = v1.get_variable("a", initializer=[1.0, 2.0], use_resource=resource)
    spec = saveable_object.SaveSpec(value(a), "", "held", dtype=a.dtype.base_dtype)
    return Held(a, [spec], "held")
