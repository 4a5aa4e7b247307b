"""Asynchronous saves of object-based checkpoints."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from object_cases import checkpoint_class, contents, run

VALUE = "v/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.fixture(params=["tensorflow", "ckptfast"])
def Checkpoint(request: pytest.FixtureRequest, tf: ModuleType) -> Any:
    return checkpoint_class(request.param)


def test_the_files_hold_what_was_there_at_the_save(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    v = tf.Variable(np.zeros(1000))
    checkpoint = Checkpoint(v=v)
    options = tf.train.CheckpointOptions(enable_async=True)
    paths = []
    for _ in range(5):
        paths.append(checkpoint.save(str(tmp_path / "c"), options=options))
        v.assign_add(np.ones(1000))
        v.scatter_add(tf.IndexedSlices(tf.constant([1.0], tf.float64), tf.constant([0])))
    checkpoint.sync()
    assert [Path(path).name for path in paths] == [f"c-{number}" for number in range(1, 6)]
    for number, path in enumerate(paths):
        found = contents(path)[VALUE]
        assert found == [2.0 * number] + [float(number)] * 999
    assert (tmp_path / "checkpoint").read_text().startswith('model_checkpoint_path: "c-5"')
    checkpoint.restore(paths[1]).assert_existing_objects_matched()
    assert v.numpy()[-1] == 1.0


def test_a_save_returns_before_the_files_are_there(tf: ModuleType, tmp_path: Path) -> None:
    go, seen = threading.Event(), []
    options = tf.train.CheckpointOptions(
        enable_async=True,
        experimental_write_callbacks=[lambda path: (go.wait(), seen.append(path))],
    )
    checkpoint = checkpoint_class("ckptfast")(v=tf.Variable(1.0))
    path = checkpoint.save(str(tmp_path / "c"), options=options)
    there = [*seen, *tmp_path.glob("checkpoint")]
    go.set()
    assert there == []
    checkpoint.sync()
    assert seen == [path] and (tmp_path / "checkpoint").exists()


def test_an_error_is_raised_by_the_next_save(
    Checkpoint: Any, tf: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    checkpoint = Checkpoint(v=tf.Variable(1.0))
    options = tf.train.CheckpointOptions(enable_async=True)
    checkpoint.write(str(tmp_path / "file" / "c"), options=options)
    with pytest.raises(tf.errors.OpError):
        checkpoint.write(str(tmp_path / "c"), options=options)
    checkpoint.write(str(tmp_path / "c"), options=options)
    checkpoint.sync()
    assert contents(str(tmp_path / "c"))[VALUE] == 1.0


def test_sync_tells_of_an_error_once(tf: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    checkpoint = checkpoint_class("ckptfast")(v=tf.Variable(1.0))
    options = tf.train.CheckpointOptions(enable_async=True)
    checkpoint.write(str(tmp_path / "file" / "c"), options=options)
    with pytest.raises(tf.errors.OpError):
        checkpoint.sync()
    checkpoint.sync()


def test_one_save_is_in_flight_and_they_are_in_order(tf: ModuleType, tmp_path: Path) -> None:
    go, order = threading.Event(), []
    checkpoint = checkpoint_class("ckptfast")(v=tf.Variable(1.0))
    options = tf.train.CheckpointOptions(
        enable_async=True,
        experimental_write_callbacks=[lambda path: (go.wait(), order.append(path))],
    )

    def save() -> None:
        for number in range(4):
            checkpoint.write(str(tmp_path / f"c{number}"), options=options)

    saver = threading.Thread(target=save)
    saver.start()
    saver.join(1.0)  # more than saves take that do not wait
    waits = saver.is_alive()
    go.set()
    assert waits, "a second save did not wait for the first"
    saver.join()
    checkpoint.sync()
    assert order == [str(tmp_path / f"c{number}") for number in range(4)]


def test_a_save_is_finished_when_the_object_is_gone(tf: ModuleType, tmp_path: Path) -> None:
    checkpoint = checkpoint_class("ckptfast")(v=tf.Variable(1.0))
    path = checkpoint.save(
        str(tmp_path / "c"), options=tf.train.CheckpointOptions(enable_async=True)
    )
    del checkpoint
    gc.collect()
    assert contents(path)[VALUE] == 1.0


def test_a_save_is_finished_when_the_program_ends(tf: ModuleType, tmp_path: Path) -> None:
    run(
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        import numpy as np, tensorflow as tf
        from object_cases import checkpoint_class
        checkpoint = checkpoint_class("ckptfast")(v=tf.Variable(np.ones(1 << 20)))
        options = tf.train.CheckpointOptions(enable_async=True)
        for _ in range(3):
            checkpoint.save(sys.argv[2], options=options)
        """,
        str(Path(__file__).parent),
        str(tmp_path / "c"),
    )
    assert len(contents(str(tmp_path / "c-3"))[VALUE]) == 1 << 20
    assert '"c-3"' in (tmp_path / "checkpoint").read_text()


def test_a_save_that_is_not_asynchronous_overwrites_one_that_was(
    tf: ModuleType, tmp_path: Path
) -> None:
    checkpoint = checkpoint_class("ckptfast")(v=tf.Variable(1.0))
    options = tf.train.CheckpointOptions(enable_async=True)
    paths = [checkpoint.save(str(tmp_path / "c"), options=wanted) for wanted in (options, None)]
    assert [Path(path).name for path in paths] == ["c-1", "c-2"]
