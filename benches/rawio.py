"""Memory copies, reads and writes with nothing around them: what the machine itself can do."""

from __future__ import annotations

import itertools
import mmap
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BLOCK = 4 << 20
"""Bytes per system call."""


def huge_buffer(nbytes: int) -> mmap.mmap:
    """Anonymous memory, page-aligned, in huge pages where the system grants them; untouched."""
    rounded = max(1, -(-nbytes // BLOCK)) * BLOCK
    region = mmap.mmap(-1, rounded, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    region.madvise(mmap.MADV_HUGEPAGE)
    return region


def warm_buffer(nbytes: int) -> mmap.mmap:
    """The same, with every page touched."""
    region = huge_buffer(nbytes)
    as_bytes(region)[:: mmap.PAGESIZE] = 1
    return region


def as_bytes(region: mmap.mmap) -> NDArray[np.uint8]:
    """A view of a buffer."""
    return np.frombuffer(region, dtype=np.uint8)


def in_threads(threads: int, nbytes: int, work: Callable[[int, int], None]) -> None:
    """Calls ``work(start, stop)`` on `threads` contiguous spans of whole blocks, in parallel."""
    blocks = -(-nbytes // BLOCK)
    edges = [min(nbytes, blocks * part // threads * BLOCK) for part in range(threads + 1)]
    spans = [(start, stop) for start, stop in itertools.pairwise(edges) if start < stop]
    if len(spans) <= 1:
        for start, stop in spans:
            work(start, stop)
        return
    with ThreadPoolExecutor(len(spans)) as pool:
        for future in [pool.submit(work, start, stop) for start, stop in spans]:
            future.result()


def copy(source: NDArray[np.uint8], target: NDArray[np.uint8], threads: int) -> None:
    """memcpy, on several threads."""

    def work(start: int, stop: int) -> None:
        np.copyto(target[start:stop], source[start:stop])

    in_threads(threads, source.nbytes, work)


def read(path: Path, target: mmap.mmap, threads: int, *, direct: bool = False) -> None:
    """Reads a whole file into a buffer of at least its size, rounded up to whole blocks."""
    size = path.stat().st_size
    descriptor = os.open(path, os.O_RDONLY | (os.O_DIRECT if direct else 0))

    def work(start: int, stop: int) -> None:
        with memoryview(target) as view:
            for offset in range(start, stop, BLOCK):
                # Always a whole block: O_DIRECT wants lengths that are multiples of a sector.
                got = os.preadv(descriptor, [view[offset : offset + BLOCK]], offset)
                if got != min(BLOCK, size - offset):
                    raise OSError(f"{path.name}: short read of {got} bytes at {offset}")

    try:
        in_threads(threads, size, work)
    finally:
        os.close(descriptor)


def write(
    path: Path,
    source: memoryview,
    threads: int,
    *,
    files: int = 1,
    allocate: bool = False,
    direct: bool = False,
    durable: bool = False,
) -> None:
    """Writes a buffer to `files` new files, ``path.0`` and so on, with `threads` threads in all.

    `allocate` reserves the space first, `direct` goes past the page cache (then the buffer is
    page-aligned and a whole number of pages long), `durable` ends with fsync.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | (os.O_DIRECT if direct else 0)
    blocks = -(-source.nbytes // BLOCK)
    edges = [min(source.nbytes, blocks * part // files * BLOCK) for part in range(files + 1)]

    def write_file(index: int) -> None:
        part = source[edges[index] : edges[index + 1]]
        descriptor = os.open(raw_file(path, index), flags, 0o644)

        def work(start: int, stop: int) -> None:
            for offset in range(start, stop, BLOCK):
                piece = part[offset : min(offset + BLOCK, stop)]
                if os.pwrite(descriptor, piece, offset) != piece.nbytes:
                    raise OSError(f"{path.name}: short write at {offset}")

        try:
            if allocate and part.nbytes:
                os.posix_fallocate(descriptor, 0, part.nbytes)
            in_threads(max(1, threads // files), part.nbytes, work)
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    if files == 1:
        write_file(0)
        return
    with ThreadPoolExecutor(files) as pool:
        for future in [pool.submit(write_file, index) for index in range(files)]:
            future.result()


def raw_file(path: Path, index: int) -> Path:
    """Name of one of the files that `write` makes."""
    return path.with_name(f"{path.name}.{index}")
