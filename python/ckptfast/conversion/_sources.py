"""What can be converted: checkpoints of every kind, safetensors files and .npz files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import _filetype, _names, _object_graph, _paths, _remote, _slots
from .._bundle import Reader
from .._filetype import FileType
from .._names import By
from ._npz import NpzFile
from ._safetensors import SafetensorsFile
from ._tensors import Signature, Source

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

# As `align` of a read: the address does not matter, for the bytes are only written.
_ANY = 0


class Checkpoint:
    """A checkpoint that is read."""

    def __init__(self, reader: Reader) -> None:
        self.path = reader.prefix
        self.reader = reader
        try:
            self.tensors = {
                name: Signature(*signature)
                for name, signature in zip(reader, reader._signatures, strict=True)
            }
        except BaseException:
            reader.close()
            raise

    def arrays(self, names: Sequence[str]) -> Mapping[str, Array]:
        """Read-only arrays, pages of the files where they are mapped."""
        return self.reader._arrays(names, align=_ANY)

    def close(self) -> None:
        """Let go of the files. Arrays that were handed out stay valid."""
        self.reader.close()


def open_source(path: _paths.AnyPath, *, verify: bool, threads: int | None) -> Source:
    """Open what is at `path`, whatever its bytes say it is."""
    kind = FileType.UNKNOWN
    if not _remote.is_remote(path):
        local = _paths.local(path)
        if os.path.isfile(local):
            kind = _filetype.of_file(local)
    if kind is FileType.SAFETENSORS:
        return SafetensorsFile(local)
    if kind is FileType.NPZ:
        return NpzFile(local, verify=verify)
    return Checkpoint(Reader(path, verify=verify, threads=threads))


def names_in(source: Source, by: By | None) -> Mapping[str, str]:
    """What the tensors are called, with the key of each; see `ckptfast.load`.

    Raises `ValueError` for a `by` that there is not, or, when it is looked up, for a name of
    several tensors.
    """
    if isinstance(source, Checkpoint) and by is not None:
        return _names.of(source.reader, by)
    if by == "object":
        raise ValueError(f"{source.path} has no objects, only names")
    return {name: name for name in source.tensors}


def slots(source: Source, names: Mapping[str, str], chosen: Mapping[str, str]) -> set[str]:
    """Those of `chosen` that are an optimizer's; its values are names in `names_in(source, …)`."""
    by_name = _slots.slots(chosen)
    graph = source.reader.objects if isinstance(source, Checkpoint) else None
    if graph is None:
        return by_name
    own = _slots.keys_of(graph)
    known = {key for item in graph.attributes() for key in item.stored}
    found = set()
    for name, origin in chosen.items():
        # Several tensors may have one name; which is meant is a question for whoever reads it.
        keys = names.keys_of(origin) if isinstance(names, _names.Names) else [names[origin]]
        if own.issuperset(keys) or (name in by_name and known.isdisjoint(keys)):
            found.add(name)
    return found


def has_object_graph(source: Source) -> bool:
    """Whether one of the tensors says which objects the others belong to."""
    return isinstance(source, Checkpoint) and _object_graph.KEY in source.tensors
