"""A TensorFlow checkpoint into a Keras 3 model, which Keras 3 itself refuses to load.

    python examples/keras_weights.py train FOLDER
    python examples/keras_weights.py resume FOLDER

`resume` builds the model anew, in a program where its layers have other names, loads weights and
optimizer, goes on, and loads the convolution alone into a smaller model.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import keras
import numpy as np

import ckptfast

SIZE = 8


def images(seed: int, number: int = 128) -> tuple[Any, Any]:
    """Noise with a bright left (0) or right (1) half, and which it is."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, number)
    pixels = rng.normal(0, 0.3, (number, SIZE, SIZE, 1)).astype(np.float32)
    for image, label in zip(pixels, labels, strict=True):
        image[:, (SIZE // 2) * label : (SIZE // 2) * (label + 1)] += 1
    return pixels, labels


def classifier() -> Any:
    """A small model, compiled."""
    pixels = keras.Input((SIZE, SIZE, 1))
    x = keras.layers.Conv2D(4, 3, activation="relu")(pixels)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Flatten()(x)
    model = keras.Model(pixels, keras.layers.Dense(2)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.003), loss, metrics=["accuracy"])
    return model


def train(folder: str) -> None:
    """Train for five epochs and save everything."""
    keras.utils.set_random_seed(1)
    model = classifier()
    model.fit(*images(1), epochs=5, verbose=0)
    prefix = os.path.join(folder, "classifier")
    print("saved", ckptfast.Checkpoint(model=model).write(prefix))


def resume(folder: str) -> None:
    """Go on where `train` ended."""
    prefix = os.path.join(folder, "classifier")
    classifier()  # a model before this one: layers are called "conv2d_1", "dense_1" from here on
    model = classifier()
    report = ckptfast.keras.load_weights(model, prefix, optimizer=True)
    print(report)
    first = model.layers[1].kernel.path
    print(f"{first} came from {report.loaded[first]}")
    step = int(model.optimizer.iterations)
    model.fit(*images(2), epochs=5, verbose=0)
    _, accuracy = model.evaluate(*images(1000), verbose=0)
    print(f"resumed at step {step}, accuracy {accuracy:.2f}")

    features = keras.Model(model.inputs, model.layers[1].output)
    part = ckptfast.keras.load_weights(features, prefix)
    print(f"of the first layer alone: {len(part.loaded)} loaded, {len(part.missing)} missing")


def main() -> None:
    """Do what the command line says."""
    {"train": train, "resume": resume}[sys.argv[1]](sys.argv[2])


if __name__ == "__main__":
    main()
