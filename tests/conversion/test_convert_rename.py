"""`convert`: names that other tensors have already."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfast


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rename": {"a": "b", "b": None}}, {"b": 1.0}),
        ({"rename": {"a": "b"}, "exclude": "b"}, {"b": 1.0}),
        ({"rename": {"a": "b", "b": "a"}}, {"a": 2.0, "b": 1.0}),
    ],
)
def test_a_tensor_cannot_take_the_place_of_another(
    tmp_path: Path, options: dict[str, Any], expected: dict[str, float]
) -> None:
    given = ckptfast.save(tmp_path / "given", {"a": np.float32(1), "b": np.float32(2)})
    with pytest.raises(ValueError, match=r"'a' and 'b' of .* would all become 'b'"):
        ckptfast.convert(given, tmp_path / "new", rename={"a": "b"})
    found = ckptfast.load(ckptfast.convert(given, tmp_path / "new", **options))
    assert {name: value.item() for name, value in found.items()} == expected
