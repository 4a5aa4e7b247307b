"""Which names are those of an optimizer's own variables, told by the names or by the object graph.

A slot bears the name of its variable with the slot's behind it: "dense/kernel/Adam_1" beside
"dense/kernel" (`tf.compat.v1.train` optimizers, and most that people write). Keras optimizers put
their own name before it as well: "Adam/dense/kernel/m", and "adam/dense_kernel_momentum" in Keras
3. Shadow variables of moving averages have such names, and are no slots: they hold values of the
model.

The keys of an object-based checkpoint say less: with Keras 3 a weight of the model may be
"model/optimizer/_trainable_variables/0/…". There the object graph knows.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from ._moving_averages import SUFFIX
from ._object_graph import Object, ObjectGraph

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
_KERAS_3 = re.compile(rf"(?:.*/)?{_OPTIMIZER}/([^/]+)")

_WEIGHTS: Final = "_trainable_variables"
"""The list of the model's variables that an optimizer of Keras 3 keeps."""
# What only optimizers have together: those of Keras 3 and later ones of tf_keras, and older ones.
_SIGNS: Final = ({"_iterations", "_learning_rate"}, {"iter", "learning_rate"})


def slots(names: Collection[str]) -> set[str]:
    """Those of `names` that are an optimizer's."""
    every = set(names)
    joined = {name.replace("/", "_") for name in every}
    return {name for name in every if _is_slot(name, every) or _is_of_keras_3(name, joined)}


def keys_of(graph: ObjectGraph) -> set[str]:
    """The keys of an object-based checkpoint that are an optimizer's.

    Those are its slot variables, its own variables, and what is in its lists; not the model's
    variables, whatever list of the optimizer led to them when they were saved. The root is whatever
    the caller of `tf.train.Checkpoint` put together: no optimizer, though its parts be called like
    those of one.
    """
    found = {slot.slot for item in graph.objects for slot in item.slots}
    own: set[int] = set()
    weights: set[int] = set()
    for item in graph.objects[1:]:
        if _is_optimizer(item):
            for name, child in item.children.items():
                (weights if name == _WEIGHTS else own).add(child)
    return {
        key
        for number in (found | _with_items(graph, own)) - _with_items(graph, weights)
        for attribute in graph.objects[number].attributes
        for key in attribute.stored
    }


def _with_items(graph: ObjectGraph, numbers: set[int]) -> set[int]:
    """These objects, and what is in those of them that are lists."""
    found = set(numbers)
    for number in numbers:
        item = graph.objects[number]
        if not item.attributes and all(map(str.isdecimal, item.children)):
            found.update(item.children.values())
    return found


def _is_optimizer(item: Object) -> bool:
    return bool(item.slots) or any(signs <= item.children.keys() for signs in _SIGNS)


def _is_of_keras_3(name: str, joined: set[str]) -> bool:
    """Whether a name is an optimizer's, then a variable's with "_" for "/", then a slot's."""
    found = _KERAS_3.fullmatch(name)
    rest = found[1] if found else ""
    return any(rest[: at.start()] in joined for at in re.finditer("_", rest))


def _is_slot(name: str, every: set[str]) -> bool:
    below, _, last = name.rpartition("/")
    if below in every:
        return f"/{last}" != SUFFIX
    if _SCALARS.fullmatch(name):
        return True
    found = _KERAS.fullmatch(name)
    return found is not None and (found["old"] or found["new"]) in every
