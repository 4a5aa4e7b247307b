"""Functions with TensorFlow's names raise what `except tf.errors.…` catches."""

from __future__ import annotations

import os
import pickle
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


@pytest.fixture(scope="module")
def wrong(tf: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that can be passed for a checkpoint and is none."""
    folder = tmp_path_factory.mktemp("wrong")

    def make(name: str, content: bytes | None = None) -> Path:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            ckptfast.save(folder / name, {"a": 1.0})
        else:
            (folder / name).write_bytes(content)
        return folder / name

    text = b"This is no checkpoint.\n" * 9
    (folder / "empty").mkdir()
    make("text", text)
    make("nothing", b"")
    make("text-index.index", text)
    make("texts/a.ckpt", text)
    make("texts/b.ckpt", text)
    make("two/m-1")
    make("two/m-2")
    make("whole/m")
    for name in ("cut", "data"):
        index = make(f"{name}/m").with_suffix(".index")
        content = index.read_bytes()
        index.unlink()
        if name == "cut":
            make("cut/m.index", content[:-20])
    make("garbled/checkpoint", b"model_checkpoint_path {{{\n")
    make("dead/checkpoint", b'model_checkpoint_path: "/no/such/m-1"\n')
    make("blank/checkpoint", b"")
    return folder


# What TensorFlow raises for each path in `wrong`.
OPENED: dict[str, str] = {
    "absent": "NotFoundError",
    "no/such/folder": "NotFoundError",
    "text/m": "NotFoundError",
    "absent-*": "NotFoundError",
    "absent[1": "NotFoundError",
    "x" * 300: "NotFoundError",
    "data/m": "NotFoundError",
    "empty": "DataLossError",
    "empty/": "DataLossError",
    "garbled": "DataLossError",
    "dead": "DataLossError",
    "blank": "DataLossError",
    "dead/checkpoint": "DataLossError",
    "blank/checkpoint": "DataLossError",
    "text": "DataLossError",
    "nothing": "DataLossError",
    "texts/*.ckpt": "DataLossError",
    "data/m.data-00000-of-00001": "DataLossError",
    "data/*": "DataLossError",
    "text-index.index": "DataLossError",
    "text-index": "OpError",
    "cut/m": "OpError",
    "two/m-*": "OpError",
}


# State files that lead nowhere are warned of.
@pytest.mark.filterwarnings("ignore:.*(checkpoint|state file):RuntimeWarning")
@pytest.mark.parametrize("path", OPENED)
def test_what_cannot_be_opened_is_another_error_than_tensorflows(
    tf: Any, train: Any, wrong: Path, path: str
) -> None:
    kind = getattr(tf.errors, OPENED[path])
    for written in (f"{wrong}/{path}", f"{wrong}/{path}".encode(), f"file://{wrong}/{path}"):
        with pytest.raises(kind) as caught:
            train.NewCheckpointReader(written)
        if OPENED[path] != "OpError":  # for which TensorFlow has only "unknown", ours a class
            assert caught.value.error_code == kind(None, None, "").error_code
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (type(caught.value), str(caught.value))
    if os.path.isdir(wrong / path):
        kind = ValueError
    for function in (train.load_checkpoint, train.list_variables):
        with pytest.raises(kind):
            function(f"{wrong}/{path}")


@pytest.mark.parametrize("path", [None, 3, ["m"], {}])
def test_what_is_no_path_is_another_error_than_tensorflows(train: Any, path: object) -> None:
    for function in (train.NewCheckpointReader, train.load_checkpoint, train.list_variables):
        with pytest.raises(TypeError):
            function(path)


def test_a_url_of_another_host_is_no_tensorflow_error(tf: Any, train: Any) -> None:
    with pytest.raises(tf.errors.NotFoundError):
        train.NewCheckpointReader("file://tmp/m")


@pytest.mark.filterwarnings("ignore:the latest checkpoint:RuntimeWarning")
@pytest.mark.parametrize("path", ["empty", "dead", "text", "texts/*.ckpt", "two/m-*"])
def test_a_restore_of_no_checkpoint_is_another_error_than_tensorflows(
    tf: Any, train: Any, wrong: Path, path: str
) -> None:
    kind = getattr(tf.errors, OPENED[path])
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.get_variable("a", initializer=0.0)
        saver = train.Saver()
        with pytest.raises(kind):
            saver.restore(session, f"{wrong}/{path}")
        with pytest.raises(ValueError, match="not a valid checkpoint"):
            saver.restore(session, f"{wrong}/absent")
