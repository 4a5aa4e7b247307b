"""Variables into constants, in a whole graph and the functions of its library.

Works in place on a `GraphDef` of any descriptor pool, so on TensorFlow's own messages too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from . import _prune, _wires
from ._rules import Rules
from ._spread import Arguments, Body, Spread, Value

Fill = Callable[[Any], None]
"""Gives a `Const` node, which has its name, the attribute "value"."""


def rewrite(
    graph_def: Any,
    values: Mapping[str, Value],
    fill: Fill,
    number: Callable[[], int],
    *,
    graph: str = "the given graph",
) -> list[str]:
    """Replace the nodes named in `values` by constants, and adapt all that take their handles.

    `number` gives the number behind the name of a function's copy, `graph` is what messages call
    the graph. Returns the names of nodes that take a handle and that no rule is for: they are left
    as they are. Raises `UnsupportedError` for functions that call each other too deeply.
    """
    body = Body(graph_def.node)
    spread = Spread(graph_def.library.function, graph)
    found = spread.of_body(body, {f"{name}:0": value for name, value in values.items()})
    copies = _Copies(spread, number)
    rules = Rules(body, spread, copies.name, graph_def.node)
    for node in body.nodes:
        if node.name not in values:
            rules.apply(node, body.touched(node, found))
            continue
        name = node.name
        node.Clear()
        node.name, node.op = name, "Const"
        node.attr["dtype"].type = values[name].dtype
        fill(node)
    copies.put(graph_def)
    return [*rules.left, *copies.left]


class _Copies:
    """Copies of functions for arguments that are values: one for each set of such arguments."""

    def __init__(self, spread: Spread, number: Callable[[], int]) -> None:
        self._spread = spread
        self._number = number
        self._names: dict[tuple[str, Arguments, bool], str] = {}
        self._made: dict[str, list[Any]] = {}
        self.left: list[str] = []

    def name(self, function: str, arguments: Arguments, is_loop_body: bool) -> str:
        """The name of the copy, which is made if it is asked for for the first time.

        A function that the library does not have keeps its name.
        """
        if function not in self._spread.library:
            return function
        wanted = (function, arguments, is_loop_body)
        if wanted not in self._names:
            taken = {*self._spread.library, *self._names.values()}
            name = ""
            while not name or name in taken:
                name = f"{_wires.base_name(function)}_frozen_{self._number()}"
            self._names[wanted] = name
            with self._spread.called_from(function):
                self._make(name, *wanted)
        return self._names[wanted]

    def put(self, graph_def: Any) -> None:
        """Put the copies into the library, each in the place of its original.

        An original stays where something still calls it.
        """
        if not self._made:
            return
        library = graph_def.library
        originals = list(library.function)
        every = [copy for item in originals for copy in self._made.get(item.signature.name, ())]
        library.function.extend(every)
        used = _prune.used_functions(graph_def)
        ordered = []
        for item in originals:
            copies = self._made.get(item.signature.name, [])
            if not copies or item.signature.name in used:
                ordered.append(item)
            ordered += copies
        kept = [type(item).FromString(item.SerializeToString()) for item in ordered]
        del library.function[:]
        library.function.extend(kept)

    def _make(self, name: str, original: str, arguments: Arguments, is_loop_body: bool) -> None:
        source = self._spread.library[original]
        copy = type(source)()
        copy.CopyFrom(source)
        self._made.setdefault(original, []).append(copy)
        copy.signature.name = name
        body = Body(copy.node_def, copy)
        found = self._spread.of_function(original, arguments)
        rules = Rules(body, self._spread, self.name, copy.node_def)
        for node in body.nodes:
            rules.apply(node, body.touched(node, found))
        _rename_ports(copy, rules.renamed)
        for index, value in arguments:
            _set_argument(copy, index, value)
        results = arguments if is_loop_body else self._spread.returned(original, arguments)
        for index, value in results:
            copy.signature.output_arg[index].type = value.dtype
        self.left += [f"{original}/{node}" for node in rules.left]


def _rename_ports(function: Any, renamed: Mapping[str, str]) -> None:
    if not renamed:
        return
    for node in function.node_def:
        for at, text in enumerate(node.input):
            if text in renamed:
                node.input[at] = renamed[text]
    for name, text in list(function.ret.items()):
        if text in renamed:
            function.ret[name] = renamed[text]


def _set_argument(function: Any, index: int, value: Value) -> None:
    """A value in place of a handle; what was said of the handle's shape does not hold for it."""
    function.signature.input_arg[index].type = value.dtype
    if "_input_shapes" in function.attr:
        shapes = function.attr["_input_shapes"].list.shape
        if index < len(shapes):
            shapes[index].Clear()
            shapes[index].unknown_rank = True
    if index in function.arg_attr and "_output_shapes" in function.arg_attr[index].attr:
        for shape in function.arg_attr[index].attr["_output_shapes"].list.shape:
            shape.Clear()
            shape.unknown_rank = True
