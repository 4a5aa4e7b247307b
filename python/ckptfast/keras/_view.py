"""A Keras model as ckptfast sees it: variables with names, layers in order, attributes.

Keras 3 (on any backend) and tf_keras look the same from here, and neither is imported. Members are
looked up in the instances' dictionaries: the names come from a file, and no property of a class
shall run because a file says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

# Classes whose layers have an order that two programs agree on.
_ORDERED: Final = frozenset({"Functional", "Sequential"})
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_LISTS: Final = frozenset({"trainable_variables", "non_trainable_variables"})
"""Lists that exports store, and models have as properties. The order within each is the same in
tf_keras and Keras 3; that of `variables` is not."""


SYNONYMS: Final = {"depthwise_kernel": "kernel", "kernel": "depthwise_kernel"}
"""What tf_keras and Keras 3 call the kernel of a depthwise convolution. Both have separable ones,
too, with a kernel of either name."""


class Variable(NamedTuple):
    """A variable of the model or its optimizer.

    `name` is its path in Keras 3, its name in tf_keras; `dtype` as TensorFlow names it.
    """

    object: Any
    name: str
    shape: tuple[int | None, ...]
    dtype: str


class View:
    """The variables that a model has, and those of its random seeds."""

    def __init__(self, model: Any) -> None:
        _check_built(model)
        self.model = model
        self.weights = [variable(item) for item in _unique(model.weights)]
        taken = {id(item.object) for item in self.weights}
        taken |= {id(item) for item in getattr(model, "metrics_variables", ())}
        others = _unique(model.variables)
        self.seeds = [variable(item) for item in others if id(item) not in taken]
        self.trainable = list(model.trainable_variables)

    @property
    def unbuilt(self) -> tuple[str, ...]:
        """Names of layers inside the model that have not been built."""
        layers = self.model._flatten_layers(include_self=False)
        return tuple(layer.name for layer in layers if not layer.built)


def variable(item: Any) -> Variable:
    """Name, shape and type of a variable of Keras 3 or TensorFlow."""
    dtype = item.dtype if isinstance(item.dtype, str) else item.dtype.name
    name = getattr(item, "path", None) or item.name.removesuffix(":0")
    return Variable(item, name, tuple(item.shape), dtype)


def _unique(items: Sequence[Any]) -> Iterator[Any]:
    seen: set[int] = set()
    for item in items:
        if id(item) not in seen:
            seen.add(id(item))
            yield item


def _check_built(model: Any) -> None:
    """Raise `TypeError` for what is no Keras model, `ValueError` for one without variables."""
    kinds = {f"{kind.__module__.partition('.')[0]}.{kind.__name__}" for kind in type(model).__mro__}
    if not kinds & {"keras.Layer", "tf_keras.Layer"}:
        raise TypeError(f"not a Keras model or layer: {model!r}")
    if not model.built or not model.weights:
        raise ValueError(
            f"{model.name!r} has no variables yet: call it on a batch of data, or call "
            "model.build(input_shape), before its weights are loaded"
        )


def ordered_layers(item: Any) -> list[Any] | None:
    """The layers that have weights, if their order means something; else `None`."""
    if not any(kind.__name__ in _ORDERED for kind in type(item).__mro__):
        return None
    return [layer for layer in item.layers if layer.weights]


def all_layers(item: Any) -> list[Any]:
    """Every layer of a functional or sequential model of Keras 3, in the order that it keeps."""
    inner = vars(item).get("_functional") or item
    return list(vars(inner).get("_operations") or item.layers)


def exported(item: Any, name: str) -> list[Any] | None:
    """The model's list of variables `name`, if it is one that exports store."""
    if name in _LISTS and hasattr(item, "_flatten_layers"):
        return list(getattr(item, name))
    return None


def member(item: Any, name: str) -> Any:
    """The element or attribute of `item` that a checkpoint calls `name`; `None` if there is none.

    Attributes may have gained or lost a leading underscore: what is `kernel` in tf_keras is
    `_kernel` in Keras 3.
    """
    if isinstance(item, list | tuple):
        place = int(name) if _NUMBER.fullmatch(name) else len(item)
        return item[place] if place < len(item) else None
    if isinstance(item, Mapping):
        return next((value for key, value in item.items() if str(key) == name), None)
    attributes = getattr(item, "__dict__", {})
    plain = name.lstrip("_")
    for spelling in (name, f"_{name}", plain, *_synonyms(plain)):
        if attributes.get(spelling) is not None:
            return attributes[spelling]
    return None


def _synonyms(name: str) -> tuple[str, ...]:
    other = SYNONYMS.get(name)
    return () if other is None else (other, f"_{other}")


def finalize(model: Any, assigned: set[int]) -> None:
    """Let layers compute what they derive from their variables (`Normalization` its factors).

    `assigned` are the variables that have new values, by `id`. Keras does so after loading, too.
    """
    for layer in model._flatten_layers(include_self=True):
        derives = getattr(layer, "finalize_state", None)
        if derives is not None and not assigned.isdisjoint(map(id, layer.weights)):
            derives()
