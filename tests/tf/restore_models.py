"""The models of the tests of restoring, and a checkpoint with all that they have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from restore_cases import graph_of, session, v1, values_of

import ckptfast

BOTH = pytest.mark.parametrize("resource", [True, False], ids=["resource", "reference"])
INITIAL = -1

STORED = {
    "vgg/conv/w": np.full([2, 3], 1, np.float32),
    "vgg/conv/b": np.full([3], 2, np.float32),
    "vgg/fc8/w": np.full([3, 4], 3, np.float32),
    "vgg/conv/w/Adam": np.full([2, 3], 4, np.float32),
    "step": np.int64(5),
}

SHAPES = {name: list(np.shape(value)) for name, value in STORED.items()}


def variable(name: str, value: Any, *, resource: bool = True, **options: Any) -> Any:
    return v1().get_variable(name, initializer=value, use_resource=resource, **options)


def small_model(resource: bool) -> None:
    """Odd sizes, so that TensorFlow's packing leaves most tensors misaligned; 0-d and empty."""
    rng = np.random.default_rng(1)
    for number, shape in enumerate([(3,), (2, 5), (), (0, 3), (7, 1, 3), (64,)]):
        value = rng.standard_normal(shape).astype(np.float32)
        variable(f"v{number}", value, resource=resource)
    variable("step", np.int64(7), resource=resource, trainable=False)


class Model:
    """Variables in a session, or eager ones: the same restores work for both."""

    def __init__(self, kind: str, shapes: Mapping[str, list[int]]) -> None:
        import tensorflow as tf

        self.session: Any = None
        self.eager: dict[str, Any] | None = None
        if kind == "eager":
            self.eager = {
                name: tf.Variable(np.full(shape, INITIAL, _dtype(name)), name=name)
                for name, shape in shapes.items()
            }
            return
        initial = v1().constant_initializer(INITIAL)

        def build() -> None:
            for name, shape in shapes.items():
                v1().get_variable(
                    name, shape, _dtype(name), initial, use_resource=kind == "resource"
                )

        self.session = session(graph_of(build))

    def restore(self, path: Any, **options: Any) -> Any:
        return ckptfast.restore(self.session, path, self.eager, **options)

    def initialize(self) -> None:
        if self.session is not None:
            with self.session.graph.as_default():
                self.session.run(v1().global_variables_initializer())

    def values(self, *names: str) -> dict[str, Any]:
        if self.eager is not None:
            return {name: self.eager[name].numpy() for name in names or self.eager}
        with self.session.graph.as_default():
            chosen = [
                item for item in v1().global_variables() if not names or item.op.name in names
            ]
        return values_of(self.session, chosen)


def _dtype(name: str) -> Any:
    return np.int64 if name == "step" else np.float32


def some(*names: str) -> dict[str, Any]:
    return {name: STORED[name] for name in names}
