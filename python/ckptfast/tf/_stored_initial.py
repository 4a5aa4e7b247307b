"""Variables whose initial value is a tensor of a checkpoint.

`init_from_checkpoint` gives them a `RestoreV2` each as their initializer. In a local session the
same values can be assigned without running those: one checkpoint is opened once, not once for each
variable, and bytes are checked on all cores.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from .._bundle import Reader, open_private, while_replaced
from ..errors import CheckpointError
from . import _assign, _saveables, _session, _sites, _variables
from ._plan import Match, Source
from ._targets import Part, Target


class _Stored(NamedTuple):
    prefix: str
    match: Match


def assign_stored(session: Any, handles: Sequence[Any], ops: Mapping[int, Any]) -> list[Any]:
    """Assign those of the variables whose initializers `ops` read checkpoints; returns the others.

    Bytes are checked before any is assigned, as `RestoreV2` checks them.
    """
    if _session.is_remote(session):
        return list(handles)
    by_prefix: dict[str, list[Match]] = {}
    for handle in handles:
        stored = _stored(handle, ops[id(handle)])
        if stored is not None:
            by_prefix.setdefault(stored.prefix, []).append(stored.match)
    assigned: set[int] = set()
    for prefix, matches in by_prefix.items():
        assigned |= _assign_from(session, prefix, matches)
    return [handle for handle in handles if id(handle) not in assigned]


def _assign_from(session: Any, prefix: str, matches: Sequence[Match]) -> set[int]:
    """The handles that were assigned: none where TensorFlow's operations will raise their error."""

    def read() -> set[int]:
        with open_private(prefix) as reader:
            fitting = [match for match in matches if _fits(reader, match)]
            if fitting:
                _assign.assign(session, reader, fitting, verify=True)
            return {id(match.target.sink) for match in fitting}

    try:
        return while_replaced(read)
    except (CheckpointError, OSError):
        return set()


def _fits(reader: Reader, match: Match) -> bool:
    part, source = match.target.parts[0], match.sources[0]
    number = reader._native.find(source.key)
    if number < 0:
        return False
    dtype, stored = reader._signatures[number]
    if source.box is None:
        return (dtype, stored) == (part.dtype, part.shape)
    return (dtype, stored, source.box.length) == (part.dtype, source.box.full_shape, part.shape)


def _stored(handle: Any, op: Any) -> _Stored | None:
    """What an initializer reads, if it does nothing but assign a stored tensor."""
    if op.type not in _sites.ASSIGNMENTS or op.inputs[0] is not handle or op.control_inputs:
        return None
    value = _sites.origin(op.inputs[1])
    if value.op.type != "RestoreV2" or value.op.control_inputs:
        return None
    prefix, names, slices = (tf.get_static_value(tensor) for tensor in value.op.inputs)
    if prefix is None or names is None or slices is None:
        return None
    key = names[value.value_index].decode()
    path = prefix.item()
    dtype = value.dtype.base_dtype.as_datatype_enum
    box = _saveables.box_of(slices[value.value_index].decode())
    part = Part(handle.op.name, dtype, _variables.shape_of(value.shape))
    return _Stored(os.fsdecode(path), Match(Target((part,), handle), (Source(key, box),)))
