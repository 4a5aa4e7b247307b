"""What becomes of a node that takes a variable's handle, once the variable is a constant.

The rules are those of TensorFlow's `convert_to_constants`. Where it leaves a node that no graph can
be imported with, they go on: docs/compatibility.md lists where.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from . import _wires
from ._spread import CALLS, LOOPS, MERGES, PASSING, Arguments, Body, Spread, Value

Touched = list[tuple[int, Value]]
Frozen = Callable[[str, Arguments, bool], str]
"""The name of a function's copy for these arguments; of a loop's body if the flag is true."""

_INDEX_TYPES: Final = (3, 9)  # int32 and int64
_INT32: Final = 3
# Operations that take a variable itself, not its value.
_TAKE_REFERENCES: Final = re.compile(
    r"Assign(Add|Sub)?|Scatter(Nd)?(Add|Sub|Mul|Div|Min|Max|Update)|(Sparse)?Apply\w+"
    r"|IsVariableInitialized|CountUpTo|StridedSliceAssign|Ref\w+"
)


class Rules:
    """The rules, for the nodes of one body. `container` is the repeated field to add nodes to.

    - `left`: names of nodes that take a handle and that no rule is for. They stay as they are.
    - `renamed`: in a function, tensors whose port has another name now.
    """

    def __init__(self, body: Body, spread: Spread, frozen: Frozen, container: Any) -> None:
        self._body = body
        self._spread = spread
        self._frozen = frozen
        self._container = container
        self.left: list[str] = []
        self.renamed: dict[str, str] = {}

    def apply(self, node: Any, touched: Touched) -> None:
        """Adapt a node, whose inputs `touched` become values."""
        if not touched:
            return
        first, value = touched[0]
        is_handle = any(value.kind == "resource" for _, value in touched)
        if node.op in PASSING or node.op in MERGES or node.op == "IdentityN":
            self._pass(node, touched)
        elif node.op in _READERS and first == 0 and value.kind == "resource":
            _READERS[node.op](self, node, value)
        elif is_handle and self._spread.arguments(node, touched) and self._spread.called(node):
            self._call(node, self._spread.arguments(node, touched))
        elif is_handle or (
            any(value.kind == "ref" for _, value in touched) and _TAKE_REFERENCES.fullmatch(node.op)
        ):
            self.left.append(node.name)

    def _pass(self, node: Any, touched: Touched) -> None:
        first, value = touched[0]
        if node.op == "IdentityN":
            for index, value in touched:
                node.attr["T"].list.type[index] = value.dtype
        elif node.op in MERGES:
            if value.kind == "value":
                return
            node.op = MERGES[node.op]
            node.attr["T"].type = value.dtype
        elif first == 0:
            if value.kind == "ref":
                node.op = PASSING[node.op][0]
            node.attr["T"].type = value.dtype
        else:
            return
        if "_output_shapes" in node.attr:
            del node.attr["_output_shapes"]

    def _call(self, node: Any, arguments: Arguments) -> None:
        names = self._spread.called(node)
        # What a loop gets and what it returns have one type each.
        results = (
            arguments if node.op in LOOPS else tuple(self._spread.returned(names[0], arguments))
        )
        if "_output_shapes" in node.attr:  # of a handle they are those of a scalar
            for index, value in results:
                _set_shape(node.attr["_output_shapes"].list.shape, index, value)
        if node.op not in CALLS:
            node.op = self._frozen(node.op, arguments, False)
            return
        _, types, attributes = CALLS[node.op]
        for attribute in attributes:
            attr = node.attr[attribute]
            is_body = node.op in LOOPS and attribute == "body"
            for func in [attr.func] if attr.HasField("func") else attr.list.func:
                func.name = self._frozen(func.name, arguments, is_body)
        for index, value in arguments:
            node.attr[types].list.type[index] = value.dtype
            if node.op in LOOPS and "output_shapes" in node.attr:
                _set_shape(node.attr["output_shapes"].list.shape, index, value)
        for index, value in () if node.op in LOOPS else results:
            node.attr["Tout"].list.type[index] = value.dtype

    def _read(self, node: Any, value: Value) -> None:
        """`ReadVariableOp` into `Identity`, without what it waited for: a constant is the same."""
        kept = _cleared(node)
        node.op = "Identity"
        node.input.append(kept.input[0])
        node.attr["T"].type = value.dtype
        _keep_place(node, kept)
        if self._body.in_function:
            self.renamed[f"{node.name}:value:0"] = f"{node.name}:output:0"

    def _shape(self, node: Any, value: Value) -> None:
        """`VariableShape` into `Shape`."""
        kept = _cleared(node)
        node.op = "Shape"
        node.input.append(kept.input[0])
        node.attr["T"].type = value.dtype
        node.attr["out_type"].type = kept.attr["out_type"].type or _INT32
        _keep_place(node, kept)

    def _gather(self, node: Any, value: Value) -> None:
        """`ResourceGather` into `GatherV2`: of n batch dimensions, it gathers along the n-th."""
        kept = _cleared(node)
        indices = kept.attr["Tindices"].type
        batch_dims = kept.attr["batch_dims"].i
        axis_type = indices if indices in _INDEX_TYPES else _INT32
        axis = self._add_axis(node.name, axis_type, batch_dims, kept.input[0])
        node.op = "GatherV2"
        node.input.extend([kept.input[0], kept.input[1], axis])
        node.attr["Tparams"].type = value.dtype
        node.attr["Tindices"].type = indices
        node.attr["Taxis"].type = axis_type
        if batch_dims:
            node.attr["batch_dims"].i = batch_dims
        _keep_place(node, kept)

    def _add_axis(self, gather: str, dtype: int, axis: int, handle: str) -> str:
        """A new constant, and how its value is named as an input."""
        nodes = {node.name: node for node in self._container}
        node = self._container.add(name=_wires.unique(f"{gather}/axis", nodes), op="Const")
        if not self._body.in_function and _is_in_frame(nodes, handle):
            # What takes nothing is outside of all frames, and nobody inside can take it.
            node.input.append(f"^{_wires.node_of(handle)}")
        node.attr["dtype"].type = dtype
        tensor = node.attr["value"].tensor
        tensor.dtype = dtype
        tensor.tensor_shape.SetInParent()
        (tensor.int_val if dtype == _INT32 else tensor.int64_val).append(axis)
        return f"{node.name}:output:0" if self._body.in_function else str(node.name)

    def _gather_nd(self, node: Any, value: Value) -> None:
        """`ResourceGatherNd` into `GatherNd`."""
        kept = _cleared(node)
        node.op = "GatherNd"
        node.input.extend(kept.input[:2])
        node.attr["Tparams"].type = value.dtype
        node.attr["Tindices"].type = kept.attr["Tindices"].type
        _keep_place(node, kept)


_READERS: Final[dict[str, Callable[[Rules, Any, Value], None]]] = {
    "ReadVariableOp": Rules._read,
    "VariableShape": Rules._shape,
    "ResourceGather": Rules._gather,
    "ResourceGatherNd": Rules._gather_nd,
}


def _is_in_frame(nodes: Mapping[str, Any], text: str) -> bool:
    """Whether a handle was taken into the frame of a loop, as one that loops read is."""
    for _ in nodes:
        node = nodes.get(_wires.node_of(text))
        if node is None or node.op not in PASSING or not node.input:
            return False
        if PASSING[node.op][0] == "Enter":
            return True
        text = node.input[0]
    return False


def _cleared(node: Any) -> Any:
    """A copy of a node, which then has nothing left but its name."""
    kept = type(node)()
    kept.CopyFrom(node)
    node.Clear()
    node.name = kept.name
    return kept


def _keep_place(node: Any, kept: Any) -> None:
    if "_class" in kept.attr:
        node.attr["_class"].CopyFrom(kept.attr["_class"])


def _set_shape(shapes: Any, index: int, value: Value) -> None:
    if index < len(shapes):
        shapes[index].Clear()
        if value.shape is None:
            shapes[index].unknown_rank = True
        for size in value.shape or ():
            shapes[index].dim.add(size=size)
