"""The examples: that of freezing, run as its users run it, and what the others save, frozen."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_sum_in_one_file(tmp_path: Path) -> None:
    shown = run("freeze.py", "sum", str(tmp_path))
    assert "v1 + v2 = 3.0" in shown
    assert "2 variables frozen" in shown


def test_the_classifier_in_one_file(tmp_path: Path) -> None:
    run("classifier.py", "train", str(tmp_path))
    shown = run("freeze.py", "classifier", str(tmp_path))
    assert "8 variables" in shown
    assert float(shown.split("accuracy ")[1]) > 0.9


@pytest.mark.parametrize(
    ("name", "model", "output", "feeds"),
    [
        ("linear_fit.py", "line-*", "loss", {"x:0": [1.0, 2.0], "y:0": [3.0, 5.0]}),
        ("rename_and_select.py", "product-1000", "restored_operation", {"w1:0": 3.0, "w2:0": 4.0}),
        ("vgg_two_classes.py", "vgg", "fc8/add", {"images:0": np.ones((2, 32, 32, 3))}),
    ],
)
def test_a_frozen_example_computes_something_else(
    tf: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    model: str,
    output: str,
    feeds: dict[str, Any],
) -> None:
    monkeypatch.setattr(sys, "argv", [name, str(tmp_path)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    prefix = os.fspath(sorted(tmp_path.glob(f"{model}.meta"))[-1]).removesuffix(".meta")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.train.import_meta_graph(f"{prefix}.meta").restore(session, prefix)
        wanted = session.run(f"{output}:0", feeds)
    frozen = ckptfast.freeze(f"{prefix}.meta", prefix, [output])
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph_def = tf.compat.v1.GraphDef.FromString(frozen)
        (tensor,) = ckptfast.import_graph_def(graph_def, return_elements=[f"{output}:0"], name="")
        np.testing.assert_array_equal(session.run(tensor, feeds), wanted)
