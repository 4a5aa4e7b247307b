"""Everything of freezing but the writing: what is needed, what it becomes, and how large it is."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from .. import _dtypes, _moving_averages
from .._bundle import Reader
from . import (
    _arity,
    _constants,
    _links,
    _matching,
    _pieces,
    _prune,
    _rewrite,
    _savers,
    _source,
    _wires,
)
from ._matching import Constant, Matcher
from ._pieces import Pieces
from ._report import FreezeReport
from ._savers import Box
from ._source import Source
from ._spread import Value


class Wanted(NamedTuple):
    """What to freeze: names of nodes, and which of the variables among what they need."""

    outputs: list[str]
    tensors: list[str]
    """The same as they were given, some with the number of an output."""
    variables: frozenset[str] | None
    exclude: frozenset[str]
    moving_averages: bool

    @classmethod
    def of(
        cls,
        outputs: Iterable[str],
        variables: Iterable[str] | None,
        exclude: Iterable[str] | None,
        *,
        moving_averages: bool,
    ) -> Wanted:
        """Checked arguments. Raises `TypeError` for one name where several belong."""
        tensors = listed("outputs", outputs)
        names = [_wires.node_of(name) for name in tensors]
        if not names:
            raise ValueError("outputs is empty; name the nodes whose values are wanted")
        only = None if variables is None else frozenset(listed("variables", variables))
        but = frozenset(listed("exclude", () if exclude is None else exclude))
        return cls(names, tensors, only, but, moving_averages)

    def is_constant(self, name: str) -> bool:
        """Whether the variable `name` becomes a constant."""
        return (self.variables is None or name in self.variables) and name not in self.exclude


class Frozen(NamedTuple):
    """A frozen graph that is yet to be written."""

    pieces: Pieces
    nodes: int
    constants: list[Constant]
    variables: tuple[str, ...]
    unconverted: tuple[str, ...]

    def report(self, path: str) -> FreezeReport:
        """What was done, after it was written to `path`."""
        suffix = _moving_averages.SUFFIX
        constants = {constant.node: constant.key for constant in self.constants}
        return FreezeReport(
            path=path,
            nbytes=self.pieces.nbytes,
            nodes=self.nodes,
            constants=constants,
            variables=self.variables,
            averaged=tuple(name for name, key in constants.items() if _is_average(key, suffix)),
            unconverted=self.unconverted,
        )


def _is_average(key: str, suffix: str) -> bool:
    # The key of an object's value goes on after the name of its attribute.
    return key.endswith(suffix) or f"{suffix}/.ATTRIBUTES/" in key


def unconverted(names: Sequence[str]) -> str:
    """The warning for nodes that are left with a handle that is gone."""
    return (
        "these nodes take the handle of a variable that is a constant now, and cannot run: "
        f"{', '.join(names)}; leave them out of what the outputs need, or name the variable in "
        "exclude="
    )


def prepare(source: Source, reader: Reader, wanted: Wanted) -> Frozen:
    """Prune, match, rewrite and measure. Raises what `freeze` raises.

    The source is used up: its graph is the one that is frozen.
    """
    graph_def = source.graph_def
    _arity.check(source)
    # The saver's nodes tell the keys, and are pruned.
    matcher = Matcher(source, reader, moving_averages=wanted.moving_averages)
    _prune_nodes(source, wanted)
    handles = [node for node in graph_def.node if node.op in _savers.VARIABLES]
    chosen = [node for node in handles if wanted.is_constant(node.name)]
    constants = _matching.match(chosen, matcher)
    _check_size(sum(_stored_bytes(reader, item) for item in constants))
    stored = [item for item in constants if item.tensor is None]
    raw = {item.node: item for item in stored if _constants.is_raw(item.dtype, item.size)}
    small = _small_values(reader, [item for item in stored if item.node not in raw])
    types = {item.node: item.dtype for item in constants}
    given = {item.node: item.tensor for item in constants if item.tensor is not None}

    def fill(node: Any) -> None:
        if node.name in given:
            node.attr["value"].tensor.CopyFrom(given[node.name])
        elif node.name in small:
            _constants.fill(node.attr["value"].tensor, small[node.name], types[node.name])

    values = {item.node: _value(item) for item in constants}
    variables = tuple(node.name for node in handles if not wanted.is_constant(node.name))
    number = itertools.count().__next__
    left = _rewrite.rewrite(graph_def, values, fill, number, graph=source.name)
    _prune.keep_functions(graph_def, _prune.used_functions(graph_def))
    nodes = len(graph_def.node)
    pieces = Pieces(graph_def, raw)
    _check_size(pieces.nbytes)
    return Frozen(pieces, nodes, constants, variables, tuple(left))


def listed(argument: str, names: Iterable[str]) -> list[str]:
    """Several names. Raises `TypeError` for one alone, and for what is no name."""
    if isinstance(names, str | bytes):
        raise TypeError(f"{argument} is a list of names, not one: {names!r}")
    found = list(names)
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"{argument} is a list of names, and this is none: {name!r}")
    return found


def _prune_nodes(source: Source, wanted: Wanted) -> None:
    """Leave only what the outputs need, and only the functions that are called."""
    graph_def = source.graph_def
    nodes = {node.name: node for node in graph_def.node}
    named = sorted((wanted.variables or frozenset()) | wanted.exclude)
    for name in [*wanted.outputs, *named]:
        if name not in nodes:
            raise ValueError(_source.missing(source, name))
    for name in named:
        if nodes[name].op not in _savers.VARIABLES:
            raise ValueError(
                f"{name} of graph {source.name} is no variable but of type {nodes[name].op}: "
                "variables= and exclude= are names of variables"
            )
    kept = _prune.reachable(nodes, wanted.outputs)
    _links.check(source, nodes, kept)
    for text in wanted.tensors:
        _links.check_output(source, nodes, text)
    del nodes
    _prune.keep_nodes(graph_def, kept)
    _prune.keep_functions(graph_def, _prune.used_functions(graph_def))
    _links.check_functions(source)
    # It tells of nodes that may be gone.
    graph_def.ClearField("debug_info")
    # TensorFlow's functions leave both, also where they are empty; so the bytes agree.
    graph_def.library.SetInParent()
    graph_def.versions.SetInParent()


def _value(constant: Constant) -> Value:
    kind: Literal["resource", "ref"] = "resource" if constant.op == "VarHandleOp" else "ref"
    return Value(constant.dtype, constant.shape, kind)


def _stored_bytes(reader: Reader, constant: Constant) -> int:
    """About how much a constant takes; of strings it is known where they are in one piece."""
    if constant.tensor is not None:
        return int(constant.tensor.ByteSize())
    if _dtypes.itemsize(constant.dtype):
        return _pieces.nbytes(constant)
    return reader.info(constant.key).nbytes or 0 if constant.box is None else 0


def _check_size(nbytes: int) -> None:
    if nbytes > _pieces.LIMIT:
        # The first words are TensorFlow's, which people search for.
        raise ValueError(
            f"GraphDef cannot be larger than 2GB. Received size: {nbytes}. Nothing was written. "
            "exclude= leaves large variables what they are, to be restored from the checkpoint."
        )


def _small_values(reader: Reader, constants: Sequence[Constant]) -> dict[str, Any]:
    """Arrays of the constants that are no plain bytes in the file, by their nodes."""
    whole = reader._arrays(item.key for item in constants if item.box is None)
    return {
        item.node: whole[item.key] if item.box is None else _part(reader, item.key, item.box)
        for item in constants
    }


def _part(reader: Reader, key: str, box: Box) -> Any:
    bounds = zip(box.start, box.length, strict=True)
    return reader.read(key, tuple(slice(start, start + length) for start, length in bounds))
