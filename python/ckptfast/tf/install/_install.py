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
# What calls of `install()` returned that were not undone; as a context manager, not left.
_open: Final[set[Installation]] = set()


class Installation:
    """What `install()` returns: as a context manager it undoes that call."""

    def __enter__(self) -> Installation:
        return self

    def __exit__(self, *_: object) -> None:
        with _lock:
            if self in _open:
                _open.remove(self)
                if not _open:
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

    To be called before savers are made; once is enough. As a context manager
    (`with ckptfast.install():`) it is undone at the end; of several, nested or in several threads,
    at the end of the last. A call without `with` holds until `uninstall()`.

    Raises `UnsupportedError` on a TensorFlow it was not tested with, and changes nothing then.
    """
    _version.check()
    installation = Installation()
    with _lock:
        _open.add(installation)
        if _pairs:
            return installation
        for row in ROWS:
            original = getattr(importlib.import_module(row.module), row.name)
            _pairs.append((original, replacement(row.name, original)))
        _modules.rebind({id(original): ours for original, ours in _pairs})
        _saver_class.install()
        _object_classes.install()
    return installation


def uninstall() -> None:
    """Undo every `install()`; modules imported since then included. Does nothing without one.

    Savers that were made meanwhile stay ckptfast's.
    """
    with _lock:
        _open.clear()
        _object_classes.uninstall()
        _saver_class.uninstall()
        _modules.rebind({id(ours): original for original, ours in _pairs})
        _pairs.clear()
