"""Checkpoints that stay open for objects which are made later: only a few of them.

What a restore does not find in the program waits for it, in TensorFlow for as long as the objects
live. A program that evaluates every new checkpoint of a training restores thousands so.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Final

from ..._bundle import Reader

_MOST: Final = 4
"""Each holds its index and its data files open; there may be hundreds of these."""

_lock: Final = threading.RLock()
_recent: Final[list[weakref.ref[OpenReader]]] = []
"""What has a reader, the one that was used last at the end."""


class OpenReader:
    """A `Reader`, closed when others have been used since, and opened again when it is asked for.

    A reader that was closed takes what is at its path then, as TensorFlow always does.
    """

    def __init__(self, opened: Callable[[], Reader]) -> None:
        self._open = opened
        self._opening = threading.Lock()
        self._reader: Reader | None = None
        self._holders = 0

    def get(self) -> Reader:
        """The reader. Raises what opening it raises."""
        reader = self._reader
        if reader is None:
            with self._opening:  # other checkpoints need not wait for this one
                reader = self._reader
                if reader is None:
                    reader = self._reader = self._open()
        with _lock:
            if not _recent or _recent[-1]() is not self:
                self._note()
        return reader

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """No other reader meanwhile: numbers that one gives mean nothing to the next."""
        with _lock:
            self._holders += 1
        try:
            yield
        finally:
            with _lock:
                self._holders -= 1

    def _note(self) -> None:
        alive = [item for ref in _recent if (item := ref()) is not None]
        there = [*(item for item in alive if item is not self), self]
        for item in there[:-_MOST]:
            if not item._holders:
                item._reader = None
        _recent[:] = [weakref.ref(item) for item in there if item._reader is not None]
