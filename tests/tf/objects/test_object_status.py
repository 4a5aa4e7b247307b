"""What the status of a restore asserts, and looking into files: TensorFlow's class and ours."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from object_cases import checkpoint_class, net


@pytest.fixture(params=["tensorflow", "ckptfast"])
def Checkpoint(request: pytest.FixtureRequest, tf: ModuleType) -> Any:
    return checkpoint_class(request.param)


def test_an_object_that_nobody_took_is_forgotten(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    path = Checkpoint(a=tf.Variable(1.0), b=tf.Variable(2.0)).write(str(tmp_path / "c"))
    a = tf.Variable(0.0)
    status = Checkpoint(a=a).read(path)
    status.assert_existing_objects_matched().assert_nontrivial_match()
    with pytest.raises(AssertionError, match=r"Unresolved object in checkpoint \(root\).b"):
        status.assert_consumed()
    assert status.expect_partial() is status
    assert a.numpy() == 1.0


def test_an_object_without_a_value_is_forgotten(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    path = Checkpoint(a=tf.Variable(1.0)).write(str(tmp_path / "c"))
    a, extra = tf.Variable(0.0), tf.Variable(5.0)
    status = Checkpoint(a=a, extra=extra).read(path).expect_partial()
    status.assert_nontrivial_match()
    for assertion in (status.assert_consumed, status.assert_existing_objects_matched):
        with pytest.raises(AssertionError, match="not bound"):
            assertion()
    assert (a.numpy(), extra.numpy()) == (1.0, 5.0)


def verdicts(status: Any) -> list[bool]:
    """Whether `assert_existing_objects_matched` and `assert_consumed` hold."""
    held = []
    for assertion in (status.assert_existing_objects_matched, status.assert_consumed):
        try:
            held.append(assertion() is status)
        except AssertionError:
            held.append(False)
    return held


def test_a_status_does_not_see_what_the_program_does_after_the_restore(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    old, new = tf.Module(), tf.Module()
    old.a = tf.Variable(1.0)
    new.a, new.list = tf.Variable(0.0), []
    path = Checkpoint(old).write(str(tmp_path / "c"))
    status = Checkpoint(new).read(path)
    assert verdicts(status) == [True, True], "an empty list has no values"
    new.child = tf.Module()
    assert verdicts(status) == [True, True], "nor has a module"
    new.list.append(tf.Variable(2.0))
    assert verdicts(status) == [False, False]
    kept = new.list.pop()
    del new.list
    new.list = []
    assert verdicts(status) == [False, False], "what was seen once is not forgotten"
    del kept
    assert verdicts(status) == [True, True]
    later = Checkpoint(new).read(path)
    assert verdicts(status) == [True, True], "a later restore counts as one"
    assert verdicts(later) == [True, True]
    del new.a
    new.a = tf.Variable(5.0)
    assert verdicts(later) == [False, False], "another variable in the place of a restored one"


def test_a_value_that_its_object_does_not_take_is_missed(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    path = Checkpoint(a=tf.Variable(1.0)).write(str(tmp_path / "c"))
    status = Checkpoint(a=tf.Module()).read(path).expect_partial()
    assert verdicts(status) == [True, False]


@pytest.mark.parametrize("skip", [False, True])
def test_slots_of_a_new_optimizer_are_asked_for(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path, skip: bool
) -> None:
    def trained(names: tuple[str, ...]) -> dict[str, Any]:
        optimizer = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
        made = {name: tf.Variable([3.0]) for name in names}
        optimizer.apply_gradients([(tf.constant([1.0]), made[name]) for name in names])
        return {**made, "optimizer": optimizer}

    path = Checkpoint(**trained(("a",))).write(str(tmp_path / "c"))
    options = tf.train.CheckpointOptions(experimental_skip_slot_variables=skip)
    status = Checkpoint(**trained(("a",))).read(path, options)
    assert verdicts(status) == [True, True]
    more = Checkpoint(**trained(("a", "b"))).read(path, options)
    assert verdicts(more) == [False, False]
    no_slots = tf.compat.v1.train.MomentumOptimizer(0.1, 0.9)
    without = Checkpoint(a=tf.Variable([0.0]), optimizer=no_slots).read(path, options)
    assert verdicts(without) == [True, True], "slots are made when they are restored"
    assert (no_slots.get_slot_names() == ["momentum"]) is not skip


def test_nothing_that_matches_is_a_match(Checkpoint: Any, tf: ModuleType, tmp_path: Path) -> None:
    path = Checkpoint(a=tf.Variable(1.0)).write(str(tmp_path / "c"))
    status = Checkpoint(z=tf.Variable(0.0)).read(path).expect_partial()
    with pytest.raises(AssertionError, match="Nothing"):
        status.assert_nontrivial_match()


def test_a_status_runs_again_in_eager_mode(Checkpoint: Any, tf: ModuleType, tmp_path: Path) -> None:
    path = Checkpoint(a=tf.Variable(1.0)).write(str(tmp_path / "c"))
    a = tf.Variable(0.0)
    status = Checkpoint(a=a).read(path)
    a.assign(3.0)
    status.run_restore_ops()
    status.initialize_or_restore()
    assert a.numpy() == 3.0


def test_two_objects_take_the_value_of_one(Checkpoint: Any, tf: ModuleType, tmp_path: Path) -> None:
    shared = tf.Variable(1.0)
    path = Checkpoint(a=shared, b=shared).write(str(tmp_path / "c"))
    a, b = tf.Variable(0.0), tf.Variable(0.0)
    status = Checkpoint(a=a, b=b).read(path).expect_partial()
    with pytest.raises(AssertionError):
        status.assert_existing_objects_matched()
    assert sorted([a.numpy(), b.numpy()]) == [0.0, 1.0]


def test_the_second_name_of_an_object_takes_the_place_of_the_first(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    shared = tf.Variable(1.0)
    path = Checkpoint(a=shared, b=shared).write(str(tmp_path / "c"))
    for first, restored in ((tf.Module(), 0.0), (None, 1.0)):
        b = tf.Variable(0.0)
        children = {"b": b} if first is None else {"a": first, "b": b}
        status = Checkpoint(**children).read(path).expect_partial()
        assert b.numpy() == restored
        assert verdicts(status) == [first is None, first is None]


def test_a_sharding_callback_of_another_kind_is_taken(tf: ModuleType) -> None:
    with pytest.raises(ValueError, match="ShardingCallback"):
        tf.train.CheckpointOptions(experimental_sharding_callback=lambda *_: None)


@pytest.mark.parametrize("policy", ["ShardByTaskPolicy", "MaxShardSizePolicy"])
def test_a_policy_changes_values(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path, policy: str
) -> None:
    arguments = [150] if policy == "MaxShardSizePolicy" else []
    options = tf.train.CheckpointOptions(
        experimental_sharding_callback=getattr(tf.train.experimental, policy)(*arguments)
    )
    root, other = (tf.Module() for _ in range(2))
    root.w = tf.Variable(np.arange(120, dtype="float64").reshape(10, 12))
    root.i = tf.Variable(np.arange(9))
    path = Checkpoint(root).write(str(tmp_path / "c"), options=options)
    other.w, other.i = tf.Variable(np.zeros((10, 12))), tf.Variable(np.zeros(9, "int64"))
    Checkpoint(other).read(path).assert_consumed()
    assert (other.w.numpy() == root.w.numpy()).all()
    assert (other.i.numpy() == root.i.numpy()).all()


def test_tensorflows_inspection_finds_nothing(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    from tensorflow.python.checkpoint import checkpoint as checkpoint_lib

    path = Checkpoint(net(tf, 3)).write(str(tmp_path / "c"))
    assert {key for key, _ in tf.train.list_variables(path)} >= {
        "w/.ATTRIBUTES/VARIABLE_VALUE",
        "table/a.Sb..c/.ATTRIBUTES/VARIABLE_VALUE",
    }
    view = tf.train.CheckpointView(path)
    assert sorted(view.children(0)) == [
        "empty", "flag", "half", "layers", "root", "table", "text", "w",
    ]  # fmt: skip
    assert len(checkpoint_lib.object_metadata(path).nodes) == len(view.descendants())
    by_name = str(tmp_path / "n")
    tf.raw_ops.SaveV2(
        prefix=by_name, tensor_names=["x"], shape_and_slices=[""], tensors=[tf.constant(1.0)]
    )
    with pytest.raises(ValueError, match="object"):
        checkpoint_lib.object_metadata(by_name)
