"""What an array is made of: pages of the file or memory of its own, and how long it lives."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfast
from ckptfast import DataLossError
from helpers import bundle, tf_io, values
from helpers.values import assert_same

FLOATS = np.arange(1000, dtype=np.float32)


class Counted:
    """What the counters rose by since it was made."""

    def __init__(self) -> None:
        self._before = ckptfast.stats()

    def __getattr__(self, name: str) -> int:
        return int(getattr(ckptfast.stats(), name) - getattr(self._before, name))


def address(array: values.Array) -> int:
    return int(array.__array_interface__["data"][0])


def mapped_file(array: values.Array) -> str | None:
    """The file whose pages hold the first byte of an array."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            start, end = (int(part, 16) for part in line.split(maxsplit=1)[0].split("-"))
            if start <= address(array) < end:
                return line.rstrip("\n").split(maxsplit=5)[5] if line.count("/") else None
    return None


@pytest.fixture
def aligned(tmp_path: Path) -> str:
    """Tensors of many types, each at a multiple of 64 bytes."""
    kinds = [*values.FIXED]
    arrays = {kind.name: values.sample(kind, (30,)) for kind in kinds}
    plain = {kind.name: ckptfast.Tensor(arrays[kind.name], kind.name) for kind in kinds}
    return ckptfast.save(tmp_path / "aligned", plain)


@pytest.fixture
def packed(tmp_path: Path) -> str:
    """Tensors behind one of three bytes: none but bytes lie where their type wants them."""
    tensors = {"a": np.uint8([1, 2, 3]), "b": np.arange(4, dtype=np.uint8), "c": FLOATS}
    return ckptfast.save(tmp_path / "packed", tensors, align=1)


# ------------------------------------------------------------------------------- pages of the file


def test_aligned_tensors_of_all_types_are_pages_of_the_file(aligned: str) -> None:
    data = str(bundle.data_path(aligned))
    counted = Counted()
    loaded = ckptfast.load(aligned)
    size = sum(value.nbytes for value in loaded.values())
    assert (counted.bytes_read, counted.bytes_aliased, counted.bytes_copied) == (size, size, 0)
    assert counted.bytes_verified == size
    assert counted.tensors_read == len(loaded)
    for name, value in loaded.items():
        assert address(value) % 64 == 0, name
        assert mapped_file(value) == data, name
        assert not value.flags.writeable


def test_views_of_the_same_pages_share_them(aligned: str) -> None:
    with ckptfast.open(aligned) as reader:
        one, other = reader["float64"], reader["float64"]
        assert address(one) == address(other)
        part = reader.read("float64", np.s_[10:20])
        assert address(part) == address(one) + 80
        assert np.shares_memory(part, one)


def test_misaligned_tensors_are_copied_and_only_those(packed: str) -> None:
    counted = Counted()
    loaded = ckptfast.load(packed)
    assert (counted.bytes_aliased, counted.bytes_copied) == (7, FLOATS.nbytes)
    assert mapped_file(loaded["b"]) == str(bundle.data_path(packed))
    assert mapped_file(loaded["c"]) is None
    assert address(loaded["c"]) % 64 == 0
    assert_same(loaded["c"], FLOATS)
    assert loaded["c"].flags.aligned


def test_what_tensorflow_packed_is_used_where_it_happens_to_fit(tf: Any, tmp_path: Path) -> None:
    tensors = {"a": np.float32([1, 2, 3]), "b": np.float32([4]), "c": np.float64([5]), "d": FLOATS}
    prefix = tf_io.save(tf, tmp_path / "m", tensors)
    loaded = ckptfast.load(prefix)
    offsets = {name: address(value) % 4096 for name, value in loaded.items()}
    assert offsets == {"a": 0, "b": 12, "c": 16, "d": 24}
    with ckptfast.open(prefix) as reader:
        stricter = reader._arrays(["a", "b", "d"], align=64)
        assert mapped_file(stricter["a"]) is not None
        for name in ["b", "d"]:
            assert address(stricter[name]) % 64 == 0
            assert mapped_file(stricter[name]) is None
            assert_same(stricter[name], tensors[name])


def test_no_array_is_ever_misaligned_for_its_type(tf: Any, tmp_path: Path) -> None:
    tensors = [(f"{index:02}", values.sample(values.BY_NAME["uint8"], (1,))) for index in range(60)]
    tensors[1::2] = [
        (name, tf_io.tensor(tf, values.sample(kind, (3, 1)), kind.name))
        for (name, _), kind in zip(tensors[1::2], values.FIXED, strict=True)
    ]
    prefix = tf_io.save(tf, tmp_path / "m", tensors)
    with ckptfast.open(prefix) as reader:
        odd = [name for name in reader if (reader.info(name).offset or 0) % 2]
        assert len(odd) > 20
        for name, value in reader.items():
            assert value.flags.aligned, (name, value.dtype)
            assert reader.read(name, np.s_[1:]).flags.aligned


def test_copy_true_takes_nothing_from_the_file(aligned: str) -> None:
    counted = Counted()
    loaded = ckptfast.load(aligned, copy=True)
    assert counted.bytes_aliased == 0
    assert counted.bytes_copied == counted.bytes_read == counted.bytes_verified > 0
    expected = {name: value.copy() for name, value in loaded.items()}
    os.truncate(bundle.data_path(aligned), 0)
    for name, value in loaded.items():
        assert_same(value, expected[name])
        assert address(value) % 64 == 0
        assert not value.flags.writeable


def test_copy_false_copies_nothing_or_fails(aligned: str, packed: str) -> None:
    counted = Counted()
    assert ckptfast.load(aligned, copy=False).keys() == ckptfast.load(aligned).keys()
    assert counted.bytes_copied == 0
    with ckptfast.open(packed, copy=False) as reader:
        assert_same(reader["b"], np.arange(4, dtype=np.uint8))
        with pytest.raises(ValueError, match=r"copy=False.*'c'"):
            reader["c"]
    with pytest.raises(ValueError, match="copy=False"):
        ckptfast.load(aligned, copy=False, backend="pread")


def test_copy_false_of_boxes(tmp_path: Path) -> None:
    table = FLOATS.reshape(40, 25)
    prefix = ckptfast.save(tmp_path / "m", {"t": table})
    with ckptfast.open(prefix, copy=False) as reader:
        assert_same(reader.read("t", np.s_[3:9]), table[3:9])
        assert_same(reader.read("t", np.s_[3, 2:7]), table[3, 2:7])
        with pytest.raises(ValueError, match="copy=False"):
            reader.read("t", np.s_[3:9, 2:7])


def test_reading_instead_of_mapping(aligned: str) -> None:
    counted = Counted()
    loaded = ckptfast.load(aligned, backend="pread")
    assert counted.bytes_aliased == 0
    assert counted.bytes_copied == counted.bytes_read > 0
    mapped = ckptfast.load(aligned, backend="mmap")
    for name, value in loaded.items():
        assert_same(value, mapped[name], name)
        assert not value.flags.writeable


def test_empty_tensors_and_empty_files(tmp_path: Path) -> None:
    prefix = ckptfast.save(tmp_path / "m", {"a": np.zeros((0, 4)), "b": np.zeros((3, 0))})
    assert bundle.data_path(prefix).stat().st_size == 0
    items = {
        b"a": bundle.plain_entry(4, (3,), b"abc", 0),
        b"b": bundle.entry(2, (0, 4), offset=3, crc=0),
    }
    odd = bundle.write_bundle(tmp_path / "odd", items, [b"abc"])
    for path in [prefix, odd]:
        for options in [{}, {"copy": False}, {"copy": True}, {"backend": "pread"}]:
            loaded = ckptfast.load(path, **options)
            assert loaded["b"].size == 0
            assert loaded["b"].dtype == np.float64
            assert not loaded["b"].flags.writeable


@pytest.mark.parametrize("options", [{}, {"copy": True}, {"backend": "pread"}, {"verify": False}])
def test_arrays_are_read_only_for_good(packed: str, tmp_path: Path, options: Any) -> None:
    tensors = {"s": values.strings((3,)), "t": FLOATS.reshape(40, 25)}
    other = ckptfast.save(tmp_path / "m", tensors)
    with ckptfast.open(packed, **options) as reader, ckptfast.open(other, **options) as second:
        arrays = [*reader.values(), second["t"], second["s"]]
        arrays += [second.read("t", np.s_[1:3]), second.read("t", np.s_[:, 3]), reader.read("a", 0)]
        for array in arrays:
            assert not array.flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
            if array.dtype != object:
                with pytest.raises(ValueError, match="WRITEABLE"):
                    array.flags.writeable = True


# ----------------------------------------------------------------------------------- verification


def test_every_tensor_is_verified_once_at_its_first_access(tmp_path: Path) -> None:
    prefix = ckptfast.save(tmp_path / "m", {"a": FLOATS, "b": FLOATS, "s": values.strings((9,))})
    with ckptfast.open(prefix) as reader:
        for name in reader:
            counted = Counted()
            reader.read(name, np.s_[2:4])
            assert counted.bytes_verified == reader.info(name).nbytes
            reader[name]
            reader.read(name, np.s_[:3])
            assert counted.bytes_verified == reader.info(name).nbytes
    with ckptfast.open(prefix, verify=False) as reader:
        counted = Counted()
        assert_same(reader["a"], FLOATS)
        reader["s"]
        assert counted.bytes_verified == 0


def test_a_box_of_a_damaged_tensor_is_refused_wherever_the_damage_is(tmp_path: Path) -> None:
    prefix = ckptfast.save(tmp_path / "m", {"a": FLOATS})
    data = bytearray(bundle.data_path(prefix).read_bytes())
    data[-1] ^= 1
    bundle.data_path(prefix).write_bytes(data)
    for options in [{}, {"copy": True}, {"backend": "pread"}]:
        with ckptfast.open(prefix, **options) as reader, pytest.raises(DataLossError):
            reader.read("a", np.s_[:2])
    with ckptfast.open(prefix, verify=False) as reader:
        assert_same(reader.read("a", np.s_[:999]), FLOATS[:999])
        assert reader["a"][999] != FLOATS[999]


# --------------------------------------------------------------------------------------- lifetime


@pytest.fixture(params=[{}, {"copy": True}, {"backend": "pread"}], ids=str)
def arrays(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Arrays of `tmp_path/m`, whose reader is closed; they must still be right in the end."""
    tensors = {"f": FLOATS, "s": values.strings((5,)), "w": FLOATS.reshape(10, 100)[::-1]}
    prefix = ckptfast.save(tmp_path / "m", tensors)
    with ckptfast.open(prefix, **request.param) as reader:
        held = {**reader, "box": reader.read("w", np.s_[3:5])}
    yield held
    for name, value in {**tensors, "box": tensors["w"][3:5]}.items():
        assert_same(held[name], value, name)


def test_arrays_outlive_their_files(arrays: dict[str, Any], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    assert arrays["f"][-1] == 999


@pytest.mark.parametrize("shards", [None, 1, 2])
def test_arrays_outlive_a_save_over_their_files(
    arrays: dict[str, Any], tmp_path: Path, shards: int | None
) -> None:
    for step in range(3):
        ckptfast.save(tmp_path / "m", {"f": FLOATS + step, "g": FLOATS}, shards=shards)
        assert_same(ckptfast.load(tmp_path / "m")["f"], FLOATS + step)


def test_what_was_read_can_be_saved_over_itself(arrays: dict[str, Any], tmp_path: Path) -> None:
    for shards in [None, None, 1, 1, 2]:
        ckptfast.save(tmp_path / "m", arrays, shards=shards)
        for name, value in ckptfast.load(tmp_path / "m").items():
            assert_same(value, arrays[name], name)


def test_a_reader_goes_on_while_its_checkpoint_is_replaced(tmp_path: Path) -> None:
    """Data files that it has opened stay open."""
    prefix = ckptfast.save(tmp_path / "m", {"a": FLOATS, "b": FLOATS + 1})
    with ckptfast.open(prefix) as reader:
        reader["a"]
        ckptfast.save(prefix, {"a": FLOATS * 2})
        assert_same(reader["b"], FLOATS + 1)


@pytest.mark.parametrize("saves", [1, 2, 3, 4])
@pytest.mark.parametrize("who", ["we", "TensorFlow"])
def test_a_reader_never_takes_the_files_of_another_save(
    tf: Any, tmp_path: Path, saves: int, who: str
) -> None:
    """Names of data files come round again; what is in them then is of another index."""
    prefix = ckptfast.save(tmp_path / "m", {"a": FLOATS, "b": FLOATS})
    with ckptfast.open(prefix) as reader:
        for step in range(saves):
            new = {"a": FLOATS + step, "b": FLOATS}
            if who == "we":
                ckptfast.save(prefix, new)
            else:
                tf_io.save(tf, prefix, new)
        with pytest.raises(OSError, match="replaced by another save"):
            reader["a"]
        report = ckptfast.verify(prefix)
        assert report
    assert_same(ckptfast.load(prefix)["a"], FLOATS + saves - 1)


def test_a_reader_goes_on_while_its_checkpoint_is_removed(tmp_path: Path) -> None:
    """The index first, as everybody does it; then the data files, one after the other."""
    prefix = ckptfast.save(tmp_path / "m", {f"{i}": FLOATS + i for i in range(3)}, shards=3)
    with ckptfast.open(prefix) as reader:
        Path(f"{prefix}.index").unlink()
        assert_same(reader["1"], FLOATS + 1)
        for shard in range(2):
            bundle.data_path(prefix, shard, 3).unlink()
        assert_same(reader["1"], FLOATS + 1)
        assert_same(reader["2"], FLOATS + 2)
        with pytest.raises(FileNotFoundError):
            reader["0"]


@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_close_lets_go_of_the_files(tmp_path: Path, backend: Any) -> None:
    prefix = ckptfast.save(tmp_path / "m", {f"{i}": FLOATS for i in range(3)}, shards=3)

    def open_files() -> set[str]:
        links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        return {os.readlink(link) for link in links if os.path.lexists(link)}

    reader = ckptfast.open(prefix, backend=backend)
    arrays = list(reader.values())
    reader.close()
    reader.close()
    assert not {file for file in open_files() if file.startswith(prefix)}
    for array in arrays:
        assert_same(array, FLOATS)
    for call in [
        lambda: reader["0"],
        lambda: reader.info("0"),
        lambda: reader.read("0", np.s_[:1]),
        lambda: "0" in reader,
    ]:
        with pytest.raises(ValueError, match="closed"):
            call()
    assert "Reader" in repr(reader)
    del arrays, array
    with open("/proc/self/maps") as maps:
        assert prefix not in maps.read()


# ---------------------------------------------------------------------------------------- pickling


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_a_reader_survives_pickling_with_its_options(packed: str, protocol: int) -> None:
    reader = ckptfast.open(packed, verify=False, copy=True, backend="pread", threads=1)
    again = pickle.loads(pickle.dumps(reader, protocol))
    assert list(again) == ["a", "b", "c"]
    counted = Counted()
    assert_same(again["b"], np.arange(4, dtype=np.uint8))
    assert (counted.bytes_verified, counted.bytes_aliased) == (0, 0)
    reader.close()
    assert list(pickle.loads(pickle.dumps(reader, protocol))) == ["a", "b", "c"]


def test_pickled_it_stays_the_same_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever becomes the latest in its directory, and wherever the process goes."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    for step in [1, 2]:
        prefix = ckptfast.save(f"m-{step}", {"step": np.int64(step)})
        ckptfast.update_checkpoint_state(".", prefix)
        if step == 1:
            reader = ckptfast.open(".")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(pickle.dumps(reader))["step"] == 1


def test_a_relative_path_is_that_of_the_moment_it_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    ckptfast.save("m", {"a": FLOATS})
    reader = ckptfast.open("m")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert_same(reader["a"], FLOATS)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("backend", ["mmap", "pread"])
def test_a_slice_counts_as_the_whole_tensor(tmp_path: Path, verify: bool, backend: Any) -> None:
    value = np.arange(12_000, dtype=np.float32).reshape(100, 120)
    halves = [ckptfast.Tensor(value[:50], slice="100 120 0,50:-"),
              ckptfast.Tensor(value[50:], slice="100 120 50,50:-")]  # fmt: skip
    words = np.array([b"abc"] * 9)
    path = ckptfast.save(tmp_path / "m", {"v": value, "halves": halves, "s": words})
    with ckptfast.open(path, verify=verify, backend=backend) as reader:
        for name, box, size, aliased in [
            ("v", np.s_[10:20], 4800, backend == "mmap"),
            ("v", np.s_[:, 7], 400, False),
            ("halves", np.s_[40:60, 5], 80, False),
            ("halves", np.s_[10:20], 4800, False),
            ("s", np.s_[2:4], 6, False),
            ("v", None, 48_000, backend == "mmap"),
            ("halves", None, 48_000, False),
        ]:
            counted = Counted()
            reader.read(name, box)
            assert (counted.tensors_read, counted.bytes_read) == (1, size), (name, box)
            assert counted.bytes_aliased == (size if aliased else 0), (name, box)
            assert counted.bytes_copied == (0 if aliased else size), (name, box)
