"""Tensors of a graph by their names."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ... import _patterns


def tensor_of(graph: Any, tensor: Any) -> Any:
    """The tensor itself, or that of the given name: "fc7/Relu:0", or "fc7/Relu" for an only output.

    Raises `ValueError` where the graph has no such tensor, with names that are near.
    """
    if isinstance(tensor, tf.Tensor):
        return tensor
    if not isinstance(tensor, str):
        raise TypeError(f"a tensor of the graph or its name, not {tensor!r}")
    name, _, number = tensor.partition(":")
    names = [op.name for op in graph.get_operations()]
    if name not in names:
        inside = [other for other in names if other.startswith(f"{name}/")]
        hint = f" (in that scope: {', '.join(inside[-3:])})" if inside else ""
        raise ValueError(
            f"the graph has no operation {name!r}{hint or _patterns.near(name, names)}"
        )
    outputs = graph.get_operation_by_name(name).outputs
    if not number and len(outputs) != 1:
        raise ValueError(f"{name!r} has {len(outputs)} outputs: say which one, as in '{name}:0'")
    if number and not (number.isdecimal() and int(number) < len(outputs)):
        raise ValueError(f"{name!r} has {len(outputs)} outputs, and none is number {number}")
    return outputs[int(number or 0)]


def width_of(shape: Any, name: str, *, flatten: bool) -> int:
    """How many features each example has; with `flatten`, over all dimensions but the first.

    Raises `ValueError` for a shape that does not say.
    """
    sizes = None if shape is None else list(shape)
    if not sizes:
        text = "an unknown shape" if sizes is None else "no dimensions"
        raise ValueError(f"{name} has {text}: a layer needs examples with features")
    counted = sizes[1:] if flatten or len(sizes) == 1 else sizes[-1:]
    width = 1
    for size in counted:
        if size is None:
            shown = ", ".join("?" if size is None else str(size) for size in sizes)
            raise ValueError(
                f"{name} has the shape ({shown}), so the number of its features is not known: fix "
                "it, for example by averaging over the dimensions of unknown size"
            )
        width *= size
    return width
