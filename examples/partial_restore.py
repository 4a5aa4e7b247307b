"""Restores what a checkpoint has, under other names and in other sizes; initialises the rest.

python examples/partial_restore.py FOLDER
"""

from __future__ import annotations

import os
import sys

import numpy as np
import tensorflow.compat.v1 as tf

import ckptfast


def pretrained(prefix: str) -> None:
    """A language model: 500 words, and what its optimizer remembers."""
    ckptfast.save(
        prefix,
        {
            "model/embedding": np.ones([500, 8], np.float32),
            "model/encoder/kernel": np.full([8, 8], 2, np.float32),
            "model/encoder/kernel/Adam": np.full([8, 8], 3, np.float32),
        },
    )


def restore(prefix: str) -> None:
    """The same encoder under another name, 700 words, and a new output layer."""
    tf.get_variable("encoder/embedding", [700, 8])
    tf.get_variable("encoder/encoder/kernel", [8, 8])
    kernel = tf.get_variable("output/kernel", [8, 2])
    scale = tf.Variable(tf.norm(kernel.read_value()), name="output/scale")
    with tf.Session() as session:
        report = ckptfast.restore(
            session,
            prefix,
            rename={"model/": "encoder/"},
            exclude=":slots",
            on_missing="skip",
            on_mismatch="slice",
        )
        print("restored:", *report.restored)
        print("renamed:", *(f"{old}->{new}" for new, old in report.renamed.items()))
        print("sliced:", *report.sliced)
        print("without a value:", *ckptfast.uninitialized(session))
        # `output/scale` is computed from `output/kernel`, so it comes after it.
        print("initialized:", *ckptfast.finetune.initialize_uninitialized(session))
        rows = session.run("encoder/embedding/Read/ReadVariableOp:0")
        print("known words:", int((rows == 1).all(axis=1).sum()), "of", len(rows))
        norm, expected = session.run([scale, tf.norm(kernel)])
        print("scale is right:", bool(np.isclose(norm, expected)))


def main() -> None:
    """Write a checkpoint and restore parts of it."""
    prefix = os.path.join(sys.argv[1], "pretrained")
    pretrained(prefix)
    with tf.Graph().as_default():
        tf.enable_resource_variables()
        restore(prefix)


if __name__ == "__main__":
    main()
