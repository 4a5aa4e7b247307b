"""Object-based checkpoints: what `save` and `write` leave on disk, TensorFlow's class and ours."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from object_cases import assert_same, checkpoint_class, contents, net, run, values

import ckptfast

WRITERS = ("tensorflow", "ckptfast")
GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"


def fallbacks() -> dict[str, int]:
    return dict(ckptfast.stats().fallbacks)


@pytest.fixture(params=WRITERS)
def Checkpoint(request: pytest.FixtureRequest, tf: ModuleType) -> Any:
    return checkpoint_class(request.param)


def test_our_class_is_one_of_tensorflows(tf: ModuleType) -> None:
    assert issubclass(checkpoint_class("ckptfast"), tf.train.Checkpoint)


def test_both_write_the_same_tensors_and_object_graph(tf: ModuleType, tmp_path: Path) -> None:
    root = net(tf, 3)
    before = fallbacks()
    written = {}
    for who in WRITERS:
        prefix = checkpoint_class(who)(root, extra=tf.Variable(7)).write(str(tmp_path / who / "c"))
        written[who] = contents(prefix)
    assert written["ckptfast"] == written["tensorflow"]
    assert len(written["ckptfast"]) > 8
    assert fallbacks() == before


def test_save_counts_and_names_only_the_newest(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(v=tf.Variable(1.0))
    paths = [checkpoint.save(str(tmp_path / "c")) for _ in range(2)]
    assert paths == [str(tmp_path / "c-1"), str(tmp_path / "c-2")]
    assert (tmp_path / "checkpoint").read_text() == (
        'model_checkpoint_path: "c-2"\nall_model_checkpoint_paths: "c-2"\n'
    )
    assert ckptfast.load(paths[1])["save_counter/.ATTRIBUTES/VARIABLE_VALUE"] == 2
    assert tf.train.latest_checkpoint(tmp_path) == paths[1]


def test_write_leaves_counter_and_state_file_alone(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(v=tf.Variable(1.0))
    assert checkpoint.write(tmp_path / "new" / "folder" / "c") == str(tmp_path / "new/folder/c")
    assert not (tmp_path / "new" / "folder" / "checkpoint").exists()
    assert sorted(contents(str(tmp_path / "new/folder/c"))) == [
        GRAPH,
        "v/.ATTRIBUTES/VARIABLE_VALUE",
    ]


def test_a_change_of_the_object_graph_between_saves_is_seen(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    root = tf.Module()
    root.a = tf.Variable(1.0)
    root.items = [tf.Variable(2.0)]
    checkpoint = Checkpoint(root)
    prefix = str(tmp_path / "c")
    checkpoint.write(prefix)
    root.a = tf.Variable(10.0)  # another object under the same name
    root.items.append(tf.Variable(3.0))
    checkpoint.write(prefix)
    found = contents(prefix)
    assert found["a/.ATTRIBUTES/VARIABLE_VALUE"] == 10.0
    assert found["items/1/.ATTRIBUTES/VARIABLE_VALUE"] == 3.0
    assert len(found) == 4


def test_values_of_the_last_save_are_not_kept(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    v = tf.Variable(np.zeros(5, "float32"))
    checkpoint = Checkpoint(v=v)
    for step in range(3):
        v.scatter_update(tf.IndexedSlices(tf.constant([float(step)]), tf.constant([step])))
        v.assign_add(tf.ones(5))
        prefix = checkpoint.write(str(tmp_path / "c"))
        assert contents(prefix)["v/.ATTRIBUTES/VARIABLE_VALUE"] == v.numpy().tolist()


def test_tables_python_state_and_generators_are_saved(tf: ModuleType, tmp_path: Path) -> None:
    class State(tf.train.experimental.PythonState):  # type: ignore[misc]
        def serialize(self) -> str:
            return "state"

        def deserialize(self, string_value: str) -> None:
            raise AssertionError(string_value)

    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    table.insert(["a", "b"], tf.constant([1, 2], tf.int64))
    objects = {
        "table": table,
        "state": State(),
        "random": tf.random.Generator.from_seed(3),
        "iterator": iter(tf.data.Dataset.range(9)),
    }
    written = []
    for who in WRITERS:
        prefix = checkpoint_class(who)(**objects).write(str(tmp_path / who))
        found = contents(prefix)
        for name in found:
            if "table" in name:
                found[name] = sorted(found[name])
        written.append({name: item for name, item in found.items() if "iterator" not in name})
        assert any("iterator" in name for name in found)
    assert written[0] == written[1]


def test_an_object_that_gives_variables_for_tensors_is_refused(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    class Part(tf.__internal__.tracking.AutoTrackable):  # type: ignore[misc]
        def __init__(self, value: float) -> None:
            self.given = {"number": value * tf.Variable(1.0), "array": tf.Variable([value, value])}

        def _trackable_children(self, *_: Any, **__: Any) -> dict[str, Any]:
            return {}

        def _serialize_to_tensors(self) -> dict[str, Any]:
            return dict(self.given)

        def _restore_from_tensors(self, restored_tensors: dict[str, Any]) -> None:
            self.given = restored_tensors

    path = Checkpoint(part=Part(3.0)).write(str(tmp_path / "c"))
    other = Part(0.0)
    Checkpoint(part=other).read(path).assert_consumed()
    found = {name: tensor.numpy().tolist() for name, tensor in other.given.items()}
    assert found == {"number": 3.0, "array": [3.0, 3.0]}

    for wrong in (tf.ragged.constant([[1], [2, 3]]), tf.sparse.from_dense([1, 0]), [1.0], None):
        other.given = {"x": wrong}
        with pytest.raises(AttributeError, match="has no attribute"):
            Checkpoint(part=other).write(str(tmp_path / "r"))
    assert not (tmp_path / "r.index").exists()


def test_an_uninitialized_variable_is_in_the_graph_without_a_value(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    from tensorflow.python.ops.resource_variable_ops import UninitializedVariable

    checkpoint = Checkpoint(
        v=tf.Variable(1.0), u=UninitializedVariable(shape=[2], dtype=tf.float32, trainable=True)
    )
    prefix = checkpoint.write(str(tmp_path / "c"))
    assert sorted(contents(prefix)) == [GRAPH, "v/.ATTRIBUTES/VARIABLE_VALUE"]
    assert b"u/.ATTRIBUTES/VARIABLE_VALUE" in ckptfast.load(prefix)[GRAPH].item()


def test_a_sharding_policy_cuts_large_tensors(tf: ModuleType, tmp_path: Path) -> None:
    root = tf.Module()
    root.big = tf.Variable(np.arange(4096, dtype="float32").reshape(64, 64))
    root.small = tf.Variable(1.0)
    infos = []
    for who in WRITERS:
        policy = tf.train.experimental.MaxShardSizePolicy(max_shard_size=6000)
        options = tf.train.CheckpointOptions(experimental_sharding_callback=policy)
        prefix = checkpoint_class(who)(root).write(str(tmp_path / who), options=options)
        with ckptfast.open(prefix) as reader:
            infos.append((reader.num_shards, {name: reader.info(name).slices for name in reader}))
        fresh = tf.Module()
        fresh.big = tf.Variable(np.zeros((64, 64), "float32"))
        for reading in WRITERS:
            checkpoint_class(reading)(fresh).read(prefix).expect_partial()
            assert (fresh.big.numpy() == root.big.numpy()).all()
            fresh.big.assign(tf.zeros((64, 64)))
    assert infos[0] == infos[1]
    assert infos[0][0] > 2


def test_a_sharding_policy_forgets_what_has_no_elements(tf: ModuleType, tmp_path: Path) -> None:
    root = tf.Module()
    root.big, root.empty = tf.Variable(np.ones((40, 40))), tf.Variable(np.zeros((0, 3)))
    policy = tf.train.experimental.MaxShardSizePolicy(max_shard_size=6000)
    options = tf.train.CheckpointOptions(experimental_sharding_callback=policy)
    prefix = checkpoint_class("ckptfast")(root).write(str(tmp_path / "c"), options=options)
    for reading in WRITERS:
        checkpoint_class(reading)(root).read(prefix).assert_consumed()


def test_a_sharding_callback_without_shards_makes_an_empty_checkpoint(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    class Nothing(tf.train.experimental.ShardingCallback):  # type: ignore[misc]
        @property
        def description(self) -> str:
            return "nothing"

        def __call__(self, shardable_tensors: Any) -> list[Any]:
            return []

    options = tf.train.CheckpointOptions(experimental_sharding_callback=Nothing())
    with pytest.raises(tf.errors.InvalidArgumentError):
        Checkpoint(v=tf.Variable(1.0)).write(str(tmp_path / "c"), options=options)
    assert not (tmp_path / "c.index").exists()


def test_callbacks_run_after_the_files_are_there(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    seen = []
    options = tf.train.CheckpointOptions(
        experimental_write_callbacks=[
            lambda path: seen.append((path, Path(f"{path}.index").exists())),
            lambda: seen.append("no argument"),
        ]
    )
    path = Checkpoint(v=tf.Variable(1.0)).save(str(tmp_path / "c"), options=options)
    assert seen == [(path, True), "no argument"]
    assert len(options.experimental_write_callbacks) == 2


def test_a_local_io_device_is_taken(Checkpoint: Any, tf: ModuleType, tmp_path: Path) -> None:
    v = tf.Variable(4.0)
    options = tf.train.CheckpointOptions(experimental_io_device="/job:localhost")
    path = Checkpoint(v=v).write(str(tmp_path / "c"), options=options)
    v.assign(0.0)
    Checkpoint(v=v).read(path, options=options).assert_consumed()
    assert v.numpy() == 4.0


def test_save_in_a_function_is_refused_and_write_works(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    v = tf.Variable(4.0)
    checkpoint = Checkpoint(v=v)
    with pytest.raises(NotImplementedError, match="from a function is not supported"):
        tf.function(lambda: checkpoint.save(str(tmp_path / "c")))()
    tf.function(lambda: (checkpoint.write(str(tmp_path / "w")), 0)[1])()
    assert contents(str(tmp_path / "w"))["v/.ATTRIBUTES/VARIABLE_VALUE"] == 4.0


def test_a_session_saves_and_restores(Checkpoint: Any, tf: ModuleType, tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        v = v1.get_variable("v", initializer=[1.0, 2.0], use_resource=True)
        checkpoint = Checkpoint(v=v)
        session.run(v1.global_variables_initializer())
        path = checkpoint.save(str(tmp_path / "c"))
        session.run(v.assign([0.0, 0.0]))
        checkpoint.restore(path).assert_consumed().run_restore_ops()
        assert session.run(v).tolist() == [1.0, 2.0]


def test_registered_savers_run(Checkpoint: Any, tf: ModuleType, tmp_path: Path) -> None:
    calls = []

    class Part(tf.__internal__.tracking.AutoTrackable):  # type: ignore[misc]
        pass

    package = f"ckptfast{id(Part)}"
    tf.train.Checkpoint  # noqa: B018 - the registry lives beside it
    from tensorflow.python.saved_model.registration import registration

    registration.register_checkpoint_saver(
        package=package,
        name="part",
        predicate=lambda obj: type(obj) is Part,
        save_fn=lambda trackables, file_prefix: calls.append(sorted(trackables)) or [],
        restore_fn=lambda trackables, merged_prefix: calls.append("restored"),
    )
    checkpoint = Checkpoint(part=Part(), v=tf.Variable(2.0))
    path = checkpoint.write(str(tmp_path / "c"))
    checkpoint.read(path).assert_consumed()
    assert calls == [["part"], "restored"]


def test_a_mirrored_strategy_saves_and_restores(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        v = tf.Variable([1.0, 2.0])
        total = tf.Variable(
            3.0, synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.SUM,
        )  # fmt: skip
    checkpoint = Checkpoint(v=v, total=total)
    path = checkpoint.save(str(tmp_path / "c"))
    v.assign([0.0, 0.0])
    total.assign(0.0)
    checkpoint.restore(path).assert_consumed()
    assert v.numpy().tolist() == [1.0, 2.0]
    assert total.numpy() == 3.0


@pytest.mark.parametrize(("writer", "reader"), [WRITERS, WRITERS[::-1]])
def test_files_cross_between_processes(
    tf: ModuleType, tmp_path: Path, writer: str, reader: str
) -> None:
    root = net(tf, 5)
    prefix = str(tmp_path / "c")
    here = checkpoint_class(reader)
    run(
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        import tensorflow as tf
        from object_cases import checkpoint_class, net
        checkpoint_class(sys.argv[2])(net(tf, 9)).save(sys.argv[3])
        """,
        str(Path(__file__).parent),
        writer,
        prefix,
    )
    here(root).restore(f"{prefix}-1").assert_consumed()
    assert_same(values(root), values(net(tf, 9)))


def test_what_was_configured_is_for_savers_only(tf: ModuleType, tmp_path: Path) -> None:
    checkpoint = ckptfast.Checkpoint(v=tf.Variable(b"x"), w=tf.Variable([1.0, 2.0]))
    offsets = []
    try:
        for align in (1, 64):
            ckptfast.configure(align=align)
            path = checkpoint.write(str(tmp_path / f"m{align}"))
            with ckptfast.open(path) as reader:
                offsets.append(reader.info("w/.ATTRIBUTES/VARIABLE_VALUE").offset)
    finally:
        ckptfast.configure(align=64)
    assert offsets[0] % 64 != 0
    assert offsets[1] % 64 == 0
