"""What an operation of a graph depends on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def upstream(start: Iterable[Any], *, control: bool = True) -> set[Any]:
    """The operations `start`, and all that they depend on; without `control`, by values alone."""
    found: set[Any] = set()
    waiting = list(start)
    while waiting:
        op = waiting.pop()
        if op not in found:
            found.add(op)
            waiting += [tensor.op for tensor in op.inputs]
            waiting += op.control_inputs if control else ()
    return found
