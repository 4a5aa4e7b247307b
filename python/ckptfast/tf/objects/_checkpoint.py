"""`Checkpoint`: TensorFlow's class with our files underneath."""

from __future__ import annotations

import copy
import os
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.checkpoint import checkpoint as checkpoint_lib
from tensorflow.python.checkpoint import checkpoint_options

from ... import _shards
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

    def __init__(self, root: Any = None, **kwargs: Any) -> None:
        super().__init__(root, **kwargs)
        self._saver: Any = _saver.TrackableSaver(self._saver._graph_view)

    def _async_checkpointer(self) -> Any:
        return async_saves(super()._async_checkpointer, self)

    def _write(self, file_prefix: Any, options: Any = None) -> Any:
        return write(super()._write, self, file_prefix, options)

    def read(self, save_path: str | os.PathLike[str], options: Any = None) -> Any:
        """Restore a checkpoint that `write` made; see `tf.train.Checkpoint.read`."""
        return restore(super().read, self, save_path, options)

    def restore(self, save_path: str | os.PathLike[str] | None, options: Any = None) -> Any:
        """Restore a checkpoint that `save` made; see `tf.train.Checkpoint.restore`."""
        return restore(super().restore, self, save_path, options)


# What follows takes any checkpoint of TensorFlow's class, and as `theirs` the method it replaces.


def async_saves(theirs: Callable[[], Any], checkpoint: Any) -> Any:
    """`Checkpoint._async_checkpointer`: what TensorFlow's methods hand asynchronous saves to."""
    if checkpoint._async_checkpointer_impl is None:
        checkpoint._async_checkpointer_impl = AsyncSaves(checkpoint)
    return theirs()


def write(theirs: Callable[..., Any], checkpoint: Any, path: Any, options: Any = None) -> Any:
    """`Checkpoint._write`: saves end in the order they were made, each in the state file then."""
    saves = checkpoint._async_checkpointer_impl
    if isinstance(saves, AsyncSaves) and not _wants_async(options):
        saves.finish()
    if options is not None and options.experimental_write_callbacks:
        options = copy.copy(options)
        options.experimental_write_callbacks = _state_file.durable(
            options.experimental_write_callbacks
        )
    return theirs(path, options)


def restore(theirs: Callable[..., Any], checkpoint: Any, path: Any, options: Any = None) -> Any:
    """`Checkpoint.restore` or `read`, when no save is under way any more.

    Restoring itself is never asynchronous.
    """
    saves = checkpoint._async_checkpointer_impl
    if saves is not None and not isinstance(saves, AsyncSaves):
        return theirs(path, options=options)  # from before `install()`
    if saves is not None:
        saves.join()
    if _wants_async(options):
        options = _synchronous(options)
    checkpoint._checkpoint_options = None
    try:
        return theirs(path, options=options)
    except tf.errors.NotFoundError as error:
        missing = error.__context__
        if type(error) is not tf.errors.NotFoundError or not _lacks_data(missing):
            raise
        # TensorFlow adds that the path may lack the step at its end. The path was right.
        text = f"Error when restoring from checkpoint or SavedModel at {path}: {missing}"
        raise tf.errors.NotFoundError(None, None, text) from missing


def _lacks_data(error: BaseException | None) -> bool:
    """Whether an error is that there is no data file of a name."""
    name = error.filename if isinstance(error, FileNotFoundError) else None
    return isinstance(name, str) and _shards.DATA_SUFFIX.search(name) is not None


class AsyncSaves:
    """The asynchronous saves of one `Checkpoint`, in the place of TensorFlow's helper."""

    def __init__(self, checkpoint: Any) -> None:
        # Weak: a cycle would keep the variables until the garbage collector comes.
        self._checkpoint = weakref.ref(checkpoint)
        self._queue = _async.SaveQueue()

    def save(self, file_prefix: str | os.PathLike[str], options: Any) -> str:
        """Count, and write with the state file after the checkpoint."""
        self._queue.finish()  # before the counter moves
        checkpoint: Any = self._checkpoint()
        number = int(checkpoint.save_counter.assign_add(1, read_value=True).numpy())
        options = copy.copy(options)
        callbacks = options.experimental_write_callbacks or []
        options.experimental_write_callbacks = [*callbacks, _state_file.update]
        return self._write(f"{os.fspath(file_prefix)}-{number}", options)

    def _write(self, file_prefix: str, options: Any) -> str:
        checkpoint: Any = self._checkpoint()
        self._queue.finish()
        shards = _saver.snapshot(checkpoint._saver, file_prefix, options)
        if shards is None:  # counted: TensorFlow writes it, and the caller waits
            checkpoint._write(file_prefix, _synchronous(options))
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
