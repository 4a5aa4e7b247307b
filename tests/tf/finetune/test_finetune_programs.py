"""The examples of fine-tuning and moving averages, and what they print."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


@pytest.fixture
def run(
    tf: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> object:
    """Runs an example in this process (TensorFlow is loaded already); returns its lines."""

    def run(name: str, *arguments: str) -> list[str]:
        program = EXAMPLES / name
        monkeypatch.setattr(sys, "argv", [name, *arguments, str(tmp_path)])
        capsys.readouterr()
        runpy.run_path(str(program), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run


def test_a_classifier_learns_six_classes_above_what_it_knew(run: object) -> None:
    assert callable(run)
    run("classifier.py", "train")
    new, accuracy, kept = run("finetune_classifier.py")
    assert "head/bias head/bias/Adam head/bias/Adam_1 head/kernel" in new
    assert float(accuracy.split()[1]) > 0.5  # one in six by chance
    assert kept == "26 of 26 old variables unchanged, 8 new"


def test_a_vgg_is_cut_at_fc7(run: object) -> None:
    assert callable(run)
    trained, accuracy, kept = run("vgg_two_classes.py")
    assert trained == "trained: head/kernel[32, 2] head/bias[2]"
    assert float(accuracy.split()[1]) > 0.9
    assert kept == "32 of 32 old variables unchanged"


def test_a_part_is_restored_and_the_rest_initialised(run: object) -> None:
    assert callable(run)
    assert run("partial_restore.py") == [
        "restored: encoder/encoder/kernel",
        "renamed: model/encoder/kernel->encoder/encoder/kernel model/embedding->encoder/embedding",
        "sliced: encoder/embedding: (700, 8) here, (500, 8) in the checkpoint",
        "without a value: output/kernel output/scale",
        "initialized: output/kernel output/scale",
        "known words: 500 of 700",
        "scale is right: True",
    ]


def test_the_moving_average_of_ten(run: object) -> None:
    assert callable(run)
    saved, *others = run("moving_average.py")
    assert saved.startswith("saved: 10.0 0.0999")
    average = saved.split()[-1]
    assert others == [
        f"by the Saver: v/ExponentialMovingAverage {average}",
        f"by restore: v {average}",
        f"as an array: v {average}",
    ]
