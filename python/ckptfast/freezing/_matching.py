"""The variables of a graph, and where in a checkpoint the value of each lies."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from .. import _dtypes, _moving_averages, _patterns
from .._bundle import Reader
from ..errors import CheckpointError, DataLossError, NotFoundError, UnsupportedError, _located
from . import _initial, _protos, _savers
from ._initial import Initial
from ._savers import Box, Place
from ._source import Source


class Constant(NamedTuple):
    """A variable that becomes a constant.

    - `node`, `op`: of the variable.
    - `key`: of the tensor in the checkpoint; `box`: which part of it.
    - `dtype`: number of the element type; `shape`: of the constant.
    - `tensor`: its value where that is not in the checkpoint, as a `TensorProto`; `key` then says
      what it is.
    """

    node: str
    op: str
    key: str
    box: Box | None
    dtype: int
    shape: tuple[int, ...]
    tensor: Any = None

    @property
    def size(self) -> int:
        """Number of elements."""
        count = 1
        for length in self.shape:
            count *= length
        return count


class Matcher:
    """Finds the place of a variable in a checkpoint."""

    def __init__(self, source: Source, reader: Reader, *, moving_averages: bool) -> None:
        self.reader = reader
        self._moving_averages = moving_averages
        try:
            self._tables = _savers.places(source.graph_def, source.saver_def)
        except ValueError as error:
            damaged = DataLossError(f"graph {source.name} is damaged: {error}")
            raise _located(damaged, path=source.name) from None
        self._tables.append(_savers.listed(source.collections, _protos.message("VariableDef")))
        self._parts = _parts(source.graph_def)
        self.initial = _initial.values(source)
        objects = reader.objects
        self._full_names = (
            {item.full_name: item.key for item in objects.attributes() if item.full_name}
            if objects is not None
            else {}
        )

    def find(self, node: Any) -> Constant | None:
        """The value of a variable's node; `None` if the checkpoint has none.

        Raises `ValueError` where the type or the shape is not the variable's.
        """
        initial = self.initial.get(node.name)
        if initial is not None and initial.is_asset:
            return _initialised(node, initial)
        for place in self._candidates(node):
            key = self._key(place.key)
            if key is not None:
                return self._checked(node, Place(key, place.box))
        return None if initial is None else _initialised(node, initial)

    def _candidates(self, node: Any) -> Iterator[Place]:
        """Where a variable's value may be, the best first."""
        for table in self._tables:
            if node.name in table:
                yield table[node.name]
        shared = node.attr["shared_name"].s.decode("utf-8", "surrogateescape")
        for name in dict.fromkeys((shared, node.name)):
            if name:
                yield Place(name, None)
                if name in self._full_names:
                    yield Place(self._full_names[name], None)
        yield from self._by_part(node)

    def _by_part(self, node: Any) -> Iterator[Place]:
        """A part of a partitioned variable, by its name and the shapes of the other parts."""
        part = _savers.part_of(node.name)
        if part is None or self._key(part[0]) is None:
            return
        whole = self._shape(self._key(part[0]) or "")
        shapes = self._parts.get(part[0], {})
        number, mine = part[1], shapes.get(part[1])
        if mine is None or len(mine) != len(whole) or set(shapes) != set(range(len(shapes))):
            return
        split = [axis for axis, size in enumerate(whole) if mine[axis] != size]
        axis = split[0] if split else 0
        if len(split) > 1 or sum(shape[axis] for shape in shapes.values()) != whole[axis]:
            return
        start = [0] * len(whole)
        start[axis] = sum(shapes[before][axis] for before in range(number))
        yield Place(part[0], Box(tuple(start), mine))

    def _key(self, name: str) -> str | None:
        """The key to read for what a saver calls `name`."""
        if self._moving_averages:
            shadow = name + _moving_averages.SUFFIX
            if shadow in self._full_names:
                return self._full_names[shadow]
            name = _moving_averages.key_of(self.reader, name)
        return name if name in self.reader else None

    def _shape(self, key: str) -> tuple[int, ...]:
        return self.reader._signatures[self.reader._index(key)][1]

    def _checked(self, node: Any, place: Place) -> Constant:
        number, shape = self.reader._signatures[self.reader._index(place.key)]
        box = place.box
        if box is not None:
            if len(box.start) != len(shape):
                raise ValueError(f"the part {box} is not one of a tensor of shape {list(shape)}")
            lengths = zip(box.length, shape, strict=True)
            length = tuple(size if count < 0 else count for count, size in lengths)
            is_whole = length == shape
            shape, box = length, None if is_whole else Box(box.start, length)
        wanted = node.attr["dtype"].type
        if number != wanted:
            raise ValueError(
                f"{place.key} is {_dtypes.name(number)} in the checkpoint, "
                f"and the variable is {_dtypes.name(wanted)}"
            )
        declared = _declared(node)
        if declared is not None and not _fits(shape, declared):
            raise ValueError(
                f"{place.key} has the shape {list(shape)} in the checkpoint, "
                f"and the variable has {list(declared)}"
            )
        return Constant(node.name, node.op, place.key, box, number, shape)


def match(nodes: Iterable[Any], matcher: Matcher) -> list[Constant]:
    """The value of every variable in `nodes`, in their order.

    Raises `NotFoundError` that lists all variables without a value, and `UnsupportedError` that
    lists all whose type or shape is another one.
    """
    reader = matcher.reader
    found, missing, unfit = [], [], []
    for node in nodes:
        try:
            constant = matcher.find(node)
        except ValueError as error:
            unfit.append(f"{node.name}: {error}")
            continue
        if constant is None:
            missing.append(node.name + _why(node.name, matcher))
        else:
            found.append(constant)
    if missing:
        raise _problem(NotFoundError, reader, "has no value for variables of the graph", missing)
    if unfit:
        raise _problem(UnsupportedError, reader, "holds other variables than the graph", unfit)
    return found


def _why(name: str, matcher: Matcher) -> str:
    initial = matcher.initial.get(name)
    if initial is None:
        return _patterns.near(name, matcher.reader)
    return (
        f" ({initial.origin} computes its value when the model is loaded, which needs a session: "
        "tf.compat.v1.saved_model.load and ckptfast.convert_variables_to_constants)"
    )


def _initialised(node: Any, initial: Initial) -> Constant | None:
    """A variable with the value that the model's initialisation gives it, if that is known."""
    tensor = initial.tensor
    if tensor is None or tensor.dtype != node.attr["dtype"].type:
        return None
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    declared = _declared(node)
    if declared is not None and not _fits(shape, declared):
        return None
    return Constant(node.name, node.op, initial.origin, None, tensor.dtype, shape, tensor)


def _problem(
    kind: type[CheckpointError], reader: Reader, what: str, lines: Collection[str]
) -> CheckpointError:
    text = "\n".join(f"  {line}" for line in lines)
    advice = "Name those that may stay variables in exclude=, or pass the graph's own checkpoint."
    return _located(kind(f"{reader.prefix} {what}:\n{text}\n{advice}"), path=reader.prefix)


def _declared(node: Any) -> tuple[int, ...] | None:
    """The shape that a variable's node declares, -1 for an unknown size; `None` if it is open."""
    if "shape" not in node.attr or node.attr["shape"].shape.unknown_rank:
        return None
    shape = tuple(dim.size for dim in node.attr["shape"].shape.dim)
    # Before VariableV2, no dimensions meant that nothing is known.
    return None if not shape and node.op == "Variable" else shape


def _fits(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    if len(shape) != len(declared):
        return False
    return all(want in (-1, size) for size, want in zip(shape, declared, strict=True))


def _parts(graph_def: Any) -> dict[str, dict[int, tuple[int, ...]]]:
    """By the name of a partitioned variable: the shape of each part."""
    found: dict[str, dict[int, tuple[int, ...]]] = {}
    for node in graph_def.node:
        part = _savers.part_of(node.name) if node.op in _savers.VARIABLES else None
        shape = _declared(node) if part is not None else None
        if part is not None and shape is not None:
            found.setdefault(part[0], {})[part[1]] = shape
    return found
