"""The example of a conversion, and what it prints."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType

import pytest
import safetensors.numpy

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_a_model_goes_to_safetensors_and_back(
    tf: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", ["convert.py", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "convert.py"), run_name="__main__")
    assert capsys.readouterr().out.splitlines() == [
        "written: layers.0.bias layers.0.weight",
        "averaged: layers.0.bias layers.0.weight",
        "left out: beta1_power beta2_power global_step tower/dense/bias/Adam "
        "tower/dense/bias/Adam_1 tower/dense/kernel/Adam tower/dense/kernel/Adam_1",
        "tower/dense/bias: float32 again, within a bfloat16's rounding: True",
        "tower/dense/kernel: float32 again, within a bfloat16's rounding: True",
    ]
    loaded = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    assert {name: value.shape for name, value in loaded.items()} == {
        "layers.0.weight": (3, 2),
        "layers.0.bias": (2,),
    }
