"""What the tests of object-based checkpoints share."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import ckptfast


def checkpoint_class(who: str) -> Any:
    """`Checkpoint` of TensorFlow ("tensorflow") or ours ("ckptfast")."""
    if who == "tensorflow":
        import tensorflow as tf

        return tf.train.Checkpoint
    from ckptfast.tf.objects import Checkpoint

    return Checkpoint


def manager_class(who: str) -> Any:
    """`CheckpointManager` of TensorFlow or ours."""
    if who == "tensorflow":
        import tensorflow as tf

        return tf.train.CheckpointManager
    from ckptfast.tf.objects import CheckpointManager

    return CheckpointManager


def net(tf: ModuleType, seed: int) -> Any:
    """Modules, lists, dictionaries, a shared variable and names that keys have to escape."""
    random = np.random.default_rng(seed)

    def value(*shape: int) -> Any:
        return random.standard_normal(shape).astype("float32")

    root = tf.Module()
    root.w = tf.Variable(value(3, 4), name="w")
    root.layers = [tf.Variable(value(5), name="layer"), tf.Module()]
    root.layers[1].b = tf.Variable(value(), name="b")
    root.layers[1].again = root.w
    root.layers[1].up = root
    root.table = {"a/b.c": tf.Variable(random.integers(0, 9, (2, 2)), name="t")}
    root.flag = tf.Variable(bool(seed % 2))
    root.half = tf.Variable(value(2, 3), dtype=tf.bfloat16)
    root.text = tf.Variable([b"x" * seed, b"\0"])
    root.empty = tf.Variable(value(0, 3))
    return root


def values(root: Any) -> dict[str, Any]:
    """The values of all variables below a module, by name and position."""
    return {f"{at} {item.name}": item.numpy() for at, item in enumerate(root.variables)}


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert np.asarray(found[name]).dtype == np.asarray(value).dtype, name
        assert np.asarray(found[name]).tolist() == np.asarray(value).tolist(), name


def contents(prefix: str) -> dict[str, Any]:
    """Every tensor of a checkpoint, as plain lists."""
    return {name: value.tolist() for name, value in ckptfast.load(prefix).items()}


def hashes(prefix: str) -> dict[str, str]:
    """The SHA-256 of every file of a checkpoint."""
    path = Path(prefix)
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.parent.glob(f"{path.name}.*"))
    }


def run(script: str, *arguments: str) -> str:
    """Run a script in a process of its own; what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
