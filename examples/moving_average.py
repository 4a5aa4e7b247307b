"""Saves a variable with its moving average, and restores the average in its place, three ways.

python examples/moving_average.py FOLDER
"""

from __future__ import annotations

import os
import sys

import tensorflow.compat.v1 as tf

import ckptfast

DECAY = 0.99


def train(prefix: str) -> None:
    """The variable goes from 0 to 10; its average takes one hundredth of that."""
    v = tf.get_variable("v", initializer=0.0)
    averages = tf.train.ExponentialMovingAverage(DECAY)
    update = averages.apply([v])
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        session.run(v.assign(10.0))
        session.run(update)
        ckptfast.Saver().save(session, prefix)
        print("saved:", *session.run([v, averages.average(v)]))


def by_the_saver(prefix: str) -> None:
    """The object that made the averages says what they are called."""
    v = tf.get_variable("v", initializer=0.0)
    names = tf.train.ExponentialMovingAverage(DECAY).variables_to_restore()
    with tf.Session() as session:
        ckptfast.Saver(names).restore(session, prefix)
        print("by the Saver:", *names, session.run(v))


def by_restore(prefix: str) -> None:
    """Without such an object. What has no average gets its own value."""
    v = tf.get_variable("v", initializer=0.0)
    with tf.Session() as session:
        report = ckptfast.restore(session, prefix, moving_averages=True)
        print("by restore:", *report.averaged, session.run(v))


def without_tensorflow(prefix: str) -> None:
    """As arrays, under the plain names."""
    for name, value in ckptfast.load(prefix, moving_averages=True).items():
        print("as an array:", name, value)


def main() -> None:
    """Save once, read three times."""
    prefix = os.path.join(sys.argv[1], "average")
    for part in (train, by_the_saver, by_restore, without_tensorflow):
        with tf.Graph().as_default():
            part(prefix)


if __name__ == "__main__":
    main()
