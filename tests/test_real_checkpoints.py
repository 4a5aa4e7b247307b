"""Checkpoints that other people's TensorFlow wrote, from 2015 to 2024."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ckptfast
from helpers import values

READ_REAL = Path(__file__).parent / "helpers" / "read_real.py"


@pytest.fixture(scope="module")
def report(real: Path) -> Any:
    """What a process without TensorFlow found in all of them."""
    command = [sys.executable, READ_REAL, real]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_names_types_shapes_and_values_are_those_tensorflow_reads(report: Any) -> None:
    assert report["problems"] == {}


def test_all_of_them_were_compared(report: Any, real: Path) -> None:
    truths = [json.loads(path.read_text()) for path in real.rglob("*.truth.json")]
    assert report["states"] == sum("tensors" not in truth for truth in truths)
    assert report["tensors"] == sum(len(truth.get("tensors", ())) for truth in truths) > 500


def test_string_scalars_keep_the_zero_bytes_at_their_end(real: Path, tf: ModuleType) -> None:
    """The truth files cannot tell: they were taken through an array that drops them."""
    compared = 0
    for index in real.rglob("*.index"):
        prefix = str(index)[: -len(".index")]
        name = "_CHECKPOINTABLE_OBJECT_GRAPH"
        with ckptfast.open(prefix) as reader:
            if name in reader:
                expected = tf.train.load_checkpoint(prefix).get_tensor(name)
                assert reader[name].item() == expected, prefix
                compared += 1
    assert compared


def test_what_is_read_can_be_written_and_read_again(real: Path, tmp_path: Path) -> None:
    for index in sorted(real.rglob("*.index")):
        tensors = ckptfast.load(index)
        copy = ckptfast.save(tmp_path / "copy", tensors, durability="none")
        for name, value in ckptfast.load(copy).items():
            values.assert_same(value, tensors[name], (index, name))


def test_both_formats_and_several_shards_are_among_them(real: Path) -> None:
    """The rarer inputs: if the folder loses them, nothing else would notice."""
    found = set()
    for path in real.rglob("*.truth.json"):
        source = json.loads(path.read_text()).get("_source")
        if source is not None:
            with ckptfast.open(real / source) as reader:
                found.add((reader.format, reader.num_shards))
    assert found >= {("V1", 1), ("V2", 1), ("V2", 2)}
