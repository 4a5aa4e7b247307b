"""From an object graph to the keys of its values and the message that describes it.

That takes longer than writing the values, and rarely changes between two saves: a `Layout` is kept
and used again as long as the object graph is the same.
"""

from __future__ import annotations

import math
import weakref
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2
from tensorflow.python.checkpoint import util
from tensorflow.python.trackable import base, trackable_utils

from ._graph import ObjectGraph

_VALUE = f"/{trackable_utils.OBJECT_ATTRIBUTES_NAME}/{base.VARIABLE_VALUE_KEY}"

_TOGETHER = 64
"""Variables that one operation reads; a longer list of inputs is slower again."""
_MANY = 512
"""From so many variables of one shape on they are read together. TensorFlow prepares an operation
anew for every list of shapes that it has not met, which takes as long as 500 single reads."""
_LARGE = 1 << 20
"""Bytes. A variable that sparse updates put into copy-on-read mode is taken out of it from here."""


class Batch(NamedTuple):
    """Plain variables of one device, type and shape that one operation reads.

    - `places`: which of `Layout.plain` they are.
    - `types`: the numbers of their types.
    - `is_large`: whether they may be large.
    """

    device: str
    places: list[int]
    types: list[int]
    is_large: bool


class Layout:
    """What a save needs to know of an object graph, besides the values.

    - `plain`: number and key of every plain variable.
    - `others`: numbers of the other objects, which are asked for their tensors at every save.
    - `names`: the path of every object, as the keys spell it.
    - `types` and `shapes`: of every plain variable, the number of its type and what `_shape_tuple`
      of its value is; `None` where only the value knows.
    - `batches`: which plain variables are read together.
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
        variables = [graph.variables[number] for number, _ in self.plain]
        self._variables = [weakref.ref(variable) for variable in variables]
        self.types: list[int] = [variable._dtype._type_enum for variable in variables]
        self.shapes = [_static_shape(variable) for variable in variables]
        self.batches = self._batches([variable.device for variable in variables])
        self._full_names = [util.get_full_name(graph.objects[number]) for number, _ in self.plain]
        self._message: tuple[list[bytes], bytes] | None = None

    def describes(self, graph: ObjectGraph) -> bool:
        """Whether `graph` is the one this was made of: the same objects under the same names."""
        return (
            len(self._objects) == len(graph.objects)
            and all(known() is obj for known, obj in zip(self._objects, graph.objects, strict=True))
            and self._children == graph.children
            and self._slots == graph.slots
            and self.others == [at for at, item in enumerate(graph.variables) if item is None]
            # A variable of Keras is another object than the one that has its value.
            and all(
                known() is graph.variables[number]
                for known, (number, _) in zip(self._variables, self.plain, strict=True)
            )
        )

    def message(self, attributes: Sequence[tuple[int, Any]]) -> bytes:
        """The serialized `TrackableObjectGraph`, with the attributes of the other objects."""
        given = [node.SerializeToString() for _, node in attributes]
        if self._message is None or self._message[0] != given:
            self._message = given, self._build(attributes)
        return self._message[1]

    def _batches(self, devices: Sequence[str]) -> list[Batch]:
        alike = defaultdict(list)
        for place, known in enumerate(zip(devices, self.types, self.shapes, strict=True)):
            alike[known].append(place)
        batches = []
        for (device, number, shape), group in alike.items():
            size = _TOGETHER if len(group) >= _MANY else 1
            large = _is_large(number, shape)
            for first in range(0, len(group), size):
                places = group[first : first + size]
                batches.append(Batch(device, places, [number] * len(places), large))
        return batches

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


def _static_shape(variable: Any) -> tuple[int, ...] | None:
    dims = variable._shape._dims
    return None if dims is None or None in dims else tuple(dims)


def _is_large(number: int, shape: tuple[int, ...] | None) -> bool:
    return shape is None or math.prod(shape) * tf.as_dtype(number).size >= _LARGE


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
