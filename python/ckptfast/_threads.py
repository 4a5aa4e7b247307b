"""How many threads a call may use."""

from __future__ import annotations

from . import _arguments, _native


def resolve(threads: int | None) -> int:
    """The number itself, or, for `None`, as many as processors are granted to this process.

    Raises `TypeError` for what is no number, and `ValueError` for less than one.
    """
    if threads is None:
        return _native.default_threads()
    if _arguments.number("threads", threads) < 1:
        raise ValueError(f"threads is a positive number, not {threads}")
    return threads
