"""Leaving the lower part of a graph as it is."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from .. import _variables
from .._upstream import upstream
from ._tensors import tensor_of


class Frozen(NamedTuple):
    """What `freeze_below` returns.

    - `tensor`: the same values; no gradient passes through it.
    - `trainable`: the trainable variables of the graph that the tensor does not depend on.
    """

    tensor: Any
    trainable: list[Any]


def freeze_below(tensor: Any) -> Frozen:
    """A tensor to build new layers on, and the variables that may still be trained.

    `tensor` is a tensor, or the name of one in the default graph. All that it is computed from
    stays as it is if both results are used: new layers are built on the returned tensor, and the
    optimizer is given the variables.

        >>> features, variables = ckptfast.finetune.freeze_below("fc7/Relu:0")
        >>> logits = tf.compat.v1.layers.dense(features, 2)
        >>> ...
        >>> optimizer.minimize(loss, var_list=[*variables, *new_variables])

    The graph gets one operation and is otherwise not changed, for TensorFlow ignores changes to
    operations that a session has run. What was built on `tensor` before therefore goes on using it,
    and there it is `var_list` alone that freezes: gradients are only computed as far down as its
    variables. A variable that is used both below the tensor and above it is not in the list.

    Optimizers change variables, and so do update operations, such as those that batch normalisation
    puts into the collection `UPDATE_OPS`: whoever runs those of layers below changes these layers.
    """
    found = tensor_of(tf.compat.v1.get_default_graph(), tensor)
    graph = found.graph
    with graph.as_default(), graph.control_dependencies(None):
        stopped = tf.stop_gradient(found, name=f"{found.op.name}/frozen".lstrip("_"))
    return Frozen(stopped, not_below(found))


def not_below(tensor: Any) -> list[Any]:
    """The trainable variables of a graph that a tensor of it does not depend on."""
    below = upstream([tensor.op], control=False)
    trainable = tensor.graph.get_collection(tf.compat.v1.GraphKeys.TRAINABLE_VARIABLES)
    return [item for item in trainable if _variables.handle_of(item).op not in below]
