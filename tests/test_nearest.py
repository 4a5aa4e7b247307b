"""Which names a message proposes for one that is not there, and what finding them costs."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfast
from ckptfast._nearest import Nearest

LAYERS = [
    f"bert/encoder/layer_{number}/{part}"
    for number in range(300)
    for part in ("attention/query/kernel", "attention/query/bias", "output/LayerNorm/gamma")
]
NAMES = [*LAYERS, *(f"{name}/adam_m" for name in LAYERS), "bert/embeddings", "global_step", "é", ""]


@pytest.mark.parametrize(
    ("missing", "meant"),
    [
        ("bert/encoder/layr_17/attention/query/kernel", "layer_17/attention/query/kernel"),
        ("bert/encoder/layer_17/attention/query/kernal", "layer_17/attention/query/kernel"),
        ("bert/encoder/layer_17/attention/qurey/kernel", "layer_17/attention/query/kernel"),
        ("encoder/layer_217/attention/query/bias", "layer_217/attention/query/bias"),
        ("model/bert/encoder/layer_217/attention/query/bias", "layer_217/attention/query/bias"),
        ("bert/encoder/layer_8/output/LayerNorm/gamma:0", "layer_8/output/LayerNorm/gamma"),
        ("bert.encoder.layer_8.output.LayerNorm.gamma", "layer_8/output/LayerNorm/gamma"),
        ("bert/encoder/layer_8/output/layernorm/gamma", "layer_8/output/LayerNorm/gamma"),
        ("Global_Step", "global_step"),
    ],
)
def test_the_name_that_was_meant_is_not_the_nearest(missing: str, meant: str) -> None:
    found = Nearest(NAMES).to(missing)
    assert found[0].endswith(meant)
    assert len(found) <= 3
    # It is also what comparing with every name finds.
    assert found[0] == difflib.get_close_matches(missing, NAMES, n=1)[0]


@pytest.mark.parametrize("name", ["", "é", "\udcff", "\ud800", "x" * 5000, "global_step"])
def test_a_strange_name_is_its_own_nearest_or_fails(name: str) -> None:
    assert name not in Nearest(NAMES).to(name)
    assert Nearest([]).to(name) == Nearest([name]).to(name) == []


def test_a_missing_name_is_compared_with_all_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`try: reader[name] except KeyError` in a loop took two seconds each in 20,000 names."""
    prefix = ckptfast.save(tmp_path / "m", dict.fromkeys(LAYERS, np.float32(1)), durability="none")
    compared: list[int] = []
    whole = difflib.get_close_matches

    def counted(word: str, names: list[str], **options: Any) -> list[str]:
        compared.append(len(names))
        return whole(word, names, **options)

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    with ckptfast.open(prefix) as reader:
        for _ in range(3):
            with pytest.raises(KeyError, match="nearest names: bert/encoder/layer_7/"):
                reader["bert/encoder/layer_7/attention/query/kernal"]
    assert 0 < sum(compared) <= 60
