"""Restoring by TensorFlow's own operations, where memory of this process is of no use.

That is: in a session on a remote master, whose workers read the files themselves, and for values
that cannot be fed (variants, such as the state of an input iterator). The operations are added
once for each set of tensors; a graph that restores again and again does not grow.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.training.saving.saveable_object import SaveableObject

from .. import _stats
from . import _session, _sites
from ._plan import Match

_lock = threading.Lock()


def restore(session: Any, prefix: str, matches: Sequence[Match], reason: str) -> None:
    """Run a `RestoreV2` of the matches and their assignments, counted under `reason`.

    `RestoreV2` checks every byte before it gives a value, so before the first assignment. Raises
    `RuntimeError` when the operations would have to be added to a finalized graph.
    """
    op, file = _operations(session.graph, matches)
    _stats.count_fallback(reason)
    session.run(op, {file: prefix})


def _operations(graph: Any, matches: Sequence[Match]) -> tuple[Any, Any]:
    signature = tuple(
        (id(match.target.sink), source.key, part.box)
        for match in matches
        for part, source in zip(match.target.parts, match.sources, strict=True)
    )
    with _lock:
        kept: dict[Any, Any] = graph.__dict__.setdefault("_ckptfast_restores", {})
        if signature not in kept:
            if graph.finalized:
                raise RuntimeError(
                    "the graph is finalized, so TensorFlow's operations, which this restore needs, "
                    "cannot be added: restore once before graph.finalize(), or use the Saver that "
                    "was built before it"
                )
            sinks = [match.target.sink for match in matches]  # kept: their ids stay their own
            kept[signature] = (*_build(graph, matches), sinks)
        op, file, _ = kept[signature]
    return op, file


def _build(graph: Any, matches: Sequence[Match]) -> tuple[Any, Any]:
    parts = [part for match in matches for part in match.target.parts]
    with graph.as_default(), graph.control_dependencies(None), graph.name_scope("ckptfast/restore"):
        file = tf.compat.v1.placeholder(tf.string, [], name="prefix")
        values = tf.raw_ops.RestoreV2(
            prefix=file,
            tensor_names=[source.key for match in matches for source in match.sources],
            shape_and_slices=["" if part.box is None else part.box.spec for part in parts],
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
