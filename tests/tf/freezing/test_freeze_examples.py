"""The example of freezing, run as its users run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
