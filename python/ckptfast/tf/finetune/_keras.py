"""The same for Keras models: those of Keras 3 and those of tf_keras."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

from ._tensors import width_of

_LIBRARIES = ("keras", "tf_keras")


def freeze_keras_below(model: Any, layer: Any) -> list[Any]:
    """Freeze a layer of a Keras model and all that it is computed from.

    `model` is a functional or sequential model, `layer` one of its layers or its name. Their
    `trainable` becomes `False`, which for batch normalisation also means that its statistics stay
    as they are. Returns the variables of the model that are still trained. A model that was
    compiled before has to be compiled again, as always when `trainable` is changed. A layer may be
    a model itself. Of one that the model calls several times, what is below any call is frozen.

        >>> variables = ckptfast.finetune.freeze_keras_below(model, "fc7")

    Raises `ValueError` for a layer that the model does not have, or a subclassed model, of which
    nobody can tell what is computed from what.
    """
    outputs = _outputs(model, layer)
    for below in _library(model).Model(_inputs(model), outputs).layers:
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

    Raises `ValueError` as `freeze_keras_below`, for a layer that the model calls several times, and
    for a shape that does not say how many features there are.
    """
    keras = _library(model)
    outputs = _outputs(model, layer)
    if len(outputs) > 1:
        raise ValueError(
            f"{_name(layer)!r} is called {len(outputs)} times by the model: which of its outputs "
            "are the features cannot be told; name a layer above them"
        )
    (features,) = outputs
    width = width_of(features.shape, f"the output of {layer!r}", flatten=flatten)
    if freeze:
        freeze_keras_below(model, layer)
    if len(features.shape) == 1 or (flatten and len(features.shape) > 2):
        features = keras.layers.Reshape([width], name=f"{name}_features")(features)
    dense = keras.layers.Dense(units, kernel_initializer=kernel_initializer, name=name)
    return keras.Model(_inputs(model), dense(features))


def _library(model: Any) -> Any:
    """The Keras that the model is of."""
    for kind in type(model).__mro__:
        root = kind.__module__.partition(".")[0]
        if root in _LIBRARIES and hasattr(model, "layers"):
            return importlib.import_module(root)
    raise TypeError(f"not a Keras model: {model!r}")


def _name(layer: Any) -> str:
    return layer if isinstance(layer, str) else str(layer.name)


def _inputs(model: Any) -> Any:
    """The inputs as the model takes them: one, a list or a mapping."""
    graph = (
        getattr(model, "_functional", None) or model
    )  # a sequential one of Keras 3 keeps another
    return graph._inputs_struct if hasattr(graph, "_inputs_struct") else graph.input


def _outputs(model: Any, layer: Any) -> list[Any]:
    """What a layer returns in this model, for every call of it.

    `layer.output` is something else: of a model that is used as a layer it belongs to that model's
    own graph, and of a shared layer it is that of the first call, which another model may make.
    """
    _library(model)
    found = model.get_layer(layer) if isinstance(layer, str) else layer
    try:
        is_graph = bool(model.inputs) and bool(model.outputs)
    except (AttributeError, RuntimeError, ValueError):
        is_graph = False
    if not is_graph:
        raise ValueError(
            f"what {found.name!r} is computed from cannot be told: the model is not a functional "
            "or sequential one, or was not built yet"
        )
    nodes = [node for owner, node in _calls(model) if owner is found]
    if not nodes:
        raise ValueError(
            f"the model does not call {found.name!r} itself: a layer within one of its layers "
            "cannot be cut at"
        )
    outputs = [node.outputs for node in nodes]
    if any(isinstance(item, list | tuple | dict) and len(item) != 1 for item in outputs):
        raise ValueError(f"{found.name!r} has several outputs: none of them is the features")
    return [item[0] if isinstance(item, list | tuple) else item for item in outputs]


def _calls(model: Any) -> Iterator[tuple[Any, Any]]:
    """Each call that the model's outputs are computed by: the layer, and the node of the call."""
    seen: set[int] = set()
    waiting = list(model.outputs)
    while waiting:
        owner, number, _ = waiting.pop()._keras_history
        node = owner._inbound_nodes[number]
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield owner, node
        if not node.is_input:
            waiting += node.keras_inputs if hasattr(node, "keras_inputs") else node.input_tensors
