"""`best_checkpoint`: the values of a metric joined with the checkpoints at their steps."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy
import pytest

import ckptfast
from helpers import event_files as make


def save(folder: Path, *steps: int, name: str = "model.ckpt") -> list[str]:
    """Checkpoints at some steps, with the state file that lists them."""
    prefixes = [str(folder / f"{name}-{step}") for step in steps]
    for prefix, step in zip(prefixes, steps, strict=True):
        ckptfast.save(prefix, {"step": numpy.int64(step)}, durability="none")
    ckptfast.update_checkpoint_state(folder, prefixes[-1], prefixes)
    return prefixes


def test_the_best_is_another_one(tmp_path: Path) -> None:
    save(tmp_path, 10, 20, 30)
    make.scalars(tmp_path, "loss", {10: 0.5, 15: 0.0, 20: 0.25, 30: 0.75})
    best = ckptfast.best_checkpoint(tmp_path)
    assert best == ckptfast.BestCheckpoint(str(tmp_path / "model.ckpt-20"), 20, 0.25, ".")
    assert ckptfast.load(best)["step"] == 20
    assert ckptfast.best_checkpoint(tmp_path, "loss", "max").step == 30
    with pytest.raises(ValueError, match="mode is 'min' or 'max'"):
        ckptfast.best_checkpoint(tmp_path, mode="least")  # type: ignore[arg-type]


def test_nan_is_the_best(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3)
    make.scalars(tmp_path, "loss", {1: math.nan, 2: math.inf, 3: math.nan})
    for mode in ("min", "max"):
        assert ckptfast.best_checkpoint(tmp_path, mode=mode).step == 2
    make.scalars(tmp_path, "loss", {2: math.nan}, seconds=1700000001)
    with pytest.raises(ckptfast.NotFoundError, match="'loss' is NaN at the step of every"):
        ckptfast.best_checkpoint(tmp_path)


def test_a_tie_goes_to_an_earlier_step(tmp_path: Path) -> None:
    save(tmp_path, 9, 10, 100)
    make.scalars(tmp_path, "loss", {9: 0.5, 10: 0.5, 100: 0.75})
    assert ckptfast.best_checkpoint(tmp_path).step == 10
    make.scalars(tmp_path, "acc", {9: 0.5, 10: 0.5, 100: 0.25}, seconds=1700000001)
    assert ckptfast.best_checkpoint(tmp_path, "acc", "max").step == 10


def test_a_value_from_before_a_restart_counts(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    make.scalars(tmp_path, "loss", {1: 0.5, 2: 0.25}, seconds=1700000000)
    make.scalars(tmp_path, "loss", {2: 0.75}, seconds=1700000001)
    assert ckptfast.best_checkpoint(tmp_path).step == 1


def test_what_training_said_beats_an_evaluation(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    make.scalars(tmp_path, "loss", {1: 0.1, 2: 0.2})
    make.scalars(tmp_path / "eval", "loss", {1: 0.4, 2: 0.3})
    best = ckptfast.best_checkpoint(tmp_path)
    assert (best.step, best.value, best.run) == (2, pytest.approx(0.3), "eval")
    assert ckptfast.best_checkpoint(tmp_path, run=".").step == 1
    make.scalars(tmp_path / "test" / "b", "loss", {1: 0.4, 2: 0.5})
    with pytest.raises(ValueError, match=r"'eval', 'test/b'; say which with run="):
        ckptfast.best_checkpoint(tmp_path)
    assert ckptfast.best_checkpoint(tmp_path, run="test/b/").step == 1
    with pytest.raises(ckptfast.NotFoundError, match="not in the run 'train', but in"):
        ckptfast.best_checkpoint(tmp_path, run="train")


def test_an_unknown_metric_leaves_one_alone(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(FileNotFoundError, match="no event file in this folder or below"):
        ckptfast.best_checkpoint(tmp_path)
    make.scalars(tmp_path, "total_loss", {1: 1.0})
    make.scalars(tmp_path / "eval", "accuracy", {1: 1.0})
    with pytest.raises(ckptfast.NotFoundError) as caught:
        ckptfast.best_checkpoint(tmp_path, "acuracy")
    assert "did you mean 'accuracy'?" in str(caught.value)
    assert "'accuracy', 'total_loss'" in str(caught.value) and str(tmp_path) in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        ckptfast.best_checkpoint(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="this is a file"):
        ckptfast.best_checkpoint(make.scalars(tmp_path, "total_loss", {2: 1.0}))
    with pytest.raises(TypeError, match="metric is the tag"):
        ckptfast.best_checkpoint(tmp_path, None)  # type: ignore[arg-type]


def test_no_common_step_leaves_one_alone(tmp_path: Path) -> None:
    make.scalars(tmp_path, "loss", {1: 1.0, 101: 1.0})
    with pytest.raises(FileNotFoundError, match="no checkpoint with a step in its name"):
        ckptfast.best_checkpoint(tmp_path)
    save(tmp_path, 100, 200)
    message = r"checkpoints are at 100, 200, values \(in the run '\.'\) at 1, 101"
    with pytest.raises(ckptfast.NotFoundError, match=message):
        ckptfast.best_checkpoint(tmp_path)


def test_checkpoints_that_the_state_file_forgot_are_too(tmp_path: Path) -> None:
    """Those kept for good are not listed; a list may name what was deleted."""
    make.scalars(tmp_path, "loss", {1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4})
    one, _, three, four = save(tmp_path, 1, 2, 3, 4)
    for file in tmp_path.glob("model.ckpt-1.*"):
        file.unlink()
    ckptfast.update_checkpoint_state(tmp_path, four, [one, three, four])
    assert ckptfast.best_checkpoint(tmp_path).step == 2
    (tmp_path / "checkpoint").unlink()
    assert ckptfast.best_checkpoint(tmp_path).step == 2


def test_an_incomplete_checkpoint_is_the_best(tmp_path: Path) -> None:
    save(tmp_path, 1, 2)
    make.scalars(tmp_path, "loss", {1: 0.5, 2: 0.25})
    data = next(tmp_path.glob("model.ckpt-2.data-*"))
    os.truncate(data, 3)
    with pytest.warns(RuntimeWarning, match="model.ckpt-2, which is not whole"):
        assert ckptfast.best_checkpoint(tmp_path).step == 1
    os.unlink(next(tmp_path.glob("model.ckpt-1.data-*")))
    with (
        pytest.warns(RuntimeWarning, match="not whole"),
        pytest.raises(ckptfast.NotFoundError, match="no checkpoint at a step with a value"),
    ):
        ckptfast.best_checkpoint(tmp_path)


def test_another_name_at_the_same_step_is_taken(tmp_path: Path) -> None:
    save(tmp_path, 1, name="copy")
    (listed,) = save(tmp_path, 1, name="a")
    make.scalars(tmp_path, "loss", {1: 0.5})
    assert ckptfast.best_checkpoint(tmp_path).path == listed


def test_a_damaged_event_file_is_passed_over(tmp_path: Path) -> None:
    save(tmp_path, 1)
    path = make.scalars(tmp_path, "loss", {1: 1.0, 2: 2.0})
    content = bytearray(path.read_bytes())
    content[60] ^= 1
    path.write_bytes(content)
    with pytest.raises(ckptfast.DataLossError, match=path.name):
        ckptfast.best_checkpoint(tmp_path)


def test_training_with_tensorflow_cannot_be_followed(tf: ModuleType, tmp_path: Path) -> None:
    """Session, Saver and FileWriter, and the evaluation's writer in a folder below."""
    v1 = tf.compat.v1
    losses = {10: 3.0, 20: 1.0, 30: 2.0}
    with tf.Graph().as_default():
        step = v1.train.get_or_create_global_step()
        loss = v1.placeholder(tf.float32)
        summary = v1.summary.scalar("loss", loss)
        saver = v1.train.Saver(max_to_keep=2)
        with (
            v1.Session() as session,
            v1.summary.FileWriter(str(tmp_path), session.graph) as training,
            v1.summary.FileWriter(str(tmp_path / "eval")) as evaluation,
        ):
            for number, value in losses.items():
                session.run(step.assign(number) if hasattr(step, "assign") else step)
                saver.save(session, str(tmp_path / "model.ckpt"), global_step=step)
                training.add_summary(session.run(summary, {loss: -value}), number)
                evaluation.add_summary(session.run(summary, {loss: value}), number)
    best = ckptfast.best_checkpoint(str(tmp_path))
    assert best == ckptfast.BestCheckpoint(str(tmp_path / "model.ckpt-20"), 20, 1.0, "eval")
    assert tf.train.load_variable(best.path, "global_step") == 20


def test_tensorflow_is_loaded_to_find_it(tmp_path: Path) -> None:
    save(tmp_path, 1)
    make.scalars(tmp_path, "loss", {1: 0.5})
    program = (
        "import ckptfast, sys; print(ckptfast.best_checkpoint(sys.argv[1]).step);"
        "assert not {'numpy', 'tensorflow'} & set(sys.modules)"
    )
    command = [sys.executable, "-c", program, tmp_path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == ("1\n", "")
