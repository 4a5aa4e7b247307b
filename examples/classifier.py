"""A small convolutional classifier: trained, saved, and used for prediction in a new process.

    python examples/classifier.py train FOLDER
    python examples/classifier.py predict FOLDER

`predict` knows nothing of the model but names: placeholders, the accuracy, and a collection.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

import ckptfast

SIZE, CLASSES = 8, 2


def images(seed: int, number: int = 64) -> tuple[Any, Any]:
    """Noise with a bright left (0) or right (1) half, and which it is."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, number)
    pixels = rng.normal(0, 0.3, (number, SIZE, SIZE, 1)).astype(np.float32)
    for image, label in zip(pixels, labels, strict=True):
        image[:, (SIZE // 2) * label : (SIZE // 2) * (label + 1)] += 1
    return pixels, labels


def variable(name: str, shape: list[int]) -> Any:
    """A small random variable, or zeros for a bias."""
    if len(shape) == 1:
        return tf.get_variable(name, shape, initializer=tf.zeros_initializer())
    return tf.get_variable(name, shape, initializer=tf.truncated_normal_initializer(stddev=0.1))


def convolution(name: str, x: Any, channels: int) -> Any:
    """3 by 3, then half the size."""
    with tf.variable_scope(name):
        kernel = variable("kernel", [3, 3, int(x.shape[-1]), channels])
        y = tf.nn.conv2d(x, kernel, strides=[1, 1, 1, 1], padding="SAME")
        y = tf.nn.relu(y + variable("bias", [channels]))
        return tf.nn.max_pool2d(y, 2, 2, "SAME")


def dense(name: str, x: Any, units: int) -> Any:
    """A fully connected layer."""
    with tf.variable_scope(name):
        return tf.matmul(x, variable("kernel", [int(x.shape[-1]), units])) + variable(
            "bias", [units]
        )


def train(folder: str) -> None:
    """Build and train the model, and save it with its graph."""
    tf.set_random_seed(1)
    x = tf.placeholder(tf.float32, [None, SIZE, SIZE, 1], name="x")
    y = tf.placeholder(tf.int64, [None], name="y")
    hidden = convolution("conv2", convolution("conv1", x, 4), 8)
    hidden = tf.nn.relu(dense("fc1", tf.reshape(hidden, [-1, 2 * 2 * 8]), 16), name="features")
    logits = dense("fc2", hidden, CLASSES)
    tf.add_to_collection("predict", tf.argmax(logits, 1))
    right = tf.equal(tf.argmax(logits, 1), y)
    tf.reduce_mean(tf.cast(right, tf.float32), name="accuracy")
    loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits))
    step = tf.train.AdamOptimizer(0.01).minimize(loss)
    saver = ckptfast.Saver()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for epoch in range(40):
            pixels, labels = images(epoch)
            session.run(step, {x: pixels, y: labels})
        print("saved", saver.save(session, os.path.join(folder, "classifier")))


def predict(folder: str) -> None:
    """Load graph and weights, and classify images that were not trained on."""
    prefix = os.path.join(folder, "classifier")
    with tf.Session() as session:
        saver = ckptfast.import_meta_graph(f"{prefix}.meta")
        assert saver is not None  # there are variables
        saver.restore(session, prefix)
        pixels, labels = images(1000)
        (classes,) = tf.get_collection("predict")
        found = session.run(classes, {"x:0": pixels})
        accuracy = session.run("accuracy:0", {"x:0": pixels, "y:0": labels})
    print("first labels", labels[:8], "predicted", found[:8])
    print(f"accuracy {accuracy:.2f}")


def main() -> None:
    """Do what the first argument says."""
    with tf.Graph().as_default():
        {"train": train, "predict": predict}[sys.argv[1]](sys.argv[2])


if __name__ == "__main__":
    main()
