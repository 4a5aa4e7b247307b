"""The page cache: how much of a file it holds, and emptying it of a file."""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)


class StillCachedError(RuntimeError):
    """The page cache keeps a file: it is mapped somewhere, or lives in memory only."""


def resident_share(path: Path) -> float:
    """Share of a file's pages that the page cache holds, by mincore(2); 1.0 for an empty file."""
    size = path.stat().st_size
    if size == 0:
        return 1.0
    with path.open("rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as region:
        view = np.frombuffer(region, dtype=np.uint8)
        state = np.zeros(-(-size // mmap.PAGESIZE), dtype=np.uint8)
        failed = _libc.mincore(view.ctypes.data, size, state.ctypes.data)
        del view  # the mapping cannot be closed while an array looks at it
        if failed:
            error = ctypes.get_errno()
            raise OSError(error, os.strerror(error), str(path))
    return float(np.mean(state & 1))


def sync(paths: Iterable[Path]) -> None:
    """Writes files to the disk, so that their pages are clean and can be dropped."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def evict(paths: Iterable[Path]) -> None:
    """Drops files that are already on the disk from the page cache, and makes sure of it."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            for _ in range(5):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
                share = resident_share(path)
                if share == 0:
                    break
                time.sleep(0.05)  # pages under read-ahead are locked for a moment
        finally:
            os.close(descriptor)
        if share > 0.001:
            raise StillCachedError(f"{path.name}: {share:.1%} are still in the page cache")


def bundle_files(prefix: Path) -> list[Path]:
    """The files of a bundle: its index and its shards."""
    return sorted(
        path for path in prefix.parent.iterdir() if path.name.startswith(f"{prefix.name}.")
    )
