"""Arguments of a wrong type fail at the call, and the error has their name."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfast


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return ckptfast.save(tmp_path / "m", {"w": np.ones(3, np.float32)}, durability="none")


@pytest.mark.parametrize("call", [ckptfast.open, ckptfast.load])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"copy": "yes"}, "copy is True, False or None, not 'yes'"),
        ({"verify": "no"}, "verify is True or False, not 'no'"),
        ({"verify": None}, "verify is True or False, not None"),
        ({"verify": 1}, "verify is True or False, not 1"),
        ({"threads": "2"}, "threads is a whole number, not '2'"),
    ],
)
def test_a_word_is_no_flag_and_no_number(
    prefix: str, call: Callable[..., Any], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(message)):
        call(prefix, **arguments)


def test_flags_and_numbers_of_numpy_are_taken(prefix: str) -> None:
    loaded = ckptfast.load(
        prefix,
        verify=bool(np.True_),
        copy=np.True_,
        threads=np.int64(2),  # type: ignore[arg-type]
    )
    np.testing.assert_array_equal(loaded["w"], np.ones(3, np.float32))


@pytest.mark.parametrize("name", [re.compile("w"), b"w"])
def test_names_that_are_not_text_are_refused(prefix: str, name: Any) -> None:
    with pytest.raises(TypeError, match="names are names or globs, of type str, not"):
        ckptfast.load(prefix, [name])


@pytest.mark.parametrize(
    ("tensors", "arguments", "message"),
    [
        ([np.ones(3)], {}, "tensors is a mapping from names, not list"),
        ({"w": np.ones(3)}, {"shards": "2"}, "shards is a whole number, not '2'"),
        ({"w": np.ones(3)}, {"align": "64"}, "align is a whole number, not '64'"),
    ],
)
def test_save_names_the_argument_it_cannot_take(
    tmp_path: Path, tensors: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        ckptfast.save(tmp_path / "n", tensors, **arguments)
    assert not list(tmp_path.iterdir())
