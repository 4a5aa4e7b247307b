"""Fits a line, saves every 10 of 300 epochs, and goes on from the last checkpoint.

    python examples/linear_fit.py FOLDER

The only line that differs from a program for TensorFlow alone is the import of `ckptfast`, whose
`Saver` takes the place of `tf.compat.v1.train.Saver`.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import tensorflow.compat.v1 as tf

import ckptfast

EPOCHS = 300


def train(folder: str) -> float:
    """Train from scratch, and return the loss."""
    rng = np.random.default_rng(1)
    xs = rng.uniform(-1, 1, 64).astype(np.float32)
    ys = 3 * xs + 2
    x = tf.placeholder(tf.float32, [None], name="x")
    y = tf.placeholder(tf.float32, [None], name="y")
    weight = tf.get_variable("weight", initializer=0.0)
    bias = tf.get_variable("bias", initializer=0.0)
    loss = tf.reduce_mean(tf.square(weight * x + bias - y), name="loss")
    step = tf.train.GradientDescentOptimizer(0.1).minimize(loss, name="step")
    saver = ckptfast.Saver(max_to_keep=4)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for epoch in range(EPOCHS):
            session.run(step, {x: xs, y: ys})
            if epoch % 10 == 0:
                saver.save(session, os.path.join(folder, "line"), global_step=epoch)
        return float(session.run(loss, {x: xs, y: ys}))


def reload(folder: str) -> tuple[float, float]:
    """Weight and bias of the latest checkpoint; the graph comes out of its `.meta` file."""
    latest = ckptfast.latest_checkpoint(folder)
    assert latest is not None
    with tf.Graph().as_default(), tf.Session() as session:
        saver = ckptfast.import_meta_graph(f"{latest}.meta")
        assert saver is not None  # there are variables
        saver.restore(session, latest)
        weight, bias = session.run(["weight/Read/ReadVariableOp:0", "bias/Read/ReadVariableOp:0"])
        return float(weight), float(bias)


def main() -> None:
    """Train, list the checkpoints that were kept, and reload the last."""
    folder = sys.argv[1]
    with tf.Graph().as_default():
        loss = train(folder)
    state = ckptfast.get_checkpoint_state(folder)
    kept = [os.path.basename(path) for path in state.all_model_checkpoint_paths] if state else []
    weight, bias = reload(folder)
    print(f"loss {loss:.6f}; kept {' '.join(kept)}")
    print(f"reloaded: y = {weight:.2f} x + {bias:.2f}")


if __name__ == "__main__":
    main()
