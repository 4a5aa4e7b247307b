"""The saver in eager mode."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest


@pytest.fixture(autouse=True)
def eager(tf: ModuleType) -> Any:
    from tensorflow.python.eager import context

    with context.eager_mode():
        yield


def test_a_list_is_needed(Saver: Any) -> None:
    with pytest.raises(RuntimeError, match="When eager execution is enabled, `var_list` must"):
        Saver()


def test_save_and_restore(Saver: Any, tf: ModuleType, here: Path) -> None:
    a = tf.Variable([1.0, 2.0], name="a")
    b = tf.Variable(b"x\0", name="b")
    step = tf.Variable(5, dtype=tf.int64)
    saver = Saver([a, b])
    assert saver.as_saver_def() is None
    prefix = saver.save(None, "./m", global_step=step)
    assert prefix == "./m-5"
    a.assign([0.0, 0.0])
    b.assign(b"y")
    saver.restore(None, prefix)
    assert a.numpy().tolist() == [1.0, 2.0]
    assert b.numpy() == b"x\0"
    assert sorted(path.name for path in here.iterdir()) == [
        "checkpoint",
        "m-5.data-00000-of-00001",
        "m-5.index",
    ]
    assert saver.last_checkpoints == ["./m-5"]
    assert saver.saver_def.max_to_keep == 5


def test_old_checkpoints_are_deleted(Saver: Any, tf: ModuleType, here: Path) -> None:
    saver = Saver({"x": tf.Variable([1.0])}, max_to_keep=1)
    for number in range(3):
        saver.save(None, "./m", global_step=number)
    assert [path.name for path in here.glob("*.index")] == ["m-2.index"]


def test_what_was_saved_is_a_snapshot(Saver: Any, tf: ModuleType, here: Path) -> None:
    a = tf.Variable(numpy.ones(1000, numpy.float32))
    saver = Saver({"a": a})
    prefix = saver.save(None, "./m")
    a.assign_add(numpy.ones(1000, numpy.float32))
    assert set(tf.train.load_variable(prefix, "a")) == {1.0}


def test_another_shape(Saver: Any, tf: ModuleType, here: Path) -> None:
    prefix = Saver({"p": tf.Variable(1.0)}).save(None, "./m")
    wrong = tf.Variable([1.0, 2.0])
    with pytest.raises(
        ValueError,
        match=r"Received incompatible tensor with shape \(\) when attempting to restore variable "
        r"with shape \(2,\) and name p",
    ):
        Saver({"p": wrong}).restore(None, prefix)
    assert wrong.numpy().tolist() == [1.0, 2.0]


def test_another_type(Saver: Any, tf: ModuleType, here: Path) -> None:
    prefix = Saver({"p": tf.Variable(1.0)}).save(None, "./m")
    with pytest.raises(tf.errors.InvalidArgumentError, match="a mismatch between the current gra"):
        Saver({"p": tf.Variable(1)}).restore(None, prefix)


def test_a_missing_name(Saver: Any, tf: ModuleType, here: Path) -> None:
    prefix = Saver({"p": tf.Variable(1.0)}).save(None, "./m")
    with pytest.raises(tf.errors.NotFoundError, match="Key q not found in checkpoint"):
        Saver({"q": tf.Variable(1.0)}).restore(None, prefix)


def test_two_variables_of_one_name(Saver: Any, tf: ModuleType, here: Path) -> None:
    saver = Saver([tf.Variable(1.0, name="same"), tf.Variable(1.0, name="same")])
    with pytest.raises(ValueError, match="Two different ResourceVariable objects with the same"):
        saver.save(None, "./m")


def test_nothing_is_built(Saver: Any, tf: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="Use save/restore instead of build in eager mode"):
        Saver([tf.Variable(1.0)]).build()


def test_reshape_is_ignored(Saver: Any, tf: ModuleType, here: Path) -> None:
    Saver({"x": tf.Variable([1.0, 2.0])}).save(None, "./m")
    column = tf.Variable([[0.0], [0.0]])
    Saver({"x": column}, reshape=True).restore(None, "./m")
    assert column.numpy().tolist() == [[1.0], [2.0]]


def test_nothing_to_save_is_an_error(FastSaver: Any, here: Path) -> None:
    """TensorFlow's fails with an `AttributeError`."""
    saver = FastSaver([], allow_empty=True)
    assert saver.save(None, "./m") is None
    assert list(here.iterdir()) == []
    saver.restore(None, "./m")


def test_a_save_logs_that_something_is_deprecated(
    Saver: Any, tf: ModuleType, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = Saver([tf.Variable([1.0], name="a"), tf.Variable(2, dtype=tf.bfloat16, name="b")])
    logged: list[str] = []
    monkeypatch.setattr(tf.get_logger(), "warning", lambda message, *_: logged.append(message))
    saver.save(None, "./m")
    assert logged == []
