"""Files that are not in the page cache are read another way; the values are the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ckptfast

# Several parts for every thread, one tensor across several of them, and small ones between.
TENSORS = {
    "a": np.arange(3, dtype=np.float32),
    "b": np.arange(5 << 20, dtype=np.uint32),
    "c": np.arange(1000, dtype=np.int16),
    "d": np.arange(3 << 20, dtype=np.float64),
    "e": np.zeros((0, 4), np.float32),
}


def _evict(prefix: str) -> None:
    """Takes the data out of the page cache, where the file system has one for it."""
    for path in Path(prefix).parent.glob("*.data-*"):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("align", [1, 64])
@pytest.mark.parametrize("backend", ["mmap", "pread"])
@pytest.mark.parametrize("threads", [1, 3])
def test_a_cold_checkpoint_has_the_values_of_a_warm_one(
    tmp_path: Path, shards: int, align: int, backend: str, threads: int
) -> None:
    prefix = ckptfast.save(tmp_path / "m", TENSORS, shards=shards, align=align, durability="none")
    for copy in (None, True):
        _evict(prefix)
        loaded = ckptfast.load(prefix, copy=copy, backend=backend, threads=threads)
        for name, expected in TENSORS.items():
            np.testing.assert_array_equal(loaded[name], expected, strict=True)


@pytest.mark.parametrize("align", [1, 64])
def test_damage_in_a_cold_checkpoint_is_found_and_placed(tmp_path: Path, align: int) -> None:
    prefix = ckptfast.save(tmp_path / "m", TENSORS, align=align, durability="none")
    with ckptfast.open(prefix) as reader:
        offset = reader.info("d").offset
    assert offset is not None
    with open(f"{prefix}.data-00000-of-00001", "r+b") as file:
        file.seek(offset + 20_000_001)
        file.write(b"\xff")
    _evict(prefix)
    with pytest.raises(ckptfast.DataLossError, match="checksum") as raised:
        ckptfast.load(prefix)
    assert raised.value.key == "d"
    _evict(prefix)
    assert list(ckptfast.verify(prefix).bad) == ["d"]


def test_a_file_cut_after_it_was_opened_is_an_error_not_the_end_of_the_process(
    tmp_path: Path,
) -> None:
    prefix = ckptfast.save(tmp_path / "m", TENSORS, durability="none")
    script = f"""
import os, ckptfast
reader = ckptfast.open({prefix!r})
reader["a"]
os.truncate({prefix + ".data-00000-of-00001"!r}, 30 << 20)
try:
    reader["d"]
except ckptfast.DataLossError as error:
    print(error.key, error.path)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["d", f"{prefix}.data-00000-of-00001"]


def test_what_lies_between_two_tensors_is_not_brought_in(tmp_path: Path) -> None:
    """Pages of a hole in the file are entered by nobody who asks for its edges."""
    tensors = {"a": np.ones(3), "m": np.broadcast_to(np.float32(0), (64 << 20,)), "z": np.ones(3)}
    prefix = ckptfast.save(tmp_path / "m", tensors, durability="none")
    script = f"""
import ckptfast
ckptfast.load({prefix!r}, ["a"])
def mapped():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssFile"))
before = mapped()
arrays = ckptfast.load({prefix!r}, ["a", "z"])
print(mapped() - before)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 32 << 10  # KiB; the tensor between them has 256 MiB
