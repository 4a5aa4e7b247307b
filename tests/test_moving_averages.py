"""Moving averages without TensorFlow: which tensor is read, and what it is called."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import ckptfast
from ckptfast import _moving_averages
from ckptfast._moving_averages import SUFFIX, key_of, plain_names


def test_the_shadow_is_read_where_there_is_one() -> None:
    keys = {"w", f"w{SUFFIX}", "step"}
    assert [key_of(keys, name) for name in ("w", "step", "b")] == [f"w{SUFFIX}", "step", "b"]


def test_variables_are_listed_once_and_under_plain_names() -> None:
    keys = ["a/w", f"a/w{SUFFIX}", f"alone{SUFFIX}", "step"]
    expected = {"a/w": f"a/w{SUFFIX}", "alone": f"alone{SUFFIX}", "step": "step"}
    assert plain_names(keys) == expected
    assert plain_names(reversed(keys)) == expected


def test_what_zero_debias_keeps_below_a_shadow_is_no_variable_of_the_model() -> None:
    keys = ["w", f"w{SUFFIX}", f"w{SUFFIX}/w{SUFFIX}/biased", f"w{SUFFIX}/w{SUFFIX}/local_step"]
    assert plain_names(keys) == {"w": f"w{SUFFIX}"}


@pytest.mark.parametrize("name", [f"scope{SUFFIX}/w", f"w{SUFFIX}_1", SUFFIX, f"w{SUFFIX}s"])
def test_a_variable_that_only_looks_like_a_shadow_is_kept(name: str) -> None:
    assert plain_names([name, "other"])[name] == name


@pytest.fixture
def path(tmp_path: Path) -> str:
    tensors = {
        "layer/w": np.full(3, 10, np.float32),
        f"layer/w{SUFFIX}": np.full(3, 0.5, np.float32),
        "step": np.int64(7),
    }
    return os.fspath(ckptfast.save(tmp_path / "model", tensors))


def test_load_gives_averages_under_plain_names(path: str) -> None:
    values = ckptfast.load(path, moving_averages=True)
    assert sorted(values) == ["layer/w", "step"]
    assert values["layer/w"].tolist() == [0.5, 0.5, 0.5]
    assert values["step"] == 7


def test_load_without_it_gives_what_is_stored(path: str) -> None:
    assert ckptfast.load(path)["layer/w"].tolist() == [10, 10, 10]
    assert sorted(ckptfast.load(path)) == ["layer/w", f"layer/w{_moving_averages.SUFFIX}", "step"]


def test_names_are_plain_names(path: str) -> None:
    values = ckptfast.load(path, "layer/*", moving_averages=True)
    assert {name: value.tolist() for name, value in values.items()} == {"layer/w": [0.5, 0.5, 0.5]}
    with pytest.raises(ckptfast.NotFoundError, match=r"there is such a key, but by="):
        ckptfast.load(path, f"layer/w{SUFFIX}", moving_averages=True)
