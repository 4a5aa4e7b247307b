"""What `save` leaves on disk: names of files, their places, what was there before."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast
from helpers import bundle, tf_io, values
from helpers.values import assert_same

A = np.arange(10, dtype=np.float32)
B = np.arange(7, dtype=np.int64)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def files(count: int, stem: str = "m") -> list[str]:
    """The files of a bundle of `count` data files."""
    data = [f"{stem}.data-{shard:05}-of-{count:05}" for shard in range(count)]
    return [*data, f"{stem}.index"]


def restored(tf: ModuleType, prefix: str | Path, *keys: str) -> list[float]:
    """The first elements of float tensors, as TensorFlow reads them."""
    return [
        float(value.flat[0]) for value in tf_io.restore(tf, prefix, keys, ["float32"] * len(keys))
    ]


# ------------------------------------------------------------------------------- names of the files


def test_a_fresh_prefix_has_the_names_everybody_expects(tmp_path: Path) -> None:
    assert ckptfast.save(tmp_path / "m", {"a": A, "b": B}) == str(tmp_path / "m")
    assert names(tmp_path) == files(1)
    for shards in range(1, 8):
        many = {f"{index}": A for index in range(7)}
        ckptfast.save(tmp_path / f"s{shards}", many, shards=shards)
        assert set(files(shards, f"s{shards}")) <= set(names(tmp_path))


def test_a_prefix_that_is_written_again_alternates(tf: ModuleType, tmp_path: Path) -> None:
    """New data takes names that the live index does not use; the old data goes last."""
    for step, count in enumerate([1, 2, 1, 2, 1]):
        ckptfast.save(tmp_path / "m", {"a": A + step, "b": A - step, "c": B})
        assert names(tmp_path) == files(count)
        assert restored(tf, tmp_path / "m", "a", "b") == [step, -step]
        with ckptfast.open(tmp_path / "m") as reader:
            assert reader.num_shards == count
            assert {reader.info(name).shard for name in reader} == set(range(count))
            assert reader["a"][0] == step


def test_a_single_tensor_alternates_too(tf: ModuleType, tmp_path: Path) -> None:
    """The documented exception: the second of two files is empty."""
    for step, count in enumerate([1, 2, 1, 2]):
        ckptfast.save(tmp_path / "m", {"a": A + step})
        assert names(tmp_path) == files(count)
        assert restored(tf, tmp_path / "m", "a") == [step]
        assert ckptfast.load(tmp_path / "m")["a"][0] == step
        assert ckptfast.verify(tmp_path / "m")
    assert bundle.data_path(tmp_path / "m", 1, 2).stat().st_size == 0


@pytest.mark.parametrize(("before", "count"), [(2, 1), (3, 1), (7, 1), (1, 2)])
def test_any_number_of_files_is_followed_by_the_first_free_one(
    tf: ModuleType, tmp_path: Path, before: int, count: int
) -> None:
    many = {f"{index}": A for index in range(7)}
    ckptfast.save(tmp_path / "m", many, shards=before)
    ckptfast.save(tmp_path / "m", {"a": A + 5, "b": B})
    assert names(tmp_path) == files(count)
    assert restored(tf, tmp_path / "m", "a") == [5]


@pytest.mark.parametrize("before", [1, 2, 3])
@pytest.mark.parametrize("shards", [1, 2, 3])
def test_an_explicit_number_is_kept_whatever_was_there(
    tf: ModuleType, tmp_path: Path, before: int, shards: int
) -> None:
    ckptfast.save(tmp_path / "m", {"a": A, "b": A, "c": A}, shards=before)
    ckptfast.save(tmp_path / "m", {"a": A + 1, "b": A + 2, "c": A + 3}, shards=shards)
    assert names(tmp_path) == files(shards)
    assert restored(tf, tmp_path / "m", "a", "b", "c") == [1, 2, 3]


def test_over_a_bundle_that_tensorflow_wrote_in_shards(tf: ModuleType, tmp_path: Path) -> None:
    tf_io.save_sharded(tf, tmp_path / "m", {"a": A, "b": A, "c": A}, 3)
    ckptfast.save(tmp_path / "m", {"a": A + 1})
    assert names(tmp_path) == files(1)
    tf_io.save(tf, tmp_path / "m", {"a": A + 2})
    assert ckptfast.load(tmp_path / "m")["a"][0] == 2


def test_every_data_file_holds_a_tensor(tmp_path: Path) -> None:
    """Also where one tensor is larger than all others together."""
    tensors = {"0": np.zeros(100_000), **{f"{index}": A for index in range(1, 6)}}
    for shards in range(1, 7):
        prefix = ckptfast.save(tmp_path / f"m{shards}", tensors, shards=shards)
        assert {entry.shard for entry in bundle.entries(prefix).values()} == set(range(shards))
    with pytest.raises(ValueError, match="7 data files"):
        ckptfast.save(tmp_path / "m7", tensors, shards=7)


def test_what_belongs_to_nobody_or_to_others_stays(tmp_path: Path) -> None:
    ckptfast.save(tmp_path / "m", {"a": A, "b": B})
    strangers = [
        "m.data-00000-of-00003",  # of a save long ago; the live index does not name it
        "m.data-00002-of-00003",
        "m.data-00000-of-00001.tempstate123",
        "m.index.tempstate123",
        "m.index.bak",
        "m.meta",
        "m.data-0-of-1",
        "m-1.index",
        "m-1.data-00000-of-00001",
        "m.data-00000-of-00001.data-00000-of-00001",
        "checkpoint",
        "m",
    ]
    for name in strangers:
        (tmp_path / name).write_bytes(name.encode())
    for count in [2, 1]:
        ckptfast.save(tmp_path / "m", {"a": A, "b": B})
        assert names(tmp_path) == sorted(strangers + files(count))
    for name in strangers:
        assert (tmp_path / name).read_bytes() == name.encode()


def test_an_index_that_cannot_be_read_is_replaced(tf: ModuleType, tmp_path: Path) -> None:
    """What it named is not known, so no data file there is overwritten or removed."""
    (tmp_path / "m.index").write_bytes(b"this is no index")
    (tmp_path / "m.data-00000-of-00001").write_bytes(b"perhaps precious")
    ckptfast.save(tmp_path / "m", {"a": A + 4, "b": B})
    assert (tmp_path / "m.data-00000-of-00001").read_bytes() == b"perhaps precious"
    assert restored(tf, tmp_path / "m", "a") == [4]


# ------------------------------------------------------------------------------------ where and how


def test_directories_are_made_and_paths_are_taken_as_they_are(
    tf: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "a" / "b" / "c"
    assert ckptfast.save(deep / "m", {"a": A}) == str(deep / "m")
    assert names(deep) == files(1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    for path, prefix in [
        ("bare", "bare"),
        (b"as bytes", "as bytes"),
        ("./dot/../dotted", "./dot/../dotted"),
        ("here/", "here/"),
        ("with.index", "with.index"),
        ("stem.data-00000-of-00001", "stem.data-00000-of-00001"),
        ("günther %20*[x]?", "günther %20*[x]?"),
        ((tmp_path / "uri").as_uri(), str(tmp_path / "uri")),
        (os.fsdecode(b"\xff\xfe"), os.fsdecode(b"\xff\xfe")),
    ]:
        (tmp_path / "dot").mkdir(exist_ok=True)
        assert ckptfast.save(path, {"a": A + 3}) == prefix
        assert os.path.exists(f"{prefix}.index")
        assert ckptfast.load(path)["a"][0] == 3
        if not {"\udcff", "*"} & set(prefix):  # which TensorFlow takes for a pattern
            assert restored(tf, prefix, "a") == [3]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_modes_follow_the_umask(tmp_path: Path, mask: int, mode: int) -> None:
    before = os.umask(mask)
    try:
        ckptfast.save(tmp_path / "d" / "m", {"a": A, "b": B}, shards=2)
    finally:
        os.umask(before)
    for path in (tmp_path / "d").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o777 & ~mask


def test_a_symlink_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    old = ckptfast.save(tmp_path / "elsewhere" / "m", {"a": A})
    before = {path.name: path.read_bytes() for path in (tmp_path / "elsewhere").iterdir()}
    (tmp_path / "here").mkdir()
    for name in before:
        (tmp_path / "here" / name).symlink_to(tmp_path / "elsewhere" / name)
    for shards in [None, 1]:
        ckptfast.save(tmp_path / "here" / "m", {"a": A + 1}, shards=shards)
        assert not any(path.is_symlink() for path in (tmp_path / "here").iterdir())
    assert {path.name: path.read_bytes() for path in (tmp_path / "elsewhere").iterdir()} == before
    assert ckptfast.load(old)["a"][0] == 0


def test_through_a_directory_that_is_a_symlink(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real", target_is_directory=True)
    ckptfast.save(tmp_path / "link" / "m", {"a": A})
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "real") == files(1)


@pytest.mark.parametrize("align", [1, 2, 8, 64, 512, 4096])
def test_every_tensor_begins_where_asked(tf: ModuleType, tmp_path: Path, align: int) -> None:
    tensors: dict[str, Any] = {
        f"{index:02}": values.sample(kind, (index,)) for index, kind in enumerate(values.PLAIN)
    }
    tensors["strings"] = values.strings((9,))
    prefix = ckptfast.save(tmp_path / "m", tensors, align=align, shards=3)
    entries = bundle.entries(prefix)
    assert all(entry.offset % align == 0 for entry in entries.values())
    for shard in range(3):
        used = [entry for entry in entries.values() if entry.shard == shard]
        end = max(entry.offset + entry.size for entry in used)
        size = bundle.data_path(prefix, shard, 3).stat().st_size
        assert size == end
        content = bytearray(bundle.data_path(prefix, shard, 3).read_bytes())
        for entry in used:
            content[entry.offset : entry.offset + entry.size] = bytes(entry.size)
        assert not any(content)
    keys = [name for name in tensors if name != "strings"]
    found = tf_io.restore(tf, prefix, keys, [tensors[name].dtype for name in keys])
    for name, value in zip(keys, found, strict=True):
        assert_same(value, tensors[name], name)


@pytest.mark.parametrize("durability", ["full", "rename", "none"])
@pytest.mark.parametrize("threads", [1, 2, 9])
def test_the_same_bytes_however_they_are_written(
    tmp_path: Path, durability: Any, threads: int
) -> None:
    rng = np.random.default_rng(0)
    tensors = {f"{index}": rng.random((index * 50_000,)) for index in range(8)}
    kept = ckptfast.save(tmp_path / "kept", tensors, threads=1)
    prefix = ckptfast.save(tmp_path / "m", tensors, durability=durability, threads=threads)
    for suffix in [".index", ".data-00000-of-00001"]:
        assert Path(prefix + suffix).read_bytes() == Path(kept + suffix).read_bytes()


def test_counters(tmp_path: Path) -> None:
    before = ckptfast.stats()
    ckptfast.save(tmp_path / "m", {"a": A, "b": B})
    after = ckptfast.stats()
    assert after.tensors_written - before.tensors_written == 2
    assert after.bytes_written - before.bytes_written == A.nbytes + B.nbytes
    assert after.bytes_read == before.bytes_read


@pytest.mark.xdist_group("alone")
@pytest.mark.parametrize(("align", "order"), [(1, "C"), (64, "F")])
def test_a_huge_page_of_the_file_is_written_by_one_call(
    tmp_path: Path, align: int, order: str
) -> None:
    """Linux keeps as one page what one call writes. Parts of it would be mapped one by one."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    code = (
        "import ckptfast, numpy\n"
        "sizes = [3, 6_000_000, 17, 2_500_000, 11_000_000, 2_097_148, 5]\n"
        "tensors = {f't{at}': numpy.ones(size, 'u1') for at, size in enumerate(sizes)}\n"
        f"tensors['t8'] = numpy.ones((1000, 1001), 'c16', {order!r})\n"
        f"ckptfast.save('m', tensors, align={align}, threads=3)\n"
    )
    trace = tmp_path / "trace"
    under = [strace, "-f", "-qq", "-y", "-e", "trace=pwrite64", "-o", os.fspath(trace)]
    subprocess.run([*under, sys.executable, "-c", code], cwd=tmp_path, check=True)
    found = re.findall(r"m\.data-.*, (\d+), (\d+)(?:\)| <unfinished)", trace.read_text())
    length = (tmp_path / "m.data-00000-of-00001").stat().st_size
    written: dict[int, list[tuple[int, int]]] = {}
    for size, offset in found:
        page, start = divmod(int(offset), 2 << 20)
        written.setdefault(page, []).append((start, start + int(size)))
    assert len(written) == -(-length // (2 << 20))
    for page, parts in written.items():
        assert parts == [(0, min(2 << 20, length - (page << 21)))], f"page {page}: {parts}"


def test_a_tensor_that_changes_while_it_is_written(tmp_path: Path) -> None:
    """The checksum is of the bytes in the file, whatever became of the array meanwhile."""
    array = np.zeros(16 << 20, np.uint8)
    done = threading.Event()

    def change() -> None:
        while not done.is_set():
            array[:] += 1

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for step in range(4):
            tensors = {"a": array, "b": array[::-1]}
            ckptfast.save(tmp_path / f"{step}", tensors, durability="none")
    finally:
        done.set()
        thread.join()
    for step in range(4):
        assert ckptfast.verify(tmp_path / f"{step}")
