"""Programs in processes of their own: what `install()` changes, it changes for a whole process."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

PREAMBLE = """
import sys
import numpy as np
import tensorflow as tf
v1 = tf.compat.v1
if {graph_mode}:
    v1.disable_eager_execution()

def ours(saver):
    return type(saver).__module__.startswith("ckptfast.")

def fallbacks():
    import ckptfast
    return dict(ckptfast.stats().fallbacks)

"""


def python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with those arguments in a folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        check=False,
    )


def run(program: str, folder: Path, *arguments: str, graph_mode: bool = True) -> str:
    """What a program prints; it has `tf`, `v1` and `np`. It fails as the test does: by `assert`."""
    path = folder / "program.py"
    preamble = PREAMBLE.replace("{graph_mode}", str(graph_mode))
    path.write_text(preamble + textwrap.dedent(program))
    result = python(str(path), *arguments, folder=folder)
    assert result.returncode == 0, result.stderr
    return result.stdout


def write_with_tensorflow(folder: Path) -> None:
    """A checkpoint `model-7` with its meta graph in the folder, by TensorFlow alone."""
    run(
        """
        w = v1.get_variable("w", initializer=np.arange(6, dtype=np.float32).reshape(2, 3))
        x = v1.placeholder(tf.float32, [None, 2], name="x")
        v1.add_to_collection("predict", tf.matmul(x, w, name="y"))
        with v1.Session() as sess:
            sess.run(v1.global_variables_initializer())
            v1.train.Saver().save(sess, "./model", global_step=7)
        """,
        folder,
    )
