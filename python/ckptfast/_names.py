"""What else the tensors of a checkpoint are called: by full names, or by paths of objects.

TensorFlow knows three schemes. A name-based checkpoint has names as keys ("dense/kernel",
"dense/kernel/Adam"). An object-based one has keys made from the way to each object, and beside each
key the *full name* that the variable has in TensorFlow; this is also what Keras 3 calls the
variable's *path*. The object graph holds both, so either can be turned into the other.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final, Literal

from . import _object_graph
from ._cached import cached_property
from ._object_graph import VALUE, Attribute, ObjectGraph
from .errors import DataLossError, _located

if TYPE_CHECKING:
    from ._bundle import Reader

By = Literal["object", "name"]

# Lists that Keras and SavedModel keep beside the attributes that a program has given names to.
BOOKKEEPING: Final = frozenset(
    {
        "_all_variables",
        "_layers",
        "_trainable_variables",
        "_variables",
        "keras_api",
        "non_trainable_variables",
        "trainable_variables",
        "variables",
    }
)


_SHOWN: Final = 10
"""Keys that a message lists."""


class Names(Mapping[str, str]):
    """The names of all tensors, and the key of each in the checkpoint.

    Raises `ValueError`, with the keys, for a name that several different tensors have.
    """

    def __init__(self, prefix: str, by: By, keys: Mapping[str, list[str]]) -> None:
        self._prefix = prefix
        self._by = by
        self._keys = keys

    def __getitem__(self, name: str) -> str:
        key, *others = self._keys[name]
        if others:
            instead = "name" if self._by == "object" else "object"
            raise ValueError(
                f"{self._prefix}: {len(others) + 1} tensors have the {self._by} name {name!r}: "
                f"{_listed([key, *others])}; by={instead!r} and the keys tell them apart"
            )
        return key

    def keys_of(self, name: str) -> list[str]:
        """All keys of a name, or the key itself if it is one; else nothing."""
        return self._keys.get(name) or ([name] if name in self._names else [])

    def label(self, key: str) -> str:
        """The name of a key if it is the key's alone, else the key."""
        name = self._names.get(key, key)
        return key if len(self._keys.get(name, ())) > 1 else name

    @cached_property
    def _names(self) -> dict[str, str]:
        return {key: name for name, keys in self._keys.items() for key in keys}

    def __contains__(self, name: object) -> bool:
        return name in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __len__(self) -> int:
        return len(self._keys)


def _listed(keys: list[str]) -> str:
    """The first keys, and how many there are besides: TensorFlow calls a variable "Variable"."""
    more = len(keys) - _SHOWN
    return ", ".join(keys[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def of(reader: Reader, by: By) -> Names:
    """The names of `reader`'s tensors, in the order of the file; see `ckptfast.load`.

    Raises `ValueError` for another `by`, and for "object" where there are no objects;
    `DataLossError` for a damaged object graph.
    """
    if by not in ("object", "name"):
        raise ValueError(f'by is "object" or "name", not {by!r}')
    graph = reader.objects
    if graph is None:
        if by == "object":
            raise ValueError(
                f"{reader.prefix} is name-based: it has no objects, and its keys are names already"
            )
        return Names(reader.prefix, by, {key: [key] for key in reader})
    try:
        names = dict(_names(graph, by))
    except DataLossError as error:
        damaged = DataLossError(f"{reader.prefix}: {error}")
        raise _located(damaged, path=reader.prefix, key=_object_graph.KEY) from error
    found: dict[str, list[str]] = {}
    for key in reader:
        if key != _object_graph.KEY:
            found.setdefault(names.get(key, key), []).append(key)
    for name, keys in found.items():
        if len(keys) > 1 and are_equal(reader, keys):
            found[name] = keys[:1]
    return Names(reader.prefix, by, found)


def _names(graph: ObjectGraph, by: By) -> Iterator[tuple[str, str]]:
    """Each key with its name. A value without a full name has the path of its object."""
    paths = object_paths(graph)
    for item, path in zip(graph.objects, paths, strict=True):
        for attribute in item.attributes:
            full = attribute.full_name if by == "name" else ""
            name = full or _joined(path, attribute)
            for key in attribute.stored:
                yield key, name + key.removeprefix(attribute.key)


def _joined(path: tuple[str, ...] | None, attribute: Attribute) -> str:
    if path is None:  # no way leads to the object
        return attribute.key
    name = () if attribute.name == VALUE and path else (attribute.name,)
    return "/".join((*path, *name))


def object_paths(graph: ObjectGraph) -> list[tuple[str, ...] | None]:
    """The way to each object that says most: `None` for an object that nothing leads to.

    It is the one through the fewest lists of bookkeeping ("optimizer/_trainable_variables/3" is
    "rnn/cell/kernel" where there is such an attribute), and of those the shortest. A slot variable
    has the path of its optimizer, the slot's name, and the path of its variable.
    """
    paths: list[tuple[str, ...] | None] = [None] * len(graph.objects)
    # How many steps are bookkeeping, how many there are, in which order found; then what is there.
    waiting: list[tuple[int, int, int, int, tuple[str, ...]]] = [(0, 0, 0, 0, ())]
    found = steps = 0
    while waiting:
        detours, length, _, number, path = heapq.heappop(waiting)
        if paths[number] is not None:
            continue
        paths[number] = path
        for name, child in graph.objects[number].children.items():
            if paths[child] is None:
                found += 1
                steps = _object_graph._count(steps, length + 1)
                more = detours + (name in BOOKKEEPING)
                heapq.heappush(waiting, (more, length + 1, found, child, (*path, name)))
    for optimizer, item in enumerate(graph.objects):
        for slot in item.slots:
            start, end = paths[optimizer], paths[slot.variable]
            if start is not None and end is not None and paths[slot.slot] is None:
                steps = _object_graph._count(steps, len(start) + 1 + len(end))
                paths[slot.slot] = (*start, slot.name, *end)
    return paths


def are_equal(reader: Reader, keys: list[str]) -> bool:
    """Whether type, shape and checksum of all tensors are the same.

    Keras exports a model's variables in two lists, and each of them is stored.
    """
    infos = [reader.info(key) for key in keys]
    first = (infos[0].dtype, infos[0].shape, infos[0].nbytes, infos[0].crc32c)
    return infos[0].crc32c is not None and all(
        (info.dtype, info.shape, info.nbytes, info.crc32c) == first for info in infos
    )
