"""The library of operations with callbacks, compiled once, and what happens where it is loaded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def library(tf: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled library. 14 s, of which TensorFlow's headers take all."""
    target = tmp_path_factory.mktemp("library") / "callbacks.so"
    command = ["g++", "-shared", "-fPIC", "-w", "-O0", *tf.sysconfig.get_compile_flags()]
    command += [str(HERE / "callbacks.cc"), "-o", str(target), *tf.sysconfig.get_link_flags()]
    # The manager is in the other one of TensorFlow's two libraries.
    subprocess.run([*command, "-l:libtensorflow_cc.so.2"], check=True)
    return target


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A folder that lies in none called `NAME-NUMBER`, as pytest's do.

    The manager takes the first such folder above a checkpoint for its id, writes the callback's
    file beside it, and calls nobody in later runs that find it there.
    """
    with tempfile.TemporaryDirectory(prefix="callbacks") as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def theirs(library: Path, place: Path) -> dict[str, Any]:
    """Every case done by TensorFlow's classes."""
    return _run("tensorflow", library, place / "theirs")


@pytest.fixture(scope="session")
def ours(library: Path, place: Path) -> dict[str, Any]:
    """Every case done by ckptfast's classes, and those that only it has."""
    return _run("ckptfast", library, place / "ours")


@pytest.fixture(params=["theirs", "ours"])
def outcomes(request: pytest.FixtureRequest) -> Any:
    """TensorFlow's, then ours."""
    return request.getfixturevalue(request.param)


def _run(kind: str, library: Path, folder: Path) -> dict[str, Any]:
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(HERE / "callback_cases.py"), kind, str(library), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {"kind": kind}
