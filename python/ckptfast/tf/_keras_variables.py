"""Variables of Keras on the TensorFlow backend, assigned without a copy where memory allows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._bundle import Reader
from . import _callbacks, _eager, _values
from ._plan import Match, Source
from ._targets import Part, Target
from .objects import _plain


def assign(reader: Reader, items: Sequence[tuple[Any, str, str]]) -> int:
    """Assign the tensors to the variables; each item is a variable, its name, and a key.

    Every byte is read, and checked if the reader verifies, before the first assignment. Returns the
    number of bytes. Raises `TypeError` for a variable of a graph.
    """
    matches, others = [], []
    for item, name, key in items:
        value = getattr(item, "_value", item)
        if getattr(value, "_in_graph_mode", False):
            raise TypeError(
                f"variable {name!r} belongs to a graph: ckptfast.restore takes its session"
            )
        resource = _plain.variable(value)
        if resource is None:  # of a distribution strategy, say: it knows where its copies are
            others.append((item, key))
            continue
        number, shape = reader._signatures[reader._index(key)]
        matches.append(Match(Target((Part(name, number, shape),), resource), (Source(key, None),)))
    verify = reader._verify_reads
    values = _values.read(reader, [Source(key, None) for _, key in others], verify=verify)
    with _callbacks.restoring(None, reader):
        total = _eager.assign(reader, matches, verify=verify)
        for (item, _), value in zip(others, values, strict=True):
            item.assign(value.array)
    return total + sum(value.nbytes for value in values)
