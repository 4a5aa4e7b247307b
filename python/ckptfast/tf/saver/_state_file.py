"""The state file that `Saver.save` keeps, with paths as TensorFlow writes them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tensorflow.python.checkpoint import checkpoint_management

from ... import _checkpoints, _remote
from ._config import Durability


def update(
    directory: str,
    newest: str,
    all_paths: Sequence[str],
    latest_filename: str,
    *,
    relative: bool,
    durability: Durability,
) -> None:
    """Write the state file of `directory`. With `relative`, absolute paths become relative to it.

    Raises `RuntimeError` if the checkpoint has the name of the state file.
    """
    if _remote.is_remote(directory):
        checkpoint_management.update_checkpoint_state_internal(
            save_dir=directory,
            model_checkpoint_path=newest,
            all_model_checkpoint_paths=list(all_paths),
            latest_filename=latest_filename,
            save_relative_paths=relative,
        )
        return
    if relative:
        newest = _relative(newest, directory)
        all_paths = [_relative(path, directory) for path in all_paths]
    _checkpoints.update_checkpoint_state(
        directory, newest, all_paths, latest_filename, durability=durability
    )


def _relative(path: str, directory: str) -> str:
    return os.path.relpath(path, directory or None) if os.path.isabs(path) else path
