"""The state of a Keras 3 optimizer: steps, learning rate, and slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .._names import BOOKKEEPING
from . import _view
from ._structure import Bound, Structure
from ._view import Variable, View

# What the slots of tf_keras' older optimizers (`OptimizerV2`) are called in Keras 3.
_SLOTS: Final = {
    "m": ("_momentums", "_m"),
    "v": ("_velocities", "_u"),
    "vhat": ("_velocity_hats",),
    "momentum": ("momentums", "_momentums"),
    "rms": ("_velocities",),
    "mg": ("_average_gradients",),
    "accumulator": ("_accumulators",),
    "linear": ("_linears",),
    "accum_grad": ("_accumulated_grads",),
    "accum_var": ("_accumulated_delta_vars",),
}
_OTHER_NAMES: Final = {"iter": "_iterations"}


def prepare(view: View, *, build: bool) -> Any:
    """The model's optimizer if it has slots, which `build` makes; else `None`.

    Raises `ValueError` with `build` where there is no optimizer to build.
    """
    optimizer: Any = getattr(view.model, "optimizer", None)
    if not hasattr(optimizer, "_trainable_variables"):  # none, or one of tf_keras
        if build:
            raise ValueError(
                f"optimizer=True, and {view.model.name!r} has no optimizer of Keras 3: compile the "
                "model first (tf_keras restores its own optimizers)"
            )
        return None
    if build and not optimizer.built:
        optimizer.build(view.trainable)
    return optimizer if optimizer.built else None


def variables(optimizer: Any) -> list[Variable]:
    """The variables of an optimizer that was built."""
    return [_view.variable(item) for item in optimizer.variables]


def find(structure: Structure) -> int | None:
    """The only optimizer of the checkpoint; `None` if there is none, or several."""
    numbers = [at for at in range(len(structure.graph.objects)) if structure.is_optimizer(at)]
    return numbers[0] if len(numbers) == 1 else None


def bind(structure: Structure, number: int, optimizer: Any, weights: Bound) -> Bound:
    """Keys of the optimizer's variables, in the object `number` of the checkpoint.

    `weights` are the keys of the model's variables: a slot belongs to the variable of the same key,
    whatever its place in either list.
    """
    wanted = {id(item) for item in optimizer.variables}
    trained = list(optimizer._trainable_variables)
    bound: Bound = {}
    for name, child in structure.children(number).items():
        if name in BOOKKEEPING:
            continue
        ours = _view.member(optimizer, _OTHER_NAMES.get(name, name))
        if isinstance(ours, list | tuple) and len(ours) == len(trained):
            places = _places(structure, number, child, [weights.get(id(item)) for item in trained])
            for slot, place in zip(ours, places, strict=True):
                key = None if place is None else structure.key(place)
                if key is not None and id(slot) in wanted:
                    bound.setdefault(id(slot), key)
        elif ours is not None:
            found, _ = structure.bind(child, ours, wanted)
            bound.update(found)
    bound.update(_older_slots(structure, number, optimizer, weights))
    return bound


def _places(
    structure: Structure, optimizer: int, slots: int, keys: Sequence[str | None]
) -> list[int | None]:
    """The object in a list of slots for each variable, of which the keys are given."""
    listed = structure.listed(slots)
    trained = structure.graph.objects[optimizer].children.get("_trainable_variables")
    if trained is not None:  # Keras 3, whose lists have one order
        order = {structure.key(item): at for at, item in structure.listed(trained).items()}
        return [None if key is None else listed.get(order.get(key, -1)) for key in keys]
    # tf_keras calls a slot "Adam/m/dense/kernel".
    names = {item: structure.full_name(item) for item in listed.values()}
    places: list[int | None] = []
    for key in keys:
        end = f"/{structure.full_names.get(key, '')}" if key is not None else None
        fitting = [item for item, name in names.items() if end and name.endswith(end)]
        places.append(fitting[0] if len(fitting) == 1 else None)
    return places


def _older_slots(structure: Structure, number: int, optimizer: Any, weights: Bound) -> Bound:
    """Keys of slots that the graph keeps apart, as optimizers did before Keras 3."""
    trained = list(optimizer._trainable_variables)
    at = {weights[id(item)]: at for at, item in enumerate(trained) if id(item) in weights}
    bound: Bound = {}
    for slot in structure.graph.objects[number].slots:
        place, key = at.get(structure.key(slot.variable) or ""), structure.key(slot.slot)
        for name in _SLOTS.get(slot.name, ()):
            ours = vars(optimizer).get(name)
            if place is not None and key is not None and ours and len(ours) == len(trained):
                bound[id(ours[place])] = key
                break
    return bound
