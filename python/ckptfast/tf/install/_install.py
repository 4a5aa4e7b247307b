"""`install()` and `uninstall()`."""

from __future__ import annotations

import importlib
import threading
from typing import Any, Final

from . import _modules, _object_classes, _saver_class, _version
from ._replacements import replacement
from ._table import ROWS

_lock = threading.RLock()
# Pairs of TensorFlow's function and ours while installed.
_pairs: Final[list[tuple[Any, Any]]] = []


class Installation:
    """What `install()` returns: as a context manager it undoes what that call did."""

    def __init__(self, *, is_first: bool) -> None:
        self._is_first = is_first

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_first:
            uninstall()


def install() -> Installation:
    """Let existing code that uses `tf.train` or `tf.compat.v1.train` use ckptfast.

    `tf.compat.v1.train.Saver(...)` makes a `ckptfast.Saver`, and so does everything in TensorFlow
    that makes one: `import_meta_graph`, `MonitoredTrainingSession`, `CheckpointSaverHook`,
    `Supervisor`, `Scaffold`, the SavedModel builder and loader. Methods of `tf.train.Checkpoint`
    and `CheckpointManager` are replaced, also for objects and classes that exist, and with them
    what `save_weights` and `load_weights` of tf_keras, and `tf.saved_model.save` and `load`, do
    with variables. The functions for checkpoints and their folders are replaced in all modules,
    also in those that have imported them. Savers and classes from before keep working.
    `ckptfast.configure` sets what the savers do, and `uninstall()` undoes it all.

    To be called once, before savers are made; a second call does nothing. As a context manager
    (`with ckptfast.install():`) it is undone at the end, unless it was installed before.

    Raises `UnsupportedError` on a TensorFlow it was not tested with, and changes nothing then.
    """
    _version.check()
    with _lock:
        if _pairs:
            return Installation(is_first=False)
        for row in ROWS:
            original = getattr(importlib.import_module(row.module), row.name)
            _pairs.append((original, replacement(row.name, original)))
        _modules.rebind({id(original): ours for original, ours in _pairs})
        _saver_class.install()
        _object_classes.install()
        return Installation(is_first=True)


def uninstall() -> None:
    """Undo `install()`; modules imported since then included. Does nothing if it is not installed.

    Savers that were made meanwhile stay ckptfast's.
    """
    with _lock:
        _object_classes.uninstall()
        _saver_class.uninstall()
        _modules.rebind({id(ours): original for original, ours in _pairs})
        _pairs.clear()
