"""The values of eager variables, without a copy: an update makes its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.training.saving.saveable_object import SaveableObject

from .._targets import Target
from ._snapshot import Taken, variant


def take(targets: Sequence[Target]) -> list[Taken]:
    """The values of all parts of all targets, in order."""
    return [_taken(tensor) for target in targets for tensor in _tensors(target)]


def _tensors(target: Target) -> list[Any]:
    sink = target.sink
    if isinstance(sink, SaveableObject):
        return [spec.tensor for spec in sink.specs]
    tf.raw_ops.DisableCopyOnRead(resource=sink.handle)
    return [tf.raw_ops.ReadVariableOp(resource=sink.handle, dtype=sink.dtype)]


def _taken(tensor: Any) -> Taken:
    if tensor.dtype == tf.variant:
        return variant(tf.raw_ops.SerializeTensor(tensor=tensor).numpy())
    if tensor.dtype == tf.string:
        return tensor.numpy()
    return array(tensor)


def array(tensor: Any) -> Any:
    """The tensor's memory, or a copy where it is on another device; `numpy()` always copies."""
    try:
        return tensor._numpy()
    except (RuntimeError, TypeError, ValueError, tf.errors.OpError):
        return on_host(tensor)._numpy()


def on_host(tensor: Any) -> Any:
    """The tensor on the first CPU. `tensor.cpu()` logs that it is deprecated."""
    with tf.device("CPU:0"):
        return tf.identity(tensor)
