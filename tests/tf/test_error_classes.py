"""Functions with TensorFlow's names raise what `except tf.errors.…` catches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ckptfast


@pytest.fixture(params=["tensorflow", "ckptfast", "installed"])
def train(request: pytest.FixtureRequest, tf: Any) -> Any:
    """Where the functions are: TensorFlow's module, ours, and TensorFlow's after `install()`."""
    if request.param == "ckptfast":
        yield ckptfast
    elif request.param == "installed":
        with ckptfast.install():
            yield tf.compat.v1.train
    else:
        yield tf.compat.v1.train


def test_a_state_file_in_a_missing_folder_is_no_tensorflow_error(
    tf: Any, train: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "no" / "such"
    with pytest.raises(tf.errors.NotFoundError) as caught:
        train.update_checkpoint_state(str(folder), str(folder / "m"))
    assert str(folder / "checkpoint") in str(caught.value)


def test_a_state_file_with_a_path_that_is_too_long_is_an_error(
    tf: Any, train: Any, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = "../" * 3000 + "m"
    (tmp_path / "checkpoint").write_text(f'model_checkpoint_path: "{path}"\n')
    assert train.latest_checkpoint(str(tmp_path)) is None


def test_an_empty_path_is_a_value_error(tf: Any, train: Any) -> None:
    for function in (train.load_checkpoint, train.NewCheckpointReader, train.list_variables):
        with pytest.raises(tf.errors.NotFoundError, match="Failed to find any matching files for"):
            function("")
