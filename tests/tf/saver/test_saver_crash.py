"""Saves that are killed or find no room, and the memory that saves and restores take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = pytest.mark.xdist_group("alone")

PROGRAM = Path(__file__).with_name("saver_crash.py")


def run(job: str, folder: Path) -> Any:
    done = subprocess.run(
        [sys.executable, str(PROGRAM), job, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_kill_during_a_save_leaves_neither_checkpoint(tf: ModuleType, tmp_path: Path) -> None:
    found = run("kill", tmp_path)
    assert sorted(found) == ["one prefix", "one prefix, sharded", "steps, two kept"]
    for mode, kills in found.items():
        assert len(kills) == 4
        for done, value in kills:
            assert value in (done, done + 1), mode


def test_a_full_disk_costs_the_old_checkpoint_or_leaves_files(
    tf: ModuleType, tmp_path: Path
) -> None:
    found = run("full", tmp_path)
    assert len(found["errors"]) == 4
    for error in found["errors"]:
        assert str(tmp_path) in error
        assert "No space left on device" in error or "File too large" in error
    assert found["after"] == found["before"]
    assert found["value"] == 1.0


@pytest.mark.usefixtures("two_processors")
def test_a_save_or_an_aligned_restore_copies_the_model(
    tf: ModuleType, tmp_path: Path, record_property: Any
) -> None:
    found = run("memory", tmp_path)
    record_property("figure", f"MiB of anonymous memory beyond a model of 256 MiB: {found}")
    assert max(found.values()) <= 64
