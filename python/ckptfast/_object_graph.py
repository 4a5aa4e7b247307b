"""The object graph of an object-based checkpoint, without TensorFlow.

`tf.train.Checkpoint` stores a `TrackableObjectGraph` (trackable_object_graph.proto) as a string
tensor: objects by number, the root first, each with its named children, the keys of its values, and
the slot variables of optimizers. Children may form cycles. All of it comes from a file: whatever is
not such a message is refused, and what is made of one stays in proportion to its size.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from .errors import DataLossError, _located

KEY: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE: Final = "VARIABLE_VALUE"
"""The name of a variable's only value (`VARIABLE_VALUE_KEY` in TensorFlow)."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT: Final = 10
# Two million variables have fewer; a file that has more would take gigabytes of memory.
_MAX_RECORDS: Final = 10_000_000
_MAX_STEPS: Final = 50_000_000


class Attribute(NamedTuple):
    """One value of an object.

    - `name`: of the value within the object; "VARIABLE_VALUE" for a variable.
    - `full_name`: what a name-based checkpoint would call it; "" where it has no such name.
    - `key`: of the tensor in this checkpoint.
    - `stored`: the keys that are in the checkpoint. That is `key`; nothing for a variable that was
      not initialized when it was saved; and for a hash table or an iterator `key` with endings
      ("-keys", "-values"; "_STATE").
    """

    name: str
    full_name: str
    key: str
    stored: tuple[str, ...] = ()


class Slot(NamedTuple):
    """A slot variable of an optimizer: its name, and the numbers of two objects."""

    name: str
    variable: int
    slot: int


class RegisteredSaver(NamedTuple):
    """The saver that wrote an object in a way of its own, and the object's name there.

    Such values lie beside the checkpoint, in files that only that saver knows.
    """

    name: str
    object_name: str


class Object(NamedTuple):
    """One object: children and slots refer to others by their numbers in `ObjectGraph.objects`.

    `children` are in the order of the file; of two with one name the last counts.
    """

    children: Mapping[str, int]
    attributes: tuple[Attribute, ...]
    slots: tuple[Slot, ...]
    registered_saver: RegisteredSaver | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class ObjectGraph:
    """All objects of a checkpoint; number 0 is the root."""

    objects: tuple[Object, ...]

    def paths(self) -> list[tuple[str, ...] | None]:
        """The shortest way from the root to each object; `None` for slot variables.

        Among several the first in the order of the children. Raises `DataLossError` for a chain so
        long that its paths would not fit into memory.
        """
        found: list[tuple[str, ...] | None] = [None] * len(self.objects)
        found[0] = ()
        order = [0]
        steps = 0
        for number in order:
            path = found[number] or ()
            for name, child in self.objects[number].children.items():
                if found[child] is None:
                    steps = _count(steps, len(path) + 1)
                    found[child] = (*path, name)
                    order.append(child)
        return found

    def attributes(self) -> Iterator[Attribute]:
        """Every value of every object."""
        for item in self.objects:
            yield from item.attributes

    def keys_by_name(self) -> dict[str, list[str]]:
        """The keys of each full name: several, where objects of one name were saved.

        Names are only unique within one graph of TensorFlow 1. Values without a name are under "".
        """
        found: dict[str, list[str]] = {}
        for attribute in self.attributes():
            keys = found.setdefault(attribute.full_name, [])
            if attribute.key not in keys:
                keys.append(attribute.key)
        return found

    def tree(self) -> str:
        """The objects as indented lines, slot variables below their optimizer.

        An object that was shown before is only named, and so ends a cycle. Raises as `paths`.
        """
        paths = self.paths()
        lines = [f"root{self._values(0)}"]
        shown = {0}
        steps = 0
        # A stack instead of recursion: a chain of objects may be longer than Python's.
        stack = [(1, name, number) for name, number in self._below(0, paths)]
        while stack:
            depth, name, number = stack.pop()
            steps = _count(steps, depth)
            again = number in shown
            lines.append("  " * depth + name + (" …" if again else self._values(number)))
            if not again:
                shown.add(number)
                stack += [(depth + 1, *below) for below in self._below(number, paths)]
        return "\n".join(lines)

    def _below(self, number: int, paths: list[tuple[str, ...] | None]) -> list[tuple[str, int]]:
        """Children and slot variables, the last one first."""
        item = self.objects[number]
        found = list(item.children.items())
        for slot in item.slots:
            found.append((f"{slot.name} of {'/'.join(paths[slot.variable] or ())}", slot.slot))
        return found[::-1]

    def _values(self, number: int) -> str:
        item = self.objects[number]
        values = [
            ", ".join(attribute.stored) or f"{attribute.key} (not stored)"
            for attribute in item.attributes
        ]
        if item.registered_saver is not None:
            values.append(f"by the registered saver {item.registered_saver.name}")
        return f": {', '.join(values)}" if values else ""


def _count(total: int, more: int) -> int:
    """`total` and `more`, unless that is more than any program's graph."""
    if total + more > _MAX_STEPS:
        raise DataLossError("the object graph is a chain that no program makes")
    return total + more


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
        return parse(value, _Stored(tensors))
    except ValueError as error:
        damaged = DataLossError(f"{prefix}: the object graph cannot be parsed: {error}")
        raise _located(damaged, path=prefix, key=KEY) from error


class _Stored:
    """The keys of a checkpoint that belong to the key of an attribute."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        self._tensors = tensors

    def __call__(self, key: str) -> tuple[str, ...]:
        if key in self._tensors:
            return (key,)
        first = bisect.bisect(self._sorted, key) if key else len(self._sorted)
        longer = itertools.takewhile(
            lambda name: name.startswith(key), itertools.islice(self._sorted, first, None)
        )
        return tuple(longer)

    @functools.cached_property
    def _sorted(self) -> list[str]:
        return sorted(self._tensors)


def parse(
    message: bytes, stored: Callable[[str], tuple[str, ...]] = lambda key: (key,)
) -> ObjectGraph:
    """Parse a serialized `TrackableObjectGraph`. Raises `ValueError` where it is none.

    `stored` says which keys of the checkpoint belong to the key of an attribute.
    """
    spans = [_span(value) for field, value in _fields(message, 0, len(message)) if field == 1]
    if not spans:
        raise ValueError("there is no root object")
    objects = []
    records = len(spans)
    for start, stop in spans:
        item = _object(message, start, stop, stored) if start < stop else _NOTHING
        records += len(item.children) + len(item.attributes) + len(item.slots)
        if records > _MAX_RECORDS:
            raise ValueError(f"it has more than {_MAX_RECORDS:,} parts")
        objects.append(item)
    for item in objects:
        numbers = [*item.children.values()]
        numbers += [number for slot in item.slots for number in (slot.variable, slot.slot)]
        # -1 is stored as 2**64 - 1, so it is too large as well.
        if numbers and max(numbers) >= len(objects):
            raise ValueError(f"it refers to an object that is not one of {len(objects)}")
    return ObjectGraph(tuple(objects))


_NOTHING: Final = Object({}, (), ())


def _object(message: bytes, at: int, end: int, stored: Callable[[str], tuple[str, ...]]) -> Object:
    children: dict[str, int] = {}
    attributes, slots = [], []
    registered_saver = None
    for field, value in _fields(message, at, end):
        if field == 1:
            numbers, texts = _record(message, value, numbers=(1,))
            children[texts[2]] = numbers[1]
        elif field == 2:
            _, (_, name, full_name, key) = _record(message, value)
            attributes.append(Attribute(name, full_name, key, stored(key)))
        elif field == 3:
            numbers, texts = _record(message, value, numbers=(1, 3))
            slots.append(Slot(texts[2], numbers[1], numbers[3]))
        elif field == 4:
            _, texts = _record(message, value)
            registered_saver = RegisteredSaver(texts[1], texts[2])
    return Object(children, tuple(attributes), tuple(slots), registered_saver)


def _record(
    message: bytes, span: int | tuple[int, int], *, numbers: tuple[int, ...] = ()
) -> tuple[list[int], list[str]]:
    """The first three fields of a flat message, by their numbers; absent ones are 0 and "".

    `numbers` says which of them are numbers; the others are texts.
    """
    found_numbers, found_texts = [0] * 4, [""] * 4
    for field, value in _fields(message, *_span(span)):
        if not 1 <= field <= 3:
            continue
        if field in numbers:
            if not isinstance(value, int):
                raise ValueError(f"field {field} is not a number")
            found_numbers[field] = value
        else:
            start, stop = _span(value)
            found_texts[field] = message[start:stop].decode("utf-8")
    return found_numbers, found_texts


def _span(value: int | tuple[int, int]) -> tuple[int, int]:
    if isinstance(value, int):
        raise ValueError("a number stands where text or a message should")
    return value


def _fields(message: bytes, at: int, end: int) -> list[tuple[int, int | tuple[int, int]]]:
    """The fields between two bytes of a message: the number of each, and its value.

    That is a number, or where the bytes of the value begin and end (`at` … `end` of a message in
    the wire format, developers.google.com/protocol-buffers/docs/encoding).
    """
    found: list[tuple[int, int | tuple[int, int]]] = []
    while at < end:
        tag = message[at]
        at += 1
        if tag >= 0x80:
            tag, at = _varint(message, at - 1, end)
        kind = tag & 7
        if kind in (_BYTES, _VARINT):
            # Nearly every number is of one byte, and a call costs more than that.
            number = message[at] if at < end else 0x80
            at += 1
            if number >= 0x80:
                number, at = _varint(message, at - 1, end)
            if kind == _VARINT:
                found.append((tag >> 3, number))
                continue
        elif kind in (_FIXED64, _FIXED32):
            number = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind} at byte {at}")
        if number > end - at:
            raise ValueError(f"a field of {number} bytes does not fit at byte {at}")
        found.append((tag >> 3, (at, at + number)))
        at += number
    return found


def _varint(message: bytes, at: int, end: int) -> tuple[int, int]:
    value = 0
    for position in range(_MAX_VARINT):
        if at >= end:
            raise ValueError("it ends within a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return value, at
    raise ValueError(f"a number of more than {_MAX_VARINT} bytes ends at byte {at}")
