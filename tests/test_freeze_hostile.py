"""Graphs that nothing could run: freezing names the file and the node, and comes to an end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ckptfast
from ckptfast.freezing import _protos

FLOAT, RESOURCE = 1, 20


@pytest.fixture
def graph_def() -> Any:
    """A variable and its value."""
    found = _protos.message("GraphDef")()
    variable = add(found.node, "w", "VarHandleOp", dtype=FLOAT)
    variable.attr["shape"].shape.dim.add(size=4)
    add(found.node, "read", "ReadVariableOp", "w", dtype=FLOAT)
    return found


def add(nodes: Any, name: str, op: str, *inputs: str, f: str = "", **types: int) -> Any:
    node = nodes.add(name=name, op=op, input=inputs)
    for attribute, number in types.items():
        node.attr[attribute].type = number
    if f:
        node.attr["f"].func.name = f
        node.attr["Tin"].list.type.extend([RESOURCE] * len(inputs))
        node.attr["Tout"].list.type.append(FLOAT)
    return node


def function(graph_def: Any, name: str, *arguments: str) -> Any:
    """A function that returns what its node "c" does."""
    found = graph_def.library.function.add()
    found.signature.name = name
    for argument in arguments:
        found.signature.input_arg.add(name=argument, type=RESOURCE)
    found.signature.output_arg.add(name="y", type=FLOAT)
    found.ret["y"] = "c:output:0"
    return found


def frozen(graph_def: Any, folder: Path, output: str = "read") -> Any:
    file = folder / "graph.pb"
    file.write_bytes(graph_def.SerializeToString())
    prefix = ckptfast.save(folder / "m", {"w": np.float32([1, 2, 3, 4])})
    return _protos.message("GraphDef").FromString(ckptfast.freeze(file, prefix, [output]))


CIRCLES = {
    "value": [("a", "AssignVariableOp", "w", "i"), ("i", "Identity", "i")],
    "target": [
        ("a", "AssignVariableOp", "i", "w"),
        ("i", "Identity", "j:0"),
        ("j", "Identity", "i"),
    ],
}


@pytest.mark.parametrize("place", CIRCLES)
def test_identities_in_a_circle_are_followed_for_ever(
    graph_def: Any, tmp_path: Path, place: str
) -> None:
    for name, op, *inputs in CIRCLES[place]:
        add(graph_def.node, name, op, *inputs)
    assert [node.op for node in frozen(graph_def, tmp_path).node] == ["Const", "Identity"]


@pytest.mark.parametrize(
    ("op", "inputs"),
    [
        ("AssignVariableOp", []),
        ("AssignVariableOp", ["w"]),
        ("Assign", ["w", "^read"]),
        ("RestoreV2", ["read"]),
        ("SaveV2", []),
        ("ReadVariableOp", ["^w"]),
        ("ResourceGather", ["w"]),
        ("ResourceGather", ["w", "^read", "read"]),
        ("IdentityN", ["w"]),
        ("PartitionedCall", ["w"]),
        ("While", ["w"]),
        ("Identity", []),
        ("taker", ["w", "w"]),
    ],
)
def test_too_few_inputs_are_an_index_error(
    graph_def: Any, tmp_path: Path, op: str, inputs: list[str]
) -> None:
    function(graph_def, "taker", "x")
    add(graph_def.node, "broken", op, *inputs)
    with pytest.raises(ckptfast.DataLossError, match=rf"graph\.pb is damaged: {op} broken: "):
        frozen(graph_def, tmp_path, "broken")


def test_a_function_that_takes_less_than_it_is_given(graph_def: Any, tmp_path: Path) -> None:
    function(graph_def, "f")
    add(graph_def.node, "call", "PartitionedCall", "w", f="f")
    with pytest.raises(ckptfast.DataLossError, match="call: function f takes 0 arguments"):
        frozen(graph_def, tmp_path, "call")


def test_a_damaged_node_hides_in_a_function(graph_def: Any, tmp_path: Path) -> None:
    add(function(graph_def, "f", "x").node_def, "c", "ReadVariableOp")
    add(graph_def.node, "call", "PartitionedCall", "w", f="f")
    with pytest.raises(ckptfast.DataLossError, match="ReadVariableOp c in function f: it takes 0"):
        frozen(graph_def, tmp_path, "call")


def test_two_nodes_of_one_name(graph_def: Any, tmp_path: Path) -> None:
    add(graph_def.node, "read", "NoOp")
    with pytest.raises(ckptfast.DataLossError, match=r"graph\.pb is damaged: two nodes are called"):
        frozen(graph_def, tmp_path)


def nested(graph_def: Any, depth: int) -> None:
    for number in range(depth - 1):
        body = function(graph_def, f"f{number}", "x").node_def
        add(body, "c", "PartitionedCall", "x", f=f"f{number + 1}")
    last = function(graph_def, f"f{depth - 1}", "x")
    add(last.node_def, "c", "ReadVariableOp", "x", dtype=FLOAT)
    last.ret["y"] = "c:value:0"
    add(graph_def.node, "call", "PartitionedCall", "w", f="f0")


def test_functions_nested_too_deeply_are_a_recursion_error(graph_def: Any, tmp_path: Path) -> None:
    nested(graph_def, 3000)
    with pytest.raises(ckptfast.UnsupportedError, match=r"graph\.pb, function f128: .* 128 deep"):
        frozen(graph_def, tmp_path, "call")


def test_functions_nested_as_deeply_as_they_may_be(graph_def: Any, tmp_path: Path) -> None:
    nested(graph_def, 128)
    assert len(frozen(graph_def, tmp_path, "call").library.function) == 128


def test_a_saver_that_names_no_part(graph_def: Any, tmp_path: Path) -> None:
    for name, text in (("names", b"w"), ("specs", b"4 what")):
        tensor = add(graph_def.node, name, "Const").attr["value"].tensor
        tensor.string_val.append(text)
    add(graph_def.node, "restore", "RestoreV2", "prefix", "names", "specs")
    add(graph_def.node, "assign", "AssignVariableOp", "w", "restore")
    with pytest.raises(ckptfast.DataLossError, match=r"graph\.pb is damaged: '4 what' is no shape"):
        frozen(graph_def, tmp_path)


LOOPS = {
    "itself": [("out", "Relu", "out")],
    "each other": [("out", "Add", "read", "b"), ("b", "Relu", "c"), ("c", "Neg", "out:0")],
    "by waiting": [("out", "Add", "read", "b"), ("b", "Relu", "read", "^out")],
    "past a loop": [
        ("m", "Merge", "read", "n"),
        ("n", "NextIteration", "b"),
        ("b", "Relu", "out"),
        ("out", "Add", "m", "b"),
    ],
}


@pytest.mark.parametrize("name", LOOPS)
def test_nodes_that_wait_for_each_other_are_frozen(
    graph_def: Any, tmp_path: Path, name: str
) -> None:
    for node, op, *inputs in LOOPS[name]:
        add(graph_def.node, node, op, *inputs)
    with pytest.raises(
        ckptfast.DataLossError, match=r"graph\.pb is damaged: nodes wait for each other: .*out"
    ):
        frozen(graph_def, tmp_path, "out")


def test_a_loop_or_an_order_is_taken_for_a_circle(graph_def: Any, tmp_path: Path) -> None:
    add(graph_def.node, "out", "Exit", "s")
    add(graph_def.node, "s", "Switch", "m", "m:1")
    add(graph_def.node, "m", "Merge", "read", "n")
    add(graph_def.node, "n", "NextIteration", "s:1")
    assert len(frozen(graph_def, tmp_path, "out").node) == 6


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("read:7", "ReadVariableOp read has 1 output"),
        ("split:3", "Split split has 3 outputs"),
        ("call:1", "PartitionedCall call has 1 output"),
    ],
)
def test_an_output_that_there_is_not_is_frozen(
    graph_def: Any, tmp_path: Path, text: str, problem: str
) -> None:
    add(graph_def.node, "split", "Split", "read", "read").attr["num_split"].i = 3
    function(graph_def, "f", "x").node_def.add(name="c", op="ReadVariableOp", input=["x"])
    add(graph_def.node, "call", "PartitionedCall", "w", f="f")
    add(graph_def.node, "out", "Relu", text)
    with pytest.raises(ckptfast.DataLossError) as raised:
        frozen(graph_def, tmp_path, "out")
    assert str(raised.value).endswith(f"graph.pb is damaged: Relu out takes {text}, and {problem}")
    with pytest.raises(ckptfast.DataLossError) as raised:
        frozen(graph_def, tmp_path, text)
    assert str(raised.value).endswith(f"damaged: {text} is asked for, and {problem}")


IN_FUNCTIONS = {
    "a circle": (
        [("b", "Relu", "d:activations:0"), ("d", "Neg", "b:activations:0")],
        "nodes in function f wait for each other: b <- d <- b",
    ),
    "itself": ([("b", "NoOp", "^b")], "nodes in function f wait for each other: b <- b"),
    "no node": (
        [("b", "Relu", "gone:output:0")],
        "Relu b in function f takes gone:output:0, which is neither a node of it nor an argument",
    ),
    "no output": (
        [("b", "Relu", "c:value:1")],
        "Relu b in function f takes c:value:1, and ReadVariableOp c has 1 output",
    ),
    "no output of that name": (
        [("b", "Switch", "c:value:0", "c:value:0"), ("d", "Relu", "b:output_true:1")],
        "Relu d in function f takes b:output_true:1, and Switch b has 1 output",
    ),
    "two of one name": ([("c", "NoOp")], "two nodes in function f are called c"),
    "no result": ([], "function f returns gone:y:0, which is neither a node of it nor an argument"),
}


@pytest.mark.parametrize("name", IN_FUNCTIONS)
def test_a_function_that_nothing_could_run_is_frozen(
    graph_def: Any, tmp_path: Path, name: str
) -> None:
    nodes, problem = IN_FUNCTIONS[name]
    found = function(graph_def, "f", "x")
    found.ret["y"] = "c:value:0" if nodes else "gone:y:0"
    add(found.node_def, "c", "ReadVariableOp", "x", dtype=FLOAT)
    for node, op, *inputs in nodes:
        add(found.node_def, node, op, *inputs)
    add(graph_def.node, "call", "PartitionedCall", "w", f="f")
    with pytest.raises(ckptfast.DataLossError) as raised:
        frozen(graph_def, tmp_path, "call")
    assert str(raised.value).endswith(f"graph.pb is damaged: {problem}")
    if name != "two of one name":  # which is looked for everywhere
        assert len(frozen(graph_def, tmp_path).node) == 2  # nothing calls it


def test_a_loop_or_an_order_in_a_function_is_taken_for_a_circle(
    graph_def: Any, tmp_path: Path
) -> None:
    found = function(graph_def, "f", "x")
    found.ret["y"] = "out:output:0"
    for name, op, *inputs in [
        ("out", "Exit", "s:output_false:0", "^x"),
        ("s", "Switch", "m:output:0", "m:value_index:0"),
        ("m", "Merge", "c:value:0", "n:output:0"),
        ("n", "NextIteration", "s:output_true:0"),
        ("c", "ReadVariableOp", "x"),
    ]:
        add(found.node_def, name, op, *inputs)
    add(graph_def.node, "call", "PartitionedCall", "w", f="f")
    assert len(frozen(graph_def, tmp_path, "call").library.function[0].node_def) == 5


def test_the_numbers_of_outputs_are_not_tensorflows(tf: Any) -> None:
    from tensorflow.python.framework import op_def_registry

    from ckptfast.freezing import _links

    for name, known in _links.OUTPUTS.items():
        definition = op_def_registry.get(name)
        assert definition is not None, name
        outputs = definition.output_arg
        many = [arg.number_attr or arg.type_list_attr for arg in outputs]
        assert (many[0] if len(outputs) == 1 and any(many) else len(outputs)) == known, name
