"""The state file that savers and managers keep, with paths as TensorFlow writes them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tensorflow.python.checkpoint import checkpoint_management

from ... import _checkpoints, _remote
from ..._files import Durability


def update(
    directory: str,
    newest: str,
    all_paths: Sequence[str] | None,
    latest_filename: str | None = None,
    timestamps: Sequence[float] | None = None,
    last_preserved: float | None = None,
    *,
    relative: bool,
    durability: Durability,
) -> None:
    """Write the state file of `directory`. With `relative`, absolute paths become relative to it.

    Raises `RuntimeError` if the checkpoint has the name of the state file.
    """
    all_paths = None if all_paths is None else list(all_paths)
    if _remote.is_remote(directory):
        checkpoint_management.update_checkpoint_state_internal(
            directory, newest, all_paths, latest_filename, relative, timestamps, last_preserved
        )
        return
    if relative:
        newest = _relative(newest, directory)
        all_paths = [_relative(path, directory) for path in all_paths or ()]
    _checkpoints.update_checkpoint_state(
        directory,
        newest,
        all_paths,
        latest_filename,
        timestamps,
        last_preserved,
        durability=durability,
    )


def _relative(path: str, directory: str) -> str:
    return os.path.relpath(path, directory or None) if os.path.isabs(path) else path
