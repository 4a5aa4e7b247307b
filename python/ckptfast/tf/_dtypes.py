"""`tf.DType` for TensorFlow's number of an element type."""

from __future__ import annotations

from typing import Any

import tensorflow


def tensorflow_dtype(number: int) -> Any:
    """The `tf.DType` of a type, by its number."""
    return tensorflow.dtypes.as_dtype(number)
