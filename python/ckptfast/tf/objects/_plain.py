"""Which trackable objects are plain variables: one value, nothing below it, in this process.

They are nearly all objects of a checkpoint. Everything else is left to the methods that TensorFlow
has for it.
"""

from __future__ import annotations

import functools
from typing import Any

import tensorflow as tf
from tensorflow.python.ops import resource_variable_ops
from tensorflow.python.saved_model.registration import registration

from ... import _dtypes

_RESOURCE_VARIABLES = (
    resource_variable_ops.ResourceVariable,
    resource_variable_ops.UninitializedVariable,
)
_OPAQUE = {_dtypes.VARIANT, tf.resource.as_datatype_enum}
# TensorFlow registers this saver itself, and it takes TPU embeddings only.
_TENSORFLOWS_SAVERS = {"tf.TPUEmbeddingCallback"}


class OnlyTensorFlow(Exception):
    """Raised where TensorFlow's own operations must do the work; the argument says why."""


def variable(obj: Any) -> Any | None:
    """The resource variable whose value is all that `obj` saves, or `None`.

    Of a variable of Keras 3 it is the one inside. Types are compared exactly: a subclass may save
    itself in another way.
    """
    kind: Any = type(obj)
    if kind not in _RESOURCE_VARIABLES:
        if not _is_keras_variable(kind):
            return None
        if vars(obj).get("_self_unconditional_checkpoint_dependencies"):
            return None
        obj = obj._value
        if type(obj) not in _RESOURCE_VARIABLES:
            return None
    attributes = obj.__dict__
    if (
        attributes.get("_self_unconditional_checkpoint_dependencies")
        or "_serialize_to_tensors" in attributes
        or attributes["_in_graph_mode"]
        or attributes["_dtype"]._type_enum in _OPAQUE
    ):
        return None
    return obj


@functools.cache
def _is_keras_variable(kind: type) -> bool:
    method = getattr(kind, "_serialize_to_tensors", None)
    return getattr(method, "__module__", "") == "keras.src.backend.tensorflow.core"


def is_distributed(obj: Any) -> bool:
    """Whether an object belongs to a distribution strategy or to DTensor."""
    kind: Any = type(obj)
    return _is_distributed(kind)


@functools.cache
def _is_distributed(kind: type) -> bool:
    return any(
        base.__module__.startswith(("tensorflow.python.distribute", "tensorflow.dtensor"))
        for base in kind.__mro__
    )


def may_have_registered_savers() -> bool:
    """Whether a program registered a saver, which might claim plain variables too."""
    return not _TENSORFLOWS_SAVERS.issuperset(registration._saver_registry._registered_map)


def check_device(name: str) -> None:
    """Raise `OnlyTensorFlow` unless a device is one of this process."""
    spec = tf.DeviceSpec.from_string(name or "")
    if spec.job not in (None, "localhost") or spec.task not in (None, 0):
        raise OnlyTensorFlow("device of another process")
    if spec.device_type not in (None, "CPU", "GPU"):
        raise OnlyTensorFlow("custom device")
