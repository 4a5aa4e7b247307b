"""`CheckpointManager`: TensorFlow's class, with a state file that is on disk when it should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from ... import _paths
from ..._checkpoints import remove_bundle
from .. import _errors
from . import _state_file


class CheckpointManager(tf.train.CheckpointManager):  # type: ignore[misc]
    """`tf.train.CheckpointManager`: same arguments, files and errors.

    It writes what its `checkpoint` writes, so give it a `ckptfast.Checkpoint`. The state file names
    a new checkpoint before older ones are deleted, and does so on disk with `durability="full"`
    (see `ckptfast.configure`).
    """

    def _record_state(self) -> None:
        _state_file.write(
            self._directory,
            self.latest_checkpoint,
            list(self._maybe_delete),
            list(self._maybe_delete.values()),
            self._last_preserved_timestamp,
        )

    def _sweep(self) -> None:
        sweep(super()._sweep, self)

    def restore_or_initialize(self) -> Any:
        """Restore the latest checkpoint, one that is being written included, or call `init_fn`."""
        return restore_or_initialize(super().restore_or_initialize, self)


def restore_or_initialize(theirs: Callable[[], Any], manager: Any) -> Any:
    """`CheckpointManager.restore_or_initialize` of any manager, `theirs` being what it replaces."""
    manager.sync()
    return theirs()


def sweep(theirs: Callable[[], None], manager: Any) -> None:
    """Delete or preserve what is more than `max_to_keep`, as `CheckpointManager._sweep` does.

    That takes paths for patterns: a manager of `run[1]` would delete checkpoints of `run1`.
    """
    if _paths.scheme(manager.directory) is not None:
        theirs()
        return
    listed = manager._maybe_delete
    while manager._max_to_keep and len(listed) > manager._max_to_keep:
        prefix, timestamp = listed.popitem(last=False)
        hours = manager._keep_checkpoint_every_n_hours
        if hours and timestamp - hours * 3600 >= manager._last_preserved_timestamp:
            manager._last_preserved_timestamp = timestamp
            continue
        try:
            remove_bundle(_paths.local(prefix))
        except OSError as error:
            raise _errors.combined(error) from error.__cause__
