"""A frozen graph as pieces: bytes that are there, and values that a checkpoint holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from .. import _dtypes, _files, _pages, _parts
from .._bundle import Reader
from .._files import Durability
from . import _constants
from ._matching import Constant

LIMIT: Final = (1 << 31) - 1
"""Bytes in one serialized message: what protobuf can parse."""

# As `align` of a read: the address does not matter, for the bytes are only written.
_ANY: Final = 0
_BATCH: Final = 64 << 20


class Pieces:
    """The bytes of a `GraphDef`, in order, of which the large constants stay in the checkpoint.

    `raw` are those constants, by their nodes. The message is used up: its nodes are gone then.
    """

    def __init__(self, graph_def: Any, raw: Mapping[str, Constant]) -> None:
        self._parts: list[bytes | Constant] = []
        text = bytearray()
        for node in graph_def.node:
            constant = raw.get(node.name)
            if constant is None:
                # A graph of one node: the field's tag and length come with it.
                text += type(graph_def)(node=[node]).SerializeToString(deterministic=True)
                continue
            text += _constants.header(node.name, constant.dtype, constant.shape, nbytes(constant))
            self._parts += [bytes(text), constant]
            text.clear()
        del graph_def.node[:]
        text += graph_def.SerializeToString(deterministic=True)
        self._parts.append(bytes(text))
        self.nbytes = sum(
            len(part) if isinstance(part, bytes) else nbytes(part) for part in self._parts
        )

    def write(self, reader: Reader, path: str, *, durability: Durability) -> None:
        """Write the file at `path` at once: readers see the old one or the new one, whole."""
        with _files.replacing(path, durability=durability) as file:
            _parts.reserve(file, self.nbytes)
            for parts in self._parts_at(reader):
                _parts.write(file.fileno(), parts)

    def join(self, reader: Reader) -> bytes:
        """All bytes."""
        content = bytearray(self.nbytes)
        for parts in self._parts_at(reader):
            for memory, offset, name in parts:
                _pages.enter(memory, name, reader.prefix)
                content[offset : offset + len(memory)] = memory
        return bytes(content)

    def _parts_at(self, reader: Reader) -> Iterator[list[tuple[memoryview, int, str]]]:
        """For as many constants at a time as fit a batch: memory, its offset in the file, name."""
        offset = 0
        for batch in _batches(self._parts):
            constants = [part for part in batch if isinstance(part, Constant)]
            values = iter(_values(reader, constants))
            parts = []
            for part in batch:
                if isinstance(part, bytes):
                    memory, name = memoryview(part), "nodes"
                else:
                    memory, name = next(values), part.key
                parts.append((memory, offset, name))
                offset += len(memory)
            yield parts


def nbytes(constant: Constant) -> int:
    """The size of a constant's values; 0 for strings, which have no size that is known before."""
    return constant.size * _dtypes.itemsize(constant.dtype)


def _batches(parts: Sequence[bytes | Constant]) -> Iterator[list[bytes | Constant]]:
    batch: list[bytes | Constant] = []
    size = 0
    for part in parts:
        length = len(part) if isinstance(part, bytes) else nbytes(part)
        if batch and size + length > _BATCH:
            yield batch
            batch, size = [], 0
        batch.append(part)
        size += length
    yield batch


def _values(reader: Reader, constants: Sequence[Constant]) -> list[memoryview]:
    """The bytes of constants, each checked against its checksum: pages of the file if they can."""
    whole = [constant for constant in constants if constant.box is None]
    places = reader._places((constant.key for constant in whole), align=_ANY)
    found = []
    for constant in constants:
        if constant.box is None:
            place = places[constant.key]
        else:
            index = reader._index(constant.key)
            place = reader._native.read_box(
                index, constant.box.start, constant.box.length, verify=True, copy=None, align=_ANY
            )
        assert isinstance(place, tuple)  # strings are not among them
        memory, offset = place
        found.append(memoryview(memory)[offset : offset + nbytes(constant)])
    return found
