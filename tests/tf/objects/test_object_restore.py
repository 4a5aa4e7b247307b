"""Object-based checkpoints: what `restore` and `read` do, TensorFlow's class and ours."""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from object_cases import assert_same, checkpoint_class, contents, hashes, net, values

import ckptfast
from ckptfast._object_graph import KEY
from helpers.object_graph import child, graph, value

READERS = ("tensorflow", "ckptfast")
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture(params=READERS)
def Checkpoint(request: pytest.FixtureRequest, tf: ModuleType) -> Any:
    return checkpoint_class(request.param)


def flip_last_byte(prefix: str) -> None:
    (path,) = Path(prefix).parent.glob(f"{Path(prefix).name}.data-*")
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def test_every_kind_of_variable_comes_back(Checkpoint: Any, tf: ModuleType, tmp_path: Path) -> None:
    old, new = net(tf, 4), net(tf, 6)
    for writer in READERS:
        prefix = checkpoint_class(writer)(old).write(str(tmp_path / writer))
        Checkpoint(new).read(prefix).assert_consumed()
        assert_same(values(new), values(old))
        for variable in new.variables:
            if variable.dtype != tf.bool:
                variable.assign(tf.zeros_like(variable))


def test_an_aligned_file_becomes_the_variables_memory(tf: ModuleType, tmp_path: Path) -> None:
    Checkpoint = checkpoint_class("ckptfast")
    v = tf.Variable(np.arange(1 << 16, dtype="float32"))
    prefix = Checkpoint(v=v).write(str(tmp_path / "c"))
    before = ckptfast.stats()
    Checkpoint(v=v).read(prefix).assert_consumed()
    assert ckptfast.stats().bytes_aliased - before.bytes_aliased >= 1 << 18


@pytest.mark.parametrize("installed", [False, True])
def test_a_missing_data_file_is_taken_for_a_wrong_path(
    tf: ModuleType, tmp_path: Path, installed: bool
) -> None:
    prefix = tf.train.Checkpoint(v=tf.Variable(1.0)).save(str(tmp_path / "c"))
    (data,) = tmp_path.glob("*.data-*")
    data.unlink()
    with ckptfast.install() if installed else contextlib.nullcontext():
        checkpoint = checkpoint_class("tensorflow" if installed else "ckptfast")(v=tf.Variable(2.0))
        with pytest.raises(tf.errors.NotFoundError) as caught:
            checkpoint.restore(prefix)
        text = str(caught.value)
        assert text.startswith("Error when restoring from checkpoint or SavedModel at")
        assert f"'{data}'" in text
        assert "this data file is missing, and the index names it: copy it there too" in text
        assert "suffix" not in text
        with pytest.raises(tf.errors.NotFoundError, match="this data file is missing") as read:
            checkpoint.read(prefix)
        assert isinstance(read.value, FileNotFoundError)
        with pytest.raises(tf.errors.NotFoundError, match="You may be missing the checkpoint suff"):
            checkpoint.restore(str(tmp_path / "c"))
    assert checkpoint.v.numpy() == 2.0


def test_objects_that_are_made_later_are_restored_then(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    root = tf.Module()
    root.child = tf.Module()
    root.child.v = tf.Variable([1.0, 2.0])
    prefix = Checkpoint(root).write(str(tmp_path / "c"))
    late = tf.Module()
    status = Checkpoint(late).read(prefix)
    status.assert_existing_objects_matched()
    with pytest.raises(AssertionError, match="Unresolved object in checkpoint"):
        status.assert_consumed()
    late.child = tf.Module()
    late.child.v = tf.Variable([0.0, 0.0])
    assert late.child.v.numpy().tolist() == [1.0, 2.0]
    status.assert_consumed()


def test_a_layer_is_restored_when_it_is_built(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    layer = tf.keras.layers.Dense(3)
    layer.build((None, 2))
    layer.bias.assign([1.0, 2.0, 3.0])
    prefix = Checkpoint(layer=layer).write(str(tmp_path / "c"))
    fresh = tf.keras.layers.Dense(3)
    status = Checkpoint(layer=fresh).read(prefix)
    fresh.build((None, 2))
    status.assert_consumed()
    assert fresh.kernel.numpy().tolist() == layer.kernel.numpy().tolist()
    assert fresh.bias.numpy().tolist() == [1.0, 2.0, 3.0]


def test_slot_variables_come_back_and_can_be_skipped(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    def trained(value: float) -> tuple[Any, Any]:
        v = tf.Variable([value, value])
        optimizer = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
        optimizer.apply_gradients([(tf.constant([value, 1.0]), v)])
        return v, optimizer

    v, optimizer = trained(3.0)
    prefix = Checkpoint(v=v, optimizer=optimizer).write(str(tmp_path / "c"))
    assert "v/.OPTIMIZER_SLOT/optimizer/momentum" + VALUE in ckptfast.load(prefix)
    for skip in (False, True):
        w, other = trained(5.0)
        options = tf.train.CheckpointOptions(experimental_skip_slot_variables=skip)
        Checkpoint(v=w, optimizer=other).read(
            prefix, options=options
        ).assert_existing_objects_matched()
        expected = 5.0 if skip else 3.0
        assert other.get_slot(w, "momentum").numpy()[0] == expected
        assert w.numpy().tolist() == v.numpy().tolist()


@pytest.mark.parametrize("who", READERS)
def test_an_object_that_cannot_be_restored_leaves_variables_changed(
    tf: ModuleType, tmp_path: Path, who: str
) -> None:
    class Part(tf.__internal__.tracking.AutoTrackable):  # type: ignore[misc]
        def __init__(self) -> None:
            self.own = tf.Variable(1.0)

        def _serialize_to_tensors(self) -> dict[str, Any]:
            return {"number": tf.constant(3.0)}

        def _restore_from_tensors(self, restored_tensors: dict[str, Any]) -> None:
            self.own.assign(7.0)  # what the checkpoint has for the variable counts
            if fails:
                raise RuntimeError("not today")

    fails = False
    variables = {"a": tf.Variable(1.0), "z": tf.Variable(1.0)}
    part = Part()
    checkpoint = checkpoint_class(who)(part=part, **variables)
    path = checkpoint.write(str(tmp_path / "c"))
    for variable in (*variables.values(), part.own):
        variable.assign(2.0)
    fails = True
    with pytest.raises(RuntimeError, match="not today"):
        checkpoint.read(path)
    # TensorFlow restores in the order of the walk, and stops in the middle.
    left = {name: variable.numpy() for name, variable in variables.items()}
    assert left == {"a": 1.0 if who == "tensorflow" else 2.0, "z": 2.0}
    fails = False
    checkpoint.read(path).assert_consumed()
    assert [v.numpy() for v in (*variables.values(), part.own)] == [1.0, 1.0, 1.0]


def test_tables_and_python_state_come_back(Checkpoint: Any, tf: ModuleType, tmp_path: Path) -> None:
    class State(tf.train.experimental.PythonState):  # type: ignore[misc]
        def __init__(self, text: str) -> None:
            self.text = text

        def serialize(self) -> str:
            return self.text

        def deserialize(self, string_value: Any) -> None:
            self.text = bytes(string_value).decode()

    def objects(value: int) -> dict[str, Any]:
        table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
        table.insert(["a"], tf.constant([value], tf.int64))
        iterator = iter(tf.data.Dataset.range(9))
        for _ in range(value):
            next(iterator)
        return {"table": table, "state": State(str(value)), "iterator": iterator}

    old, new = objects(3), objects(5)
    for writer in READERS:
        prefix = checkpoint_class(writer)(**old).write(str(tmp_path / writer))
        Checkpoint(**new).read(prefix).assert_consumed()
        assert new["table"].lookup(tf.constant(["a"])).numpy().tolist() == [3]
        assert new["state"].text == "3"
        assert next(new["iterator"]).numpy() == 3


def test_shards_of_a_variable_are_mixed_up(Checkpoint: Any, tf: ModuleType, tmp_path: Path) -> None:
    from tensorflow.python.distribute.sharded_variable import ShardedVariable

    def sharded(*rows: int, dtype: str = "float32") -> Any:
        return ShardedVariable(
            [
                tf.Variable(tf.zeros([size, 3], dtype), name=f"v/part_{at}")
                for at, size in enumerate(rows)
            ]
        )

    old = sharded(4, 2, 3)
    for at, shard in enumerate(old.variables):
        shard.assign_add(
            tf.reshape(tf.range(shard.shape.num_elements(), dtype="float32"), [-1, 3]) + at
        )
    whole = np.concatenate([shard.numpy() for shard in old.variables])
    paths = [checkpoint_class(who)(v=old).write(str(tmp_path / who)) for who in READERS]
    before = ckptfast.stats().fallbacks
    for path in paths:
        for rows in ((4, 2, 3), (1, 7, 1), (9,)):
            new = sharded(*rows)
            Checkpoint(v=new).read(path).assert_consumed()
            found = np.concatenate([shard.numpy() for shard in new.variables])
            assert found.tolist() == whole.tolist()
    assert ckptfast.stats().fallbacks == before
    for other in (sharded(4, 4), sharded(4, 2, 3, dtype="float64")):
        with pytest.raises(tf.errors.InvalidArgumentError):
            Checkpoint(v=other).read(path)


def test_a_damaged_object_graph_is_not_walked(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    sound = graph([child(1, "v"), value(f"v{VALUE}")])
    for name, message in {"torn": sound[:-3], "text": b"\xff\xff"}.items():
        path = ckptfast.save(tmp_path / name, {KEY: message, f"v{VALUE}": np.float32(1)})
        v = tf.Variable(0.0)
        with pytest.raises(DecodeError):
            Checkpoint(v=v).read(path)
        assert v.numpy() == 0.0


def test_a_damaged_object_graph_is_named(tf: ModuleType, tmp_path: Path) -> None:
    Checkpoint = checkpoint_class("ckptfast")
    elsewhere = graph([child(1, "v") + child(7, "w"), value(f"v{VALUE}")])
    for name, message in {"x": b"\xff", "empty": b"", "far": elsewhere, "number": 3.5}.items():
        path = ckptfast.save(tmp_path / name, {KEY: message, f"v{VALUE}": np.float32(1)})
        v = tf.Variable(0.0)
        with pytest.raises(ckptfast.DataLossError, match=rf"{name}: the object graph.*") as caught:
            Checkpoint(v=v).read(path)
        assert isinstance(caught.value, DecodeError)
        assert (caught.value.path, caught.value.key) == (path, KEY)
        assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
        assert v.numpy() == 0.0


def test_no_path_initializes_only(Checkpoint: Any, tf: ModuleType) -> None:
    status = Checkpoint(v=tf.Variable(1.0)).restore(None)
    with pytest.raises(AssertionError, match="No checkpoint specified"):
        status.assert_consumed()


def test_a_path_without_files_says_what_may_be_missing(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(v=tf.Variable(1.0))
    with pytest.raises(
        tf.errors.NotFoundError,
        match=r"Error when restoring from checkpoint or SavedModel at .*nothing[^$]*"
        "You may be missing the checkpoint suffix",
    ):
        checkpoint.restore(str(tmp_path / "nothing"))
    with pytest.raises(tf.errors.NotFoundError, match="Failed to find any matching files"):
        checkpoint.read(str(tmp_path / "nothing"))
    for method in (checkpoint.restore, checkpoint.read):
        with pytest.raises(tf.errors.NotFoundError, match="Failed to find any matching files"):
            method("")


def test_a_directory_is_not_a_prefix(Checkpoint: Any, tf: ModuleType, tmp_path: Path) -> None:
    checkpoint = Checkpoint(v=tf.Variable(1.0))
    checkpoint.save(str(tmp_path / "c"))
    with pytest.raises(
        tf.errors.DataLossError, match=r"Unable to open table file .*Is a directory"
    ):
        checkpoint.restore(str(tmp_path))


def test_a_saved_models_directory_is_restored(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    root = tf.Module()
    root.v = tf.Variable([1.0, 2.0])
    tf.saved_model.save(root, str(tmp_path / "model"))
    fresh = tf.Module()
    fresh.v = tf.Variable([0.0, 0.0])
    Checkpoint(fresh).restore(str(tmp_path / "model")).expect_partial()
    assert fresh.v.numpy().tolist() == [1.0, 2.0]


def test_a_wrong_shape_is_refused(Checkpoint: Any, tf: ModuleType, tmp_path: Path) -> None:
    prefix = Checkpoint(v=tf.Variable(np.zeros((30, 10)))).write(str(tmp_path / "c"))
    v = tf.Variable(np.ones(2))
    with pytest.raises(
        ValueError,
        match=r"Received incompatible tensor with shape \(30, 10\) when attempting to restore "
        r"variable with shape \(2,\) and name Variable:0\.",
    ):
        Checkpoint(v=v).read(prefix)
    assert v.numpy().tolist() == [1.0, 1.0]


def test_a_wrong_type_is_refused(Checkpoint: Any, tf: ModuleType, tmp_path: Path) -> None:
    prefix = Checkpoint(v=tf.Variable([1.0]), w=tf.Variable(2)).write(str(tmp_path / "c"))
    with pytest.raises(
        tf.errors.InvalidArgumentError,
        match=r"tensor_name = v/\.ATTRIBUTES/VARIABLE_VALUE; expected dtype int32 does not equal "
        "original dtype float",
    ):
        Checkpoint(v=tf.Variable([1, 2, 3]), w=tf.Variable(2)).read(prefix)


def test_damage_is_seen_before_a_variable_changes(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    a, b = tf.Variable(np.ones(100)), tf.Variable(np.ones(100))
    prefix = Checkpoint(a=a, b=b).write(str(tmp_path / "c"))
    a.assign(np.zeros(100))
    b.assign(np.zeros(100))
    flip_last_byte(prefix)
    with pytest.raises(tf.errors.DataLossError, match=r"[Cc]hecksum"):
        Checkpoint(a=a, b=b).read(prefix)
    assert not a.numpy().any() and not b.numpy().any()


def test_names_of_a_saver_are_matched(Checkpoint: Any, tf: ModuleType, tmp_path: Path) -> None:
    old = tf.Variable([1.0, 2.0], name="weights")
    path = tf.compat.v1.train.Saver([old]).save(None, str(tmp_path / "c"))
    new, other = tf.Variable([0.0, 0.0], name="weights"), tf.Variable(5.0, name="other")
    status = Checkpoint(new=new).restore(path)
    status.assert_consumed()
    assert new.numpy().tolist() == [1.0, 2.0]
    with pytest.raises(AssertionError, match="not restored"):
        Checkpoint(new=new, other=other).restore(path).assert_consumed()
    assert other.numpy() == 5.0


def test_deferred_values_survive_a_save_over_the_checkpoint(tf: ModuleType, tmp_path: Path) -> None:
    Checkpoint = checkpoint_class("ckptfast")
    root = tf.Module()
    root.v = tf.Variable(np.arange(1000.0))
    prefix = Checkpoint(root).write(str(tmp_path / "c"))
    late = tf.Module()
    Checkpoint(late).read(prefix).expect_partial()
    root.v.assign(np.zeros(1000))
    Checkpoint(root).write(prefix)
    late.v = tf.Variable(np.ones(1000))
    assert late.v.numpy().tolist() == np.arange(1000.0).tolist()


def test_a_save_in_between_fails_a_restore(
    tf: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ckptfast.tf.objects import _source

    root = tf.Module()
    root.a, root.b = tf.Variable(np.zeros(9000)), tf.Variable(np.zeros(9000))
    names = {"a/.ATTRIBUTES/VARIABLE_VALUE": root.a, "b/.ATTRIBUTES/VARIABLE_VALUE": root.b}
    policy = tf.train.experimental.MaxShardSizePolicy(50_000)  # files that are opened one by one
    options = tf.train.CheckpointOptions(experimental_sharding_callback=policy)
    checkpoint = checkpoint_class("ckptfast")(root)
    prefix = checkpoint.write(str(tmp_path / "c"), options=options)
    whole, saves = _source.Source.tensors, []

    def tensors(self: Any, *arguments: Any) -> Any:
        if len(saves) < 3:
            saves.append(1)
            for item in names.values():
                item.assign(np.full(9000, len(saves)))
            checkpoint.write(prefix, options=options)
        return whole(self, *arguments)

    monkeypatch.setattr(_source.Source, "tensors", tensors)
    other = tf.Module()
    other.a, other.b = tf.Variable(np.ones(9000)), tf.Variable(np.ones(9000))
    checkpoint_class("ckptfast")(other).read(prefix).assert_consumed()
    assert {*other.a.numpy(), *other.b.numpy()} == {3.0}
    saves.clear()
    found = ckptfast.load_tensors(prefix, list(names))
    assert {*found[next(iter(names))].numpy()} == {3.0}


def test_saving_over_the_file_that_variables_lie_in(tf: ModuleType, tmp_path: Path) -> None:
    Checkpoint = checkpoint_class("ckptfast")
    v = tf.Variable(np.arange(100_000.0))
    checkpoint = Checkpoint(v=v)
    prefix = checkpoint.write(str(tmp_path / "c"))
    for step in range(3):
        checkpoint.read(prefix).assert_consumed()
        assert v.numpy()[-1] == 99_999.0 + step
        v.assign_add(tf.ones_like(v))
        checkpoint.write(prefix)
    gc.collect()
    assert v.numpy()[0] == 3.0


@pytest.mark.parametrize("kind", ["sgd", "momentum", "adam", "embedding", "sparse adam"])
def test_a_hundred_steps_after_a_restore_are_tensorflows(
    tf: ModuleType, tmp_path: Path, kind: str
) -> None:
    def steps(who: str, prefix: str) -> list[bytes]:
        v = tf.Variable(np.zeros((64, 8), "float32"))
        w = tf.Variable(np.zeros(8, "float32"))
        optimizer = {
            "sgd": lambda: tf.keras.optimizers.SGD(0.1),
            "momentum": lambda: tf.keras.optimizers.SGD(0.1, momentum=0.9),
            "adam": lambda: tf.keras.optimizers.Adam(0.01),
            "embedding": lambda: tf.keras.optimizers.Adagrad(0.1),
            "sparse adam": lambda: tf.keras.optimizers.Adam(0.01),
        }[kind]()
        optimizer.build([v, w])
        checkpoint = checkpoint_class(who)(v=v, w=w, optimizer=optimizer)
        if not os.path.exists(f"{prefix}.index"):
            random = np.random.default_rng(0)
            v.assign(random.standard_normal((64, 8)).astype("float32"))
            w.assign(random.standard_normal(8).astype("float32"))
            checkpoint.write(prefix)
        checkpoint.read(prefix).assert_consumed()
        for step in range(100):
            with tf.GradientTape() as tape:
                rows = tf.gather(v, [step % 64, 3]) if kind in ("embedding", "sparse adam") else v
                loss = tf.reduce_sum(tf.square(rows * w - 1.0))
            optimizer.apply_gradients(zip(tape.gradient(loss, [v, w]), [v, w], strict=True))
        return [item.numpy().tobytes() for item in (v, w, *optimizer.variables)]

    prefix = str(tmp_path / "c")
    ours = steps("ckptfast", prefix)
    before = hashes(prefix)
    again = steps("ckptfast", prefix)
    theirs = steps("tensorflow", prefix)
    assert ours == again == theirs
    assert hashes(prefix) == before


@pytest.mark.parametrize("name", ["CyclicModule", "VarsAndArithmeticObjectGraph"])
def test_real_saved_models_restore_as_with_tensorflow(
    tf: ModuleType, real: Path, name: str
) -> None:
    folder = real / "tf-cc-saved-models" / name
    loaded = tf.saved_model.load(str(folder))
    found = tf.train.TrackableView(loaded).descendants()
    variables = [item for item in found if isinstance(item, tf.Variable)]
    expected = [item.numpy().tolist() for item in variables]
    for who in READERS:
        for item in variables:
            item.assign(tf.zeros_like(item))
        checkpoint_class(who)(loaded).read(str(folder / "variables/variables")).expect_partial()
        assert [item.numpy().tolist() for item in variables] == expected


def test_real_slots_restore(Checkpoint: Any, tf: ModuleType, real: Path) -> None:
    folder = real / "tf-optimizer-slot-module-snappy" / "OptimizerSlotVariableModule"
    v, optimizer = tf.Variable(0.0), tf.compat.v1.train.AdamOptimizer()
    Checkpoint(v=v, opt=optimizer).restore(folder).expect_partial()
    values = ckptfast.load(folder / "variables" / "variables")
    assert v.numpy() == values["v/.ATTRIBUTES/VARIABLE_VALUE"]
    for slot in ("m", "v"):
        stored = values[f"v/.OPTIMIZER_SLOT/opt/{slot}/.ATTRIBUTES/VARIABLE_VALUE"]
        assert optimizer.get_slot(v, slot).numpy() == stored != 0


def test_a_real_variable_without_a_value(Checkpoint: Any, tf: ModuleType, real: Path) -> None:
    folder = real / "tf-uninitialized-variable" / "UninitializedVariable"
    root = tf.Module()
    root.initialized_variable = tf.Variable(0.0)
    Checkpoint(root).restore(folder).expect_partial()
    assert root.initialized_variable.numpy() == 1.0
    other = tf.Module()
    other.uninitialized_variable = tf.Variable(0.0)
    with pytest.raises(tf.errors.NotFoundError, match="Key uninitialized_variable"):
        Checkpoint(other).restore(folder)


def test_a_real_table_restores(Checkpoint: Any, tf: ModuleType, real: Path) -> None:
    prefix = real / "tf-table-legacy-saveable" / "table_legacy_saveable_object"
    table = tf.lookup.experimental.DenseHashTable(
        tf.int64, tf.int64, default_value=-1, empty_key=0, deleted_key=-1
    )
    Checkpoint(lookup_table=table).read(prefix).assert_consumed()
    assert table.lookup(tf.constant([1, 2, 3], tf.int64)).numpy().tolist() == [1, 4, -1]


def test_wrong_types_are_told_before_a_wrong_shape(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    prefix = Checkpoint(a=tf.Variable([1.0]), b=tf.Variable(2)).write(str(tmp_path / "c"))
    a, b = tf.Variable([5.0, 5.0]), tf.Variable(2.0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected dtype float"):
        Checkpoint(a=a, b=b).read(prefix)
    assert a.numpy().tolist() == [5.0, 5.0]


def test_thousands_of_one_shape_get_each_others_values(tf: ModuleType, tmp_path: Path) -> None:
    root = tf.Module()
    root.many = [tf.Variable(np.full(3, number, "float32")) for number in range(4200)]
    root.more = [tf.Variable(np.full((2, number % 7 + 1), number)) for number in range(700)]
    root.text = tf.Variable(["a"])
    written = [variable.numpy().tolist() for variable in root.variables]
    assert len(written) == 4901
    prefixes = {who: checkpoint_class(who)(root).write(str(tmp_path / who)) for who in READERS}
    assert contents(prefixes["ckptfast"]) == contents(prefixes["tensorflow"])
    for who, prefix in prefixes.items():
        for variable in root.variables:
            variable.assign(tf.zeros_like(variable))
        checkpoint_class("ckptfast")(root).read(prefix).assert_consumed()
        assert [variable.numpy().tolist() for variable in root.variables] == written, who
    # They are variables like others: what follows changes no other one, and no file.
    before = hashes(prefixes["ckptfast"])
    root.many[0].assign_add([1.0, 1.0, 1.0])
    assert root.many[1].numpy().tolist() == written[1]
    assert hashes(prefixes["ckptfast"]) == before


def test_every_partial_restore_keeps_files_open(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = tf.Module()
    trained.model, trained.rest = tf.Variable(1.0, name="model"), tf.Variable(2.0)
    monkeypatch.chdir(tmp_path)
    Checkpoint(trained).write("objects")
    tf.compat.v1.train.Saver([trained.model]).save(None, str(tmp_path / "names"))
    evaluated = tf.Module()
    evaluated.model = tf.Variable(0.0, name="model")
    checkpoint = Checkpoint(evaluated)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        checkpoint.read("objects").expect_partial()
        checkpoint.read(str(tmp_path / "names"))
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) - before < 20
    for _ in range(10):
        Checkpoint(tf.Module()).read("objects").expect_partial()
    monkeypatch.chdir("/")
    waiting = evaluated._deferred_dependencies["rest"]
    assert len(waiting) == 20
    if Checkpoint is not tf.train.Checkpoint:  # TensorFlow takes the path as it was given
        evaluated.rest = tf.Variable(0.0)
        assert evaluated.rest.numpy() == 2.0
