"""Models for the tests of `ckptfast.keras`, in Keras 3 and in tf_keras."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np

WORDS = 7


def inputs(kind: str) -> Any:
    """A batch for the model of that kind."""
    random = np.random.default_rng(3)
    if kind == "text":
        return random.integers(0, WORDS, (4, 5))
    if kind == "image":
        return random.normal(size=(3, 8, 8, 2)).astype("float32")
    return random.normal(size=(6, 5)).astype("float32")


def text(keras: ModuleType) -> Any:
    """Embedding, recurrent cells, attention."""
    layers = keras.layers
    words = keras.Input((5,), dtype="int32")
    x = layers.Embedding(WORDS, 6)(words)
    x = layers.Bidirectional(layers.LSTM(4, return_sequences=True))(x)
    x = layers.Dropout(0.2)(x)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    x = layers.GRU(3)(x)
    return keras.Model(words, layers.Dense(2)(x))


def image(keras: ModuleType) -> Any:
    """Convolutions, normalisation, and a nested model that is used twice."""
    layers = keras.layers
    pixels = keras.Input((8, 8, 2))
    x = layers.Conv2D(3, 3, activation="relu")(pixels)
    x = layers.BatchNormalization()(x)
    x = layers.SeparableConv2D(4, 3)(x)
    x = layers.LayerNormalization()(x)
    x = layers.Flatten()(x)
    shared = layers.Dense(5)
    inner = keras.Sequential([layers.Dense(5, activation="relu"), layers.Dense(5)])
    x = inner(shared(x))
    y = layers.Dense(64)(x)
    return keras.Model(pixels, [layers.Dense(2)(shared(y)), inner(x)])


def sequential(keras: ModuleType) -> Any:
    """Layers in a row."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input((5,)),
            layers.Dense(4, activation="tanh"),
            layers.Dropout(0.1),
            layers.BatchNormalization(),
            layers.Dense(4),
            layers.Dense(4),
        ]
    )


def subclassed(keras: ModuleType) -> Any:
    """Attributes, a list of layers, a weight of its own; built by a call."""

    class Block(keras.layers.Layer):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.inner = keras.layers.Dense(5)
            self.norm = keras.layers.BatchNormalization()

        def build(self, shape: Any) -> None:
            self.scale = self.add_weight(shape=(5,), initializer="ones", name="scale")
            super().build(shape)

        def call(self, x: Any, training: bool = False) -> Any:
            return self.norm(self.inner(x), training=training) * self.scale

    class Net(keras.Model):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.first = Block()
            self.blocks = [Block(), Block()]
            self.head = keras.layers.Dense(2)

        def call(self, x: Any, training: bool = False) -> Any:
            x = self.first(x, training=training)
            for block in self.blocks:
                x = block(x, training=training)
            return self.head(x)

    net = Net()
    net(inputs("subclassed"))
    return net


MODELS: dict[str, Callable[[ModuleType], Any]] = {
    "text": text,
    "image": image,
    "sequential": sequential,
    "subclassed": subclassed,
}


def scramble(model: Any, seed: int) -> Any:
    """Give every variable values of its own, as training would."""
    random = np.random.default_rng(seed)
    model.set_weights([random.uniform(0.1, 1, value.shape) for value in model.get_weights()])
    return model


def outputs(model: Any, kind: str) -> list[bytes]:
    """The bytes of what the model makes of its batch."""
    found = model(inputs(kind))
    return [
        np.asarray(value).tobytes() for value in (found if isinstance(found, list) else [found])
    ]


def weights(model: Any) -> dict[str, bytes]:
    """The bytes of every weight, by position and the last part of its name."""
    return {
        f"{at} {item.name.rpartition('/')[2].removesuffix(':0')}": np.asarray(item).tobytes()
        for at, item in enumerate(model.weights)
    }
