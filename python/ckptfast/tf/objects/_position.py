"""An object's place in a checkpoint, and the walk from it to everything below."""

from __future__ import annotations

import collections
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
from tensorflow.python.checkpoint import restore as restore_lib
from tensorflow.python.trackable import base

from ... import _stats
from . import _plain
from ._coordinator import Coordinator, Pending

# Its `__init__` only looks at the arguments again.
_REF = weakref.KeyedRef.__new__


class Position(restore_lib.CheckpointPosition):  # type: ignore[misc]
    """TensorFlow's position, whose values come from our reader.

    Plain variables take a short way; for everything else TensorFlow's methods run. Objects that
    are made later keep these positions, so that they are restored in the same way.
    """

    __slots__ = ()

    def create_child_position(self, node_id: int) -> Position:
        """The position of another object of the same checkpoint."""
        return Position(self._checkpoint, node_id)

    def create_slot_variable_position(
        self,
        optimizer_object: Any,
        variable: Any,
        slot_variable_id: int,
        slot_name: str,
        reshard_callback: Any = None,
    ) -> tuple[Position | None, Any]:
        """The position of a slot variable that was just bound, and the variable, or two `None`."""
        position = self.create_child_position(slot_variable_id)
        arguments = {
            "slot_variable_position": position,
            "variable": variable,
            "slot_name": slot_name,
        }
        if reshard_callback is not None:
            position.update_resharding_callback(reshard_callback)
            arguments["slot_variable_shape"] = variable.shape
        slot = optimizer_object._create_or_restore_slot_variable(**arguments)
        if slot is not None and position.bind_object(slot):
            return position, slot
        return None, None

    def value_tensors(self, shape_and_slices: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The values of an object that is being made, by attribute."""
        if self.has_non_trivial_reshard_callback() or any((shape_and_slices or {}).values()):
            _stats.count_fallback("resharded or partitioned value")
            values: dict[str, Any] = super().value_tensors(shape_and_slices)
            return values
        source = self._checkpoint.source
        attributes = self.object_proto.attributes
        with tf.init_scope():
            found = source.tensors([attribute.checkpoint_key for attribute in attributes])
        return {
            attribute.name: tf.identity(tensor)  # on the device that is asked for
            for attribute, tensor in zip(attributes, found, strict=True)
        }

    def _restore_descendants(self, reader: Any = None) -> list[Any]:
        checkpoint = self._checkpoint
        pending = Pending()
        # The queue holds objects too: nothing else may keep a slot variable alive.
        queue = collections.deque([(self, self.trackable)])
        while queue:
            position, trackable = queue.popleft()
            position._gather(trackable, pending)
            if position._bind_variables(trackable, pending):
                restore_lib._queue_children_for_restoration(position, queue)
            restore_lib._queue_slot_variables(position, queue)
        checkpoint.restore_pending(pending)
        return []

    def _gather(self, trackable: Any, pending: Pending) -> None:
        """Note what the object itself takes from the checkpoint."""
        checkpoint: Coordinator = self._checkpoint
        key = checkpoint.values.keys[self._proto_id]
        variable = None if key is None else _plain.variable(trackable)
        if variable is not None and key is not None:
            _note(trackable, variable, key, checkpoint, pending)
            return
        _, saveables, python, registered = self._single_restore()
        pending.saveables.update(saveables)
        pending.python.extend(python)
        for name, objects in registered.items():
            pending.registered.setdefault(name, {}).update(objects)

    def _bind_variables(self, trackable: Any, pending: Pending) -> bool:
        """Bind the children that are plain variables; whether others are left.

        What TensorFlow does with every child takes ten times as long.
        """
        checkpoint: Coordinator = self._checkpoint
        names, numbers = checkpoint.values.children[self._proto_id]
        if not names:
            return False
        keys = checkpoint.values.keys
        bound = checkpoint.object_by_proto_id
        # Its own `in` raises and catches an exception for every number that is not there, and to
        # put something in takes it twice as long.
        known = bound.data
        matched = checkpoint.matched_proto_ids
        with_slots = checkpoint.slot_restorations.keys() | checkpoint.deferred_slot_restorations
        lookup = _lookup(trackable)
        others = False
        taken: set[int] = set()
        for name, number in zip(names, numbers, strict=True):
            # Of two children that were one object, the first takes its place.
            if number in known or (taken and number in taken):
                continue
            key = keys[number]
            obj = lookup(name)
            variable = None if obj is None or key is None else _plain.variable(obj)
            if variable is None or key is None or number in with_slots:
                others = True
                if obj is not None:
                    taken.add(number)
                continue
            known[number] = _REF(weakref.KeyedRef, obj, bound._remove, number)
            matched.add(number)
            _note(obj, variable, key, checkpoint, pending)
        return others


def _lookup(trackable: Any) -> Callable[[str], Any]:
    """The object's function from the name of a child to the child, or `None`."""
    children = trackable._trackable_children()
    if children and type(trackable)._lookup_dependency is base.Trackable._lookup_dependency:
        get: Callable[[str], Any] = children.get
        return get
    return lambda name: trackable._lookup_dependency(name, children)


def _note(
    trackable: Any, variable: Any, key: str, checkpoint: Coordinator, pending: Pending
) -> None:
    """Note a plain variable, unless a later restore has been there."""
    uid = checkpoint.restore_uid
    attributes = trackable.__dict__
    if "_self_update_uid" not in attributes:
        trackable._maybe_initialize_trackable()
    if uid > trackable._self_update_uid:
        pending.variables.append(variable)
        pending.keys.append(key)
        if trackable is variable:
            attributes["_self_update_uid"] = uid
        else:
            trackable._update_uid = uid
