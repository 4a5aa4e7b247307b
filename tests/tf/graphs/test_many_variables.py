"""Nodes that were multiplied are the nodes that TensorFlow's builder makes one by one."""

from __future__ import annotations

from typing import Any

import pytest


def graph_of(tf: Any, count: int, **beside: bool) -> Any:
    """A graph of variables of several kinds, in no order of kinds."""
    v1 = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default(), v1.device("/cpu:0"):
        for number in range(count):
            dtype = tf.float32 if number % 5 else tf.int64
            shape = [3 + number % 3]
            v1.get_variable(f"v{number}", shape, dtype, use_resource=number % 2 == 0)
        if beside.get("slices"):
            v1.get_variable("p", [4], partitioner=v1.fixed_size_partitioner(2))
        if beside.get("colocated"):
            with v1.colocate_with(v1.global_variables()[0].op):
                v1.get_variable("beside", [1], use_resource=False)
    if beside.get("elsewhere"):
        with graph.as_default(), v1.device("/cpu:1"):
            v1.get_variable("elsewhere", [1])
    return graph


def built(graph: Any, *, sharded: bool) -> tuple[list[bytes], list[bytes], bool]:
    """The nodes as we make them and as TensorFlow makes them, and whether some were multiplied."""
    from tensorflow.python.training import saver as stock

    from ckptfast.tf.graphs import _many, _standard_nodes
    from ckptfast.tf.saver import _wanted

    with graph.as_default():
        variables = graph.get_collection("variables")
        targets = _wanted.targets(variables)
        builder = stock.BulkSaverBuilder()
        multiplied = _many.kinds(builder, targets, _standard_nodes._read) is not None
        arguments = {"reshape": False, "sharded": sharded}
        ours = _standard_nodes.build(builder, "save", targets, arguments)
        stock.Saver(variables, sharded=sharded)
    nodes = graph.as_graph_def(add_shapes=True).node
    theirs = [node for node in nodes if node.name.startswith("save/")]
    return (
        [node.SerializeToString(deterministic=True) for node in ours.nodes],
        [node.SerializeToString(deterministic=True) for node in theirs],
        multiplied,
    )


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("count", [99, 100, 137])
def test_a_multiplied_node_differs(tf: Any, count: int, sharded: bool) -> None:
    ours, theirs, multiplied = built(graph_of(tf, count), sharded=sharded)
    assert ours == theirs
    assert multiplied is (count >= 100)


@pytest.mark.parametrize("beside", ["slices", "colocated", "elsewhere"])
def test_a_variable_of_another_kind_is_multiplied(tf: Any, beside: str) -> None:
    ours, theirs, multiplied = built(graph_of(tf, 100, **{beside: True}), sharded=True)
    assert ours == theirs
    assert not multiplied
