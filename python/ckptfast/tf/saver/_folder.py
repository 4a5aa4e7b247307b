"""Whether a checkpoint may be written where it shall be, said in TensorFlow's words."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import tensorflow as tf

from ... import _paths, _remote
from ...errors import CheckpointError
from .._errors import combined


def check(save_path: str) -> None:
    """Raise `ValueError` unless the folder of a checkpoint is there, or can be made in its parent.

    TensorFlow makes one level of folders, no more. Other file systems are not asked: an object
    store has no folders, and whoever writes there makes what is missing.
    """
    parent = os.path.dirname(save_path)
    if _remote.is_remote(save_path) or not parent:
        return
    if not _is_folder(parent) and not _is_folder(os.path.dirname(parent) or "."):
        raise _missing(save_path)


@contextlib.contextmanager
def explaining(save_path: str) -> Iterator[None]:
    """Raise errors of a save as TensorFlow's, and `ValueError` where the folder is the reason."""
    try:
        yield
    except (CheckpointError, OSError, tf.errors.OpError) as error:
        if isinstance(error, tf.errors.OpError):
            shown: Exception = error
        else:
            shown = combined(error)
        kinds = (tf.errors.FailedPreconditionError, tf.errors.NotFoundError)
        if isinstance(shown, kinds) and not _is_folder(_paths.parent(save_path) or "."):
            raise _missing(save_path) from error
        if shown is error:
            raise
        raise shown from error.__cause__


def _missing(save_path: str) -> ValueError:
    return ValueError(f"Parent directory of {save_path} doesn't exist, can't save.")


def _is_folder(path: str) -> bool:
    if _remote.is_remote(path):
        return bool(tf.io.gfile.isdir(path))
    return os.path.isdir(path.removeprefix("file://"))
