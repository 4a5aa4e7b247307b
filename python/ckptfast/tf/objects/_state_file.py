"""The state file `checkpoint` beside the checkpoints, on disk before a save returns."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from tensorflow.python.checkpoint import checkpoint as checkpoint_lib
from tensorflow.python.checkpoint import checkpoint_management

from ... import _checkpoints, _remote
from ..saver import _config

Callback = Callable[..., object]


def durable(callbacks: Sequence[Callback]) -> list[Callback]:
    """Callbacks of a save, with ours in the place of the one that TensorFlow appends."""
    theirs = checkpoint_lib._update_checkpoint_state_internal
    return [update if callback is theirs else callback for callback in callbacks]


def update(path: str) -> None:
    """Make `path` the latest and only checkpoint of its directory."""
    write(os.path.dirname(path), path, [path])


def write(
    directory: str,
    newest: str,
    paths: Sequence[str],
    timestamps: Sequence[float] | None = None,
    last_preserved: float | None = None,
) -> None:
    """Write the state file of a directory; absolute paths become relative to it.

    Raises `RuntimeError` if the checkpoint has the name of the state file.
    """
    if _remote.is_remote(directory):
        checkpoint_management.update_checkpoint_state_internal(
            directory, newest, list(paths), None, timestamps, last_preserved, True
        )
        return
    given: dict[str, Any] = {
        "all_model_checkpoint_timestamps": timestamps,
        "last_preserved_timestamp": last_preserved,
    }
    _checkpoints.update_checkpoint_state(
        directory,
        _relative(newest, directory),
        [_relative(path, directory) for path in paths],
        durability=_config.options().durability,
        **given,
    )


def _relative(path: str, directory: str) -> str:
    return os.path.relpath(path, directory or None) if os.path.isabs(path) else path
