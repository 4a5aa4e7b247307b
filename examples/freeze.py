"""One file to run a model with: the sum of two variables, and the trained classifier, frozen.

    python examples/freeze.py sum FOLDER
    python examples/freeze.py classifier FOLDER

The second one freezes what `python examples/classifier.py train FOLDER` has left. Freezing itself
needs no TensorFlow and no session; running a frozen graph does.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

import ckptfast
from classifier import images


def load(path: str, name: str) -> Any:
    """A tensor of a frozen graph, which is added to the default graph."""
    graph_def = tf.GraphDef()
    with open(path, "rb") as file:
        graph_def.ParseFromString(file.read())
    (tensor,) = tf.import_graph_def(graph_def, return_elements=[name], name="")
    return tensor


def add(folder: str) -> None:
    """Save v1 and v2 with their sum, freeze them, and compute the sum from the one file."""
    prefix = os.path.join(folder, "add")
    with tf.Graph().as_default(), tf.Session() as session:
        first = tf.get_variable("v1", initializer=tf.constant(1.0))
        second = tf.get_variable("v2", initializer=tf.constant(2.0))
        tf.add(first, second, name="add")
        session.run(tf.global_variables_initializer())
        ckptfast.Saver().save(session, prefix)
    print(ckptfast.freeze(f"{prefix}.meta", prefix, ["add"], output=f"{prefix}.pb"))
    with tf.Graph().as_default(), tf.Session() as session:
        print("v1 + v2 =", session.run(load(f"{prefix}.pb", "add:0")))


def classify(folder: str) -> None:
    """Freeze the classifier without what training needed, and classify new images with it."""
    prefix = os.path.join(folder, "classifier")
    report = ckptfast.freeze(f"{prefix}.meta", prefix, ["ArgMax"], output=f"{prefix}.pb")
    print(f"{report.nodes} nodes, {len(report.constants)} variables, {report.nbytes} bytes")
    pixels, labels = images(1000)
    with tf.Graph().as_default() as graph, tf.Session() as session:
        found = session.run(load(report.path, "ArgMax:0"), {"x:0": pixels})
        assert not tf.global_variables() and "Adam" not in str(graph.as_graph_def())
    print(f"accuracy {np.mean(found == labels):.2f}")


if __name__ == "__main__":
    {"sum": add, "classifier": classify}[sys.argv[1]](sys.argv[2])
