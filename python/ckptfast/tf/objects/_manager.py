"""`CheckpointManager`: TensorFlow's class, with a state file that is on disk when it should be."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

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

    def restore_or_initialize(self) -> Any:
        """Restore the latest checkpoint, one that is being written included, or call `init_fn`."""
        return restore_or_initialize(super().restore_or_initialize, self)


def restore_or_initialize(theirs: Callable[[], Any], manager: Any) -> Any:
    """`CheckpointManager.restore_or_initialize` of any manager, `theirs` being what it replaces."""
    manager.sync()
    return theirs()
