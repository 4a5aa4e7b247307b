"""`CheckpointManager`: numbering, keeping, deleting and recovering, TensorFlow's class and ours."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from object_cases import checkpoint_class, manager_class

WHO = ("tensorflow", "ckptfast")


@pytest.fixture(params=WHO)
def make(request: pytest.FixtureRequest, tf: ModuleType, tmp_path: Path) -> Any:
    """A function that makes a manager of `tmp_path` with a checkpoint of one variable."""

    def made(max_to_keep: int | None = 2, **options: Any) -> Any:
        checkpoint = checkpoint_class(request.param)(v=tf.Variable(0.0))
        return manager_class(request.param)(
            checkpoint, str(tmp_path), max_to_keep=max_to_keep, **options
        )

    return made


def indexes(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.index"))


def test_older_checkpoints_are_deleted(make: Any, tmp_path: Path) -> None:
    manager = make()
    paths = [manager.save() for _ in range(4)]
    assert manager.checkpoints == paths[2:] == [str(tmp_path / "ckpt-3"), str(tmp_path / "ckpt-4")]
    assert manager.latest_checkpoint == paths[3]
    assert indexes(tmp_path) == ["ckpt-3", "ckpt-4"]
    assert len(list(tmp_path.glob("*.data-*"))) == 2


def test_both_write_the_same_state_file(
    tf: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1234567.25)
    texts = []
    for who in WHO:
        checkpoint = checkpoint_class(who)(v=tf.Variable(0.0))
        manager = manager_class(who)(checkpoint, str(tmp_path / who), max_to_keep=2)
        for _ in range(3):
            manager.save()
        texts.append((tmp_path / who / "checkpoint").read_text())
    assert texts[0] == texts[1]
    assert "1234567.25" in texts[0] and '"ckpt-3"' in texts[0] and "ckpt-1" not in texts[0]


@pytest.mark.parametrize("writer", WHO)
def test_a_new_manager_goes_on_where_the_other_stopped(
    make: Any, tf: ModuleType, tmp_path: Path, writer: str
) -> None:
    old = manager_class(writer)(
        checkpoint_class(writer)(v=tf.Variable(7.0)), str(tmp_path), max_to_keep=2
    )
    for _ in range(3):
        old.save()
    manager = make()
    assert manager.checkpoints == old.checkpoints
    assert manager.restore_or_initialize() == str(tmp_path / "ckpt-3")
    assert manager.checkpoint.v.numpy() == 7.0
    assert manager.save() == str(tmp_path / "ckpt-4")
    assert indexes(tmp_path) == ["ckpt-3", "ckpt-4"]


def test_a_number_of_its_own(make: Any, tmp_path: Path) -> None:
    assert make().save(checkpoint_number=40) == str(tmp_path / "ckpt-40")


def test_an_interval_between_checkpoints(make: Any, tf: ModuleType) -> None:
    step = tf.Variable(0)
    manager = make(step_counter=step, checkpoint_interval=3)
    saved = []
    for _ in range(7):
        saved.append(manager.save() is not None)
        step.assign_add(1)
    assert saved == [True, False, False, True, False, False, True]


def test_nothing_to_restore_calls_init_fn(make: Any) -> None:
    calls: list[int] = []
    manager = make(init_fn=lambda: calls.append(1))
    assert manager.restore_or_initialize() is None
    assert calls == [1]


@pytest.mark.parametrize("number", [0, -1])
def test_a_number_to_keep_that_makes_no_sense(make: Any, number: int) -> None:
    with pytest.raises(ValueError, match="Expected a positive integer or `None`"):
        make(number)


def test_asynchronous_saves_are_managed(make: Any, tf: ModuleType, tmp_path: Path) -> None:
    manager = make()
    options = tf.train.CheckpointOptions(enable_async=True)
    paths = [manager.save(options=options) for _ in range(4)]
    manager.sync()
    assert manager.checkpoints == paths[2:]
    assert indexes(tmp_path) == ["ckpt-3", "ckpt-4"]


@pytest.mark.parametrize("installed", [False, True])
def test_a_folder_with_brackets_cost_the_checkpoints_of_another_run(
    tf: ModuleType, tmp_path: Path, installed: bool
) -> None:
    import ckptfast

    mine, other = tmp_path / "run[1]", tmp_path / "run1"
    kept = manager_class("ckptfast")(tf.train.Checkpoint(v=tf.Variable(1.0)), str(other), 5)
    for _ in range(3):
        kept.save()
    before = sorted(path.name for path in other.iterdir())
    with ckptfast.install() if installed else contextlib.nullcontext():
        checkpoint = checkpoint_class("ckptfast")(v=tf.Variable(0.0))
        who = "tensorflow" if installed else "ckptfast"
        manager = manager_class(who)(checkpoint, str(mine), max_to_keep=1)
        for _ in range(3):
            manager.save()
    assert sorted(path.name for path in other.iterdir()) == before
    assert [path.name for path in mine.glob("*.index")] == ["ckpt-3.index"]
    assert len(list(mine.glob("*.data-*"))) == 1


@pytest.mark.parametrize("who", WHO)
def test_one_checkpoint_an_hour_is_preserved(
    who: str, tf: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1e6]
    monkeypatch.setattr("time.time", lambda: now[0])
    manager = manager_class(who)(
        checkpoint_class(who)(v=tf.Variable(0.0)),
        str(tmp_path),
        max_to_keep=1,
        keep_checkpoint_every_n_hours=1.0,
    )
    for _ in range(6):
        manager.save()
        now[0] += 1500
    assert indexes(tmp_path) == ["ckpt-4", "ckpt-6"]
    assert "last_preserved_timestamp: 1004500" in (tmp_path / "checkpoint").read_text()
