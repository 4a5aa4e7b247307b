"""Errors of a restore in the words of TensorFlow's `Saver`, which people search for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ..._bundle import Reader
from ..._object_graph import ObjectGraph
from ..._report import Mismatch
from ...errors import NotFoundError, _located
from .._errors import combined
from .._mismatch import InvalidArgumentError
from .._plan import Plan
from .._targets import Target

_WRAPPED: Final = (
    "Restoring from checkpoint failed. This is most likely due to {} from the checkpoint. Please "
    "ensure that you have not altered the graph expected based on the checkpoint. "
    "Original error:\n\n{}"
)
_MISSING: Final = "a Variable name or other graph key that is missing"
_MISMATCH: Final = "a mismatch between the current graph and the graph"
_HINTS: Final = 10
# What C++ calls a type, where Python has another name.
_CPP_NAMES: Final = {"float32": "float", "float64": "double", "float16": "half"}


def error_of(reader: Reader, plan: Plan, targets: Sequence[Target]) -> Exception | None:
    """The error for what does not fit, `None` if everything does.

    Missing names come first, as in TensorFlow; but all of them are listed, not only one.
    """
    if plan.missing or plan.ambiguous:
        if reader.objects is not None:
            text = _object_based(reader.objects, plan, targets)
        else:
            text = _WRAPPED.format(_MISSING, "\n".join(_missing(reader, plan)))
        names = [*plan.missing, *plan.ambiguous]
        return combined(_located_at(NotFoundError(text), reader, names[0]))
    if plan.mismatched:
        lines = [_line(mismatch) for mismatch in plan.mismatched]
        text = _WRAPPED.format(_MISMATCH, "\n".join(lines))
        return _located_at(InvalidArgumentError(text), reader, plan.mismatched[0].name)
    return None


def reshape_error(reader: Reader, name: str, stored: int, wanted: int) -> Exception:
    """The error for a tensor whose elements do not fill the variable."""
    line = (
        f"Input to reshape is a tensor with {stored} values, but the requested shape has "
        f"{wanted} (tensor_name = {name})"
    )
    return _located_at(InvalidArgumentError(_WRAPPED.format(_MISMATCH, line)), reader, name)


def incompatible_shape(mismatch: Mismatch) -> ValueError:
    """The error for a variable of eager mode whose tensor has another shape."""
    return ValueError(
        f"Received incompatible tensor with shape {mismatch.stored} when attempting to restore "
        f"variable with shape {mismatch.variable} and name {mismatch.name}."
    )


def is_shape(mismatch: Mismatch) -> bool:
    """Whether shapes differ, not types."""
    return mismatch.stored.startswith("(")


def _located_at(error: Any, reader: Reader, name: str) -> Exception:
    _located(error, path=reader.prefix, key=name)
    found: Exception = error
    return found


def _missing(reader: Reader, plan: Plan) -> list[str]:
    lines = []
    for number, name in enumerate(sorted(plan.missing)):
        near = reader._nearest.to(name) if number < _HINTS else []
        hint = f" (nearest: {', '.join(near)})" if near else ""
        lines.append(f"Key {name} not found in checkpoint{hint}")
    return lines


def _line(mismatch: Mismatch) -> str:
    if not is_shape(mismatch):
        here = _CPP_NAMES.get(mismatch.variable, mismatch.variable)
        stored = _CPP_NAMES.get(mismatch.stored, mismatch.stored)
        return (
            f"tensor_name = {mismatch.name}; expected dtype {here} does not equal original dtype "
            f"{stored}"
        )
    if mismatch.variable.startswith("a slice of "):
        full = mismatch.variable.removeprefix("a slice of ")
        return (
            f"tensor_name = {mismatch.name}; shape in shape_and_slice spec {_brackets(full)} does "
            f"not match the shape stored in checkpoint: {_brackets(mismatch.stored)}"
        )
    return (
        "Assign requires shapes of both tensors to match. "
        f"lhs shape= {_brackets(mismatch.variable)} rhs shape= {_brackets(mismatch.stored)} "
        f"(tensor_name = {mismatch.name})"
    )


def _brackets(shape: str) -> str:
    return "[" + shape.strip("()").rstrip(",").replace(" ", "") + "]"


def _object_based(graph: ObjectGraph, plan: Plan, targets: Sequence[Target]) -> str:
    known = set(graph.keys_by_name())
    names = {part.name for target in targets for part in target.parts}
    text = (
        f"\n\nExisting variables not in the checkpoint: {', '.join(sorted(names - known))}\n\n"
        "Variables names when this checkpoint was written which don't exist now: "
        f"{', '.join(sorted(known - names))}\n\n"
        f"({len(names & known)} variable name(s) did match)\n\n"
        "Could not find some variables in the checkpoint (see names above). Saver was attempting "
        "to load an object-based checkpoint (saved using tf.train.Checkpoint or "
        "tf.keras.Model.save_weights) using variable names. If the checkpoint was written with "
        "eager execution enabled, it's possible that variable names have changed (for example "
        "missing a '_1' suffix). It's also possible that there are new variables which did not "
        "exist when the checkpoint was written. You can construct a Saver(var_list=...) with only "
        "the variables which previously existed, and if variable names have changed you may need "
        "to make this a dictionary with the old names as keys."
    )
    several = [f"{name}: {', '.join(keys)}" for name, keys in plan.ambiguous.items()]
    if several:
        text += "\n\nSeveral objects of one name were saved: " + "; ".join(several)
    return text
