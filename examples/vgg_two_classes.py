"""A VGG-shaped network out of a `.meta` file, cut at `fc7`, with a new layer for two classes.

    python examples/vgg_two_classes.py FOLDER

The network is VGG-16 with few channels, so that it runs anywhere. Only names and shapes matter.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

import ckptfast

BLOCKS = ((2, 4), (2, 6), (3, 8), (3, 8), (3, 8))  # VGG-16: 64, 128, 256, 512, 512 channels
SIZE = 32


def layer(name: str, x: Any, kernel_shape: list[int]) -> Any:
    """A convolution or a fully connected layer, before its activation."""
    with tf.variable_scope(name):
        kernel = tf.get_variable("weights", kernel_shape)
        bias = tf.get_variable("biases", kernel_shape[-1:], initializer=tf.zeros_initializer())
        if len(kernel_shape) == 2:
            return tf.matmul(x, kernel) + bias
        return tf.nn.conv2d(x, kernel, strides=[1, 1, 1, 1], padding="SAME") + bias


def build_and_save(prefix: str) -> None:
    """What somebody else has trained."""
    x = tf.placeholder(tf.float32, [None, SIZE, SIZE, 3], name="images")
    channels = 3
    for block, (layers, width) in enumerate(BLOCKS, 1):
        for number in range(1, layers + 1):
            x = tf.nn.relu(layer(f"conv{block}_{number}", x, [3, 3, channels, width]))
            channels = width
        x = tf.nn.max_pool2d(x, 2, 2, "SAME")
    x = tf.reshape(x, [-1, channels])
    x = tf.nn.relu(layer("fc6", x, [channels, 32]))
    x = tf.nn.relu(layer("fc7", x, [32, 32]), name="fc7/Relu")
    layer("fc8", x, [32, 10])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        ckptfast.Saver().save(session, prefix)


def photographs(seed: int) -> tuple[Any, Any]:
    """Dark and bright images."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, 32)
    pixels = rng.uniform(0, 0.3, (32, SIZE, SIZE, 3)) + labels[:, None, None, None]
    return pixels.astype(np.float32), labels


def train_a_head(prefix: str) -> None:
    """Two classes on the features of `fc7`."""
    saver = ckptfast.import_meta_graph(f"{prefix}.meta")
    assert saver is not None  # there are variables
    graph = tf.get_default_graph()
    logits, variables = ckptfast.finetune.replace_head(graph, "fc7/Relu", 2)
    print("trained:", *(f"{item.op.name}{item.shape.as_list()}" for item in variables))
    labels = tf.placeholder(tf.int64, [None])
    loss = tf.losses.sparse_softmax_cross_entropy(labels, logits)
    step = tf.train.AdamOptimizer(0.1).minimize(loss, var_list=variables)
    old = [item for item in tf.global_variables() if item.op.name in names(prefix)]
    with tf.Session() as session:
        saver.restore(session, prefix)
        ckptfast.finetune.initialize_uninitialized(session)
        before = session.run(old)
        for seed in range(60):
            pixels, classes = photographs(seed)
            session.run(step, {"images:0": pixels, labels: classes})
        pixels, classes = photographs(1000)
        found = session.run(tf.argmax(logits, 1), {"images:0": pixels})
        after = session.run(old)
    print(f"accuracy {np.mean(found == classes):.2f}")
    same = sum(a.tobytes() == b.tobytes() for a, b in zip(before, after, strict=True))
    print(f"{same} of {len(old)} old variables unchanged")


def names(prefix: str) -> set[str]:
    """What the checkpoint holds."""
    return {name for name, _ in ckptfast.list_variables(prefix)}


def main() -> None:
    """Make the checkpoint, then use it as a stranger does."""
    prefix = os.path.join(sys.argv[1], "vgg")
    for part in (build_and_save, train_a_head):
        with tf.Graph().as_default():
            tf.set_random_seed(1)
            part(prefix)


if __name__ == "__main__":
    main()
