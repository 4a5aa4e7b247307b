"""Models whose meta graphs are compared."""

from __future__ import annotations

from typing import Any


def model(tf: Any) -> None:
    """Variables of every plain kind, an optimizer, a collection and a function in a fresh graph."""
    v1 = tf.compat.v1
    a = v1.get_variable("a", [2, 3], use_resource=True)
    with v1.device("/cpu:0"):
        v1.get_variable("b", [4], use_resource=False, dtype=tf.float64)
    v1.get_variable("scope/unknown", initializer=v1.placeholder(tf.float32), validate_shape=False)
    v1.get_variable(
        "p",
        [6, 2],
        use_resource=True,
        partitioner=v1.fixed_size_partitioner(3),
    )
    with v1.colocate_with(a.op):
        v1.get_variable("beside", [2], use_resource=False)
    x = v1.placeholder(tf.float32, [None, 2], name="x")
    y = tf.identity(tf.matmul(x, a), name="y")
    v1.add_to_collection("predict", y)
    v1.add_to_collection("numbers", 7)
    v1.train.AdamOptimizer().minimize(tf.reduce_sum(y))


def graph_of(tf: Any) -> Any:
    """A new graph with the model in it."""
    graph = tf.Graph()
    with graph.as_default():
        model(tf)
    return graph
