"""Training a restored model further: what is new gets values, what is old is left alone.

Plain functions for graphs of `tf.compat.v1`, and two for Keras models. `ckptfast.restore` says
which variables get which values; these do the rest.
"""

from __future__ import annotations

from ._freeze import Frozen, freeze_below
from ._head import Head, replace_head
from ._initialize import initialize_uninitialized
from ._keras import freeze_keras_below, replace_keras_head

__all__ = [
    "Frozen",
    "Head",
    "freeze_below",
    "freeze_keras_below",
    "initialize_uninitialized",
    "replace_head",
    "replace_keras_head",
]
