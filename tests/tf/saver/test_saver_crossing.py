"""What one class saves the other restores, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).with_name("saver_crossing.py")
# As in the script, which loads TensorFlow.
CASES = ("plain", "sharded", "V1", "V1 sharded", "partitioned", "renamed", "relative", "padded")
KINDS = ("tensorflow", "ckptfast")


def run(*arguments: str) -> dict[str, str]:
    """How each case went."""
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    outcomes: dict[str, str] = json.loads(done.stdout)
    return outcomes


@pytest.fixture(scope="module", params=KINDS)
def outcomes(
    tf: ModuleType, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, str]]:
    """All cases, saved by one class and restored by each."""
    folder = str(tmp_path_factory.mktemp("crossing"))
    found = {"save": run("save", request.param, folder)}
    return found | {kind: run("restore", kind, folder) for kind in KINDS}


@pytest.mark.parametrize("case", CASES)
def test_files_cross(outcomes: dict[str, dict[str, str]], case: str) -> None:
    for action, found in outcomes.items():
        assert found[case] == "ok", action
