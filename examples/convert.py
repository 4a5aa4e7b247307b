"""Takes a trained model to safetensors under other names and in half the bytes, and back.

python examples/convert.py FOLDER
"""

from __future__ import annotations

import os
import sys

import tensorflow.compat.v1 as tf

import ckptfast

DECAY = 0.9


def train(prefix: str) -> None:
    """A layer with the slots of an optimizer, its moving averages and a step counter."""
    kernel = tf.get_variable("tower/dense/kernel", [3, 2], initializer=tf.ones_initializer())
    bias = tf.get_variable("tower/dense/bias", [2], initializer=tf.zeros_initializer())
    step = tf.train.get_or_create_global_step()
    loss = tf.reduce_sum((tf.matmul(tf.ones([1, 3]), kernel) + bias) ** 2)
    update = tf.train.AdamOptimizer(0.1).minimize(loss, global_step=step)
    with tf.control_dependencies([update]):
        train_op = tf.train.ExponentialMovingAverage(DECAY).apply([kernel, bias])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for _ in range(10):
            session.run(train_op)
        ckptfast.Saver().save(session, prefix)


def main() -> None:
    """From a checkpoint to safetensors and back; only `train` needs TensorFlow."""
    prefix = os.path.join(sys.argv[1], "model")
    with tf.Graph().as_default():
        train(prefix)
    report = ckptfast.convert(
        prefix,
        f"{prefix}.safetensors",
        moving_averages=True,
        exclude=[":slots", "global_step"],
        rename={"tower/dense/kernel": "layers.0.weight", "tower/dense/bias": "layers.0.bias"},
        dtype="bfloat16",
    )
    print("written:", *sorted(report.written))
    print("averaged:", *sorted(report.averaged))
    print("left out:", *sorted(report.skipped))
    back = ckptfast.convert(
        report,
        f"{prefix}-back",
        rename={"layers.0.weight": "tower/dense/kernel", "layers.0.bias": "tower/dense/bias"},
        dtype="float32",
    )
    averages = ckptfast.load(prefix, moving_averages=True)
    for name, value in ckptfast.load(back).items():
        close = abs(value - averages[name]).max() < 2**-8 * abs(averages[name]).max()
        print(f"{name}: {value.dtype} again, within a bfloat16's rounding: {close}")


if __name__ == "__main__":
    main()
