"""The nodes that ckptfast adds to a graph: how they are made, and how they are told from others.

They are made once per graph and layout, belong to no scope of the user, and depend on nothing.
No export may contain them: they call back into this process.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import tensorflow as tf
from tensorflow.python.framework import ops

from ..graphs import _hidden

SCOPE: Final = "ckptfast"
MARK: Final = "_ckptfast"
"""An attribute of every node made here. TensorFlow ignores attributes that begin with "_"."""


@contextlib.contextmanager
def building(graph: Any, part: str) -> Iterator[None]:
    """Make nodes of ours: in our scope, marked, free of the caller's devices and dependencies."""
    _hidden.hide(graph, is_ours)
    mark = {MARK: tf.compat.v1.AttrValue(b=True)}
    with (
        graph.as_default(),
        graph.control_dependencies(None),
        ops.colocate_with(None, ignore_existing=True),
        graph.device(None),
        graph._attr_scope(mark),
        graph.name_scope(f"{SCOPE}/{part}/"),
    ):
        yield


def is_ours(node: Any) -> bool:
    """Whether ckptfast made the node (an operation of a graph, or a `NodeDef`)."""
    if node.name.partition("/")[0] == SCOPE:
        return True
    definition = node.node_def if isinstance(node, tf.Operation) else node
    return MARK in definition.attr
