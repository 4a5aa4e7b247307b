"""The state file `checkpoint` beside the checkpoints, on disk before a save returns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tensorflow.python.checkpoint import checkpoint as checkpoint_lib

from ... import _paths
from ..saver import _config, _state_file

Callback = Callable[..., object]


def durable(callbacks: Sequence[Callback]) -> list[Callback]:
    """Callbacks of a save, with ours in the place of the one that TensorFlow appends."""
    theirs = checkpoint_lib._update_checkpoint_state_internal
    return [update if callback is theirs else callback for callback in callbacks]


def update(path: str) -> None:
    """Make `path` the latest and only checkpoint of its directory."""
    write(_paths.parent(path), path, [path])


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
    _state_file.update(
        directory,
        newest,
        paths,
        None,
        timestamps,
        last_preserved,
        relative=True,
        durability=_config.options().durability,
    )
