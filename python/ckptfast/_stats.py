"""What the package has done since it was imported: counters of tensors, bytes and fallbacks."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from . import _native

_lock = threading.Lock()
_fallbacks: Counter[str] = Counter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counters since import; take the difference of two to see what one call did.

    - `tensors_read`, `bytes_read`: what was returned or restored, as bytes of values.
    - `tensors_written`, `bytes_written`: what was saved.
    - `bytes_verified`: bytes whose checksum was compared.
    - `bytes_aliased`: the part of `bytes_read` that is a view of the file, without a copy.
    - `bytes_copied`: the part of `bytes_read` that was copied.
    - `fallbacks`: reason → how often TensorFlow's own operations or file systems did the work
      instead. Empty when everything took the fast path.
    """

    tensors_read: int
    bytes_read: int
    tensors_written: int
    bytes_written: int
    bytes_verified: int
    bytes_aliased: int
    bytes_copied: int
    fallbacks: Mapping[str, int]


def stats() -> Stats:
    """The counters of this process as they stand now."""
    counters = dict(_native.counters())
    with _lock:
        fallbacks = dict(_fallbacks)
    return Stats(
        tensors_read=counters["tensors_read"],
        bytes_read=counters["bytes_read"],
        tensors_written=counters["tensors_written"],
        bytes_written=counters["bytes_written"],
        bytes_verified=counters["bytes_verified"],
        bytes_aliased=counters["bytes_aliased"],
        bytes_copied=counters["bytes_copied"],
        fallbacks=fallbacks,
    )


def count_fallback(reason: str) -> None:
    """Count one piece of work that TensorFlow did for us. `reason` is what `stats()` shows."""
    with _lock:
        _fallbacks[reason] += 1


def _unlock_in_child() -> None:
    global _lock
    _lock = threading.Lock()


# Another thread may hold the lock at the moment of a fork; the child's copy would stay locked.
os.register_at_fork(after_in_child=_unlock_in_child)
