"""The same for Keras models: those of Keras 3 and those of tf_keras."""

from __future__ import annotations

import importlib
from typing import Any

from ._tensors import width_of

_LIBRARIES = ("keras", "tf_keras")


def freeze_keras_below(model: Any, layer: Any) -> list[Any]:
    """Freeze a layer of a Keras model and all that it is computed from.

    `model` is a functional or sequential model, `layer` one of its layers or its name. Their
    `trainable` becomes `False`, which for batch normalisation also means that its statistics stay
    as they are. Returns the variables of the model that are still trained. A model that was
    compiled before has to be compiled again, as always when `trainable` is changed.

        >>> variables = ckptfast.finetune.freeze_keras_below(model, "fc7")

    Raises `ValueError` for a layer that the model does not have, or a subclassed model, of which
    nobody can tell what is computed from what.
    """
    output = _output(model, layer)
    for below in _library(model).Model(model.inputs, output).layers:
        below.trainable = False
    return list(model.trainable_variables)


def replace_keras_head(
    model: Any,
    layer: Any,
    units: int,
    *,
    name: str = "head",
    flatten: bool = True,
    kernel_initializer: Any = "glorot_uniform",
    freeze: bool = True,
) -> Any:
    """A model that is the given one up to a layer, and then a new fully connected one.

    The layers are shared with `model`, not copied: a checkpoint restored into either is in both.
    `layer`, `units`, `name`, `flatten` and `kernel_initializer` are as in `replace_head`, for a
    layer or its name in the place of the tensor. With `freeze`, the layers up to the cut are not
    trained any more (`trainable = False`, in `model` as well), so that `trainable_variables` of the
    result are those of the new layer. The result returns logits.

        >>> model = ckptfast.finetune.replace_keras_head(model, "fc7", 2)
        >>> model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))

    Raises `ValueError` as `freeze_keras_below`, and for a shape that does not say how many features
    there are.
    """
    keras = _library(model)
    features = _output(model, layer)
    width = width_of(features.shape, f"the output of {layer!r}", flatten=flatten)
    if freeze:
        freeze_keras_below(model, layer)
    if len(features.shape) == 1 or (flatten and len(features.shape) > 2):
        features = keras.layers.Reshape([width], name=f"{name}_features")(features)
    dense = keras.layers.Dense(units, kernel_initializer=kernel_initializer, name=name)
    return keras.Model(model.inputs, dense(features))


def _library(model: Any) -> Any:
    """The Keras that the model is of."""
    for kind in type(model).__mro__:
        root = kind.__module__.partition(".")[0]
        if root in _LIBRARIES and hasattr(model, "layers"):
            return importlib.import_module(root)
    raise TypeError(f"not a Keras model: {model!r}")


def _output(model: Any, layer: Any) -> Any:
    _library(model)
    found = model.get_layer(layer) if isinstance(layer, str) else layer
    try:
        inputs, output = model.inputs, found.output
    except (AttributeError, RuntimeError, ValueError):
        inputs, output = None, None
    if not inputs or output is None:
        raise ValueError(
            f"what {found.name!r} is computed from cannot be told: the model is not a functional "
            "or sequential one, or was not built yet"
        )
    if isinstance(output, list | tuple | dict):
        raise ValueError(f"{found.name!r} has several outputs: none of them is the features")
    return output
