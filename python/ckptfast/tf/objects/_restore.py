"""The restoring of a checkpoint into an object graph, by objects or by names."""

from __future__ import annotations

from typing import Any

from tensorflow.core.protobuf import trackable_object_graph_pb2
from tensorflow.python.checkpoint import checkpoint as checkpoint_lib
from tensorflow.python.checkpoint import checkpoint_options, util
from tensorflow.python.trackable import base

from ._coordinator import Coordinator
from ._position import Position
from ._source import Source


def restore(view: Any, path: str, options: Any) -> Any:
    """What `TrackableSaver.restore` does in eager mode; returns TensorFlow's status objects."""
    options = options or checkpoint_options.CheckpointOptions()
    source = Source(path)
    if source.signature(base.OBJECT_GRAPH_PROTO_KEY) is None:
        return _by_name(view, path, source)
    message = trackable_object_graph_pb2.TrackableObjectGraph()
    message.ParseFromString(source.get_tensor(base.OBJECT_GRAPH_PROTO_KEY))
    checkpoint = Coordinator(source, message, path, view, options)
    Position(checkpoint, 0).restore(view.root, source)
    for reference in view.attached_dependencies or ():
        # An attached object hangs on no object of the graph, so the walk may have missed it.
        number = _child(message, reference.name)
        if (
            reference.name != "root"
            and number is not None
            and number not in checkpoint.object_by_proto_id
        ):
            Position(checkpoint, number).restore(reference.ref, source)
    return checkpoint_lib.CheckpointLoadStatus(
        checkpoint, graph_view=view, feed_dict=None, options=options
    )


def _child(message: Any, name: str) -> int | None:
    for child in message.nodes[0].children:
        if child.local_name == name:
            return int(child.node_id)
    return None


def _by_name(view: Any, path: str, source: Source) -> Any:
    coordinator = _NameBasedCoordinator(path, source)
    for trackable in util.list_objects(view):
        trackable._maybe_initialize_trackable()
        trackable._name_based_restores.add(coordinator)
        trackable._name_based_attribute_restore(coordinator)
    return checkpoint_lib.NameBasedSaverStatus(coordinator, object_graph_view=view)


class _NameBasedCoordinator(checkpoint_lib._NameBasedRestoreCoordinator):  # type: ignore[misc]
    """Restores objects by the names that `Saver` would give their values."""

    def __init__(self, path: str, source: Source) -> None:
        super().__init__(save_path=path, dtype_map=source.get_variable_to_dtype_map())
        self._source = source

    def eager_restore(self, trackable: Any) -> None:
        """Restore one object as far as its names are in the checkpoint."""
        for saveable in self.globally_named_object_attributes(trackable):
            names = [spec.name for spec in saveable.specs]
            if all(name in self.dtype_map for name in names):
                saveable.restore(self._source.tensors(names), restored_shapes=None)
            else:
                self.unused_attributes.setdefault(trackable, []).append(saveable.name)
