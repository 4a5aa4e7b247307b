"""Both classes under one name: every test that asks for `Saver` runs for each of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(params=["tensorflow", "ckptfast"])
def kind(request: pytest.FixtureRequest) -> str:
    """Whose class `Saver` is."""
    found: str = request.param
    return found


@pytest.fixture
def Saver(kind: str, tf: ModuleType) -> Any:
    """TensorFlow's `Saver`, then ours."""
    if kind == "tensorflow":
        return tf.compat.v1.train.Saver
    return fast_saver()


@pytest.fixture
def FastSaver(tf: ModuleType) -> Any:
    """Ours alone, for what only it does."""
    return fast_saver()


def fast_saver() -> Any:
    from ckptfast.tf.saver import Saver

    return Saver


@pytest.fixture
def v1(tf: ModuleType) -> Iterator[Any]:
    """`tf.compat.v1`, with a graph of its own as the default one."""
    with tf.Graph().as_default():
        yield tf.compat.v1


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def session(v1: Any) -> Any:
    """A session with one initialised variable."""
    v1.get_variable("a", initializer=[1.0, 2.0])
    session = v1.Session()
    session.run(v1.global_variables_initializer())
    return session
