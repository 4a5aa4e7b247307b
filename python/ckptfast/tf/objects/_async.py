"""Asynchronous saves: a snapshot now, the files later, one save after the other.

A snapshot shares the variables' memory until they change, so that what a save in flight costs is
what changed since. One is in flight at most: the next save waits for it, and is told of its error,
as with TensorFlow.
"""

from __future__ import annotations

import queue
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

from tensorflow.python.platform import tf_logging as logging

_EXIT_SECONDS: Final = 300.0
"""How long the end of the program waits for saves, as in TensorFlow."""

Job = Callable[[], None]


class SaveQueue:
    """Runs jobs in order, in a thread of its own. An error is kept until somebody is told."""

    def __init__(self) -> None:
        self._state = _State()
        self._thread: threading.Thread | None = None
        # At exit, or when the checkpoint object is gone: what was accepted is written.
        self._finalizer: Any = None

    def put(self, job: Job) -> None:
        """Accept a job when the one before is done; raises the error of that one."""
        self.finish()
        if self._thread is None:
            self._thread = threading.Thread(
                target=_work, args=(self._state,), name="ckptfast-save", daemon=True
            )
            self._finalizer = weakref.finalize(self, _finish, self._state, self._thread)
            self._thread.start()
        self._state.jobs.put(job)

    def finish(self) -> None:
        """Wait until every job is done, and raise the error of one that failed, once."""
        self.join()
        error, self._state.error = self._state.error, None
        if error is not None:
            raise error

    def join(self) -> None:
        """Wait until every job is done; from within a job this returns at once."""
        if threading.current_thread() is not self._thread:
            self._state.jobs.join()


class _State:
    """What the thread shares with the queue object; the thread must not keep that one alive."""

    def __init__(self) -> None:
        self.jobs: queue.Queue[Job | None] = queue.Queue(maxsize=1)
        self.error: BaseException | None = None


def _work(state: _State) -> None:
    while (job := state.jobs.get()) is not None:
        try:
            job()
        except BaseException as error:
            state.error = error
        finally:
            del job  # the snapshot's memory, before the next one comes
            state.jobs.task_done()
    state.jobs.task_done()


def _finish(state: _State, thread: threading.Thread) -> None:
    try:
        state.jobs.put(None, timeout=_EXIT_SECONDS)
    except queue.Full:
        logging.error("An asynchronous save did not end in time; it may be missing.")
        return
    if threading.current_thread() is not thread:
        thread.join(_EXIT_SECONDS)
    if state.error is not None:
        logging.error("An asynchronous save failed: %s", state.error)
