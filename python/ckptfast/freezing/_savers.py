"""Which key of a checkpoint a variable has, by what the graph itself says of it.

A saver's nodes name the keys (`save/RestoreV2` takes them as a constant), in the graph or in a
function of a SavedModel; a meta graph's collections tell of partitioned variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from . import _prune, _wires

VARIABLES: Final = ("Variable", "VariableV2", "VarHandleOp")
_CALLS: Final = ("PartitionedCall", "StatefulPartitionedCall")
# What may stand between a variable and a saver's node.
_BETWEEN: Final = ("Identity", "Reshape", "ReadVariableOp", "Cast")
_RESTORES: Final = ("RestoreV2", "RestoreSlice", "Restore")
ASSIGNS: Final = ("Assign", "AssignVariableOp")
# Elements in a constant of names: a shape that says more is not to be believed.
_MOST_TEXTS: Final = 1_000_000
_COLLECTIONS: Final = (
    "variables",
    "trainable_variables",
    "model_variables",
    "local_variables",
    "moving_average_variables",
)


class Box(NamedTuple):
    """A part of a partitioned tensor: where it starts and how far it goes, per dimension.

    A length of -1 is the whole dimension.
    """

    start: tuple[int, ...]
    length: tuple[int, ...]


class Place(NamedTuple):
    """A key, and which part of its tensor; all of it where `box` is `None`."""

    key: str
    box: Box | None


class _Scope:
    """The nodes of a graph, or of a function with what it is called with."""

    def __init__(self, nodes: Any, caller: _Scope | None, arguments: Mapping[str, str]) -> None:
        self.nodes = {node.name: node for node in nodes}
        self._caller = caller
        self._arguments = arguments

    def source(self, text: str) -> tuple[Any, int] | None:
        """The node and output that an input is, seen through what only hands it on."""
        scope: _Scope | None = self
        seen: set[tuple[int, str]] = set()
        while scope is not None and (id(scope), text) not in seen:
            seen.add((id(scope), text))
            name = _wires.node_of(text)
            node = scope.nodes.get(name)
            if node is None:
                if name not in scope._arguments:
                    return None
                text, scope = scope._arguments[name], scope._caller
            elif node.op in _BETWEEN and node.input:
                text = node.input[0]
            else:
                return node, _wires.index_of(text)
        return None

    def texts(self, text: str) -> list[str] | None:
        """The elements of a constant of strings."""
        found = self.source(text)
        if found is None or found[0].op != "Const":
            return None
        tensor = found[0].attr["value"].tensor
        values = [value.decode("utf-8", "surrogateescape") for value in tensor.string_val]
        count = 1
        for dim in tensor.tensor_shape.dim:
            count *= dim.size
        if not len(values) <= count <= _MOST_TEXTS:
            return None
        # Equal elements at the end may be left out.
        return values + values[-1:] * (count - len(values))


def places(graph_def: Any, saver_def: Any) -> list[dict[str, Place]]:
    """Maps from a variable's node to its place, those to trust most first.

    The first is what the `SaverDef` restores, then other savers' restoring, then what savers save.
    Raises `ValueError` for a saver that names no part of a tensor where one belongs.
    """
    preferred: dict[str, Place] = {}
    restored: dict[str, Place] = {}
    saved: dict[str, Place] = {}
    main = _Scope(graph_def.node, None, {})
    name = _wires.node_of(saver_def.restore_op_name) if saver_def is not None else ""
    chosen = _prune.reachable(main.nodes, [name]) if name in main.nodes else set()
    library = {function.signature.name: function for function in graph_def.library.function}
    for scope in _scopes(main, library):
        for node in scope.nodes.values():
            if node.op in ASSIGNS:
                is_chosen = scope is main and node.name in chosen
                _add(preferred if is_chosen else restored, _restored(scope, node))
            elif node.op == "SaveV2":
                for found in _saved(scope, node):
                    _add(saved, found)
    return [preferred, restored, saved]


def _add(table: dict[str, Place], found: tuple[str, Place] | None) -> None:
    if found is not None:
        table.setdefault(*found)


def _scopes(main: _Scope, library: Mapping[str, Any]) -> Iterator[_Scope]:
    """The graph, and every function with a saver's nodes in it, for every call of it."""
    yield main
    for node in main.nodes.values():
        if node.op not in _CALLS:
            continue
        function = library.get(node.attr["f"].func.name)
        if function is None or not _has_saver(function):
            continue
        names = (argument.name for argument in function.signature.input_arg)
        inputs = _wires.data_inputs(node)
        yield _Scope(function.node_def, main, dict(zip(names, inputs, strict=False)))


def _has_saver(function: Any) -> bool:
    return any(node.op in ("RestoreV2", "SaveV2") for node in function.node_def)


def _restored(scope: _Scope, assign: Any) -> tuple[str, Place] | None:
    target, value = scope.source(assign.input[0]), scope.source(assign.input[1])
    if target is None or value is None or target[0].op not in VARIABLES:
        return None
    restore, output = value
    if restore.op not in _RESTORES:
        return None
    keys = scope.texts(restore.input[1])
    specs = scope.texts(restore.input[2]) if restore.op != "Restore" else [""]
    return _placed(target[0].name, keys, specs, output)


def _saved(scope: _Scope, save: Any) -> Iterator[tuple[str, Place]]:
    keys, specs = scope.texts(save.input[1]), scope.texts(save.input[2])
    for at, text in enumerate(_wires.data_inputs(save)[3:]):
        source = scope.source(text)
        if source is not None and source[0].op in VARIABLES:
            found = _placed(source[0].name, keys, specs, at)
            if found is not None:
                yield found


def _placed(
    variable: str, keys: list[str] | None, specs: list[str] | None, at: int
) -> tuple[str, Place] | None:
    if keys is None or specs is None or at >= len(keys):
        return None
    return variable, Place(keys[at], box(specs[at]) if at < len(specs) else None)


_RANGE: Final = re.compile(r"-|[0-9]{1,18},[0-9]{1,18}")


def box(spec: str) -> Box | None:
    """The box in a "shape and slice" text, such as "4 2 0,2:-"; `None` for the whole tensor.

    Raises `ValueError` for any other text.
    """
    parts = spec.split()
    if len(parts) < 2:
        return None
    start, length = [], []
    for item in parts[-1].split(":"):
        if not _RANGE.fullmatch(item):
            raise ValueError(f"{spec!r} is no shape and slice, such as '4 2 0,2:-'")
        first, _, count = item.partition(",")
        start.append(0 if item == "-" else int(first))
        length.append(-1 if item == "-" else int(count))
    return Box(tuple(start), tuple(length))


def listed(collections: Mapping[str, Any], variable_def: Any) -> dict[str, Place]:
    """Places of the partitioned variables that a meta graph's collections list.

    `variable_def` is the class of the messages in them.
    """
    from google.protobuf.message import DecodeError

    found: dict[str, Place] = {}
    for name in _COLLECTIONS:
        for content in collections[name].bytes_list.value if name in collections else ():
            try:
                variable = variable_def.FromString(content)
            except DecodeError:
                continue  # a collection of that name that holds something else
            if variable.HasField("save_slice_info_def"):
                info = variable.save_slice_info_def
                part = Box(tuple(info.var_offset), tuple(info.var_shape))
                node = _wires.node_of(variable.variable_name)
                found.setdefault(node, Place(info.full_name, part))
    return found


_PART: Final = re.compile(r"(.+)/part_(\d+)")


def part_of(name: str) -> tuple[str, int] | None:
    """The partitioned variable that a node is a part of by its name, and which part."""
    match = _PART.fullmatch(name)
    return (match[1], int(match[2])) if match else None
