"""The restoring of a checkpoint into an object graph, by objects or by names."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import trackable_object_graph_pb2
from tensorflow.python.checkpoint import checkpoint as checkpoint_lib
from tensorflow.python.checkpoint import checkpoint_options, util

from ... import _object_graph
from ..._bundle import is_replaced, while_replaced
from ..._object_graph import KEY, Values
from ...errors import DataLossError, _located
from .. import _callbacks
from . import _source
from ._coordinator import Coordinator
from ._position import Position
from ._source import Source
from ._status import Status


class ObjectGraphError(DecodeError, DataLossError):  # type: ignore[misc]
    """An object graph that is damaged: what TensorFlow raises there, and ckptfast's class."""


def restore(view: Any, path: str, options: Any) -> Any:
    """What `TrackableSaver.restore` does in eager mode; returns TensorFlow's status objects.

    Starts over where a save replaces the checkpoint before all of it was read.
    """
    options = options or checkpoint_options.CheckpointOptions()
    _source.refuse_directory(path)
    return while_replaced(lambda: _restore(view, path, options))


def _restore(view: Any, path: str, options: Any) -> Any:
    source = Source(path)
    with source.held(), _callbacks.restoring(None, source._reader):
        return _from(source, view, path, options)


def _from(source: Source, view: Any, path: str, options: Any) -> Any:
    if source.signature(KEY) is None:
        return _by_name(view, path, source)
    message, values = _object_graph_of(source)
    checkpoint = Coordinator(source, message, values, path, view, options)
    try:
        _walk(view, checkpoint, source)
    except OSError as error:
        if is_replaced(error):
            checkpoint.expect_partial = True  # no warning of what another attempt restores
        raise
    return Status(checkpoint, graph_view=view, feed_dict=None, options=options)


def _walk(view: Any, checkpoint: Coordinator, source: Source) -> None:
    """Restore what there is, and leave the rest to objects that are made later."""
    Position(checkpoint, 0).restore(view.root, source)
    names, numbers = checkpoint.values.children[0]
    # TensorFlow takes the first of two children with one name.
    children = dict(zip(names[::-1], numbers[::-1], strict=True))
    for reference in view.attached_dependencies or ():
        # An attached object hangs on no object of the graph, so the walk may have missed it.
        number = children.get(reference.name)
        if (
            reference.name != "root"
            and number is not None
            and number not in checkpoint.object_by_proto_id
        ):
            Position(checkpoint, number).restore(reference.ref, source)


def _object_graph_of(source: Source) -> tuple[Any, Values]:
    """The object graph as TensorFlow's message, and apart. Raises `ObjectGraphError`."""
    text = source.get_tensor(KEY)
    message = trackable_object_graph_pb2.TrackableObjectGraph()
    try:
        if not isinstance(text, bytes):
            raise DecodeError("it is not a string")
        message.ParseFromString(text)
        return message, _object_graph.values(text)
    except (DecodeError, DataLossError) as error:
        damaged = ObjectGraphError(
            f"{source.prefix}: the object graph (tensor {KEY!r}) cannot be parsed: {error}; "
            "variables can still be loaded by their keys with ckptfast.load"
        )
        raise _located(damaged, path=source.prefix, key=KEY) from error


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
