"""Variables matched to keys by names: as they are, or renumbered as a whole.

Keras numbers layers in the order of their making, so a model that is built twice is called "dense",
then "dense_1". Such numbers mean nothing between programs; their order does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from .._names import Names
from ._structure import Bound
from ._view import SYNONYMS, Variable, View

Rename = Mapping[str, str] | Callable[[str], str | None] | None
"""Names in the checkpoint by names of variables. What is not in it, or `None`, keeps its name."""

_NUMBERED: Final = re.compile(r"(.+)_([0-9]{1,9})")

Path = tuple[tuple[str, int], ...]


def exactly(
    variables: Iterable[Variable], names: Names, renamed: Callable[[str], str]
) -> tuple[Bound, dict[str, list[str]]]:
    """Keys of the variables whose names the checkpoint has; and the names that several keys have.

    A name may also be a key.
    """
    bound: Bound = {}
    several = {}
    for item in variables:
        name = renamed(item.name)
        keys = names.keys_of(name) or names.keys_of(_synonym(name))
        if len(keys) == 1:
            bound[id(item.object)] = keys[0]
        elif keys:
            several[item.name] = keys
    return bound, several


def renaming(rename: Rename) -> Callable[[str], str]:
    """`rename` as a function of every name."""
    if rename is None:
        return lambda name: name
    if isinstance(rename, Mapping):
        return lambda name: rename.get(name, name)
    return lambda name: rename(name) or name


def without_model(view: View) -> Callable[[str], str]:
    """Names without the model's own, which Keras 3 puts before those of a sequential model."""
    start = f"{view.model.name}/"
    return lambda name: name.removeprefix(start)


def renumbered(view: View, names: Names, renamed: Callable[[str], str]) -> Bound:
    """Keys of all variables after numbers in both lists of names were made comparable.

    "dense_7/kernel" beside "dense_4/kernel" becomes the second of two, on either side. All of the
    model's variables have to be found so, and below each name there must be as many numbered ones
    in the checkpoint as in the model; otherwise nothing is returned.
    """
    ours = _Ranks([renamed(item.name) for item in view.weights])
    theirs = _Ranks(list(names))
    by_rank: dict[Path, list[str]] = {}
    for name in names:
        by_rank.setdefault(theirs.of(name), []).append(name)
    bound: Bound = {}
    for item in view.weights:
        rank = ours.of(renamed(item.name))
        other = rank if rank in by_rank else _synonymous(rank)
        found = by_rank.get(other, [])
        keys = names.keys_of(found[0]) if len(found) == 1 else []
        if len(keys) != 1 or ours.counts(rank) != theirs.counts(other):
            return {}
        bound[id(item.object)] = keys[0]
    return bound if len(set(bound.values())) == len(bound) else {}


def _synonym(name: str) -> str:
    """The name with what the other Keras calls its last part."""
    start, slash, last = name.rpartition("/")
    return f"{start}{slash}{SYNONYMS.get(last, last)}"


def _synonymous(path: Path) -> Path:
    stem, rank = path[-1]
    return (*path[:-1], (SYNONYMS.get(stem, stem), rank))


class _Ranks:
    """Names as paths of (stem, rank): the rank of a number among those of its stem there."""

    def __init__(self, names: Sequence[str]) -> None:
        self._ranks: dict[tuple[Path, str], dict[int, int]] = {}
        split = [[_stem(part) for part in name.split("/")] for name in names]
        # From the left: a part's own rank says what its children are below.
        for depth in range(max(map(len, split), default=0)):
            found: dict[tuple[Path, str], set[int]] = {}
            for parts in split:
                if len(parts) > depth:
                    stem, number = parts[depth]
                    found.setdefault((self._path(parts[:depth]), stem), set()).add(number)
            for place, numbers in found.items():
                self._ranks[place] = {number: at for at, number in enumerate(sorted(numbers))}

    def of(self, name: str) -> Path:
        """One of the names."""
        return self._path([_stem(part) for part in name.split("/")])

    def counts(self, path: Path) -> list[int]:
        """How many numbers there are of each stem along a path."""
        return [len(self._ranks.get((path[:at], stem), ())) for at, (stem, _) in enumerate(path)]

    def _path(self, parts: Sequence[tuple[str, int]]) -> Path:
        path: Path = ()
        for stem, number in parts:
            path = (*path, (stem, self._ranks[path, stem][number]))
        return path


def _stem(part: str) -> tuple[str, int]:
    """ "dense_2" is ("dense", 2), "dense" is ("dense", 0)."""
    match = _NUMBERED.fullmatch(part)
    return (match[1], int(match[2])) if match else (part, 0)
