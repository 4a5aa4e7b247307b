"""The object graph of an object-based checkpoint, without TensorFlow.

`tf.train.Checkpoint` stores a `TrackableObjectGraph` (trackable_object_graph.proto) as a string
tensor: objects by number, the root first, each with its named children, the keys of its values, and
the slot variables of optimizers. Children may form cycles.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

from .errors import DataLossError, _located

KEY: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT: Final = 10


@dataclasses.dataclass(frozen=True, slots=True)
class Attribute:
    """One value of an object.

    - `name`: of the value within the object; "VARIABLE_VALUE" for a variable.
    - `full_name`: what a name-based checkpoint would call it; "" where it has no such name.
    - `key`: of the tensor in this checkpoint.
    """

    name: str
    full_name: str
    key: str


@dataclasses.dataclass(frozen=True, slots=True)
class Slot:
    """A slot variable of an optimizer: its name, and the numbers of two objects."""

    name: str
    variable: int
    slot: int


@dataclasses.dataclass(frozen=True, slots=True)
class Object:
    """One object: children and slots refer to others by their numbers in `ObjectGraph.objects`."""

    children: dict[str, int]
    attributes: tuple[Attribute, ...]
    slots: tuple[Slot, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectGraph:
    """All objects of a checkpoint; number 0 is the root."""

    objects: tuple[Object, ...]

    def paths(self) -> list[tuple[str, ...] | None]:
        """The shortest way from the root to each object; `None` for slot variables."""
        found: list[tuple[str, ...] | None] = [None] * len(self.objects)
        found[0] = ()
        order = [0]
        for number in order:
            path = found[number] or ()
            for name, child in self.objects[number].children.items():
                if found[child] is None:
                    found[child] = (*path, name)
                    order.append(child)
        return found

    def attributes(self) -> Iterator[Attribute]:
        """Every value of every object."""
        for item in self.objects:
            yield from item.attributes

    def tree(self) -> str:
        """The objects as indented lines; an object that was shown before is only named."""
        lines = [f"root{self._values(0)}"]
        shown = {0}
        # A stack instead of recursion: a chain of objects may be longer than Python's.
        stack = [(1, name, child) for name, child in reversed(self.objects[0].children.items())]
        while stack:
            depth, name, number = stack.pop()
            again = number in shown
            lines.append("  " * depth + name + (" …" if again else self._values(number)))
            if not again:
                shown.add(number)
                children = reversed(self.objects[number].children.items())
                stack += [(depth + 1, inner, child) for inner, child in children]
        return "\n".join(lines)

    def _values(self, number: int) -> str:
        keys = [attribute.key for attribute in self.objects[number].attributes]
        return f": {', '.join(keys)}" if keys else ""


def read(tensors: Mapping[str, Any], prefix: str) -> ObjectGraph | None:
    """The object graph of a checkpoint; `None` if it is name-based.

    Raises `DataLossError` where the message cannot be parsed.
    """
    if KEY not in tensors:
        return None
    try:
        value = tensors[KEY].item()
        if not isinstance(value, bytes):
            raise ValueError("it is not a string")
        return parse(value)
    except ValueError as error:
        damaged = DataLossError(f"{prefix}: the object graph cannot be parsed: {error}")
        raise _located(damaged, path=prefix, key=KEY) from error


def parse(message: bytes) -> ObjectGraph:
    """Parse a serialized `TrackableObjectGraph`. Raises `ValueError` where it is none."""
    objects = tuple(_object(_bytes(value)) for field, value in _fields(message) if field == 1)
    if not objects:
        raise ValueError("there is no root object")
    for item in objects:
        numbers = [*item.children.values()]
        numbers += [number for slot in item.slots for number in (slot.variable, slot.slot)]
        if any(not 0 <= number < len(objects) for number in numbers):
            raise ValueError(f"it refers to an object that is not one of {len(objects)}")
    return ObjectGraph(objects)


def _object(message: bytes) -> Object:
    children: dict[str, int] = {}
    attributes, slots = [], []
    for field, value in _fields(message):
        if field == 1:
            number, name = _record(_bytes(value), {1: 0, 2: ""})
            children[str(name)] = int(number)
        elif field == 2:
            name, full_name, key = _record(_bytes(value), {1: "", 2: "", 3: ""})
            attributes.append(Attribute(str(name), str(full_name), str(key)))
        elif field == 3:
            variable, name, slot = _record(_bytes(value), {1: 0, 2: "", 3: 0})
            slots.append(Slot(str(name), int(variable), int(slot)))
    return Object(children, tuple(attributes), tuple(slots))


def _record(message: bytes, defaults: dict[int, int | str]) -> list[int | str]:
    """The fields of a flat message in the order of `defaults`, whose types they have."""
    found = dict(defaults)
    for field, value in _fields(message):
        if field not in defaults:
            continue
        if isinstance(defaults[field], str):
            found[field] = _bytes(value).decode("utf-8")
        elif isinstance(value, int):
            found[field] = value
        else:
            raise ValueError(f"field {field} is not a number")
    return list(found.values())


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("a number stands where text or a message should")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message, as the wire format has them."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield field, value
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if length > len(message) - at:
            raise ValueError(f"a field of {length} bytes does not fit at byte {at}")
        yield field, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = 0
    for position in range(_MAX_VARINT):
        if at >= len(message):
            raise ValueError("it ends within a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return value, at
    raise ValueError(f"a number of more than {_MAX_VARINT} bytes ends at byte {at}")
