"""What is remembered about a graph. It hangs on the graph, so that both are collected together."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

lock = threading.RLock()
"""Held while something about a graph is looked up or added."""


def kept(graph: Any, name: str, make: Callable[[], T]) -> T:
    """The object that is kept with `graph` as `name`, made when it is first asked for."""
    attribute = f"_ckptfast_{name}"
    with lock:
        if not hasattr(graph, attribute):
            setattr(graph, attribute, make())
        found: T = getattr(graph, attribute)
        return found
