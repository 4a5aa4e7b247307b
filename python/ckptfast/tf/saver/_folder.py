"""Whether a checkpoint may be written where it shall be, said in TensorFlow's words."""

from __future__ import annotations

import os

import tensorflow as tf

from ... import _remote


def check(save_path: str) -> None:
    """Raise `ValueError` unless the folder of a checkpoint is there, or can be made in its parent.

    TensorFlow makes one level of folders, no more.
    """
    parent = os.path.dirname(save_path)
    if parent and not _is_folder(parent) and not _is_folder(os.path.dirname(parent) or "."):
        raise missing(save_path)


def missing(save_path: str) -> ValueError:
    """The error for a folder that is not there."""
    return ValueError(f"Parent directory of {save_path} doesn't exist, can't save.")


def exists(save_path: str) -> bool:
    """Whether the folder of a checkpoint is there."""
    return _is_folder(os.path.dirname(save_path) or ".")


def _is_folder(path: str) -> bool:
    if _remote.is_remote(path):
        return bool(tf.io.gfile.isdir(path))
    return os.path.isdir(path.removeprefix("file://"))
