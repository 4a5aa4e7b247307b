"""How nodes name what they take: `node:1` in a graph, `node:port:1` in a function, `^node` to wait.

In a function a bare name is an argument of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

COLOCATION: Final = "loc:@"

# Output ports of the operations that hand a variable on, in their order. The last one repeats.
_PORTS: Final = {
    "Switch": ("output_false", "output_true"),
    "RefSwitch": ("output_false", "output_true"),
    "_SwitchN": ("outputs",),
}


def node_of(text: str) -> str:
    """The name of the node that an input names, also with `^` or a port."""
    return text.lstrip("^").partition(":")[0]


def index_of(text: str) -> int:
    """The number of the output that an input names; without one it is 0."""
    last = text.rpartition(":")[2]
    return int(last) if ":" in text and last.isdecimal() else 0


def data_inputs(node: Any) -> list[str]:
    """The inputs that carry values; those that only order come after them."""
    return [text for text in node.input if not text.startswith("^")]


def colocated(node: Any) -> Iterator[str]:
    """Names of the nodes that a node wants to be placed with."""
    if "_class" in node.attr:
        for text in node.attr["_class"].list.s:
            yield text.decode("utf-8", "surrogateescape").removeprefix(COLOCATION)


def key(text: str, *, in_function: bool) -> str:
    """One spelling for every tensor."""
    if in_function:
        return text
    name, colon, _ = text.partition(":")
    return text if colon else f"{name}:0"


def output_key(node: Any, index: int, *, in_function: bool, port: str = "output") -> str:
    """The tensor that is output `index` of a node; `port` is that of all its outputs."""
    if not in_function:
        return f"{node.name}:{index}"
    ports = _PORTS.get(node.op, (port,))
    if len(ports) > 1:
        return f"{node.name}:{ports[index]}:0"
    return f"{node.name}:{ports[0]}:{index}"


def functions_in(node: Any) -> Iterator[str]:
    """Names of the functions that a node refers to: in its attributes, or as its operation."""
    yield node.op
    yield from _functions_of(node.attr.values())


def _functions_of(values: Iterable[Any]) -> Iterator[str]:
    for value in values:
        kind = value.WhichOneof("value")
        if kind == "func":
            yield value.func.name
            yield from _functions_of(value.func.attr.values())
        elif kind == "list":
            for func in value.list.func:
                yield func.name
                yield from _functions_of(func.attr.values())


def unique(name: str, taken: Iterable[str]) -> str:
    """`name`, with a number after it where it is taken."""
    names = set(taken)
    if name not in names:
        return name
    number = 1
    while f"{name}_{number}" in names:
        number += 1
    return f"{name}_{number}"


def base_name(function: str) -> str:
    """The name of a function without the number that TensorFlow has given it."""
    return re.sub(r"_\d+\Z", "", function)
