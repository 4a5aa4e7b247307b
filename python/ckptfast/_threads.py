"""How many threads a call may use."""

from __future__ import annotations

from . import _arguments, _native


def checked(threads: int | None) -> int | None:
    """The number itself; `None` stands for as many as processors are granted to this process.

    Raises `TypeError` for what is no number, and `ValueError` for less than one.
    """
    if threads is not None and _arguments.number("threads", threads) < 1:
        raise ValueError(f"threads is a positive number, not {threads}")
    return threads


def resolve(threads: int | None) -> int:
    """The same, with the number that `None` stands for at this moment."""
    return checked(threads) or _native.default_threads()
