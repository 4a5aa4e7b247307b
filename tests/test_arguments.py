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


WRONG: dict[str, tuple[Callable[[str], Any], type[Exception], str]] = {
    "a path that is None": (
        lambda _: ckptfast.open(None),  # type: ignore[arg-type]
        TypeError,
        "the path of a checkpoint: expected str, bytes or os.PathLike object, not NoneType; "
        "latest_checkpoint returns None where there is no checkpoint",
    ),
    "a home that nobody expands": (
        lambda _: ckptfast.open("~/m"),
        FileNotFoundError,
        "there is no '~' in the working directory (nobody expands it: "
        "pass os.path.expanduser(path))",
    ),
    "a number for a name": (
        lambda prefix: ckptfast.open(prefix)[0],  # type: ignore[index]
        TypeError,
        "the name of a tensor is text, not 0",
    ),
    "a list to fill": (
        lambda prefix: ckptfast.open(prefix).read("w", out=[0.0] * 3),  # type: ignore[arg-type]
        TypeError,
        "out is a NumPy array, not list",
    ),
    "text for a slice": (
        lambda prefix: ckptfast.open(prefix).read("w", "1:2"),  # type: ignore[arg-type]
        TypeError,
        "a stored tensor is indexed by numbers and slices, not by '1:2'",
    ),
    "nothing to save": (
        lambda prefix: ckptfast.save(prefix, {"a": None}),
        TypeError,
        "'a': a value is an array, a number, text or a list of such, not NoneType",
    ),
    "a nested mapping": (
        lambda prefix: ckptfast.save(prefix, {"a": {"b": 1}}),
        TypeError,
        "not dict; join the names of nested mappings with '/'",
    ),
    "no list of prefixes": (
        lambda prefix: ckptfast.merge(None, prefix),  # type: ignore[arg-type]
        TypeError,
        "prefixes is a list of checkpoints, not None",
    ),
    "the suffix of a format that is not written": (
        lambda prefix: ckptfast.convert(prefix, f"{prefix}.h5"),
        ValueError,
        ".h5: no .h5 file can be written; pass format='bundle' if this is the prefix",
    ),
    "a checkpoint for a graph": (
        lambda prefix: ckptfast.freeze(f"{prefix}.index", prefix, ["w"]),
        ckptfast.DataLossError,
        "neither binary nor text: this is the index of a checkpoint",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_not_explained(
    prefix: str, case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call, kind, message = WRONG[case]
    with pytest.raises(kind, match=re.escape(message)):
        call(prefix)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "m.data-00000-of-00001",
        "m.index",
    ]


@pytest.mark.parametrize("suffix", [".h5", ".pt", ".pb", ".keras"])
def test_a_bundle_is_called_like_another_file(prefix: str, suffix: str) -> None:
    output = prefix + suffix
    with pytest.raises(ValueError) as caught:
        ckptfast.convert(prefix, output)
    advice = "pass format='bundle' if this is the prefix of a checkpoint"
    assert str(caught.value) == f"{output}: no {suffix} file can be written; {advice}"
    ckptfast.convert(prefix, output, format="bundle")
    assert ckptfast.load(output).keys() == {"w"}
