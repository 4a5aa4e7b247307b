"""How many values nodes take: what the rewriting takes for granted, and a hostile graph does not.

Checked once for the whole graph and its functions, so that whoever looks at `node.input[1]` may.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..errors import DataLossError, _located
from . import _savers
from ._source import Source
from ._spread import CALLS, LOOPS, PASSING

# By operation: the fewest values that it takes.
_LEAST: Final = {
    **dict.fromkeys(PASSING, 1),
    **dict.fromkeys(_savers.ASSIGNS, 2),
    "Switch": 2,
    "RefSwitch": 2,
    "_SwitchN": 2,
    "ReadVariableOp": 1,
    "VariableShape": 1,
    "ResourceGather": 2,
    "ResourceGatherNd": 2,
    "Restore": 2,
    "RestoreSlice": 3,
    "RestoreV2": 3,
    "SaveV2": 3,
}
# Outputs of a `_SwitchN`: an attribute may say anything, and each is looked at.
_MOST_OUTPUTS: Final = 1 << 16


def check(source: Source) -> None:
    """Raise `DataLossError`, naming file and node, for a graph that nothing could run."""
    graph_def = source.graph_def
    library = {function.signature.name: function for function in graph_def.library.function}
    for where, nodes in _bodies(graph_def):
        names: set[str] = set()
        for node in nodes:
            if node.name in names:
                raise damaged(source, f"two nodes{where} are called {node.name}")
            names.add(node.name)
            problem = _problem(node, library)
            if problem:
                raise damaged(source, f"{node.op} {node.name}{where}: {problem}")


def damaged(source: Source, text: str) -> DataLossError:
    """The error for a graph that nothing could run."""
    error = DataLossError(f"graph {source.name} is damaged: {text}")
    _located(error, path=source.name)
    return error


def _bodies(graph_def: Any) -> Iterator[tuple[str, Any]]:
    yield "", graph_def.node
    for function in graph_def.library.function:
        yield f" in function {function.signature.name}", function.node_def


def _problem(node: Any, library: Mapping[str, Any]) -> str | None:
    """What is wrong with a node that freezing looks at; `None` if nothing is."""
    op = node.op
    if op in _LEAST:
        count = _leading(node)
        if count < _LEAST[op]:
            return f"it takes {count} values, and such an operation at least {_LEAST[op]}"
        if op == "_SwitchN" and not 0 <= node.attr["num_outs"].i <= _MOST_OUTPUTS:
            return f"it has {node.attr['num_outs'].i} outputs"
    elif op == "IdentityN":
        if _leading(node) != len(node.attr["T"].list.type):
            return f"it takes {_leading(node)} values of {len(node.attr['T'].list.type)} types"
    elif op in CALLS:
        return _call_problem(node, library)
    elif op in library:
        return _function_problem(library[op], _leading(node), 0)
    elif op in _savers.VARIABLES and not node.attr["dtype"].type:
        return "it has no element type"
    return None


def _leading(node: Any) -> int:
    """The number of values that come before what a node only waits for, as they have to."""
    count = 0
    for text in node.input:
        if text.startswith("^"):
            break
        count += 1
    return count


def _call_problem(node: Any, library: Mapping[str, Any]) -> str | None:
    first, types, attributes = CALLS[node.op]
    count = _leading(node) - first
    if count != len(node.attr[types].list.type):
        return f"it hands {count} values of {len(node.attr[types].list.type)} types on"
    for attribute in attributes:
        value = node.attr[attribute]
        for func in [value.func] if value.HasField("func") else value.list.func:
            if func.name not in library:
                continue
            function = library[func.name]
            if node.op in LOOPS:
                results = count if attribute == "body" else 0
            else:
                results = 0
                if len(function.signature.output_arg) > len(node.attr["Tout"].list.type):
                    return f"function {func.name} has more results than the node"
            problem = _function_problem(function, count, results)
            if problem:
                return problem
    return None


def _function_problem(function: Any, arguments: int, results: int) -> str | None:
    signature = function.signature
    if len(signature.input_arg) < arguments:
        taken = len(signature.input_arg)
        return f"function {signature.name} takes {taken} arguments, and is given {arguments}"
    if len(signature.output_arg) < results:
        return f"function {signature.name} has too few results for the body of a loop"
    return None
