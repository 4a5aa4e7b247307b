"""What `restore` returns: TensorFlow's status, whose assertions are quick where they hold."""

from __future__ import annotations

from typing import Any

from tensorflow.python.checkpoint import checkpoint as checkpoint_lib
from tensorflow.python.trackable import base, data_structures
from tensorflow.python.training.saving import saveable_object_util

from . import _graph
from ._plain import OnlyTensorFlow


class Status(checkpoint_lib.CheckpointLoadStatus):  # type: ignore[misc]
    """TensorFlow's status of one restore.

    An assertion that fails is TensorFlow's own, message and all. To find out that one holds takes
    TensorFlow longer than the restore: it names every object and looks through all their attributes
    for slot variables.
    """

    def assert_consumed(self) -> Any:
        """As TensorFlow's method."""
        checkpoint = self._checkpoint
        known = checkpoint.object_by_proto_id
        if (
            self._existing_objects_matched()
            and (self._options.experimental_skip_slot_variables or not checkpoint.slot_restorations)
            and not checkpoint.unused_attributes
            and all(number in known for number in self._asked_for())
        ):
            return self
        return super().assert_consumed()

    def assert_existing_objects_matched(self) -> Any:
        """As TensorFlow's method."""
        return (
            self if self._existing_objects_matched() else super().assert_existing_objects_matched()
        )

    def _asked_for(self) -> set[int]:
        """The numbers of the objects whose values the program must have."""
        values = self._checkpoint.values
        if not self._options.experimental_skip_slot_variables:
            return set(values.stored)
        return {*values.stored} - {slot for _, _, _, slot in values.slots}

    def _existing_objects_matched(self) -> bool:
        """Whether every object with values was restored; if in doubt, it was not."""
        checkpoint = self._checkpoint
        restored = list(checkpoint.object_by_proto_id.values())
        if any(obj._update_uid < checkpoint.restore_uid for obj in restored):
            return False
        try:
            graph = _graph.traverse(
                self._object_graph_view,
                with_slots=not self._options.experimental_skip_slot_variables,
            )
        except OnlyTensorFlow:
            return False
        numbers = set(map(id, restored))
        for obj in graph.objects:
            if id(obj) not in numbers and not _is_empty_container(obj):
                checkpoint.all_python_objects.add(obj)
        return not any(
            saveable_object_util.saveable_objects_from_trackable(obj)
            for obj in checkpoint.all_python_objects
            if id(obj) not in numbers
        )


def _is_empty_container(obj: Any) -> bool:
    return isinstance(obj, data_structures.TrackableDataStructure) and not obj._trackable_children(
        save_type=base.SaveType.CHECKPOINT
    )
