"""Targets against the index of a checkpoint: what fits, before a byte of data is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from .. import _dtypes, _object_graph, _patterns
from .._bundle import Reader
from .._report import Mismatch
from ..errors import CheckpointError, NotFoundError, _located
from . import _corners
from ._mismatch import InvalidArgumentError
from ._names import Names
from ._targets import Box, Part, Shape, Target
from ._variables import slices_by_name

_HINTS = 10
"""Missing names that get a list of nearest keys; finding those takes a while in a long index."""


TAKEN_AWAY = "rename drops its tensor, or gives it another name"


class Source(NamedTuple):
    """Where one value comes from: a stored tensor, or a box of it."""

    key: str
    box: Box | None


class Match(NamedTuple):
    """A target and the sources of its parts."""

    target: Target
    sources: tuple[Source, ...]


@dataclass(slots=True)
class Plan:
    """The outcome: what is assigned, and what has no counterpart on the other side."""

    matches: list[Match] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    ambiguous: dict[str, list[str]] = field(default_factory=dict)
    mismatched: list[Mismatch] = field(default_factory=list)
    taken_away: set[str] = field(default_factory=set)
    """Those of `missing` that the checkpoint has, and that a renaming took away."""
    unexpected: tuple[str, ...] = ()
    sliced: list[Mismatch] = field(default_factory=list)
    corners: list[Match] = field(default_factory=list)
    """Assignments of the first rows of variables that have more: they need a value before it."""
    grown: list[Target] = field(default_factory=list)
    """Those variables, and parts of them for which nothing is stored."""
    absent: list[Target] = field(default_factory=list)
    """The targets that something is `missing` for."""

    @property
    def restored(self) -> tuple[str, ...]:
        """The names of what is assigned whole, each once."""
        names = (part.name for match in self.matches for part in match.target.parts)
        sliced = {mismatch.name for mismatch in self.sliced}
        return tuple(name for name in dict.fromkeys(names) if name not in sliced)


def plan(
    reader: Reader, targets: Sequence[Target], names: Names | None = None, *, slices: bool = False
) -> Plan:
    """Look every part of every target up. A target is assigned whole or not at all.

    With `slices`, of a variable that has more or fewer rows than its tensor, those rows are that
    both have.
    """
    index = _Index(reader, names or Names(reader))
    result = Plan()
    asked_for = {_object_graph.KEY}
    for target in _with_slices(index, targets):
        sources = []
        for part in target.parts:
            keys = index.names.keys(part.name)
            asked_for.update(keys)
            asked_for.update(index.names.beside(part.name))
            if slices and _slice(index, result, target, keys):
                break
            source = _source(index, result, part, keys)
            if source is not None:
                sources.append(source)
            elif not keys and target not in result.absent[-1:]:
                result.absent.append(target)
        if len(sources) == len(target.parts):
            result.matches.append(Match(target, tuple(sources)))
    result.unexpected = tuple(key for key in reader if key not in asked_for)
    return result


def _slice(index: _Index, result: Plan, target: Target, keys: list[str]) -> bool:
    """Plan the common rows of a variable and its tensor, if that is how they differ."""
    if len(target.parts) != 1 or len(keys) != 1:
        return False
    (part,), (key,) = target.parts, keys
    mismatch = index.mismatch(part, key)
    box = _corners.common(part, index.shape(key)) if index.dtype(key) == part.dtype else None
    if mismatch is None or box is None:
        return False
    if mismatch.name not in [known.name for known in result.sliced]:
        result.sliced.append(mismatch)
    narrowed = _corners.narrowed(target, box.length)
    if narrowed is target:
        result.matches.append(Match(target, (Source(key, box),)))
        return True
    result.grown.append(target)
    if 0 not in box.length:
        result.corners.append(Match(narrowed, (Source(key, box),)))
    return True


def _source(index: _Index, result: Plan, part: Part, keys: list[str]) -> Source | None:
    """Where the part's value comes from; `None`, and a note of why, if it comes from nowhere."""
    if len(keys) != 1:
        if keys:
            result.ambiguous[part.name] = keys
        elif part.name not in result.missing:
            result.missing.append(part.name)
            if index.names.is_taken_away(part.name):
                result.taken_away.add(part.name)
        return None
    (key,) = keys
    mismatch = index.mismatch(part, key)
    if mismatch is not None:
        result.mismatched.append(mismatch)
        return None
    # A box of everything is the tensor, which may then be aliased.
    box = None if part.box is None or part.box.length == part.box.full_shape else part.box
    return Source(key, box)


def error_of(
    reader: Reader, result: Plan, *, missing: bool = True, mismatched: bool = True
) -> CheckpointError | None:
    """The one error that lists everything that does not fit; `None` if everything does.

    `missing` and `mismatched` say what counts.
    """
    result = Plan(
        missing=result.missing if missing else [],
        taken_away=result.taken_away,
        ambiguous=result.ambiguous if missing else {},
        mismatched=result.mismatched if mismatched else [],
    )
    lines = list(_complaints(reader, result))
    if not lines:
        return None
    absent = bool(result.missing or result.ambiguous)
    head = f"{len(lines)} of the variables cannot be restored from {reader.prefix}:"
    options = ['on_missing="skip"'] * absent
    options += ['on_mismatch="skip"'] * bool(result.mismatched)
    tail = (
        f"Nothing was assigned. {' and '.join(options)} (strict=False stands for it where no other "
        "value is given) restores the variables that fit; "
        "rename={name in the checkpoint: name of the variable} says which tensor goes where."
    )
    kind = NotFoundError if absent else InvalidArgumentError
    error = kind("\n".join([head, *(f"  {line}" for line in lines), tail]))
    names = [*result.missing, *result.ambiguous, *(item.name for item in result.mismatched)]
    _located(error, path=reader.prefix, key=names[0])
    return error


def _complaints(reader: Reader, result: Plan) -> Iterator[str]:
    for number, name in enumerate(result.missing):
        if name in result.taken_away:
            yield f"{name}: {TAKEN_AWAY}"
            continue
        hint = _patterns.near(name, reader) if number < _HINTS else ""
        yield f"{name}: not in the checkpoint{hint}"
    for name, keys in result.ambiguous.items():
        yield f"{name}: several objects of that name were saved: {', '.join(keys)}"
    for mismatch in result.mismatched:
        yield str(mismatch)


class _Index:
    """The checkpoint's index, asked by the names of variables."""

    def __init__(self, reader: Reader, names: Names) -> None:
        self._reader = reader
        self.names = names

    def dtype(self, key: str) -> int:
        return self._reader._signatures[self.names.number(key)][0]

    def shape(self, key: str) -> tuple[int, ...]:
        return self._reader._signatures[self.names.number(key)][1]

    def mismatch(self, part: Part, key: str) -> Mismatch | None:
        """What differs between a variable and its tensor. Types are never converted."""
        dtype, stored = self._reader._signatures[self.names.number(key)]
        if dtype != part.dtype:
            return Mismatch(part.name, _dtypes.name(part.dtype), _dtypes.name(dtype))
        if part.box is not None:
            if part.box.full_shape != stored:
                return Mismatch(part.name, f"a slice of {part.box.full_shape}", str(stored))
        elif stored != part.shape and not _fits(stored, part.shape):
            return Mismatch(part.name, _text(part.shape), str(stored))
        return None


def _fits(stored: tuple[int, ...], shape: Shape | None) -> bool:
    if shape is None:
        return True
    if len(stored) != len(shape):
        return False
    return all(size is None or size == other for size, other in zip(shape, stored, strict=True))


def _text(shape: Shape | None) -> str:
    if shape is None:
        return "any shape"
    comma = "," if len(shape) == 1 else ""
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + comma + ")"


def _with_slices(index: _Index, targets: Sequence[Target]) -> Iterable[Target]:
    """The targets, with whole variables recognised as slices where only that can be meant.

    They are when the checkpoint has a tensor of the common name, none of their own names, and the
    sizes along exactly one axis add up to its shape.
    """
    absent = [target for target in targets if not index.names.keys(target.parts[0].name)]
    if not absent:
        return targets
    renamed: dict[int, Target] = {}
    for name, slices in slices_by_name(absent).items():
        keys = index.names.keys(name)
        if len(keys) == 1:
            boxes = _boxes(index.shape(keys[0]), [item.parts[0].shape for item in slices])
            for target, box in zip(slices, boxes, strict=False):
                part = target.parts[0]._replace(name=name, box=box)
                renamed[id(target)] = Target((part,), target.sink)
    return [renamed.get(id(target), target) for target in targets]


def _boxes(full_shape: tuple[int, ...], shapes: list[Shape | None]) -> list[Box]:
    """The boxes of parts that follow each other along one axis, or none if they cannot."""
    lengths = [shape for shape in shapes if shape is not None and None not in shape]
    if len(lengths) != len(shapes) or any(len(shape) != len(full_shape) for shape in lengths):
        return []
    fitting = []
    for axis, size in enumerate(full_shape):
        sizes = [shape[axis] or 0 for shape in lengths]
        others_fit = all(
            shape[:axis] + shape[axis + 1 :] == full_shape[:axis] + full_shape[axis + 1 :]
            for shape in lengths
        )
        if others_fit and sum(sizes) == size:
            fitting.append((axis, sizes))
    if len(fitting) != 1:
        return []
    axis, sizes = fitting[0]
    boxes = []
    for number, size in enumerate(sizes):
        start = tuple(sum(sizes[:number]) if at == axis else 0 for at in range(len(full_shape)))
        length = (*full_shape[:axis], size, *full_shape[axis + 1 :])
        boxes.append(Box(full_shape, start, length))
    return boxes
