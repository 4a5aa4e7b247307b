"""Graphs of every kind that freezing has a rule for, saved by TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1

Feeds = dict[str, Any]
Build = Callable[[], tuple[Any, Feeds]]


def scalar(name: str, value: float, **options: Any) -> Any:
    return v1.get_variable(name, initializer=tf.constant(value), **options)


def table(name: str = "table", shape: tuple[int, ...] = (4, 3), **options: Any) -> Any:
    values = np.arange(np.prod(shape), dtype=np.float64).reshape(shape)
    return v1.get_variable(name, initializer=tf.constant(values), **options)


def x_placeholder() -> Any:
    return v1.placeholder(tf.float32, [], "x")


def addition() -> tuple[Any, Feeds]:
    first = scalar("v1", 3.0)
    second = v1.get_variable("v2", initializer=tf.constant([1.0, 2.0]))
    return tf.add(first, second), {}


def colocated() -> tuple[Any, Feeds]:
    first = scalar("a", 3.0)
    second = scalar("b", 4.0)
    with v1.colocate_with(second.op):
        return first * 2.0, {}


NUMERIC = """float32 float64 int32 int64 uint8 int16 int8 complex64 complex128 bool bfloat16 half
uint32 uint64"""
TYPES = ("string", *NUMERIC.split())


def every_type() -> tuple[Any, Feeds]:
    reads = []
    for dtype in TYPES:
        for shape in ((), (1,), (2, 3), (0,)):
            if dtype != "string":
                value = np.full(shape, 1).astype(tf.as_dtype(dtype).as_numpy_dtype)
                value = -value if dtype.startswith("int") else value
            elif shape == ():  # what TensorFlow has an AttributeError for
                continue
            else:
                value = np.full(shape, b"a\0b", object)
            name = f"{dtype}_{'_'.join(map(str, shape))}_end"
            read = tf.identity(v1.get_variable(name, initializer=tf.constant(value, dtype)))
            if dtype != "string":
                read = tf.strings.as_string(tf.cast(read, tf.complex128))
            reads.append(tf.reshape(read, [-1]))
    return tf.concat(reads, 0), {}


def scalar_string() -> tuple[Any, Feeds]:
    value = v1.get_variable("text", initializer=tf.constant(b"a\0b"))
    return tf.strings.join([value, value]), {}


def branches() -> tuple[Any, Feeds]:
    x, a, b = x_placeholder(), scalar("a", 3.0), scalar("b", 5.0)
    return tf.cond(x > 0, lambda: a + x, lambda: b * x), {"x:0": 2.0}


def loop() -> tuple[Any, Feeds]:
    x, a = x_placeholder(), scalar("a", 3.0)
    result = tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y + a), [0, x])
    return result[1], {"x:0": 2.0}


def nested() -> tuple[Any, Feeds]:
    x, a, b = x_placeholder(), scalar("a", 3.0), scalar("b", 5.0)

    def step(i: Any, y: Any) -> tuple[Any, Any]:
        return i + 1, tf.cond(y > 5, lambda: y + a, lambda: y + b)

    result = tf.while_loop(lambda i, _: tf.cast(i, tf.float32) < b, step, [0, x])
    return result[1], {"x:0": 2.0}


def switch_case() -> tuple[Any, Feeds]:
    x, a, b = v1.placeholder(tf.int32, [], "x"), scalar("a", 3.0), scalar("b", 5.0)
    return tf.switch_case(x, [lambda: a + 1, lambda: b + 1, lambda: a + b]), {"x:0": 2}


def lookup() -> tuple[Any, Feeds]:
    x = v1.placeholder(tf.int32, [None], "x")
    return tf.nn.embedding_lookup(table(), x), {"x:0": [1, 3]}


def partitioned() -> tuple[Any, Feeds]:
    x = v1.placeholder(tf.int32, [None], "x")
    whole = v1.get_variable(
        "whole",
        [5, 3],
        initializer=v1.random_normal_initializer(),
        partitioner=v1.fixed_size_partitioner(3),
    )
    return v1.nn.embedding_lookup(whole, x, partition_strategy="div"), {"x:0": [1, 4, 2]}


def functions() -> tuple[Any, Feeds]:
    x, a = x_placeholder(), scalar("a", 3.0, use_resource=True)

    @tf.function
    def inner(y: Any) -> Any:
        return y * a

    @tf.function
    def outer(y: Any) -> Any:
        return inner(y) + a

    return outer(x), {"x:0": 2.0}


def raw_gather_nd() -> tuple[Any, Feeds]:
    x = v1.placeholder(tf.int32, [None, 2], "x")
    return table(use_resource=True).gather_nd(x), {"x:0": [[1, 2]]}


def batched_gather() -> tuple[Any, Feeds]:
    x = v1.placeholder(tf.int32, [2, None], "x")
    handle = table(shape=(2, 4, 3), use_resource=True).handle
    gathered = tf.raw_ops.ResourceGather(resource=handle, indices=x, dtype=tf.float64, batch_dims=1)
    return gathered, {"x:0": [[1, 3], [0, 2]]}


def function_of_gather() -> tuple[Any, Feeds]:
    x, rows = v1.placeholder(tf.int32, [2, None], "x"), table(shape=(2, 4, 3), use_resource=True)

    @tf.function
    def gather(y: Any) -> Any:
        handle = rows.handle
        batched = tf.raw_ops.ResourceGather(
            resource=handle, indices=y, dtype=tf.float64, batch_dims=1
        )
        size = tf.raw_ops.VariableShape(input=handle)
        return batched + tf.gather(rows, y[0])[:, :2][:, :1] + tf.cast(size[1], tf.float64)

    return gather(x), {"x:0": [[1, 0], [0, 1]]}


def function_that_returns_a_read() -> tuple[Any, Feeds]:
    x, a = x_placeholder(), scalar("a", 3.0, use_resource=True)

    @tf.function
    def read() -> Any:
        return tf.raw_ops.ReadVariableOp(resource=a.handle, dtype=tf.float32)

    return read() + x, {"x:0": 1.0}


def one_function_for_two_variables() -> tuple[Any, Feeds]:
    x = x_placeholder()
    a, b = scalar("a", 3.0, use_resource=True), scalar("b", 5.0, use_resource=True)

    @tf.function(input_signature=[tf.TensorSpec([], tf.resource)])
    def read(handle: Any) -> Any:
        return tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float32)

    called = read.get_concrete_function()
    return called(a.handle) + 10 * called(b.handle) + x, {"x:0": 1.0}


def loops_over_vectors() -> tuple[Any, Feeds]:
    """A handle is a scalar, and what it stands for is none: nodes say the shapes of both."""
    x = v1.placeholder(tf.float32, [2], "x")
    rates = v1.get_variable("rates", initializer=tf.constant([2.0, 3.0]))
    bounds = v1.get_variable("bounds", initializer=tf.constant([[30.0, 40.0]]))

    def step(y: Any, _: Any) -> Any:
        return tf.cond(y[0] < bounds[0, 0], lambda: y * rates, lambda: y - bounds[0])

    scanned = tf.scan(step, tf.range(4), initializer=x)
    looped = tf.while_loop(
        lambda y: tf.reduce_all(y < bounds), lambda y: y * rates + tf.gather(bounds, 0) / 8, [x]
    )
    return scanned + looped, {"x:0": [1.0, 2.0]}


def recurrent_layer() -> tuple[Any, Feeds]:
    import tf_keras

    x = v1.placeholder(tf.float32, [2, 5, 3], "x")
    steps = np.linspace(-1, 1, 30, dtype=np.float32).reshape(2, 5, 3)
    # Keras' own loop, whatever control flow the graph has otherwise.
    v1.enable_control_flow_v2()
    return tf_keras.layers.LSTM(4)(x), {"x:0": steps}


def function_that_hands_a_vector_on() -> tuple[Any, Feeds]:
    x, a = x_placeholder(), table("a", (3,), use_resource=True)

    @tf.function(input_signature=[tf.TensorSpec([], tf.resource)])
    def hand_on(handle: Any) -> Any:
        return tf.identity(handle)

    handle = hand_on.get_concrete_function()(a.handle)
    read = tf.raw_ops.ReadVariableOp(resource=handle, dtype=tf.float64)
    return read + tf.cast(x, tf.float64), {"x:0": 1.0}


SAME_BYTES: tuple[Build, ...] = (
    addition,
    colocated,
    every_type,
    branches,
    loop,
    nested,
    switch_case,
    lookup,
    partitioned,
    raw_gather_nd,
    functions,
)
"""TensorFlow freezes these too."""

BEYOND: tuple[Build, ...] = (
    scalar_string,
    batched_gather,
    function_of_gather,
    function_that_returns_a_read,
    one_function_for_two_variables,
    loops_over_vectors,
    recurrent_layer,
    function_that_hands_a_vector_on,
)
"""These TensorFlow refuses, or leaves in a state that cannot be imported."""


@dataclass(frozen=True)
class Case:
    """A saved model with a live session."""

    prefix: str
    meta_graph: Any
    output: str
    feeds: Feeds
    wanted: Any
    session: Any
    resource: bool


def save(build: Build, folder: Path, *, resource: bool, lowered: bool) -> Case:
    """Build and save a graph, with variables of either kind and control flow of either kind."""
    (v1.disable_control_flow_v2 if lowered else v1.enable_control_flow_v2)()
    try:
        with tf.Graph().as_default() as graph:
            v1.set_random_seed(1)
            with v1.variable_scope("", use_resource=resource):
                result, feeds = build()
            output = tf.identity(result, name="out")
            session = v1.Session(graph=graph)
            session.run(v1.global_variables_initializer())
            prefix = v1.train.Saver().save(session, str(folder / "model"))
            wanted = session.run(output, feeds)
    finally:
        v1.enable_control_flow_v2()
    meta_graph = v1.MetaGraphDef.FromString(Path(f"{prefix}.meta").read_bytes())
    return Case(prefix, meta_graph, "out", feeds, wanted, session, resource)


def run(graph_def: Any, output: str, feeds: Feeds) -> Any:
    """The value of a node of a graph that has no variables."""
    if isinstance(graph_def, bytes):
        graph_def = v1.GraphDef.FromString(graph_def)
    with tf.Graph().as_default(), v1.Session() as session:
        (tensor,) = tf.import_graph_def(graph_def, return_elements=[f"{output}:0"], name="")
        return session.run(tensor, feeds)
