"""Variables matched to keys by structure: a model beside the object graph of a checkpoint.

Both are walked from one point. Functional and sequential models pair their layers that have
weights in order, whatever the checkpoint calls them ("layer_with_weights-1" of tf_keras,
"_operations/3" of Keras 3); everything else goes by the names of attributes, as in TensorFlow.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from .._cached import cached_property
from .._names import BOOKKEEPING
from .._object_graph import VALUE, ObjectGraph
from . import _view
from ._view import View

Bound = dict[int, str]
"""The key of each variable, by the `id` of the variable."""

_LAYER: Final = re.compile(r"layer_with_weights-([0-9]{1,9})")
_ANY_LAYER: Final = re.compile(r"layer(_with_weights)?-[0-9]+")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_LAYER_LISTS: Final = ("_functional", "_operations", "_layers")
_STEPS: Final = ("_iterations", "iter", "iterations")
"""What optimizers of Keras 3 and tf_keras, and older ones, call their step counter."""


class Structure:
    """An object graph, prepared for looking a model up in it."""

    def __init__(self, graph: ObjectGraph) -> None:
        self.graph = graph
        self._leads = _leading_to_values(graph)

    @cached_property
    def full_names(self) -> dict[str, str]:
        """The full name of each key."""
        return {item.key: item.full_name for item in self.graph.attributes()}

    def full_name(self, number: int) -> str:
        """The full name of a variable; "" of anything else."""
        return self.full_names.get(self.key(number) or "", "")

    def key(self, number: int) -> str | None:
        """The key of a variable's value, if the object is a variable that was stored."""
        for attribute in self.graph.objects[number].attributes:
            if attribute.name == VALUE and attribute.stored:
                return attribute.key
        return None

    def children(self, number: int) -> dict[str, int]:
        """The children that lead to a value, attributes before lists of bookkeeping."""
        found = self.graph.objects[number].children.items()
        useful = [(name, child) for name, child in found if self._leads[child]]
        return dict(sorted(useful, key=lambda item: item[0] in BOOKKEEPING))

    def is_optimizer(self, number: int) -> bool:
        """Whether the object counts steps."""
        return any(name in self.graph.objects[number].children for name in _STEPS)

    def roots(self) -> list[tuple[str, int]]:
        """Where a model may be: the root, and its children that are no optimizers."""
        below = [
            (name, number)
            for name, number in self.children(0).items()
            if number != 0 and not self.is_optimizer(number)
        ]
        return [("", 0), *below]

    def find(self, path: str) -> int:
        """The object that a path leads to. Raises `ValueError` where it ends too early."""
        number = 0
        for name in filter(None, path.split("/")):
            below = self.graph.objects[number].children
            if name not in below:
                there = ", ".join(below) or "nothing"
                raise ValueError(f"root={path!r}: there is no {name!r}; there: {there}")
            number = below[name]
        return number

    def bind(self, start: int, item: Any, wanted: set[int]) -> tuple[Bound, int | None]:
        """The keys of the variables in `wanted` that the walk from `start` and `item` meets.

        Also the number of the model's optimizer, if the walk came by it.
        """
        bound: Bound = {}
        optimizer = None
        seen: set[tuple[int, int]] = set()
        waiting = collections.deque([(start, item)])
        lists: list[tuple[int, list[Any]]] = []
        while waiting:
            number, here = waiting.popleft()
            if (number, id(here)) in seen:
                continue
            seen.add((number, id(here)))
            if id(here) in wanted:
                key = self.key(number)
                if key is not None:
                    bound.setdefault(id(here), key)
                continue
            waiting.extend(self._layer_pairs(number, here))
            for name, child in self._others(number, here):
                exported = _view.exported(here, name)
                below = _view.member(here, name)
                if name == "optimizer" and self.is_optimizer(child):
                    optimizer = child if optimizer is None else optimizer
                elif exported is not None:
                    lists.append((child, exported))
                elif below is not None:
                    waiting.append((child, below))
        for child, exported in lists:
            self.fill(bound, child, exported)
        return bound, optimizer

    def fill(self, bound: Bound, number: int, variables: Sequence[Any]) -> None:
        """Add the keys in the list `number` of the checkpoint, if it is a list of `variables`.

        It is one if it has as many elements, and what was bound already agrees with it.
        """
        children = self.graph.objects[number].children
        keys = [self.key(child) for child in self.listed(number).values()]
        pairs = list(zip(variables, keys, strict=False))
        if len(keys) == len(children) == len(variables) and all(
            key is not None and bound.get(id(item), key) == key for item, key in pairs
        ):
            bound.update({id(item): key for item, key in pairs if key is not None})

    def _others(self, number: int, item: Any) -> Iterator[tuple[str, int]]:
        """The children of an object that are not layers which have a place."""
        paired = bool(self._layer_pairs(number, item))
        for name, child in self.children(number).items():
            if not paired or not (name in _LAYER_LISTS or _ANY_LAYER.fullmatch(name)):
                yield name, child

    def _layer_pairs(self, number: int, item: Any) -> list[tuple[int, Any]]:
        """The layers of two functional or sequential models, those with weights in order.

        Where the numbers of such layers differ, the places in the lists count, as in TensorFlow.
        """
        ours = _view.ordered_layers(item)
        if ours is None:
            return []
        children = self.children(number)
        numbered = {
            int(match[1]): child
            for name, child in children.items()
            if (match := _LAYER.fullmatch(name))
        }
        if numbered:  # tf_keras, which numbers layers that have weights
            return [(numbered[at], ours[at]) for at in sorted(numbered) if at < len(ours)]
        if "_functional" in children:  # within a sequential model
            children = self.children(children["_functional"])
        listed = next((children[name] for name in _LAYER_LISTS[1:] if name in children), None)
        if listed is None:
            return []
        places = self.listed(listed)
        if len(places) == len(ours):
            return list(zip(places.values(), ours, strict=True))
        everything = _view.all_layers(item)
        return [(child, everything[at]) for at, child in places.items() if at < len(everything)]

    def listed(self, number: int) -> dict[int, int]:
        """The elements of a list that lead to a value, by their places, in order."""
        children = self.children(number)
        places = sorted(int(name) for name in children if _NUMBER.fullmatch(name))
        return {place: children[str(place)] for place in places if str(place) in children}


def choose(
    structure: Structure, view: View, root: str | None
) -> tuple[Bound, int | None, ValueError | None]:
    """Keys for the model's variables, from where in the checkpoint the most are found.

    Also the model's optimizer there, and the error for two places that fit equally well and hold
    different tensors. Raises `ValueError` for a `root` that leads nowhere.
    """
    wanted = {id(item.object) for item in (*view.weights, *view.seeds)}
    places = structure.roots() if root is None else [(root, structure.find(root))]
    found = [(name, *structure.bind(number, view.model, wanted)) for name, number in places]
    most = max(len(bound) for _, bound, _ in found)
    best = [place for place in found if len(place[1]) == most]
    _, bound, optimizer = best[0]
    if all(set(other.values()) == set(bound.values()) for _, other, _ in best):
        return bound, optimizer, None
    names = ", ".join(repr(name) for name, _, _ in best)
    return (
        bound,
        optimizer,
        ValueError(
            f"the model fits several objects of the checkpoint: {names}; root= says which is meant"
        ),
    )


def add_trainable(
    structure: Structure, bound: Bound, optimizer: int | None, trainable: Sequence[Any]
) -> None:
    """Keys of variables that only an optimizer leads to.

    Keras 3 does not hand layers in lists to TensorFlow, but its optimizer lists the model's
    trainable variables in order.
    """
    if optimizer is None:
        return
    listed = structure.graph.objects[optimizer].children.get("_trainable_variables")
    if listed is not None:
        structure.fill(bound, listed, trainable)


def _leading_to_values(graph: ObjectGraph) -> list[bool]:
    """Of each object whether a stored value can be reached from it."""
    parents: list[list[int]] = [[] for _ in graph.objects]
    for number, item in enumerate(graph.objects):
        for child in item.children.values():
            parents[child].append(number)
    leads = [any(value.stored for value in item.attributes) for item in graph.objects]
    waiting = [number for number, known in enumerate(leads) if known]
    while waiting:
        for parent in parents[waiting.pop()]:
            if not leads[parent]:
                leads[parent] = True
                waiting.append(parent)
    return leads
