"""Which tensors are written, under which names, in which types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import _choice, _dtypes, _moving_averages, _object_graph, _pages, _patterns
from .._names import By
from ..errors import NotFoundError, _located
from . import _cast, _sources, _tensors
from ._cast import Casts
from ._tensors import Signature, Source

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the caller asks for; see `convert`."""

    include: _patterns.Patterns | None
    exclude: _patterns.Patterns | None
    rename: _patterns.Rename | None
    moving_averages: bool
    by: By | None
    casts: Casts
    is_bundle: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What is written, by the new names.

    - `keys`: where the value of each is.
    - `tensors`: what it will be.
    - `origins`: its name in the input.
    """

    source: Source
    keys: Mapping[str, str]
    tensors: Mapping[str, Signature]
    origins: Mapping[str, str]
    averaged: tuple[str, ...]
    skipped: Mapping[str, str]

    @property
    def renamed(self) -> dict[str, str]:
        """New names with the old ones, where they differ."""
        return {new: old for new, old in self.origins.items() if new != old}

    @property
    def cast(self) -> dict[str, tuple[str, str]]:
        """Names of the tensors that are converted, with their old and their new type."""
        return {
            name: (_dtypes.name(self._stored(name).number), _dtypes.name(tensor.number))
            for name, tensor in self.tensors.items()
            if tensor.number != self._stored(name).number
        }

    def batches(self, names: Sequence[str]) -> Iterator[list[tuple[str, Array]]]:
        """The values of tensors of fixed width, as many at a time as fit into 64 MiB."""
        sizes = {name: _tensors.nbytes(self._stored(name)) for name in names}
        for batch in _tensors.batches(names, sizes):
            yield self.values(batch)

    def values(self, names: Sequence[str]) -> list[tuple[str, Array]]:
        """Arrays in the machine's byte order, without gaps."""
        arrays = self.source.arrays([self.keys[name] for name in names])
        return [(name, self._value(name, arrays[self.keys[name]])) for name in names]

    def _value(self, name: str, array: Array) -> Array:
        import numpy

        number = self.tensors[name].number
        if number != self._stored(name).number:
            return _cast.cast(array, number, self.origins[name])
        if not (array.dtype.isnative and array.flags.c_contiguous):
            _pages.enter_array(array, name, self.source.path)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        # Not `ascontiguousarray`, which makes a vector of a scalar.
        return numpy.asarray(array, order="C")

    def _stored(self, name: str) -> Signature:
        return self.source.tensors[self.keys[name]]


def plan(source: Source, wanted: Wanted) -> Plan:
    """What is to be done; nothing is read for it but the names.

    Raises `ValueError` and `NotFoundError`; see `convert`.
    """
    named = _sources.names_in(source, wanted.by)
    plain = {name: name for name in named}
    if wanted.moving_averages:
        plain = _moving_averages.plain_names(named)
    skipped = _choice.left_out(
        list(plain),
        wanted.include,
        wanted.exclude,
        kind="tensor",
        slots=lambda _: _sources.slots(source, named, plain),
    )
    chosen = [name for name in plain if name not in skipped]
    origins = _origins(source, wanted.rename, chosen)
    skipped |= dict.fromkeys(set(chosen) - set(origins.values()), "dropped by rename")
    keys = {new: named[plain[old]] for new, old in origins.items()}
    if _loses_objects(source, wanted, keys):
        del keys[_object_graph.KEY], origins[_object_graph.KEY]
        skipped[_object_graph.KEY] = "names keys that are not written"
    if not keys:
        raise ValueError(f"{source.path}: there are no tensors to convert")
    types = wanted.casts.types(
        {old: source.tensors[keys[new]].number for new, old in origins.items()}
    )
    return Plan(
        source=source,
        keys=keys,
        tensors={
            new: Signature(types[origins[new]], source.tensors[key].shape)
            for new, key in keys.items()
        },
        origins=origins,
        averaged=tuple(new for new, old in origins.items() if plain[old] != old),
        skipped={name: skipped[name] for name in plain if name in skipped},
    )


def _origins(
    source: Source, rename: _patterns.Rename | None, names: Sequence[str]
) -> dict[str, str]:
    """The new names, with the old ones."""
    if rename is None:
        return {name: name for name in names}
    renames = _patterns.Renames(rename)
    origins: dict[str, list[str]] = {}
    for name in sorted(names):
        new, _ = renames.of(name)
        if new is not None:
            origins.setdefault(new, []).append(name)
    if unused := renames.unused:
        lines = _patterns.unmatched(unused, names)
        error = NotFoundError(
            f"rename: {source.path} has nothing to write of the name{'s' * (len(unused) > 1)}:"
            f"{lines}\nNothing was written. rename={{name in {source.path}: new name}}"
        )
        raise _located(error, path=source.path, key=unused[0])
    for name, several in origins.items():
        if len(several) > 1:
            left = name if name in several else several[-1]
            raise ValueError(
                f"{_patterns.clash(name, several, source.path)}; give one of them another name, or "
                f"leave it out: rename={{{left!r}: None, …}} or exclude={left!r}"
            )
    return {name: old for name, (old,) in origins.items()}


def _loses_objects(source: Source, wanted: Wanted, keys: Mapping[str, str]) -> bool:
    """Whether the object graph is there, and would name keys that are not."""
    if not _sources.has_object_graph(source) or keys.get(_object_graph.KEY) != _object_graph.KEY:
        return False
    if _patterns.match(_patterns.listed(wanted.include), _object_graph.KEY) == _patterns.EXACT:
        return False
    kept = [key for name, key in keys.items() if name == key]
    return not wanted.is_bundle or len(kept) != len(source.tensors)
