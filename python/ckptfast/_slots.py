"""Which names are those of an optimizer's own variables, told by the names alone.

A slot bears the name of its variable with the slot's behind it: "dense/kernel/Adam_1" beside
"dense/kernel" (`tf.compat.v1.train` optimizers, and most that people write). Keras optimizers put
their own name before it as well: "Adam/dense/kernel/m". Shadow variables of moving averages have
such names, and are no slots: they hold values of the model.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from ._moving_averages import SUFFIX

WORD: Final = ":slots"
"""The word for all of them in `exclude=`. No variable of a graph has a ":" in its name."""

_OPTIMIZER = (
    r"(?:Adam|AdamW|Adamax|Nadam|Adagrad|AdagradDA|Adadelta|RMSprop|SGD|Ftrl|Lion|Adafactor"
    r"|adam|adamw|adamax|nadam|adagrad|adadelta|rmsprop|sgd|ftrl|lion|adafactor)(?:_\d+)?"
)
_KERAS_SLOT = (
    r"(?:m|v|vhat|momentum|momentums?|velocity|rms|mg|accumulator|accum_grad|accum_var|linear)"
)
# What optimizers keep once, not once for each variable.
_SCALARS = re.compile(
    r"(?:.*/)?beta[12]_power(?:_\d+)?"
    rf"|(?:.*/)?{_OPTIMIZER}/(?:iter|iterations?|beta_[12]|decay|learning_rate|rho|momentum)"
)
_KERAS = re.compile(
    rf"(?:.*/)?{_OPTIMIZER}/(?:(?:{_KERAS_SLOT})/(?P<old>.+)|(?P<new>.+)/(?:{_KERAS_SLOT}))"
)


def slots(names: Collection[str]) -> set[str]:
    """Those of `names` that are an optimizer's."""
    every = set(names)
    return {name for name in every if _is_slot(name, every)}


def _is_slot(name: str, every: set[str]) -> bool:
    below, _, last = name.rpartition("/")
    if below in every:
        return f"/{last}" != SUFFIX
    if _SCALARS.fullmatch(name):
        return True
    found = _KERAS.fullmatch(name)
    return found is not None and (found["old"] or found["new"]) in every
