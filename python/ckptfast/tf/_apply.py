"""Carrying a plan out: assignments, initial values, and assignments to parts of variables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from .. import _stats
from .._bundle import Reader
from . import _assign, _eager, _initial, _session, _sites, _tensorflow_ops, _values
from ._plan import Match, Plan
from ._targets import Target


def apply(
    session: Any, reader: Reader, plan: Plan, *, initialize: Sequence[Target], verify: bool
) -> tuple[int, list[Target]]:
    """Assign what is planned, and run the initializers of `initialize`.

    Returns the number of bytes, and the targets that were given initial values. Those are more than
    `initialize` where a variable without a value has more rows than are stored.

    All that can go wrong with the checkpoint or the graph does so before the first assignment. The
    order after that: whole variables; initial values, which may read them; parts.
    """
    if session is None:
        matches = [*plan.matches, *plan.corners]
        return (_eager.assign(reader, matches, verify=verify) if matches else 0), []
    if not plan.grown and not initialize:
        return _assign_planned(session, reader, plan.matches, verify=verify), []
    handles = [target.sink for target in plan.grown]
    empty = set(map(id, _initial.without_value(session, handles)))
    new = [target for target in plan.grown if id(target.sink) in empty]
    new += [target for target in initialize if target not in new]
    ops = _initializers(session.graph, new)
    sinks = [target.sink for target in new]
    order = _initial.in_order(sinks, ops)
    _prepare(session, reader, plan.corners, verify=verify)
    total = _assign_planned(session, reader, plan.matches, verify=verify)
    _initial.initialize(session, sinks, ops, order)
    return total + _assign_planned(session, reader, plan.corners, verify=verify), new


def _initializers(graph: Any, targets: Sequence[Target]) -> dict[int, Any]:
    for target in targets:
        if not isinstance(target.sink, tf.Tensor):
            raise ValueError(
                f"{target.parts[0].name} is not in the checkpoint, and as it is no variable, it "
                "has no initial value either: leave it out by exclude="
            )
    return _initial.initializers(graph, [target.sink for target in targets])


def _prepare(session: Any, reader: Reader, matches: Sequence[Match], *, verify: bool) -> None:
    """Check the bytes of matches that are assigned later, and find or add their operations."""
    if not matches:
        return
    if _session.is_remote(session) and _tensorflow_ops.can_restore(session.graph, reader, matches):
        _tensorflow_ops.prepare(session.graph, matches)
        return
    _sites.find(session.graph, [match.target for match in matches])
    if verify:
        _values.verify(reader, [source for match in matches for source in match.sources])


def _assign_planned(session: Any, reader: Reader, matches: Sequence[Match], *, verify: bool) -> int:
    if not matches:
        return 0
    if _session.is_remote(session):
        return _assign_remote(session, reader, matches, verify=verify)
    return assign(session, reader, matches, verify=verify, local=True)


def assign(
    session: Any,
    reader: Reader,
    matches: Sequence[Match],
    *,
    verify: bool,
    local: bool,
    reshape: bool = False,
) -> int:
    """Assign values by feeds, and by TensorFlow's operations those that cannot be fed.

    `local`: the session is one of this process. `reshape`: tensors get the shapes of their
    variables, which are known. Returns the number of bytes.
    """
    opaque = [match for match in matches if _values.has_variant(match)]
    fed = [match for match in matches if not _values.has_variant(match)]
    if opaque:
        _tensorflow_ops.prepare(session.graph, opaque)
        if verify:
            _values.verify(reader, [source for match in opaque for source in match.sources])
    total = 0
    if fed:
        total = _assign.assign(session, reader, fed, verify=verify, local=local, reshape=reshape)
    if opaque:
        total += _tensorflow_ops.restore(session, reader, opaque, "variant tensor")
    return total


def _assign_remote(session: Any, reader: Reader, matches: Sequence[Match], *, verify: bool) -> int:
    """By TensorFlow's operations, in which the workers read the files; else values are sent."""
    if _tensorflow_ops.can_restore(session.graph, reader, matches):
        return _tensorflow_ops.restore(session, reader, matches, "remote session")
    _stats.count_fallback("remote session, values sent")
    return _assign.assign(session, reader, matches, verify=verify, local=False)
