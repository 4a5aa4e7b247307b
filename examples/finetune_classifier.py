"""The classifier of classifier.py, taught six classes; all that it knew before stays as it was.

    python examples/classifier.py train FOLDER
    python examples/finetune_classifier.py FOLDER

Its graph comes out of the `.meta` file, is cut at the tensor "features", and gets a new last layer.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

import ckptfast

CLASSES = 6


def images(seed: int, number: int = 96) -> tuple[Any, Any]:
    """Noise with a bright patch in one of six places, and in which."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, CLASSES, number)
    pixels = rng.normal(0, 0.1, (number, 8, 8, 1)).astype(np.float32)
    for image, label in zip(pixels, labels, strict=True):
        row, column = divmod(int(label), 3)
        image[4 * row : 4 * row + 4, 3 * column : 3 * column + 2] += 1
    return pixels, labels


def finetune(folder: str) -> None:
    """Train the new layer only, and compare everything else with the checkpoint."""
    prefix = os.path.join(folder, "classifier")
    saver = ckptfast.import_meta_graph(f"{prefix}.meta")
    assert saver is not None  # there are variables
    graph = tf.get_default_graph()
    logits, variables = ckptfast.finetune.replace_head(graph, "features", CLASSES)
    labels = tf.placeholder(tf.int64, [None])
    loss = tf.reduce_mean(
        tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    )
    step = tf.train.AdamOptimizer(0.05).minimize(loss, var_list=variables)
    right = tf.reduce_mean(tf.cast(tf.equal(tf.argmax(logits, 1), labels), tf.float32))
    with tf.Session() as session:
        saver.restore(session, prefix)
        new = ckptfast.finetune.initialize_uninitialized(session)
        print("new:", *sorted(new))
        for seed in range(200):
            pixels, classes = images(seed)
            session.run(step, {"x:0": pixels, labels: classes})
        pixels, classes = images(1000)
        print(f"accuracy {session.run(right, {'x:0': pixels, labels: classes}):.2f}")
        ckptfast.Saver().save(session, os.path.join(folder, "six"))
    before = ckptfast.load(prefix)
    after = ckptfast.load(os.path.join(folder, "six"))
    same = [name for name in before if before[name].tobytes() == after[name].tobytes()]
    print(f"{len(same)} of {len(before)} old variables unchanged, {len(after) - len(before)} new")


def main() -> None:
    """Fine-tune what the other example has trained."""
    with tf.Graph().as_default():
        tf.set_random_seed(1)
        finetune(sys.argv[1])


if __name__ == "__main__":
    main()
