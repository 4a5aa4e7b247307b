"""Replacing a file at once: readers see the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from typing import BinaryIO, Final, Literal

_NAME_MAX: Final = 255
"""Bytes of the longest name of a file."""

Durability = Literal["full", "rename", "none"]


@contextlib.contextmanager
def replacing(path: str, *, durability: Durability) -> Iterator[BinaryIO]:
    """A new file beside `path` to write to, which takes its place when the block ends well.

    "full" returns when file and directory are on disk; "rename" flushes the file before it is
    renamed, so that no power failure leaves an empty one; "none" flushes nothing. Raises `OSError`
    and `ValueError`; the old file is then still there, unless only the last step (making the rename
    durable) failed.
    """
    check_durability(durability)
    temporary = _beside(path)
    try:
        with open(temporary, "xb") as file:
            yield file
            if durability != "none":
                file.flush()
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        # A write does not say what it wrote to, and the name of the new file helps nobody.
        if isinstance(error, OSError) and error.errno and error.filename in (None, temporary):
            error.filename = path
            del error.filename2
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if durability == "full":
        _sync_directory(os.path.dirname(path) or ".")


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Errors of reading name the file: those of a failing disk do not say where they come from."""
    try:
        yield
    except OSError as error:
        if error.errno and error.filename is None:
            error.filename = path
        raise


def _beside(path: str) -> str:
    """A name for a new file, no longer than a name can be."""
    folder, name = os.path.split(path)
    ending = f".tmp{uuid.uuid4().hex}"
    start = os.fsencode(name)[: _NAME_MAX - len(ending)].decode("utf-8", "ignore")
    return os.path.join(folder, start + ending)


def check_target(path: str) -> None:
    """Raise what writing a file at `path` would, but about `path`, and before any work."""
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        raise IsADirectoryError(errno.EISDIR, "the output is a folder; pass a file in it", path)
    if folder and not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {folder} for the output", path)


def check_durability(durability: str) -> None:
    """Raise `ValueError` for what is no `Durability`."""
    if durability not in ("full", "rename", "none"):
        raise ValueError(f"durability must be 'full', 'rename' or 'none', not {durability!r}")


def _sync_directory(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # the file system cannot sync directories, and need not
            raise
    finally:
        os.close(descriptor)
