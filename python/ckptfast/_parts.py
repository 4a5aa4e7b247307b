"""One file, written by several threads, each at its place."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Final

from . import _native, _threads

_PIECE: Final = 8 << 20


def reserve(file: BinaryIO, nbytes: int) -> None:
    """Make a new file that long, so that a full disk is found before anything is written.

    What is written then is also on disk sooner. Raises `OSError`.
    """
    # Where the file system cannot, the C library writes into every block instead, which over a
    # network takes longer than the values.
    if nbytes and not _native.on_network(file.name):
        os.posix_fallocate(file.fileno(), 0, nbytes)


def write(
    descriptor: int, parts: Iterable[tuple[memoryview, int]], *, threads: int | None = None
) -> None:
    """Write each memory at its offset of an open file. Raises `OSError`."""
    pieces = (
        (memory[start : start + _PIECE], offset + start)
        for memory, offset in parts
        for start in range(0, len(memory), _PIECE)
    )
    with ThreadPoolExecutor(_threads.resolve(threads)) as pool:
        list(pool.map(lambda piece: _write_at(descriptor, *piece), pieces))


def _write_at(descriptor: int, memory: memoryview, offset: int) -> None:
    while memory:
        written = os.pwrite(descriptor, memory, offset)
        memory, offset = memory[written:], offset + written
