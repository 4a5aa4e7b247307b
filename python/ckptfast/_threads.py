"""How many threads a call may use."""

from __future__ import annotations

from . import _native


def resolve(threads: int | None) -> int:
    """The number itself, or, for `None`, as many as processors are granted to this process.

    Raises `ValueError` for less than one.
    """
    if threads is None:
        return _native.default_threads()
    if threads < 1:
        raise ValueError(f"threads is a positive number, not {threads}")
    return threads
