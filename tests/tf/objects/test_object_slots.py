"""What the word ":slots" leaves out of object-based checkpoints, whatever made the optimizer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast
from ckptfast import _object_graph, _slots

Weights = dict[str, Any]


def trained(keras: Any, optimizer: Any) -> tuple[Any, Weights]:
    model = keras.Sequential([keras.layers.InputLayer((2,)), keras.layers.Dense(3, name="dense")])
    model.compile(optimizer=optimizer, loss="mse")
    model.fit(np.ones((4, 2)), np.ones((4, 3)), verbose=0)
    kernel, bias = model.get_weights()
    return model, {"kernel": kernel, "bias": bias}


def keras_3(tf: ModuleType) -> tuple[Any, Weights]:
    return trained(tf.keras, tf.keras.optimizers.AdamW(use_ema=True))


def tf_keras(_: ModuleType) -> tuple[Any, Weights]:
    import tf_keras

    return trained(tf_keras, tf_keras.optimizers.Adam())


def tf_keras_legacy(_: ModuleType) -> tuple[Any, Weights]:
    import tf_keras

    return trained(tf_keras, tf_keras.optimizers.legacy.SGD(momentum=0.5))


def session_style(tf: ModuleType) -> tuple[Any, Weights]:
    model = tf.Module()
    model.kernel = tf.Variable([1.0, 2.0], name="kernel")
    model.optimizer = tf.compat.v1.train.AdamOptimizer()
    model.optimizer.apply_gradients([(tf.constant([1.0, 1.0]), model.kernel)])
    # What counts steps, and is no optimizer.
    model.iter = tf.Variable(3, name="iter")
    return model, {"kernel": model.kernel.numpy(), "iter": 3}


@pytest.mark.parametrize("make", [keras_3, tf_keras, tf_keras_legacy, session_style])
def test_the_optimizer_stays_behind_and_no_weight_does(
    tf: ModuleType, tmp_path: Path, make: Callable[[ModuleType], tuple[Any, Weights]]
) -> None:
    model, weights = make(tf)
    path = tf.train.Checkpoint(model=model).save(str(tmp_path / "c"))
    for by in (None, "object", "name"):
        report = ckptfast.convert(path, tmp_path / f"{by}.npz", by=by, exclude=":slots")
        with np.load(report.path) as found:
            assert "save_counter" in {name.split("/")[0] for name in found}, by
            values = [found[name] for name in found if not name.startswith("save_counter")]
        assert len(values) == len(weights), by
        for name, weight in weights.items():
            assert any(np.array_equal(value, weight) for value in values), (by, name)


def test_weights_beside_a_step_counter_and_a_learning_rate_are_left_out(
    tf: ModuleType, tmp_path: Path
) -> None:
    dense = tf.Module()
    dense.kernel = tf.Variable([1.0, 2.0])
    top = {"iter": tf.Variable(3), "learning_rate": tf.Variable(0.5), "blocks": [tf.Variable(4.0)]}
    path = tf.train.Checkpoint(dense=dense, **top).write(str(tmp_path / "root"))
    report = ckptfast.convert(path, tmp_path / "root.npz", by="object", exclude=":slots")
    assert set(report.written) == {"blocks/0", "dense/kernel", "iter", "learning_rate"}
    # An object below the root may be an optimizer; what its other objects have is not.
    inner = tf.Module()
    inner.iter, inner.learning_rate, inner.dense = top["iter"], top["learning_rate"], dense
    path = tf.train.Checkpoint(inner=inner).write(str(tmp_path / "inner"))
    report = ckptfast.convert(path, tmp_path / "inner.npz", by="object", exclude=":slots")
    assert set(report.written) == {"inner/dense/kernel"}


def test_many_optimizers_of_one_long_list_take_a_square_of_the_time() -> None:
    """What is counted is how often the list's children are asked for."""
    asked = 0

    class Children(dict[str, int]):
        def values(self) -> Any:
            nonlocal asked
            asked += 1
            return super().values()

    def item(children: dict[str, int], *keys: str) -> _object_graph.Object:
        attributes = [_object_graph.Attribute("VARIABLE_VALUE", "", key, (key,)) for key in keys]
        return _object_graph.Object(children, tuple(attributes), ())

    count = 100
    optimizer = item({"iter": 3, "learning_rate": 3, "list": 1})
    leaf, shared = item({}, "leaf"), item(Children({"0": 2, "1": 3}))
    objects = (item({}), shared, leaf, item({}, "scalar"), *[optimizer] * count)
    assert _slots.keys_of(_object_graph.ObjectGraph(objects)) == {"leaf", "scalar"}
    assert asked == 1
