"""Restoring by TensorFlow's own operations, where memory of this process is of no use.

That is: in a session on a remote master, whose workers read the files themselves, and for values
that cannot be fed (variants, such as the state of an input iterator). The operations are added
once for each set of tensors; a graph that restores again and again does not grow.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.training.saving.saveable_object import SaveableObject

from .. import _stats
from .._bundle import Reader
from .._paths import Location
from . import _sites, _values
from ._kept import kept, lock
from ._plan import Match


def can_restore(graph: Any, reader: Reader, matches: Sequence[Match]) -> bool:
    """Whether workers can open the checkpoint, and the operations are there or may be added."""
    if _path(reader) is None:
        return False
    return not graph.finalized or _signature(matches) in _known(graph)


def _path(reader: Reader) -> str | None:
    """What another process calls the checkpoint; `None` if it has only a copy of it here."""
    if reader._local is None:
        # Joined rather than normalised: a prefix may end in a slash, which is part of it.
        return os.path.join(os.getcwd(), reader.prefix)
    assert not isinstance(reader._source, Location)  # that is how a local one is remembered
    url = os.fsdecode(reader._source)
    return url if tf.io.gfile.exists(f"{url}.index") else None


def prepare(graph: Any, matches: Sequence[Match]) -> tuple[Any, Any]:
    """The operation that restores the matches, and the tensor that takes the path.

    Raises `RuntimeError` when they would have to be added to a finalized graph.
    """
    with lock:
        known = _known(graph)
        signature = _signature(matches)
        if signature not in known:
            if graph.finalized:
                raise RuntimeError(
                    "the graph is finalized, so TensorFlow's operations, which this restore needs, "
                    "cannot be added: restore once before graph.finalize(), or use the Saver that "
                    "was built before it"
                )
            sinks = [match.target.sink for match in matches]  # kept: their ids stay their own
            known[signature] = (*_build(graph, matches), sinks)
        op, file, _ = known[signature]
    return op, file


def restore(session: Any, reader: Reader, matches: Sequence[Match], reason: str) -> int:
    """Run a `RestoreV2` of the matches and their assignments; returns the number of bytes.

    `RestoreV2` checks every byte before it gives a value, so before the first assignment. Counted
    as a fallback for `reason`.
    """
    op, file = prepare(session.graph, matches)
    _stats.count_fallback(reason)
    session.run(op, {file: _path(reader)})
    return sum(_values.nbytes(reader, source) for match in matches for source in match.sources)


def _known(graph: Any) -> dict[Any, Any]:
    return kept(graph, "restores", dict)


def _signature(matches: Sequence[Match]) -> tuple[Any, ...]:
    return tuple(
        (id(match.target.sink), source.key, source.box)
        for match in matches
        for source in match.sources
    )


def _build(graph: Any, matches: Sequence[Match]) -> tuple[Any, Any]:
    parts = [part for match in matches for part in match.target.parts]
    sources = [source for match in matches for source in match.sources]
    from .saver._graph_nodes import building  # it is loaded after this module

    with building(graph, "restore"):
        file = tf.compat.v1.placeholder(tf.string, [], name="prefix")
        values = tf.raw_ops.RestoreV2(
            prefix=file,
            tensor_names=[source.key for source in sources],
            shape_and_slices=["" if source.box is None else source.box.spec for source in sources],
            dtypes=[tf.as_dtype(part.dtype) for part in parts],
        )
        # One node before the assignments: none runs unless every tensor was read.
        with tf.control_dependencies(values):
            everything = tf.no_op(name="read")
        with tf.control_dependencies([everything]):
            return tf.group(*_assignments(matches, iter(values))), file


def _assignments(matches: Iterable[Match], values: Any) -> list[Any]:
    made = []
    for match in matches:
        sink = match.target.sink
        mine = [next(values) for _ in match.target.parts]
        if isinstance(sink, SaveableObject):
            made.append(sink.restore(mine, None))
        else:
            made.append(_sites.assignment(sink, mine[0]))
    return made
