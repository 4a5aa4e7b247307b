"""TensorFlow's file systems (`gs://`, `s3://`, `hdfs://`, `ram://`, …), as plain functions.

Failures come out as Python's own exceptions, so that callers need not know TensorFlow's.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Any

import tensorflow

from .. import _paths
from ..errors import UnsupportedError

_gfile = tensorflow.io.gfile


@contextlib.contextmanager
def _python_errors(path: str) -> Iterator[None]:
    errors = tensorflow.errors
    try:
        yield
    except errors.NotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, error.message, path) from error
    except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
        raise PermissionError(errno.EACCES, error.message, path) from error
    except errors.UnimplementedError as error:
        raise UnsupportedError(
            f"{path}: TensorFlow has no file system for it here ({error.message}); "
            "some come with the package tensorflow-io"
        ) from error
    except errors.OpError as error:
        raise OSError(errno.EIO, error.message, path) from error


def is_file(path: str) -> bool:
    """Whether `path` exists and is not a directory."""
    with _python_errors(path):
        return bool(_gfile.exists(path)) and not _gfile.isdir(path)


def is_directory(path: str) -> bool:
    """Whether `path` is a directory (in an object store: the beginning of other names)."""
    with _python_errors(path):
        return bool(_gfile.isdir(path))


def names_in(directory: str) -> list[str]:
    """The names of the files in a directory, sorted; empty if it does not exist."""
    with _python_errors(directory):
        if not _gfile.isdir(directory):
            return []
        return sorted(name.rstrip("/") for name in _gfile.listdir(directory))


def matching(pattern: str) -> list[str]:
    """The paths that match a glob pattern, sorted."""
    with _python_errors(pattern):
        return sorted(_gfile.glob(pattern))


def ends(path: str, head: int, tail: int) -> tuple[bytes, bytes, int]:
    """The first `head` and the last `tail` bytes of a file, and its size."""
    with _python_errors(path):
        size = int(_gfile.stat(path).length)
        with _gfile.GFile(path, "rb") as file:
            first = bytes(file.read(min(head, size)))
            file.seek(max(0, size - tail))
            return first, bytes(file.read(min(tail, size))), size


def copy(source: str, target: str) -> None:
    """Copy a file between any two file systems; the target is replaced."""
    with _python_errors(source):
        _gfile.copy(source, target, overwrite=True)


def publish(source: str, target: str) -> None:
    """Copy a file so that nobody sees a part of it at `target`.

    An object store shows a whole object or none. Where files are renamed, a sibling is written and
    takes the name of `target`.
    """
    with _python_errors(target):
        folder = _paths.parent(target)
        if not _gfile.exists(folder):
            _gfile.makedirs(folder)
        if not _moves_at_once(target):
            _gfile.copy(source, target, overwrite=True)
            return
        sibling = f"{target}.tempstate{int.from_bytes(os.urandom(8), 'little')}"
        try:
            _gfile.copy(source, sibling, overwrite=True)
            _gfile.rename(sibling, target, overwrite=True)
        except BaseException:
            with contextlib.suppress(tensorflow.errors.OpError):
                _gfile.remove(sibling)
            raise


def _moves_at_once(path: str) -> bool:
    from tensorflow.python.lib.io import file_io

    return bool(file_io.has_atomic_move(path))


def remove(path: str) -> None:
    """Delete a file; nothing happens where it does not exist."""
    with _python_errors(path), contextlib.suppress(tensorflow.errors.NotFoundError):
        _gfile.remove(path)


def train(name: str) -> Any:
    """A function of `tf.compat.v1.train`, for the files of a remote directory."""
    return getattr(tensorflow.compat.v1.train, name)
