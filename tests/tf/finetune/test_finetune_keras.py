"""`ckptfast.finetune` on Keras models, of Keras 3 and of tf_keras."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast


@pytest.fixture(params=["keras", "tf_keras"])
def keras(request: pytest.FixtureRequest, tf: ModuleType) -> Any:
    return importlib.import_module(request.param)


def model(keras: Any) -> Any:
    inputs = keras.Input([8, 8, 1])
    x = keras.layers.Conv2D(3, 3, name="conv")(inputs)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.MaxPooling2D(name="pool")(x)
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Dense(7, activation="relu", name="fc7")(x)
    return keras.Model(inputs, keras.layers.Dense(10, name="fc8")(x))


def weights(layer: Any) -> list[Any]:
    return [np.asarray(value) for value in layer.get_weights()]


@pytest.mark.parametrize(("layer", "width"), [("fc7", 7), ("pool", 27)])
def test_everything_below_a_new_head_stays_as_it_is(keras: Any, layer: str, width: int) -> None:
    old = model(keras)
    new = ckptfast.finetune.replace_keras_head(old, layer, 2)
    assert [tuple(item.shape) for item in new.trainable_variables] == [(width, 2), (2,)]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    new.compile(keras.optimizers.SGD(0.1), loss)
    before = [value for item in new.layers[:-1] for value in weights(item)]
    head = weights(new.get_layer("head"))
    rng = np.random.default_rng(0)
    new.fit(rng.normal(size=[16, 8, 8, 1]), rng.integers(0, 2, 16), epochs=2, verbose=0)
    after = [value for item in new.layers[:-1] for value in weights(item)]
    assert before
    assert all(a.tobytes() == b.tobytes() for a, b in zip(before, after, strict=True))
    assert not np.array_equal(head[0], weights(new.get_layer("head"))[0])
    assert new.get_layer("conv") is old.get_layer("conv")


def test_freezing_leaves_what_is_above(keras: Any) -> None:
    old = model(keras)
    variables = ckptfast.finetune.freeze_keras_below(old, "fc7")
    assert [tuple(item.shape) for item in variables] == [(7, 10), (10,)]
    assert not old.get_layer("norm").trainable
    assert old.get_layer("fc8").trainable


def test_a_sequential_model_will_do_and_need_not_be_frozen(keras: Any) -> None:
    layers = [keras.Input([5]), keras.layers.Dense(4, name="a"), keras.layers.Dense(3, name="b")]
    new = ckptfast.finetune.replace_keras_head(keras.Sequential(layers), "a", 2, freeze=False)
    assert len(new.trainable_variables) == 4
    assert np.asarray(new(np.zeros([6, 5], np.float32))).shape == (6, 2)


def test_a_head_along_the_last_dimension(keras: Any) -> None:
    inputs = keras.Input([None, 5], name="tokens")
    old = keras.Model(inputs, keras.layers.Dense(4, name="encoded")(inputs))
    new = ckptfast.finetune.replace_keras_head(old, "encoded", 2, flatten=False)
    assert np.asarray(new(np.zeros([6, 9, 5], np.float32))).shape == (6, 9, 2)
    with pytest.raises(ValueError, match="number of its features is not known"):
        ckptfast.finetune.replace_keras_head(old, "encoded", 2)


def test_a_subclassed_model_is_refused(keras: Any) -> None:
    class Own(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3, name="dense")

        def call(self, x: Any) -> Any:
            return self.dense(x)

    own = Own()
    own(np.zeros([2, 3], np.float32))
    with pytest.raises(ValueError, match="functional"):
        ckptfast.finetune.freeze_keras_below(own, "dense")


def test_what_is_no_model_is_refused(tf: ModuleType) -> None:
    with pytest.raises(TypeError, match="not a Keras model"):
        ckptfast.finetune.freeze_keras_below(object(), "dense")


@pytest.mark.parametrize("kind", ["functional", "sequential"])
def test_a_model_used_as_a_layer_is_cut_in_its_own_graph(keras: Any, kind: str) -> None:
    inner = keras.Input([4])
    below = keras.layers.Dense(5)
    if kind == "functional":
        base = keras.Model(inner, below(inner), name="base")
    else:
        base = keras.Sequential([below], name="base")
        base(inner)
    inputs = keras.Input([4])
    features = base(keras.layers.Dense(4, name="pre")(inputs))
    old = keras.Model(inputs, keras.layers.Dense(2, name="out")(features))
    new = ckptfast.finetune.replace_keras_head(old, "base", 3)
    x = np.random.default_rng(0).normal(size=[2, 4]).astype("float32")
    kernel, bias = weights(new.get_layer("head"))
    wanted = np.asarray(base(old.get_layer("pre")(x))) @ kernel + bias
    np.testing.assert_allclose(np.asarray(new(x)), wanted, atol=1e-5)
    assert not base.trainable
    assert [tuple(item.shape) for item in new.trainable_variables] == [(5, 3), (3,)]


def test_a_shared_layer_is_cut_at_its_first_call(keras: Any) -> None:
    inputs = keras.Input([4])
    shared, between = keras.layers.Dense(4, name="shared"), keras.layers.Dense(4, name="between")
    twice = shared(between(shared(inputs)))
    old = keras.Model(inputs, keras.layers.Dense(2, name="out")(twice))
    with pytest.raises(ValueError, match="'shared' is called 2 times"):
        ckptfast.finetune.replace_keras_head(old, "shared", 3)
    variables = ckptfast.finetune.freeze_keras_below(old, "shared")
    assert [tuple(item.shape) for item in variables] == [(4, 2), (2,)]
    assert not between.trainable


def test_a_layer_that_another_model_called_first(keras: Any) -> None:
    shared = keras.layers.Dense(4, name="shared")
    shared(keras.Input([4]))
    inputs = keras.Input([4])
    old = keras.Model(inputs, keras.layers.Dense(2)(shared(inputs)))
    new = ckptfast.finetune.replace_keras_head(old, shared, 3)
    assert tuple(new(np.ones([2, 4], "float32")).shape) == (2, 3)


def test_the_inputs_of_a_new_head_are_another_structure(keras: Any) -> None:
    one = keras.Input([4], name="b")
    simple = keras.Model(one, keras.layers.Dense(3, name="low")(one))
    inputs = {"b": keras.Input([4], name="b"), "a": keras.Input([2], name="a")}
    joined = keras.layers.Concatenate(name="low")([inputs["b"], inputs["a"]])
    named = keras.Model(inputs, keras.layers.Dense(3)(joined))
    values = {"b": np.ones([2, 4], "float32"), "a": np.zeros([2, 2], "float32")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for old, value in ((simple, values["b"]), (named, values)):
            new = ckptfast.finetune.replace_keras_head(old, "low", 2)
            assert tuple(new(value).shape) == (2, 2)


def test_a_layer_within_a_layer_is_refused(keras: Any) -> None:
    inner = keras.Input([4])
    deep = keras.layers.Dense(4, name="deep")
    base = keras.Model(inner, deep(inner))
    inputs = keras.Input([4])
    old = keras.Model(inputs, keras.layers.Dense(2)(base(inputs)))
    with pytest.raises(ValueError, match="does not call 'deep' itself"):
        ckptfast.finetune.replace_keras_head(old, deep, 3)
