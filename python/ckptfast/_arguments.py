"""Checks of arguments that would otherwise fail far from the call, without their names."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any


def flag(name: str, value: Any, *, optional: bool = False) -> None:
    """Raises `TypeError` unless `value` is `True` or `False`, or `None` where it is `optional`."""
    # NumPy's own are called so, by version; to name their class would import it.
    if type(value).__name__ not in ("bool", "bool_") and not (optional and value is None):
        choice = "True, False or None" if optional else "True or False"
        raise TypeError(f"{name} is {choice}, not {value!r}")


def number(name: str, value: Any) -> int:
    """`value` as an `int`; raises `TypeError` where it is none."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} is a whole number, not {value!r}") from None


def text(name: str, value: Any) -> None:
    """Raises `TypeError` unless `value` is text."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is text, not {value!r}")


def mapping(name: str, value: Any) -> None:
    """Raises `TypeError` unless `value` is a mapping."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is a mapping from names, not {type(value).__name__}")
