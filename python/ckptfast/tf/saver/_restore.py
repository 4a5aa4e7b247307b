"""From a checkpoint to the variables of a local session, or of eager mode."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.training.saving.saveable_object import SaveableObject

from ... import _dtypes, _object_graph
from ..._bundle import Reader
from .. import (
    _apply,
    _eager,
    _plan,
    _session,
    _sites,
    _targets,
    _tensorflow_ops,
)
from .._plan import Match, Plan, Source
from .._targets import Target
from . import _arrays, _messages
from ._config import Options
from ._snapshot import Snapshots


def prepare(graph: Any, targets: Sequence[Target]) -> None:
    """Make the operations that a later restore of these targets needs, while nodes can be made.

    Variables have theirs; objects such as hash tables and iterators do not.
    """
    objects = [target for target in targets if isinstance(target.sink, SaveableObject)]
    if not objects or graph.finalized:
        return
    opaque = [target for target in objects if _has_variant(target)]
    _sites.find(graph, [target for target in objects if not _has_variant(target)])
    if opaque:
        _tensorflow_ops.prepare(graph, [_by_its_names(target) for target in opaque])


def _has_variant(target: Target) -> bool:
    return any(part.dtype == _dtypes.VARIANT for part in target.parts)


def _by_its_names(target: Target) -> Match:
    return Match(target, tuple(Source(part.name, part.box) for part in target.parts))


def restore(
    session: Any,
    reader: Reader,
    snapshots: Snapshots,
    options: Options,
    *,
    reshape: bool,
) -> None:
    """Assign every target its value, after all names, types, shapes and checksums were checked."""
    targets = snapshots.targets
    fast, devices = snapshots.in_slots(session)
    if len(fast) == len(targets) and not reshape and snapshots.slots is not None:
        indices = _exactly(reader, snapshots)
        if indices is not None:
            values = _arrays.whole(reader, indices, verify=options.verify)
            snapshots.slots.assign(session, snapshots.layout, devices, values)
            return
    matches = _matches(reader, targets, options, reshape=reshape)
    if reshape:
        _check_sizes(reader, matches)
    in_slots = {id(targets[at].sink): number for number, at in enumerate(fast)}
    quick = [match for match in matches if id(match.target.sink) in in_slots]
    others = [match for match in matches if id(match.target.sink) not in in_slots]
    arrays = [None] * len(quick)
    for match, array in zip(quick, _arrays.read(reader, quick, verify=options.verify), strict=True):
        at = in_slots[id(match.target.sink)]
        arrays[at] = array.reshape(match.target.parts[0].shape) if reshape else array
    # The others first: their bytes are checked before anything is assigned.
    is_local = not _session.is_remote(session)
    _apply.assign(session, reader, others, verify=options.verify, local=is_local, reshape=reshape)
    if quick and snapshots.slots is not None:
        snapshots.slots.assign(
            session, snapshots.layout, devices, lambda some: [arrays[at] for at in some]
        )


def _matches(
    reader: Reader, targets: Sequence[Target], options: Options, *, reshape: bool
) -> list[Match]:
    """What is assigned where. Raises TensorFlow's errors for what does not fit."""
    wanted = [
        _loose(target) if reshape or _is_loose(target, options) else target for target in targets
    ]
    plan = _plan.plan(reader, wanted)
    if _maps_objects(reader, plan):
        tf.compat.v1.logging.warning(
            "Restoring an object-based checkpoint using a name-based saver. This may be somewhat "
            "fragile. Instead, consider loading object-based checkpoints using "
            "tf.train.Checkpoint()."
        )
    error = _messages.error_of(reader, plan, targets)
    if error is not None:
        raise error
    if not reshape:
        return plan.matches
    shaped = {id(target.sink): target for target in targets}
    return [
        Match(_with_shapes(match.target, shaped[id(match.target.sink)]), match.sources)
        for match in plan.matches
    ]


def _exactly(reader: Reader, snapshots: Snapshots) -> list[int] | None:
    """The numbers of the tensors, where each is there by its own name and fits; else `None`.

    That is how it should be, and the quick way for thousands of variables.
    """
    if snapshots.has_slices:
        return None
    names, signatures = reader._names, reader._signatures
    if names == snapshots.names:  # nothing else in the file, in the order of both
        return list(range(len(names))) if signatures == snapshots.signatures else None
    index = {name: number for number, name in enumerate(names)}
    try:
        indices = [index[name] for name in snapshots.names]
    except KeyError:
        return None
    fits = [signatures[at] for at in indices] == snapshots.signatures
    return indices if fits else None


def _is_loose(target: Target, options: Options) -> bool:
    """Whether any shape will do: TensorFlow does not look at those of resource variables."""
    sink = target.sink
    return options.strict and isinstance(sink, tf.Tensor) and sink.dtype == tf.resource


def _loose(target: Target) -> Target:
    parts = tuple(part._replace(shape=None) for part in target.parts)
    return _targets.Target(parts, target.sink)


def _with_shapes(target: Target, shaped: Target) -> Target:
    parts = tuple(
        part._replace(shape=other.shape)
        for part, other in zip(target.parts, shaped.parts, strict=True)
    )
    return _targets.Target(parts, target.sink)


def _maps_objects(reader: Reader, plan: Plan) -> bool:
    return _object_graph.KEY in reader and any(
        part.name != source.key
        for match in plan.matches
        for part, source in zip(match.target.parts, match.sources, strict=True)
    )


def _check_sizes(reader: Reader, matches: Sequence[Match]) -> None:
    """Raise TensorFlow's error for a tensor that has more or fewer elements than its variable."""
    signatures = reader._signatures
    for match in matches:
        (part,), (source,) = match.target.parts, match.sources
        _, shape = signatures[reader._index(source.key)]
        if source.box is not None:
            shape = source.box.length
        stored, wanted = math.prod(shape), math.prod(size or 0 for size in part.shape or ())
        if stored != wanted:
            raise _messages.reshape_error(reader, part.name, stored, wanted)


def can_reshape(targets: Sequence[Target]) -> bool:
    """Whether every shape is known here; otherwise TensorFlow finds it out while it restores."""
    return all(
        isinstance(target.sink, tf.Tensor)
        and target.parts[0].shape is not None
        and None not in target.parts[0].shape
        for target in targets
    )


def restore_eagerly(reader: Reader, targets: Sequence[Target], options: Options) -> None:
    """Assign the variables of eager mode."""
    plan = _plan.plan(reader, targets)
    for mismatch in plan.mismatched:
        if _messages.is_shape(mismatch) and not plan.missing:
            raise _messages.incompatible_shape(mismatch)
    error = _messages.error_of(reader, plan, targets)
    if error is not None:
        raise error
    _eager.assign(reader, plan.matches, verify=options.verify)
