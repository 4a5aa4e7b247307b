"""Which tensors are a variable's handle, or the variable itself, all the way to where it is read.

A handle runs through `Identity`, through the frames and branches of control flow, and into
functions and back. What it touches has to change its type once the variable is a constant.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from ..errors import UnsupportedError, _located
from . import _wires

RESOURCE: Final = 20  # DT_RESOURCE


class Value(NamedTuple):
    """What a tensor will be.

    - `dtype`: the number of the element type.
    - `shape`: of the constant; `None` where it is not known.
    - `kind`: what it is now: the handle of a resource variable, a variable itself ("ref"), or a
      plain value of it.
    """

    dtype: int
    shape: tuple[int, ...] | None
    kind: Literal["resource", "ref", "value"]


Arguments = tuple[tuple[int, Value], ...]
"""Numbers of a function's arguments that will be values, and which."""

# By operation: the first input that the function gets, and the attributes that name functions.
CALLS: Final[dict[str, tuple[int, str, tuple[str, ...]]]] = {
    "If": (1, "Tin", ("then_branch", "else_branch")),
    "StatelessIf": (1, "Tin", ("then_branch", "else_branch")),
    "Case": (1, "Tin", ("branches",)),
    "StatelessCase": (1, "Tin", ("branches",)),
    "While": (0, "T", ("body", "cond")),
    "StatelessWhile": (0, "T", ("body", "cond")),
    "PartitionedCall": (0, "Tin", ("f",)),
    "StatefulPartitionedCall": (0, "Tin", ("f",)),
}
# Beyond the models there are, and below Python's limit: a level takes four calls here.
_DEEPEST: Final = 128
# A function is looked at once for each set of arguments; their orders are without number.
_MOST: Final = 100_000
LOOPS: Final = frozenset(("While", "StatelessWhile"))
# Of operations that hand on their first input: the operation for plain values, and the number of
# outputs.
PASSING: Final = {
    "Identity": ("Identity", 1),
    "Enter": ("Enter", 1),
    "Exit": ("Exit", 1),
    "NextIteration": ("NextIteration", 1),
    "Switch": ("Switch", 2),
    "RefIdentity": ("Identity", 1),
    "RefEnter": ("Enter", 1),
    "RefExit": ("Exit", 1),
    "RefNextIteration": ("NextIteration", 1),
    "RefSwitch": ("Switch", 2),
    "_SwitchN": ("_SwitchN", None),
}
MERGES: Final = {"Merge": "Merge", "RefMerge": "Merge"}


class Body:
    """The nodes of a graph, or of a function."""

    def __init__(self, nodes: Iterable[Any], function: Any = None) -> None:
        self.nodes = list(nodes)
        self.function = function
        self.in_function = function is not None

    def key(self, text: str) -> str:
        """One spelling for every tensor of this body."""
        return _wires.key(text, in_function=self.in_function)

    def output(self, node: Any, index: int, port: str = "output") -> str:
        """The tensor that is output `index` of a node."""
        return _wires.output_key(node, index, in_function=self.in_function, port=port)

    def touched(self, node: Any, found: Mapping[str, Value]) -> list[tuple[int, Value]]:
        """The inputs of a node that are among `found`."""
        keys = (self.key(text) for text in _wires.data_inputs(node))
        return [(index, found[key]) for index, key in enumerate(keys) if key in found]


class Spread:
    """Follows variables through a graph and its library. `graph` is its name, for messages."""

    def __init__(self, library: Iterable[Any], graph: str) -> None:
        self.library = {function.signature.name: function for function in library}
        self._graph = graph
        self._depth = 0
        self._known: dict[tuple[str, Arguments], dict[str, Value]] = {}

    def of_body(self, body: Body, seeds: Mapping[str, Value]) -> dict[str, Value]:
        """Every tensor of `body` that carries one of `seeds` (by key), with what it will be."""
        found = dict(seeds)
        users: dict[str, list[Any]] = {}
        for node in body.nodes:
            for text in _wires.data_inputs(node):
                users.setdefault(body.key(text), []).append(node)
        waiting = list(seeds)
        while waiting:
            for node in users.get(waiting.pop(), ()):
                for key, value in self._handed_on(body, node, body.touched(node, found)):
                    if key not in found:
                        found[key] = value
                        waiting.append(key)
        return found

    def of_function(self, name: str, arguments: Arguments) -> dict[str, Value]:
        """Every tensor in a function that carries one of its arguments."""
        if (name, arguments) not in self._known:
            self._known[name, arguments] = {}  # for a function that calls itself
            function = self.library[name]
            inputs = function.signature.input_arg
            seeds = {inputs[index].name: value for index, value in arguments}
            body = Body(function.node_def, function)
            with self.called_from(name):
                self._known[name, arguments] = self.of_body(body, seeds)
        return self._known[name, arguments]

    @contextlib.contextmanager
    def called_from(self, function: str) -> Iterator[None]:
        """One function deeper. Raises `UnsupportedError` where there is no end to it."""
        if self._depth == _DEEPEST or len(self._known) > _MOST:
            problem = (
                f"functions call each other more than {_DEEPEST} deep"
                if self._depth == _DEEPEST
                else f"a function would be copied for more than {_MOST:,} sets of arguments"
            )
            error = UnsupportedError(f"graph {self._graph}, function {function}: {problem}")
            raise _located(error, path=self._graph)
        self._depth += 1
        yield
        self._depth -= 1

    def returned(self, name: str, arguments: Arguments) -> list[tuple[int, Value]]:
        """The results of a function that are one of its arguments."""
        found = self.of_function(name, arguments)
        function = self.library[name]
        results = enumerate(function.signature.output_arg)
        keys = ((index, function.ret[result.name]) for index, result in results)
        return [
            (index, found[key])
            for index, key in keys
            if key in found and found[key].kind == "resource"
        ]

    def called(self, node: Any) -> list[str]:
        """The functions that a node hands its inputs to; empty where it is no call."""
        if node.op in self.library:
            return [node.op]
        if node.op not in CALLS:
            return []
        named = []
        for attribute in CALLS[node.op][2]:
            value = node.attr[attribute]
            funcs = [value.func] if value.HasField("func") else value.list.func
            named += [func.name for func in funcs]
        return [name for name in named if name in self.library]

    def arguments(self, node: Any, touched: Iterable[tuple[int, Value]]) -> Arguments:
        """What of `touched` inputs of a call reaches its functions. Only handles change there."""
        first = CALLS[node.op][0] if node.op in CALLS else 0
        return tuple(
            (index - first, value)
            for index, value in touched
            if value.kind == "resource" and index >= first
        )

    def _handed_on(
        self, body: Body, node: Any, touched: list[tuple[int, Value]]
    ) -> Iterator[tuple[str, Value]]:
        """The outputs of a node that carry what its inputs carry."""
        if node.op in PASSING:
            yield from _passed(body, node, touched)
        elif node.op in MERGES:
            kinds = {value.kind for _, value in touched}
            if kinds & {"resource", "ref"}:
                yield body.output(node, 0), touched[0][1]
        elif node.op == "IdentityN":
            for index, value in touched:
                yield body.output(node, index), value
        elif node.op in LOOPS:
            # What a loop gets and what it returns have one type each.
            for index, value in self.arguments(node, touched):
                yield body.output(node, index), value
        else:
            arguments = self.arguments(node, touched)
            for name in self.called(node)[:1] if arguments else ():
                outputs = self.library[name].signature.output_arg
                for index, value in self.returned(name, arguments):
                    if node.op in CALLS:
                        yield body.output(node, index), value
                    else:  # a function as an operation: its results are ports
                        key = f"{node.name}:{outputs[index].name}:0"
                        yield (key if body.in_function else body.output(node, index)), value


def _passed(body: Body, node: Any, touched: list[tuple[int, Value]]) -> Iterator[tuple[str, Value]]:
    if not touched or touched[0][0] != 0:
        return  # only the predicate of a Switch, or the like
    value = touched[0][1]
    # An operation of the Ref… family hands the variable itself on; any other one reads it.
    if value.kind == "ref" and not node.op.startswith("Ref"):
        value = value._replace(kind="value")
    count = PASSING[node.op][1]
    outputs = node.attr["num_outs"].i if count is None else count
    for index in range(outputs):
        yield body.output(node, index), value
