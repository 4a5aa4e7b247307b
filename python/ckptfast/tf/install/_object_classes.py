"""Making `tf.train.Checkpoint` and all that saves object graphs use our files.

The classes stay where they are, and their methods are replaced: so every object of theirs has ours,
whoever made it and when, and so have classes derived from them and everything that uses
`TrackableSaver` underneath: `tf.compat.v1.train.Checkpoint`, `save_weights` and `load_weights` of
tf_keras, its `BackupAndRestore`, and the variables of `tf.saved_model.save` and `load`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from tensorflow.python.checkpoint import checkpoint, checkpoint_management

from ..objects import _checkpoint, _manager, _saver


class _Method(NamedTuple):
    """A method of TensorFlow's class `stock`, and the function that takes its place.

    Our own class, `fast`, is derived from `stock` and calls its methods: for those they stay.
    """

    stock: Any
    name: str
    fast: Any
    function: Callable[..., Any]


_METHODS: Final = (
    _Method(checkpoint.TrackableSaver, "save", _saver.TrackableSaver, _saver.save),
    _Method(checkpoint.TrackableSaver, "restore", _saver.TrackableSaver, _saver.restore),
    _Method(
        checkpoint.Checkpoint, "_async_checkpointer", _checkpoint.Checkpoint,
        _checkpoint.async_saves,
    ),
    _Method(checkpoint.Checkpoint, "_write", _checkpoint.Checkpoint, _checkpoint.write),
    _Method(checkpoint.Checkpoint, "read", _checkpoint.Checkpoint, _checkpoint.restore),
    _Method(checkpoint.Checkpoint, "restore", _checkpoint.Checkpoint, _checkpoint.restore),
    _Method(
        checkpoint_management.CheckpointManager, "restore_or_initialize",
        _manager.CheckpointManager, _manager.restore_or_initialize,
    ),
    _Method(
        checkpoint_management.CheckpointManager, "_sweep",
        _manager.CheckpointManager, _manager.sweep,
    ),
)  # fmt: skip
_originals: Final[list[tuple[Any, str, Any]]] = []


def install() -> None:
    """Replace the methods."""
    for method in _METHODS:
        original = vars(method.stock)[method.name]
        _originals.append((method.stock, method.name, original))
        setattr(method.stock, method.name, _replaced(method, original))


def uninstall() -> None:
    """Put TensorFlow's methods back."""
    for stock, name, original in _originals:
        setattr(stock, name, original)
    _originals.clear()


def _replaced(method: _Method, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def replaced(self: Any, *arguments: Any, **keywords: Any) -> Any:
        theirs = original.__get__(self)
        if isinstance(self, method.fast):
            return theirs(*arguments, **keywords)
        return method.function(theirs, self, *arguments, **keywords)

    return replaced
