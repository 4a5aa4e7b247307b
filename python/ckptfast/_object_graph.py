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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from . import _native
from .errors import DataLossError, _located

KEY: Final = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE: Final = "VARIABLE_VALUE"
"""The name of a variable's only value (`VARIABLE_VALUE_KEY` in TensorFlow)."""

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


class Values(NamedTuple):
    """Of every object by its number, what the restoring of variables needs.

    - `children`: their names and numbers, in the order of the file.
    - `keys`: the key of its value where that is all that was saved of the object, else `None`.
    - `stored`: the numbers of the objects that have attributes.
    - `slots`: optimizer, name, variable and slot of every slot variable, the objects by number.
    """

    children: Sequence[tuple[tuple[str, ...], tuple[int, ...]]]
    keys: Sequence[str | None]
    stored: Sequence[int]
    slots: Sequence[tuple[int, str, int, int]]


def values(message: bytes) -> Values:
    """Parse a serialized `TrackableObjectGraph` for a restore. Raises as `parse`."""
    return Values(*_native.object_values(message, _MAX_RECORDS))


def read(tensors: Mapping[str, Any], prefix: str) -> ObjectGraph | None:
    """The object graph of a checkpoint; `None` if it is name-based.

    Raises `DataLossError` where the message cannot be parsed.
    """
    if KEY not in tensors:
        return None
    tensor = tensors[KEY]
    try:
        value = tensor.item()
        if not isinstance(value, bytes):
            raise ValueError("it is not a string")
        return parse(value, lambda keys: _stored(keys, tensors))
    except (ValueError, DataLossError) as error:
        damaged = DataLossError(f"{prefix}: the object graph cannot be parsed: {error}")
        raise _located(damaged, path=prefix, key=KEY) from error


def _stored(keys: Sequence[str], tensors: Iterable[str]) -> list[tuple[str, ...]]:
    """The keys of a checkpoint that belong to each key of an attribute."""
    names = set(tensors)
    in_order: list[str] = []

    @functools.cache
    def longer(key: str) -> tuple[str, ...]:
        if not in_order:
            in_order.extend(sorted(names))
        first = bisect.bisect(in_order, key) if key else len(in_order)
        following = itertools.islice(in_order, first, None)
        return tuple(itertools.takewhile(lambda name: name.startswith(key), following))

    return [(key,) if key in names else longer(key) for key in keys]


def _themselves(keys: Sequence[str]) -> list[tuple[str, ...]]:
    return [(key,) for key in keys]


def parse(
    message: bytes, stored: Callable[[Sequence[str]], list[tuple[str, ...]]] = _themselves
) -> ObjectGraph:
    """Parse a serialized `TrackableObjectGraph`. Raises `DataLossError` where it is none.

    `stored` says which keys of the checkpoint belong to the key of each attribute.
    """
    rows = _native.object_graph(message, _MAX_RECORDS)
    there = iter(stored([key for row in rows for _, _, key in row[1]]))
    # Most objects have none of the parts, or one: it is the many small calls that take the time.
    objects = [
        Object(
            dict(zip(names, numbers, strict=True)) if names else {},
            tuple([Attribute(*texts, next(there)) for texts in attributes]) if attributes else (),
            tuple([Slot(*slot) for slot in slots]) if slots else (),
            None if saver is None else RegisteredSaver(*saver),
        )
        if names or attributes or slots or saver
        else _NOTHING
        for (names, numbers), attributes, slots, saver in rows
    ]
    return ObjectGraph(tuple(objects))


_NOTHING: Final = Object({}, (), ())
