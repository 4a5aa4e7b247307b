"""One file, written by several threads, each at its place."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO, Final

from . import _native, _pages, _threads

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
    descriptor: int, parts: Iterable[tuple[memoryview, int, str]], *, threads: int | None = None
) -> None:
    """Write each memory at its offset of an open file.

    Each comes with the name of its tensor. Raises `OSError`, and `DataLossError` for memory that
    is pages of a file, and no longer there.
    """
    pieces = (
        (memory[start : start + _PIECE], offset + start, name)
        for memory, offset, name in parts
        for start in range(0, len(memory), _PIECE)
    )
    with ThreadPoolExecutor(_threads.resolve(threads)) as pool:
        list(pool.map(lambda piece: _write_at(descriptor, *piece), pieces))


def _write_at(descriptor: int, memory: memoryview, offset: int, name: str) -> None:
    while memory:
        try:
            written = os.pwrite(descriptor, memory, offset)
        except OSError as error:
            if error.errno == errno.EFAULT:
                raise _pages.gone(name, None) from error
            raise
        memory, offset = memory[written:], offset + written
