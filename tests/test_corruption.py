"""Damage of every kind, at every place: a clear error or the same values, never anything else."""

from __future__ import annotations

import pickle
import shutil
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast
from ckptfast import DataLossError, Tensor
from helpers import bundle, tf_io, values
from helpers.damage import sweep
from helpers.table import crc32c, harmless_bytes, unmask


def assert_harmless(report: Any, table: Path) -> None:
    """Flipped bits that changed nothing lie where nothing, or next to nothing, is said."""
    nothing, next_to_nothing = harmless_bytes(table.read_bytes())
    flips = Counter(at for label, at in report["same"] if label.startswith("bit"))
    assert flips.keys() <= nothing | next_to_nothing
    assert {at for at in flips if flips[at] == 8} == nothing


def small_bundle(prefix: Path, **options: Any) -> str:
    """A bundle of a few hundred bytes with everything in it that has a form of its own."""
    weights = values.sample(values.BY_NAME["int32"], (4, 3))
    tensors = {
        "a": np.float32([1.5, -2]),
        "empty": np.zeros((0, 2)),
        "half": values.sample(values.BY_NAME["float16"], (3,)),
        "step": np.int64(7),
        "strings": np.array([b"", b"one", b"\0two\0"], dtype=object),
        "variant": Tensor([b"abc", b""], dtype="variant"),
        "w": [
            Tensor(weights[:1], slice="4 3 0,1:-"),
            Tensor(weights[1:], slice="4 3 1,3:-"),
        ],
    }
    return ckptfast.save(prefix, tensors, **options)


# ------------------------------------------------------------------------------- every single byte


@pytest.mark.parametrize("verify", [True, False])
def test_every_damage_of_an_index(tmp_path: Path, verify: bool, record_property: Any) -> None:
    """Blocks of an index carry checksums of their own, which `verify=False` leaves on."""
    prefix = small_bundle(tmp_path / "m", align=1)
    index = Path(f"{prefix}.index")
    report = sweep(index, prefix, verify=verify)
    assert_harmless(report, index)
    record_property(
        "figure",
        f"index of {index.stat().st_size} bytes: {report['lost']} damaged forms refused, "
        f"{len(report['same'])} harmless (metaindex block, its handle, footer padding)",
    )


def test_every_damage_of_packed_data(tmp_path: Path) -> None:
    """Of data without gaps no byte is without meaning."""
    prefix = small_bundle(tmp_path / "m", align=1, shards=2)
    for shard in range(2):
        path = bundle.data_path(prefix, shard, 2)
        assert sweep(path, prefix)["same"] == []


def test_every_damage_of_aligned_data(tmp_path: Path) -> None:
    """What lies between tensors belongs to none."""
    prefix = small_bundle(tmp_path / "m", align=16)
    path = bundle.data_path(prefix)
    used: set[int] = set()
    for entry in bundle.entries(prefix).values():
        used.update(range(entry.offset, entry.offset + entry.size))
    gaps = set(range(path.stat().st_size)) - used
    report = sweep(path, prefix, ["flips"])
    assert len(gaps) > 16
    assert {at for _, at in report["same"]} == gaps
    assert len(report["same"]) == 8 * len(gaps)
    assert sweep(path, prefix, ["cuts"])["same"] == []


def test_damaged_data_that_is_not_verified_does_no_harm(tmp_path: Path) -> None:
    """Wrong values are what `verify=False` means; wrong lengths of strings are still found."""
    prefix = small_bundle(tmp_path / "m", align=1)
    report = sweep(bundle.data_path(prefix), prefix, verify=False, allowed=["other values"])
    assert report["lost"]


def test_every_damage_of_a_v1_file(tf: ModuleType, tmp_path: Path) -> None:
    tensors = {
        "a": np.float32([1.5, -2]),
        "half": np.float16([1, 2, 3]),
        "int": np.int32([-1, 5]),
        "strings": np.array([b"", b"one", b"\0two\0"], dtype=object),
        "step": np.int64(-7),
        "w": np.arange(6, dtype=np.float64).reshape(2, 3),
    }
    path = tf_io.save_v1(tf, tmp_path / "m.ckpt", tensors, ["", "", "", "", "", "2 3 -:-"])
    report = sweep(path, path)
    assert_harmless(report, Path(path))


def test_every_damage_of_an_index_tensorflow_wrote(tf: ModuleType, tmp_path: Path) -> None:
    prefix = tf_io.save(tf, tmp_path / "m", {"a": np.float32([1, 2]), "b": values.strings((3,))})
    report = sweep(f"{prefix}.index", prefix)
    assert_harmless(report, Path(f"{prefix}.index"))
    assert sweep(bundle.data_path(prefix), prefix)["same"] == []


# -------------------------------------------------------------------------------------- the message


@pytest.fixture
def two_shards(tmp_path: Path) -> str:
    tensors = {f"layer_{index}": np.arange(100, dtype=np.float32) + index for index in range(6)}
    return ckptfast.save(tmp_path / "m", tensors, shards=2)


def damage(path: Path, at: int, bits: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= bits
    path.unlink()
    path.write_bytes(content)


@pytest.mark.parametrize("backend", ["mmap", "pread"])
@pytest.mark.parametrize("copy", [None, True])
def test_a_checksum_error_says_everything(two_shards: str, backend: Any, copy: Any) -> None:
    entry = bundle.entries(two_shards)[b"layer_4"]
    path = bundle.data_path(two_shards, entry.shard, 2)
    damage(path, entry.offset + 5)
    with pytest.raises(DataLossError) as caught:
        ckptfast.load(two_shards, backend=backend, copy=copy)
    error = caught.value
    content = path.read_bytes()[entry.offset : entry.offset + entry.size]
    assert (error.path, error.key, error.shard) == (str(path), "layer_4", 1)
    assert (error.offset, error.nbytes) == (entry.offset, entry.size)
    assert (error.stored_crc32c, error.calculated_crc32c) == (unmask(entry.crc), crc32c(content))
    for part in [
        str(path),
        "'layer_4'",
        "shard 1",
        f"bytes {entry.offset}..{entry.offset + entry.size}",
        f"{unmask(entry.crc):#010x}",
        f"{crc32c(content):#010x}",
    ]:
        assert part in str(error)
    assert "different save" not in str(error)

    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (DataLossError, str(error), vars(error))


def test_only_the_damaged_tensor_is_lost(two_shards: str) -> None:
    entry = bundle.entries(two_shards)[b"layer_4"]
    damage(bundle.data_path(two_shards, 1, 2), entry.offset)
    with ckptfast.open(two_shards) as reader:
        for name in reader:
            if name != "layer_4":
                assert reader[name][1] == int(name[-1]) + 1
        for _ in range(2):  # what failed once is not taken for verified
            with pytest.raises(DataLossError):
                reader["layer_4"]
            with pytest.raises(DataLossError):
                reader.read("layer_4", np.s_[50:60])
    report = ckptfast.verify(two_shards)
    assert (list(report.bad), report.tensors, bool(report)) == (["layer_4"], 6, False)
    assert isinstance(report.bad["layer_4"], DataLossError)
    assert "layer_4" in str(report)
    assert ckptfast.load(two_shards, verify=False)["layer_4"][1] == 5


def test_verify_lists_every_bad_tensor_of_any_kind(tmp_path: Path) -> None:
    prefix = small_bundle(tmp_path / "m", align=1)
    path = bundle.data_path(prefix)
    names = {b"a": "a", b"strings": "strings", b"variant": "variant"}
    names[bundle.slice_key(b"w", "1,3:-")] = "w"
    for key in names:
        damage(path, bundle.entries(prefix)[key].offset + 1)
    report = ckptfast.verify(prefix)
    assert sorted(report.bad) == sorted(names.values())
    for name, error in report.bad.items():
        assert f"'{name}'" in str(error)
        assert isinstance(error, DataLossError)


def test_index_and_data_of_different_saves(tmp_path: Path) -> None:
    """All checksums fail at once: somebody mixed the files of two checkpoints."""
    rng = np.random.default_rng(0)
    for step in "12":
        tensors = {f"v{index}": rng.random(10, dtype=np.float32) for index in range(5)}
        ckptfast.save(tmp_path / f"m-{step}", tensors)
    shutil.copy(bundle.data_path(tmp_path / "m-1"), bundle.data_path(tmp_path / "m-2"))
    with pytest.raises(DataLossError, match="different save"):
        ckptfast.load(tmp_path / "m-2")
    with ckptfast.open(tmp_path / "m-2") as reader, pytest.raises(DataLossError, match="different"):
        reader["v3"]
    report = ckptfast.verify(tmp_path / "m-2")
    assert len(report.bad) == 5
    assert str(report).count("different save") == 5
    assert set(pickle.loads(pickle.dumps(report)).bad) == set(report.bad)


def test_one_bad_tensor_among_others_is_not_called_a_different_save(tmp_path: Path) -> None:
    prefix = ckptfast.save(tmp_path / "m", {"a": np.ones(9), "b": np.ones(9)})
    damage(bundle.data_path(prefix), 0)
    with pytest.raises(DataLossError) as caught:
        ckptfast.load(prefix)
    assert "different" not in str(caught.value)
    assert "different" not in str(ckptfast.verify(prefix))


# ------------------------------------------------------------------------------- files that are not


def test_a_missing_shard_is_noticed_when_it_is_needed(two_shards: str) -> None:
    lost = bundle.data_path(two_shards, 1, 2)
    lost.unlink()
    with ckptfast.open(two_shards) as reader:
        assert len(reader) == 6
        assert reader["layer_0"][1] == 1
        with pytest.raises(FileNotFoundError) as caught:
            reader["layer_5"]
        assert caught.value.filename == str(lost) or str(lost) in str(caught.value)
    report = ckptfast.verify(two_shards)
    assert list(report.bad) == ["layer_3", "layer_4", "layer_5"]
    with pytest.raises(FileNotFoundError):
        ckptfast.load(two_shards)


def test_a_short_shard_loses_only_what_is_cut(two_shards: str) -> None:
    path = bundle.data_path(two_shards, 1, 2)
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])
    with ckptfast.open(two_shards) as reader:
        assert reader["layer_4"][1] == 5
        with pytest.raises(DataLossError, match="too short") as caught:
            reader["layer_5"]
        assert (caught.value.path, caught.value.key) == (str(path), "layer_5")
        with pytest.raises(DataLossError, match="too short"):
            reader.read("layer_5", np.s_[:3])


def test_an_empty_tensor_in_a_missing_file_is_lost_too(tmp_path: Path) -> None:
    """As in TensorFlow: a file that is not there is no file without elements."""
    prefix = ckptfast.save(tmp_path / "m", {"a": np.zeros((0, 3)), "s": np.zeros(0, object)})
    bundle.data_path(prefix).unlink()
    with ckptfast.open(prefix) as reader:
        for name in reader:
            with pytest.raises(FileNotFoundError):
                reader[name]
