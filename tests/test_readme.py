"""What the README says, done."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()

# What the README takes for granted: a model in training, with a checkpoint in its folder.
TRAINING = """
import tensorflow as tf

graph = tf.Graph()
with graph.as_default(), tf.compat.v1.Session() as sess:
    tf.compat.v1.get_variable("dense/kernel", [3, 4])
    tf.compat.v1.train.get_or_create_global_step()
    sess.run(tf.compat.v1.global_variables_initializer())
    tf.compat.v1.train.Saver().save(sess, "train/model.ckpt", global_step=1000)
"""
WITHOUT_TENSORFLOW = "import sys; sys.modules['tensorflow'] = None\n"


def blocks(language: str) -> Iterator[str]:
    yield from re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def run(code: str, folder: Path) -> str:
    # Not the source tree's folder, and no other test's session.
    command = [sys.executable, "-I", "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{code}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tf: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoint that the README reads, made and used in other processes."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "train").mkdir()
    run(TRAINING, folder)
    return folder


def test_every_example_runs(folder: Path) -> None:
    examples = list(blocks("python"))
    assert len(examples) >= 4
    printed = run("\n".join([TRAINING, *examples, "assert report, report"]), folder)
    assert "dense/kernel" in printed
    assert (folder / "export" / "model.ckpt.index").exists()


def test_only_the_session_needs_tensorflow(folder: Path) -> None:
    examples = [code for code in blocks("python") if "tf." not in code]
    assert len(examples) == len(list(blocks("python"))) - 1
    run("\n".join([WITHOUT_TENSORFLOW, *examples]), folder)


def test_its_commands_are_targets() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z-]+)", "\n".join(blocks("console"))))
    assert {"demo", "test"} <= named <= targets


def test_its_links_lead_somewhere() -> None:
    for document in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"


def test_it_stays_short() -> None:
    assert len(README.splitlines()) <= 150


def test_the_demo_compares_every_value(tf: ModuleType, tmp_path: Path) -> None:
    command = [sys.executable, "-I", str(ROOT / "examples" / "demo.py"), "--mib", "8"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert shown.stdout.count("all equal") == 4
