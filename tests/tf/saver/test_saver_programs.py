"""The examples of programs with a saver, run with our import and with TensorFlow's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"

# The same programs for TensorFlow alone: what they take from ckptfast is there under other names.
STOCK = """
import sys, types
import tensorflow.compat.v1 as tf
names = ("Saver", "import_meta_graph", "latest_checkpoint", "get_checkpoint_state")
members = {name: getattr(tf.train, name) for name in names}
members["list_variables"] = tf.train.list_variables
sys.modules["ckptfast"] = types.SimpleNamespace(**members)
"""


def run(kind: str, name: str, *arguments: str) -> str:
    program = EXAMPLES / name
    code = STOCK if kind == "tensorflow" else ""
    code += f"import runpy, sys; sys.argv[:] = {[name, *arguments]!r}\n"
    code += f"runpy.run_path({str(program)!r}, run_name='__main__')\n"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tf: ModuleType, tmp_path: Path) -> str:
    return str(tmp_path)


def test_a_linear_fit(kind: str, folder: str) -> None:
    output = run(kind, "linear_fit.py", folder)
    assert "kept line-260 line-270 line-280 line-290" in output
    assert "reloaded: y = 3.00 x + 2.00" in output


@pytest.mark.parametrize("trainer", ["tensorflow", "ckptfast"])
def test_a_classifier_in_two_processes(kind: str, trainer: str, folder: str) -> None:
    run(trainer, "classifier.py", "train", folder)
    output = run(kind, "classifier.py", "predict", folder)
    accuracy = float(output.split("accuracy ")[1])
    assert accuracy > 0.9


def test_renaming_selecting_extending(kind: str, folder: str) -> None:
    assert run(kind, "rename_and_select.py", folder).splitlines() == [
        "renamed: [1.0, 2.0]",
        "saved: first",
        "first: 24",
        "restored: 60",
        "extended: 120",
    ]
