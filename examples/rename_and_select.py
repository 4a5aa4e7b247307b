"""Saves under other names, saves only some variables, and adds operations to a restored graph.

python examples/rename_and_select.py FOLDER
"""

from __future__ import annotations

import os
import sys

import tensorflow.compat.v1 as tf

import ckptfast


def rename(folder: str) -> None:
    """A mapping says which name in the checkpoint is which variable."""
    prefix = os.path.join(folder, "renamed")
    with tf.Graph().as_default(), tf.Session() as session:
        weights = tf.get_variable("weights", initializer=[1.0, 2.0])
        session.run(weights.initializer)
        ckptfast.Saver({"old_model/w": weights}).save(session, prefix, write_meta_graph=False)
    with tf.Graph().as_default(), tf.Session() as session:
        kernel = tf.get_variable("kernel", [2])
        ckptfast.Saver({"old_model/w": kernel}).restore(session, prefix)
        print("renamed:", session.run(kernel).tolist())


def select(folder: str) -> None:
    """A list says which variables are saved; the others are initialised as usual."""
    prefix = os.path.join(folder, "some")
    with tf.Graph().as_default(), tf.Session() as session:
        first = tf.get_variable("first", initializer=[5.0])
        tf.get_variable("second", initializer=[6.0])
        session.run(tf.global_variables_initializer())
        ckptfast.Saver([first]).save(session, prefix, write_meta_graph=False)
    names = [name for name, _ in ckptfast.list_variables(prefix)]
    print("saved:", *names)


def extend(folder: str) -> None:
    """Feed a restored graph, and build on it: (4 + 8) * 2 = 24, (13 + 17) * 2 = 60, * 2 = 120."""
    prefix = os.path.join(folder, "product")
    with tf.Graph().as_default(), tf.Session() as session:
        w1 = tf.placeholder(tf.float32, name="w1")
        w2 = tf.placeholder(tf.float32, name="w2")
        bias = tf.get_variable("bias", initializer=2.0)
        result = tf.multiply(tf.add(w1, w2), bias, name="restored_operation")
        session.run(tf.global_variables_initializer())
        print("first:", int(session.run(result, {w1: 4, w2: 8})))
        ckptfast.Saver().save(session, prefix, global_step=1000)
    with tf.Graph().as_default(), tf.Session() as session:
        saver = ckptfast.import_meta_graph(f"{prefix}-1000.meta")
        latest = ckptfast.latest_checkpoint(folder)
        assert saver is not None
        assert latest is not None
        saver.restore(session, latest)
        graph = tf.get_default_graph()
        feeds = {graph.get_tensor_by_name("w1:0"): 13.0, graph.get_tensor_by_name("w2:0"): 17.0}
        restored = graph.get_tensor_by_name("restored_operation:0")
        print("restored:", int(session.run(restored, feeds)))
        print("extended:", int(session.run(tf.multiply(restored, 2), feeds)))


def main() -> None:
    """All three, one after the other."""
    for part in (rename, select, extend):
        part(sys.argv[1])


if __name__ == "__main__":
    main()
