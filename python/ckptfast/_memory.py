"""Memory of values that are gone, which the core keeps a while for the next ones."""

from __future__ import annotations

from . import _native


def release_memory() -> int:
    """Give back the memory that ckptfast keeps for the next values, and return its bytes.

    When the last array, tensor or variable that uses memory of ckptfast's own is gone, buffers of
    1 MiB and more are kept for about ten seconds: who restores again or loads the next checkpoint
    takes them, and need not wait for the system to find and zero as much memory. After a second
    they are marked as free (``MADV_FREE``), so that the system takes them where memory is short;
    they count as resident until then. Nothing is kept across a fork. Call this before you look at
    the memory of a process, or before something else needs all of it at once.
    """
    return _native.release_memory()
