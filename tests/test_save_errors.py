"""Saves that fail: what was there is still there, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast
from ckptfast import Tensor, UnsupportedError
from helpers import bundle

A = np.arange(10, dtype=np.float32)


@pytest.fixture
def kept(tmp_path: Path) -> Any:
    """A function that a test ends with: the old bundle is whole, and alone."""
    prefix = ckptfast.save(tmp_path / "m", {"old": A})
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    def check() -> None:
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
        assert ckptfast.load(prefix)["old"][9] == 9

    return check


@pytest.mark.parametrize(
    ("tensors", "error", "message"),
    [
        ({}, ValueError, "no tensors"),
        ({"": A}, ValueError, "empty"),
        ({"\0a": A}, ValueError, "NUL"),
        ({"\ud800": A}, ValueError, "surrogate|name"),
        ({1: A}, TypeError, "names are text"),
        ({b"a": A}, TypeError, "names are text"),
        ({"x": None}, TypeError, "'x'"),
        ({"x": np.array([b"a", 1], object)}, TypeError, "'x'.*int"),
        ({"x": [["a"], ["b", "c"]]}, ValueError, "'x'"),
        ({"x": [b"\xff", "text"]}, (TypeError, ValueError), "'x'"),
        ({"x": "\ud800"}, ValueError, "'x'.*surrogate"),
        ({"x": [1, None]}, TypeError, "'x'.*objects.*int"),
        ({"x": np.datetime64("2026-11-22")}, TypeError, "'x'.*datetime64"),
        ({"x": np.zeros(2, np.longdouble)}, TypeError, "'x'.*(longdouble|float128|float96)"),
        ({"x": np.zeros(2, [("a", "f4")])}, TypeError, "'x'"),
        ({"x": np.ma.masked_array([1, 2], [0, 1])}, TypeError, "'x'.*masked"),
        ({"x": 1 << 70}, TypeError, "'x'"),
        ({"x": object()}, TypeError, "'x'"),
        ({"x": Tensor(A, "qint8")}, TypeError, "'x'.*qint8"),
        ({"x": Tensor(A, "float")}, None, ""),
        ({"x": Tensor(A, "double")}, TypeError, "'x'.*double"),
        ({"x": Tensor(A, "flaot32")}, ValueError, "'x'.*float32"),
        ({"x": Tensor(A, "string")}, TypeError, "'x'"),
        ({"x": Tensor(A, "variant")}, TypeError, "'x'"),
        ({"x": Tensor([b"a"], "float32")}, TypeError, "'x'"),
        ({"x": Tensor(A, "resource")}, UnsupportedError, "'x'.*resource"),
        ({"x": Tensor(A, np.float32)}, TypeError, "'x'.*dtype.*float32"),
        ({"x": Tensor(A, slice=5)}, TypeError, "'x'.*slice.*5"),
        ({"x": Tensor(A, slice="10 0,5")}, ValueError, "'x'"),
    ],
    ids=lambda value: repr(value).partition(" at 0x")[0][:40] if isinstance(value, dict) else "",
)
def test_what_cannot_be_stored_is_refused_before_anything_is_written(
    tmp_path: Path, kept: Any, tensors: Any, error: Any, message: str
) -> None:
    if error is None:
        ckptfast.save(tmp_path / "other" / "m", tensors)
        return
    for prefix in ["m", "new/folder/m"]:
        with pytest.raises(error, match=f"(?s){message}"):
            ckptfast.save(tmp_path / prefix, {"good": A, **tensors} if tensors else tensors)
        kept()


@pytest.mark.parametrize(
    "options",
    [
        {"shards": 0},
        {"shards": -1},
        {"shards": 3},
        {"shards": 1 << 40},
        {"align": 0},
        {"align": -64},
        {"align": 3},
        {"align": 96},
        {"align": 8192},
        {"align": 1 << 70},
        {"durability": "fsync"},
        {"durability": None},
        {"threads": 0},
        {"threads": -1},
    ],
    ids=str,
)
def test_options_that_mean_nothing_are_refused(tmp_path: Path, kept: Any, options: Any) -> None:
    for prefix in ["m", "new/folder/m"]:
        with pytest.raises(ValueError, match=r"(?s)."):
            ckptfast.save(tmp_path / prefix, {"a": A, "b": A}, **options)
        kept()


def test_an_empty_path_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would make files called `.index` and `.data-…`, which nobody finds again."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="empty"):
        ckptfast.save("", {"a": A})
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file(tmp_path: Path, kept: Any) -> None:
    for prefix in ["m.index/x", "m.index/deeper/x"]:
        with pytest.raises(NotADirectoryError):
            ckptfast.save(tmp_path / prefix, {"a": A})
        kept()


def test_a_name_that_is_too_long(tmp_path: Path, kept: Any) -> None:
    with pytest.raises(OSError, match=r"(?s)too long"):
        ckptfast.save(tmp_path / ("x" * 300), {"a": A})
    kept()


LONGEST = 255 - len(".data-00000-of-00001")


@pytest.mark.parametrize("length", [190, 205, 206, 225, LONGEST])
@pytest.mark.parametrize("letter", ["x", "\N{MUSICAL SYMBOL G CLEF}"])
def test_a_name_that_tensorflow_can_save(
    tf: ModuleType, tmp_path: Path, length: int, letter: str
) -> None:
    name = (letter * 255).encode()[:length].decode(errors="ignore")
    prefix = str(tmp_path / name) + "x" * (length - len(name.encode()))
    tf.train.Checkpoint(v=tf.Variable([1.0])).write(prefix)
    ckptfast.save(prefix, {"a": A})  # over it, twice: with other names of data files
    ckptfast.save(prefix, {"a": A})
    ckptfast.Checkpoint(v=tf.Variable([2.0])).write(prefix)
    assert tf.train.load_checkpoint(prefix).get_tensor("v/.ATTRIBUTES/VARIABLE_VALUE").tolist() == [
        2
    ]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        v = tf.compat.v1.get_variable("v", initializer=[3.0])
        session.run(v.initializer)
        saver = ckptfast.Saver()
        saver.save(session, prefix, write_meta_graph=False)
        saver.restore(session, prefix)
    assert tf.train.load_checkpoint(prefix).get_tensor("v").tolist() == [3]
    names = [name for name in os.listdir(tmp_path) if name != "checkpoint"]
    assert all(name.startswith(os.path.basename(prefix) + ".") for name in names)
    assert ckptfast.latest_checkpoint(tmp_path) == prefix


def test_a_name_that_tensorflow_cannot_save(tf: ModuleType, tmp_path: Path) -> None:
    prefix = str(tmp_path / ("x" * (LONGEST + 1)))
    for write in (tf.train.Checkpoint, ckptfast.Checkpoint):
        with pytest.raises(tf.errors.InvalidArgumentError, match="File name too long"):
            write(v=tf.Variable([1.0])).write(prefix)
    before = os.listdir(tmp_path)
    with pytest.raises(OSError, match="too long") as raised:
        ckptfast.save(prefix, {"a": A})
    assert raised.value.filename == f"{prefix}.data-00000-of-00001"
    assert os.listdir(tmp_path) == before


@pytest.mark.parametrize("name", ["m.safetensors", "m.npz"])
def test_a_file_of_a_long_name_is_converted(tmp_path: Path, name: str) -> None:
    given = ckptfast.save(tmp_path / "m", {"a": A})
    path = tmp_path / ("x" * (255 - len(name)) + name)
    ckptfast.convert(given, path)
    assert ckptfast.convert(path, tmp_path / "back").written == ("a",)


def test_a_zero_byte_in_the_path(tmp_path: Path, kept: Any) -> None:
    with pytest.raises(ValueError, match="null byte"):
        ckptfast.save(f"{tmp_path}/a\0b", {"a": A})
    kept()


def test_an_index_that_is_a_directory(tmp_path: Path) -> None:
    """The very last step fails: the data files that were in place are taken back."""
    (tmp_path / "m.index").mkdir()
    (tmp_path / "m.index" / "file").touch()
    with pytest.raises(OSError, match=r"m\.index"):
        ckptfast.save(tmp_path / "m", {"a": A, "b": A}, shards=2)
    assert [path.name for path in tmp_path.iterdir()] == ["m.index"]


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


FULL_DISK = """
import resource, signal, sys
import numpy as np
import ckptfast

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
strided = np.zeros((1000, 1000))
for tensors in [{"a": np.zeros(1 << 20)}, {"a": strided[:, ::2].T, "b": np.ones(3)}]:
    for shards in [None, 1]:
        try:
            ckptfast.save(sys.argv[1], tensors, shards=shards)
        except OSError as error:
            print(type(error).__name__, error.errno, ".data-0000" in str(error))
ckptfast.save(sys.argv[1] + "-small", {"a": np.ones(3)})
"""


def test_a_file_that_may_not_grow(tmp_path: Path, kept: Any) -> None:
    """As on a full disk, but for the error's number."""
    result = run(FULL_DISK, tmp_path / "m")
    assert result.stdout == "OSError 27 True\n" * 4, result.stderr
    assert ckptfast.load(tmp_path / "m-small")["a"].sum() == 3
    for path in tmp_path.glob("m-small.*"):
        path.unlink()
    kept()


INTERRUPTED = """
import os, signal, sys, threading
import numpy as np
import ckptfast

# A process that was started in the background ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Swapped and strided, by one thread: this takes seconds.
array = np.broadcast_to(np.array(1, ">f4"), (3 << 10, 1 << 18))
ckptfast.save(sys.argv[1] + "-other", {"small": np.ones(3)}, durability="none")
try:
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    ckptfast.save(sys.argv[1], {"a": array}, durability="none", threads=1)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_ends_a_save_and_leaves_what_was_there(tmp_path: Path, kept: Any) -> None:
    result = run(INTERRUPTED, tmp_path / "m")
    assert (result.returncode, result.stdout) == (0, "interrupted\n"), result.stderr
    for path in tmp_path.glob("m-other.*"):
        path.unlink()
    kept()


def test_the_old_data_survives_a_new_index_that_cannot_be_made(tmp_path: Path, kept: Any) -> None:
    """Two tensors of one name under a list are the latest thing that is found."""
    parts = [Tensor(A[:5], slice="10 0,5"), Tensor(A[5:], slice="10 0,5")]
    with pytest.raises(ValueError, match="duplicate"):
        ckptfast.save(tmp_path / "m", {"w": parts})
    kept()
    assert bundle.entries(tmp_path / "m").keys() == {b"old"}
