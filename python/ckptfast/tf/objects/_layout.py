"""From an object graph to the keys of its values and the message that describes it.

That takes longer than writing the values, and rarely changes between two saves: a `Layout` is kept
and used again as long as the object graph is the same.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

from tensorflow.core.protobuf import trackable_object_graph_pb2
from tensorflow.python.checkpoint import util
from tensorflow.python.trackable import base, trackable_utils

from ._graph import ObjectGraph

_VALUE = f"/{trackable_utils.OBJECT_ATTRIBUTES_NAME}/{base.VARIABLE_VALUE_KEY}"


class Layout:
    """What a save needs to know of an object graph, besides the values.

    - `plain`: number and key of every plain variable.
    - `others`: numbers of the other objects, which are asked for their tensors at every save.
    - `names`: the path of every object, as the keys spell it.
    """

    def __init__(self, graph: ObjectGraph) -> None:
        # The objects are not kept alive: a model that is gone must not hold its memory.
        self._objects = [weakref.ref(obj) for obj in graph.objects]
        self._children = graph.children
        self._slots = graph.slots
        self.names = _names(graph)
        self.plain: list[tuple[int, str]] = []
        self.others: list[int] = []
        for number, variable in enumerate(graph.variables):
            if variable is None:
                self.others.append(number)
            else:
                self.plain.append((number, _value_key(self.names[number])))
        self._full_names = [util.get_full_name(graph.objects[number]) for number, _ in self.plain]
        self._message: tuple[list[bytes], bytes] | None = None

    def describes(self, graph: ObjectGraph) -> bool:
        """Whether `graph` is the one this was made of: the same objects under the same names."""
        return (
            len(self._objects) == len(graph.objects)
            and all(known() is obj for known, obj in zip(self._objects, graph.objects, strict=True))
            and self._children == graph.children
            and self._slots == graph.slots
            and self.others
            == [number for number, item in enumerate(graph.variables) if item is None]
        )

    def message(self, attributes: Sequence[tuple[int, Any]]) -> bytes:
        """The serialized `TrackableObjectGraph`, with the attributes of the other objects."""
        given = [node.SerializeToString() for _, node in attributes]
        if self._message is None or self._message[0] != given:
            self._message = given, self._build(attributes)
        return self._message[1]

    def _build(self, attributes: Sequence[tuple[int, Any]]) -> bytes:
        message = trackable_object_graph_pb2.TrackableObjectGraph()
        for names, numbers in self._children:
            children = message.nodes.add().children
            for name, number in zip(names, numbers, strict=True):
                children.add(node_id=number, local_name=name)
        for slot in self._slots:
            message.nodes[slot.optimizer].slot_variables.add(
                slot_name=slot.name,
                original_variable_node_id=slot.variable,
                slot_variable_node_id=slot.slot,
            )
        for (number, key), full_name in zip(self.plain, self._full_names, strict=True):
            message.nodes[number].attributes.add(
                name=base.VARIABLE_VALUE_KEY, checkpoint_key=key, full_name=full_name
            )
        for number, node in attributes:
            message.nodes[number].MergeFrom(node)
        util.add_checkpoint_values_check(message)
        serialized: bytes = message.SerializeToString()
        return serialized


def _value_key(path: str) -> str:
    return f"{path}{_VALUE}" if path else _VALUE[1:]


def _names(graph: ObjectGraph) -> list[str]:
    """The path of each object along the edges that led to it first; of slots, their own form."""
    paths: list[str | None] = [None] * len(graph.objects)
    paths[0] = ""
    for number, (names, children) in enumerate(graph.children):
        path = paths[number]
        # Later children of the same name are the ones that were followed.
        for name, child in dict(zip(names, children, strict=True)).items():
            if paths[child] is None:
                escaped = trackable_utils.escape_local_name(name)
                paths[child] = f"{path}/{escaped}" if path else escaped
    for slot in graph.slots:
        paths[slot.slot] = trackable_utils.slot_variable_key(
            paths[slot.variable], paths[slot.optimizer], slot.name
        )
    return [path for path in paths if path is not None]
