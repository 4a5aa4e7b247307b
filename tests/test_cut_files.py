"""Files that somebody cuts while they are mapped: an error, where it would end the process."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast
from ckptfast import DataLossError
from ckptfast.conversion import _npz, _safetensors, _sources
from ckptfast.freezing import _pieces
from helpers import tf_io
from test_freeze_files import graph

WORDS = np.array([b"word" * 100] * 1000, object)
TENSORS = {
    "a": np.zeros(4, np.float32),
    "halves": [
        ckptfast.Tensor(np.full((300, 400), half, np.float32), slice=f"300 800 -:{400 * half},400")
        for half in range(2)
    ],
    "whole": np.arange(300_000, dtype=np.float32).reshape(300, 1000),
    "words": WORDS,
}


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return ckptfast.save(tmp_path / "m", TENSORS, durability="none")


def data(prefix: str) -> str:
    return f"{prefix}.data-00000-of-00001"


READS: dict[str, Callable[[ckptfast.Reader], Any]] = {
    "words": lambda reader: reader["words"],
    "halves": lambda reader: reader["halves"],
    "whole": lambda reader: reader.read("whole", np.s_[:, 500:510]),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("seen", [True, False], ids=["verified before", "unverified"])
def test_what_is_copied_from_a_mapping_is_gone(prefix: str, name: str, seen: bool) -> None:
    with ckptfast.open(prefix, verify=seen, backend="mmap") as reader:
        reader["a"]
        if seen:
            READS[name](reader)
        os.truncate(data(prefix), 8192)
        with pytest.raises(DataLossError, match="ends too early") as raised:
            READS[name](reader)
    assert raised.value.path == data(prefix)
    assert str(raised.value.key).strip("\0").startswith(name)


def test_an_array_that_is_filled_is_not(prefix: str) -> None:
    with ckptfast.open(prefix) as reader:
        out = reader.read("whole").copy()
        os.truncate(data(prefix), 8192)
        with pytest.raises(DataLossError, match=r"whole: .*was cut"):
            reader.read("whole", out=out)


def test_the_records_of_a_v1_file_are_gone(tf: ModuleType, tmp_path: Path) -> None:
    values = {name: np.random.default_rng(1).random(300_000) for name in "abc"}
    path = tf_io.save_v1(tf, tmp_path / "v1.ckpt", values)
    with ckptfast.open(path, backend="mmap") as reader:
        assert reader["a"].shape == (300_000,)
        os.truncate(path, 8192)
        for name in "abc":
            with pytest.raises(DataLossError, match="cut after it was opened") as raised:
                reader[name]
            assert (raised.value.path, raised.value.key) == (path, name)
        assert len(reader._verify("abc")) == 3


@pytest.mark.parametrize("kept", ["b", "c", "bc", ""])
def test_what_is_copied_into_kept_and_fresh_memory_at_once(tmp_path: Path, kept: str) -> None:
    """Into kept memory the copy is made from the mapping, into fresh memory by reading."""
    lengths = {"a": 200_001, "b": 700_001, "c": 600_001}
    tensors = {name: np.full(length, 2, np.float32) for name, length in lengths.items()}
    odd = {"0": np.zeros(3, np.int8)}  # sorts first, so that nothing else is aligned
    prefix = ckptfast.save(tmp_path / "m", odd | tensors, align=1, shards=1, durability="none")
    ckptfast.release_memory()
    with ckptfast.open(prefix) as reader:
        for name in kept:
            assert (reader[name] == 2).all()
        loaded = reader._arrays("abc")
        assert all((array == 2).all() for array in loaded.values())
        del loaded
        ckptfast.release_memory()
        for name in kept:
            reader[name]  # its memory is the next one's of this length
        os.truncate(data(prefix), 8192)
        with pytest.raises(DataLossError, match="ends too early"):
            reader._arrays("abc")


@pytest.mark.parametrize("transposed", [False, True], ids=["as it lies", "transposed"])
def test_what_was_loaded_is_saved_again(prefix: str, tmp_path: Path, transposed: bool) -> None:
    value = ckptfast.load(prefix)["whole"]
    target = ckptfast.save(tmp_path / "new", {"x": np.ones(3)})
    os.truncate(data(prefix), 8192)
    with pytest.raises(DataLossError, match="cut"):
        ckptfast.save(target, {"whole": value.T if transposed else value})
    assert ckptfast.load(target)["x"].tolist() == [1, 1, 1]
    assert not [name for name in os.listdir(tmp_path) if "tmp" in name]


def test_a_file_that_numpy_mapped_is_saved(tmp_path: Path) -> None:
    file = tmp_path / "values.npy"
    np.save(file, TENSORS["whole"])
    value = np.load(file, mmap_mode="r")
    os.truncate(file, 8192)
    with pytest.raises(DataLossError, match="cut"):
        ckptfast.save(tmp_path / "m", {"whole": value[10:]})


OUTPUTS: dict[str, dict[str, Any]] = {
    "o": {},
    "o.npz": {},
    "o.safetensors": {},
    "cast.npz": {"dtype": "float16"},
}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("given", ["m", "m.npz", "m.safetensors"])
def test_values_are_gone_before_they_are_converted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, output: str
) -> None:
    path = str(tmp_path / given)
    value = np.arange(300_000, dtype=np.float32) / 100
    ckptfast.convert(ckptfast.save(tmp_path / "first", {"a": value}), path)
    for kind in (_sources.Checkpoint, _npz.NpzFile, _safetensors.SafetensorsFile):
        arrays = kind.arrays

        def cut(self: Any, names: Any, arrays: Any = arrays) -> Any:
            found = arrays(self, names)
            os.truncate(data(path) if given == "m" else path, 8192)
            return found

        monkeypatch.setattr(kind, "arrays", cut)
    with pytest.raises(DataLossError, match="cut") as raised:
        ckptfast.convert(path, tmp_path / output, **OUTPUTS[output])
    assert raised.value.key == "a"
    assert not [name for name in os.listdir(tmp_path) if name.startswith(output + ".")]


def test_a_checksum_is_computed_of_an_npz_file_that_is_cut(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, a=np.zeros(5_000_000))
    monkeypatch.setattr(_npz.zlib, "crc32", lambda piece, crc: os.truncate(path, 8192) or crc)
    with (
        contextlib.closing(_npz.NpzFile(str(path), verify=True)) as source,
        pytest.raises(DataLossError, match=r"m\.npz was cut") as raised,
    ):
        source.arrays(["a"])
    assert (raised.value.path, raised.value.key) == (str(path), "a")


@pytest.mark.parametrize("output", [None, "graph.pb"])
def test_values_are_gone_before_they_are_frozen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: str | None
) -> None:
    values_of = {"v1": np.ones(300_000, np.float32), "v2": np.float32(1)}
    prefix = ckptfast.save(tmp_path / "m", values_of)
    values = _pieces._values

    def cut(*arguments: Any) -> Any:
        found = values(*arguments)
        os.truncate(data(prefix), 8192)
        return found

    monkeypatch.setattr(_pieces, "_values", cut)
    model = graph({"v1": (300_000,), "v2": ()})
    target = None if output is None else tmp_path / output
    with pytest.raises(DataLossError, match=r"v1: .*cut") as raised:
        ckptfast.freeze(model, prefix, ["out"], output=target)  # type: ignore[call-overload]
    assert raised.value.key == "v1"
    assert output not in os.listdir(tmp_path)
