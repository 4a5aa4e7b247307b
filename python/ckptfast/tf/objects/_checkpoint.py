"""`Checkpoint`: TensorFlow's class with our files underneath."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.checkpoint import checkpoint as checkpoint_lib
from tensorflow.python.checkpoint import checkpoint_options

from . import _async, _saver, _state_file


class Checkpoint(tf.train.Checkpoint):  # type: ignore[misc]
    """`tf.train.Checkpoint`, faster: same arguments, methods, files, statuses and errors.

    Variables take the pages of the file as their memory where they can, and a save over an existing
    checkpoint leaves the old one whole until the new one is complete. What only TensorFlow can do
    (graph mode, `tf.function`, distribution strategies, registered savers) it does, counted in
    `ckptfast.stats().fallbacks`. `ckptfast.configure` sets durability, alignment and the like.

    With `enable_async` a save returns at once, and updates of variables made after that do not
    reach the file. Saves finish in the order they were made. An error is raised by the next save,
    or by `sync()`.
    """

    _saver: Any
    _async_checkpointer_impl: Any

    def __init__(self, root: Any = None, **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self._saver = _saver.TrackableSaver(self._saver._graph_view)

    def _async_checkpointer(self) -> _AsyncSaves:
        """What TensorFlow's methods hand asynchronous saves to."""
        if self._async_checkpointer_impl is None:
            self._async_checkpointer_impl = _AsyncSaves(self._saver)
        saves: _AsyncSaves = self._async_checkpointer_impl
        saves.owner = self
        return saves

    def _write(self, file_prefix: str, options: Any = None) -> str:
        if self._async_checkpointer_impl is not None and not _wants_async(options):
            self._async_checkpointer_impl.finish()  # saves end in the order they were made
        if options is not None and options.experimental_write_callbacks:
            options = copy.copy(options)
            options.experimental_write_callbacks = _state_file.durable(
                options.experimental_write_callbacks
            )
        path: str = super()._write(file_prefix, options)
        return path

    def read(self, save_path: str | os.PathLike[str], options: Any = None) -> Any:
        """Restore a checkpoint that `write` made; see `tf.train.Checkpoint.read`."""
        return self._after_saves(super().read, save_path, options)

    def restore(self, save_path: str | os.PathLike[str] | None, options: Any = None) -> Any:
        """Restore a checkpoint that `save` made; see `tf.train.Checkpoint.restore`."""
        return self._after_saves(super().restore, save_path, options)

    def _after_saves(self, restore: Callable[..., Any], path: Any, options: Any) -> Any:
        """Restore when no save is under way any more; restoring itself is never asynchronous."""
        if self._async_checkpointer_impl is not None:
            self._async_checkpointer_impl.join()
        if _wants_async(options):
            options = _synchronous(options)
        self._checkpoint_options = None
        return restore(path, options=options)


class _AsyncSaves:
    """The asynchronous saves of one `Checkpoint`, in the place of TensorFlow's helper."""

    def __init__(self, saver: _saver.TrackableSaver) -> None:
        self._saver = saver
        self._queue = _async.SaveQueue()
        self.owner: Any = None

    def save(self, file_prefix: str | os.PathLike[str], options: Any) -> str:
        """Count, and write with the state file after the checkpoint."""
        self._queue.finish()  # before the counter moves
        number = int(self.owner.save_counter.assign_add(1, read_value=True).numpy())
        options = copy.copy(options)
        callbacks = options.experimental_write_callbacks or []
        options.experimental_write_callbacks = [*callbacks, _state_file.update]
        return self._write(f"{os.fspath(file_prefix)}-{number}", options)

    def _write(self, file_prefix: str, options: Any) -> str:
        owner, self.owner = self.owner, None  # no cycle that keeps the checkpoint object
        self._queue.finish()
        shards = self._saver.snapshot(file_prefix, options)
        if shards is None:  # counted: TensorFlow writes it, and the caller waits
            owner._write(file_prefix, _synchronous(options))
            return file_prefix
        callbacks = list(options.experimental_write_callbacks or ())
        self._queue.put(lambda: _finish(file_prefix, shards, callbacks))
        return file_prefix

    def join(self) -> None:
        """Wait for all saves; errors are kept for the next save."""
        self._queue.join()

    def finish(self) -> None:
        """Wait for all saves, and raise the error of one that failed."""
        self._queue.finish()

    sync = finish


def _finish(path: str, shards: Any, callbacks: Sequence[Callable[..., object]]) -> None:
    _saver.write(path, shards)
    checkpoint_lib._execute_callbacks(callbacks, path)


def _wants_async(options: Any) -> bool:
    return bool(options and options.experimental_enable_async_checkpoint)


def _synchronous(options: Any) -> Any:
    options = copy.copy(options) or checkpoint_options.CheckpointOptions()
    options.experimental_enable_async_checkpoint = False
    options.enable_async = False
    return options
