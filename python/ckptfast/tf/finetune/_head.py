"""A new last layer on a graph."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from ._tensors import tensor_of, width_of


class Head(NamedTuple):
    """What `replace_head` returns: the output of the new layer, and the variables to train."""

    logits: Any
    variables: list[Any]


def replace_head(
    graph: Any,
    feature_tensor: Any,
    units: int,
    *,
    name: str = "head",
    flatten: bool = True,
    kernel_initializer: Any = None,
    stop_gradient: bool = True,
) -> Head:
    """Cut a graph at a tensor and put a fully connected layer on it.

    - `graph`: for example one that `ckptfast.import_meta_graph` made.
    - `feature_tensor`: the tensor or its name ("fc7/Relu:0"), of any rank, in floating point.
    - `units`: the number of outputs, such as that of the classes.
    - `name`: the layer's scope; its variables are `NAME/kernel`, of shape (features, units), and
      `NAME/bias`.
    - `flatten`: the features of an example are all dimensions but the first, and the logits have
      the shape (batch, units). Otherwise the layer is applied along the last dimension. A tensor of
      one dimension has one feature for each example.
    - `kernel_initializer`: by default Glorot's uniform one. The bias begins with zeros.
    - `stop_gradient`: no gradient reaches the layers below the cut.

    The number of features is that of the static shape. What was above the tensor stays in the graph
    and is no longer used.

        >>> saver = ckptfast.import_meta_graph("vgg.meta")
        >>> logits, variables = ckptfast.finetune.replace_head(graph, "fc7/Relu:0", 2)
        >>> train = optimizer.minimize(loss_of(logits), var_list=variables)
        >>> with tf.compat.v1.Session(graph=graph) as session:
        ...     saver.restore(session, "vgg")
        ...     ckptfast.finetune.initialize_uninitialized(session)

    Raises `ValueError` for a tensor that is not in the graph, a shape that does not say how many
    features there are, and a scope that is taken.
    """
    if not isinstance(graph, tf.Graph):
        raise TypeError(f"graph is a tf.Graph, not {graph!r}")
    if units < 1:
        raise ValueError(f"units is the number of outputs, at least 1, not {units}")
    features = tensor_of(graph, feature_tensor)
    if features.graph is not graph:
        raise ValueError(f"{features.name} is a tensor of another graph than the given one")
    if not features.dtype.is_floating:
        raise ValueError(f"{features.name} is {features.dtype.name}: no layer can be put on it")
    shape = features.shape
    sizes = None if shape.rank is None else shape.as_list()
    width = width_of(sizes, features.name, flatten=flatten)
    v1 = tf.compat.v1
    with graph.as_default(), graph.control_dependencies(None), v1.variable_scope(name) as scope:
        if f"{scope.name}/kernel" in {op.name for op in graph.get_operations()}:
            raise ValueError(f"the graph has a {scope.name}/kernel already: give another name=")
        dtype = features.dtype
        kernel = v1.get_variable("kernel", [width, units], dtype, kernel_initializer)
        bias = v1.get_variable("bias", [units], dtype, v1.zeros_initializer())
        if stop_gradient:
            features = tf.stop_gradient(features)
        if flatten or shape.rank == 1:
            features = tf.reshape(features, [-1, width])
        logits = tf.add(tf.tensordot(features, kernel, 1), bias, name="logits")
    return Head(logits, [kernel, bias])
