"""TensorFlow's `TrackableSaver` with our files underneath."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

import tensorflow as tf
from tensorflow.python.checkpoint import checkpoint as checkpoint_lib
from tensorflow.python.framework import ops
from tensorflow.python.lib.io import file_io

from ... import _fingerprint, _paths, _remote, _stats
from ...errors import CheckpointError
from .. import _callbacks, _errors
from ..saver import _config, _write
from ..saver._config import Options
from . import _garbage, _graph, _plain, _restore, _snapshot
from ._layout import Layout
from ._plain import OnlyTensorFlow
from ._snapshot import Row

_LAYOUT: Final = "_ckptfast_layout"
"""Where a saver keeps the layout of its last save."""


class TrackableSaver(checkpoint_lib.TrackableSaver):  # type: ignore[misc]
    """Saves and restores the object graph of one `Checkpoint`."""

    def save(self, *arguments: Any, **keywords: Any) -> Any:
        """Write the checkpoint `file_prefix`, numbered if `checkpoint_number` is true."""
        return save(super().save, self, *arguments, **keywords)

    def restore(self, *arguments: Any, **keywords: Any) -> Any:
        """Restore the checkpoint at `save_path`, now and in objects that are made later."""
        return restore(super().restore, self, *arguments, **keywords)


# What follows takes any saver of TensorFlow's class, and as `theirs` the method that it replaces.


def save(
    theirs: Callable[..., Any],
    saver: Any,
    file_prefix: Any,
    checkpoint_number: Any = None,
    session: Any = None,
    options: Any = None,
) -> Any:
    """`TrackableSaver.save`."""
    if checkpoint_number:
        file_prefix = f"{file_prefix}-{int(checkpoint_number)}"
    with _garbage.paused():
        shards = snapshot(saver, file_prefix, options)
        if shards is not None:
            write(file_prefix, shards)
            return file_prefix
    if not isinstance(file_prefix, str) or not tf.executing_eagerly():  # to be written later
        return theirs(file_prefix, None, session, options)
    try:
        with _fingerprint.kept_right(file_prefix, _config.options().durability):
            return theirs(file_prefix, None, session, options)
    except OSError as error:
        raise _errors.combined(error) from error.__cause__


def snapshot(saver: Any, file_prefix: Any, options: Any) -> list[list[Row]] | None:
    """The rows of each data file; `None`, counted, where TensorFlow has to save."""
    try:
        _check_context(file_prefix)
        if options is not None and options.experimental_io_device:
            _plain.check_device(options.experimental_io_device)
        if saver._object_map is not None:
            raise OnlyTensorFlow("mapped objects")
        graph = _graph.traverse(saver._graph_view)
        layout: Layout | None = vars(saver).get(_LAYOUT)
        if layout is None or not layout.describes(graph):
            layout = Layout(graph)
            setattr(saver, _LAYOUT, layout)
        policy = None if options is None else options.experimental_sharding_callback
        return _snapshot.take(graph, layout, policy)
    except OnlyTensorFlow as reason:
        _stats.count_fallback(f"object-based save: {reason}")
        return None


def restore(theirs: Callable[..., Any], saver: Any, save_path: Any, options: Any = None) -> Any:
    """`TrackableSaver.restore`."""
    if save_path is None:
        return theirs(save_path, options)
    try:
        _check_context(save_path)
        if options is not None and options.experimental_io_device:
            _plain.check_device(options.experimental_io_device)
    except OnlyTensorFlow as reason:
        _stats.count_fallback(f"object-based restore: {reason}")
        return theirs(save_path, options)
    with _garbage.paused():
        return _restore.restore(saver._graph_view, save_path, options)


def _check_context(path: Any) -> None:
    if ops.inside_function():
        raise OnlyTensorFlow("tf.function")
    if not tf.executing_eagerly():
        raise OnlyTensorFlow("graph mode")
    if not isinstance(path, str):
        raise OnlyTensorFlow("path that is a tensor")


def write(prefix: str, shards: list[list[Row]]) -> None:
    """Write one data file for each list of rows, or what keeps a replaced checkpoint whole."""
    with _callbacks.saving(None, prefix, sharded=True):
        _write_files(prefix, shards)


def _write_files(prefix: str, shards: list[list[Row]]) -> None:
    options = _config.options()
    try:
        if _remote.is_remote(prefix):
            with _remote.staging(prefix) as (local, finish):
                _write_local(local, shards, options)
                finish()
            return
        local = _paths.local(prefix)
        file_io.recursive_create_dir(os.path.dirname(local))
        _write_local(local, shards, options)
    except (CheckpointError, OSError) as error:
        raise _errors.combined(error) from None


def _write_local(prefix: str, shards: list[list[Row]], options: Options) -> None:
    groups = [number for number, rows in enumerate(shards) for _ in rows]
    _write.write_rows(prefix, [row for rows in shards for row in rows], groups, options)
