"""The object graph at one moment: objects, the names of their children, and slot variables."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from tensorflow.python.checkpoint import graph_view as graph_view_lib
from tensorflow.python.saved_model import save as saved_model_save
from tensorflow.python.trackable import base, converter

from . import _plain
from ._plain import OnlyTensorFlow

Children = tuple[tuple[str, ...], tuple[int, ...]]
"""The local names of an object's children, and their numbers."""

_NONE: Children = ((), ())


class Slot(NamedTuple):
    """A slot variable, by the numbers of the objects."""

    optimizer: int
    name: str
    variable: int
    slot: int


class ObjectGraph(NamedTuple):
    """Objects in breadth-first order from the root, each once, then the slot variables.

    `variables` has the resource variable of every object that is a plain one, else `None`.
    """

    objects: list[Any]
    variables: list[Any]
    children: list[Children]
    slots: list[Slot]


def traverse(view: Any, *, with_slots: bool = True) -> ObjectGraph:
    """What TensorFlow's `breadth_first_traversal` and `serialize_slot_variables` find.

    They ask every variable for its children and its slots. Without `with_slots` slot variables are
    left out. Raises `OnlyTensorFlow` where an object
    belongs to a distribution strategy, and `NotImplementedError` as TensorFlow does.
    """
    list_children = _lister(view)
    root = view.root
    objects = [root]
    numbers = {id(root): 0}
    variables: list[Any] = []
    children: list[Children] = []
    optimizers = []
    for number, obj in enumerate(objects):
        variable = _plain.variable(obj)
        variables.append(variable)
        if variable is not None:
            children.append(_NONE)
            continue
        if _plain.is_distributed(obj):
            raise OnlyTensorFlow("distribution strategy")
        kind: Any = type(obj)
        if _has_slots(kind):
            optimizers.append(number)
        found = list_children(obj)
        if obj is root and view.attached_dependencies:
            # A child with the name of an attached one gives way when objects are looked for.
            attached = [(reference.name, reference.ref) for reference in view.attached_dependencies]
            visible = {**dict(found), **dict(attached)}
            listed = [*found, *attached]
        else:
            visible, listed = dict(found), found
        for child in visible.values():
            if id(child) not in numbers:
                numbers[id(child)] = len(objects)
                objects.append(child)
        names = tuple([name for name, _ in listed])
        try:
            children.append((names, tuple([numbers[id(child)] for _, child in listed])))
        except KeyError:  # a child that was just made by asking for it, and is not the same twice
            raise OnlyTensorFlow("children that are made anew each time") from None
    slots = _slots(objects, numbers, optimizers) if with_slots else []
    children += [_NONE] * len(slots)
    variables += [_plain.variable(objects[slot.slot]) for slot in slots]
    return ObjectGraph(objects, variables, children, slots)


def _lister(view: Any) -> Callable[[Any], list[tuple[str, Any]]]:
    """What lists the names and children of an object without the attached ones.

    Raises `OnlyTensorFlow` for a view that we do not know.
    """
    if type(view) is graph_view_lib.ObjectGraphView:
        return children_of
    if type(view) is saved_model_save._AugmentedGraphView and not view.attached_dependencies:
        view.breadth_first_traversal()  # merges constants that are equal
        return lambda obj: [(name, child) for name, child in view.list_children(obj)]
    raise OnlyTensorFlow("customised object graph")


def children_of(obj: Any) -> list[tuple[str, Any]]:
    """Names and children of an object, wrapped so that each is trackable."""
    obj._maybe_initialize_trackable()
    return [
        (
            name,
            child
            if isinstance(child, base.Trackable)
            else converter.convert_to_trackable(child, parent=obj),
        )
        for name, child in obj._trackable_children(base.SaveType.CHECKPOINT).items()
    ]


@functools.cache
def _has_slots(kind: type) -> bool:
    return hasattr(kind, "get_slot_names")


def _slots(objects: list[Any], numbers: dict[int, int], optimizers: list[int]) -> list[Slot]:
    """Add the slot variables of all optimizers to `objects`."""
    slots = []
    count = len(objects)
    for optimizer in optimizers:
        for name in objects[optimizer].get_slot_names():
            for variable in range(count):
                slot = _slot(objects[optimizer], objects[variable], name)
                if slot is None:
                    continue
                if id(slot) in numbers:
                    raise NotImplementedError(
                        "A slot variable was re-used as a dependency of a Trackable "
                        f"object: {slot}. This is not currently allowed. "
                        "File a feature request if this limitation bothers you."
                    )
                numbers[id(slot)] = len(objects)
                slots.append(Slot(optimizer, name, variable, len(objects)))
                objects.append(slot)
    return slots


def _slot(optimizer: Any, variable: Any, name: str) -> Any:
    try:
        slot = optimizer.get_slot(variable, name)
    except (AttributeError, KeyError):
        return None
    if slot is None:
        return None
    if _plain.is_distributed(slot):
        raise OnlyTensorFlow("distribution strategy")
    slot._maybe_initialize_trackable()
    if slot._trackable_children():
        raise NotImplementedError(
            "Currently only variables with no dependencies can be saved as "
            "slot variables. File a feature request if this limitation "
            "bothers you."
        )
    return slot
