"""The ways to match a model with a checkpoint, and which of them is taken.

A way is taken for all variables of the model or not at all: to find some by structure and others by
names would now and then fill a layer with another one's weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .. import _dtypes, _names
from .._bundle import Reader
from .._names import By, Names
from .._report import Mismatch
from . import _by_name, _structure
from ._by_name import Rename
from ._report import Misfits
from ._structure import Bound, Structure
from ._view import Variable, View


class Matched(NamedTuple):
    """Variables with their keys, and those that have none that fits."""

    fitting: list[tuple[Variable, str]]
    misfits: Misfits


@dataclass(slots=True)
class Way:
    """Keys for the model's variables, found in one way."""

    matched_by: str
    bound: Bound
    several: dict[str, list[str]] = field(default_factory=dict)
    optimizer: int | None = None
    """The model's optimizer, where the structure of the checkpoint leads to it."""
    error: ValueError | None = None
    """Why this way is not to be taken: there are several places."""

    def match(self, reader: Reader, variables: Sequence[Variable]) -> Matched:
        """Look every variable up, and compare its shape and type with the tensor's."""
        result = Matched([], Misfits())
        for item in variables:
            key = self.bound.get(id(item.object))
            mismatch = None if key is None else _mismatch(reader, item, key)
            if mismatch is not None:
                result.misfits.mismatched.append(mismatch)
            elif key is not None:
                result.fitting.append((item, key))
            elif item.name in self.several:
                result.misfits.ambiguous[item.name] = self.several[item.name]
            else:
                result.misfits.missing.append(item.name)
        return result


def choose(
    reader: Reader, view: View, *, by: By | None, root: str | None, rename: Rename, strict: bool
) -> tuple[Way, Structure | None]:
    """The way that leaves the fewest variables out, structure before names.

    Raises `ValueError` where another way does as well and disagrees, unless strictness refuses both
    anyway; where the model fits several places; and for what cannot be done with this checkpoint.
    """
    if by not in (None, "object", "name"):
        raise ValueError(f'by is "object" or "name", not {by!r}')
    if rename is not None and (by == "object" or root is not None):
        raise ValueError("names= is for matching by name; by='object' and root= have no use for it")
    if by == "name" and root is not None:
        raise ValueError("root= is for matching by structure; by='name' has no use for it")
    graph = reader.objects
    if graph is None and (by == "object" or root is not None):
        raise ValueError(f"{reader.prefix} is name-based: it has no objects")
    structure = None if graph is None else Structure(graph)
    ways = []
    if structure is not None and by != "name" and rename is None:
        ways.append(_by_structure(structure, view, root))
    if by != "object" and root is None:
        ways += _by_names(view, _names.of(reader, "name"), rename)
    fits = [len(way.match(reader, view.weights).misfits) for way in ways]
    if min(fits) > 0 and by != "object" and root is None and rename is None:
        more = list(_by_numbers(view, _names.of(reader, "name")))
        fits += [len(way.match(reader, view.weights).misfits) for way in more]
        ways += more
    fewest = min(fits)
    best = [way for way, misfits in zip(ways, fits, strict=True) if misfits == fewest]
    # Structure that fits two places whole says more than names that were given in some order.
    several = ways[0].error if fits[0] == 0 else best[0].error
    if several is not None:
        raise several
    if fewest == 0 or not strict:
        _check_agreement(reader, view, best)
    return best[0], structure


def _by_structure(structure: Structure, view: View, root: str | None) -> Way:
    bound, optimizer, several = _structure.choose(structure, view, root)
    _structure.add_trainable(structure, bound, optimizer, view.trainable)
    return Way("object", bound, {}, optimizer, several)


def _by_names(view: View, names: Names, rename: Rename) -> Iterator[Way]:
    variables = [*view.weights, *view.seeds]
    yield Way("name", *_by_name.exactly(variables, names, _by_name.renaming(rename)))
    if rename is None:
        yield Way("name", *_by_name.exactly(variables, names, _by_name.without_model(view)))


def _by_numbers(view: View, names: Names) -> Iterator[Way]:
    for renamed in (_by_name.renaming(None), _by_name.without_model(view)):
        yield Way("renumbered name", _by_name.renumbered(view, names, renamed))


def _check_agreement(reader: Reader, view: View, ways: Sequence[Way]) -> None:
    """Raise `ValueError` where structure and names do equally well, and not the same."""
    if ways[0].matched_by != "object":
        return
    other = next((way for way in ways if way.matched_by == "name"), ways[0])
    places, names = (
        {id(item.object): key for item, key in way.match(reader, view.weights).fitting}
        for way in (ways[0], other)
    )
    for item in view.weights:
        keys = [found.get(id(item.object)) for found in (places, names)]
        both = [key for key in keys if key is not None]
        if len(set(keys)) == 2 and not (len(both) == 2 and _names.are_equal(reader, both)):
            by_place, by_name = (key or "nothing" for key in keys)
            raise ValueError(
                f"{reader.prefix}: the place of {item.name!r} in the model says {by_place}, and "
                f"its name says {by_name}: by='object' or by='name' decides for all variables"
            )


def _mismatch(reader: Reader, item: Variable, key: str) -> Mismatch | None:
    number, shape = reader._signatures[reader._index(key)]
    if _dtypes.name(number) != item.dtype:
        return Mismatch(item.name, item.dtype, _dtypes.name(number), key)
    if len(shape) != len(item.shape) or any(
        size not in (None, stored) for size, stored in zip(item.shape, shape, strict=True)
    ):
        return Mismatch(item.name, str(item.shape), str(shape), key)
    return None
