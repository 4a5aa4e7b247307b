"""TensorFlow's builder and loader, and ours: every test that asks for them runs for each pair."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(params=["tensorflow", "ckptfast"])
def kind(request: pytest.FixtureRequest) -> str:
    """Whose builder and loader they are."""
    found: str = request.param
    return found


@pytest.fixture
def Builder(kind: str, tf: ModuleType) -> Any:
    """TensorFlow's `Builder`, then our `SavedModelBuilder`."""
    import ckptfast

    return tf.compat.v1.saved_model.Builder if kind == "tensorflow" else ckptfast.SavedModelBuilder


@pytest.fixture
def load(kind: str, tf: ModuleType) -> Any:
    """TensorFlow's `load`, then our `saved_model_load`."""
    import ckptfast

    return tf.compat.v1.saved_model.load if kind == "tensorflow" else ckptfast.saved_model_load


@pytest.fixture
def v1(tf: ModuleType) -> Iterator[Any]:
    """`tf.compat.v1`, with a graph of its own as the default one."""
    with tf.Graph().as_default():
        yield tf.compat.v1


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """A folder that is not there yet."""
    return str(tmp_path / "model")
