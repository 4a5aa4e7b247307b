"""Which variables of a graph are restored, and under which names a checkpoint holds them.

The names are those of `tf.compat.v1.train.Saver`: the name of the operation that holds the
variable, or the full name of what a slice is a part of. Nothing here adds a node to the graph,
except for objects that are no variables (see `_saveables`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.ops import ref_variable, resource_variable_ops, variables
from tensorflow.python.trackable import base as trackable
from tensorflow.python.training.saving import saveable_object

from . import _saveables
from ._kept import kept
from ._targets import Box, Part, Shape, Target

REFERENCE_OPS = frozenset({"Variable", "VariableV2", "AutoReloadVariable"})
_RESOURCE_OP = "VarHandleOp"
_VARIABLES = (resource_variable_ops.BaseResourceVariable, ref_variable.RefVariable)
_KEYS = tf.compat.v1.GraphKeys


def graph_targets(graph: Any, var_list: Any) -> list[Target]:
    """The targets of `var_list`, or of everything that the graph's own collections name.

    `var_list` is `None`, a (nested) list, tuple or set, or a mapping from names in the checkpoint
    to variables, to the output of a variable's operation, to partitioned variables or lists of
    their slices, or to any object that TensorFlow's `Saver` takes.

    Raises `ValueError` for an empty list, for two variables of one name, one variable under two
    names, or a variable of another graph; `TypeError` for what is not a variable.
    """
    if var_list is None:
        named: Iterable[tuple[str | None, Any]] = ((None, item) for item in _everything(graph))
    else:
        named = pairs(var_list)
    known: dict[int, _Known] = kept(graph, "targets", dict)
    targets: list[Target] = []
    for name, item in named:
        found = known.get(id(item)) if name is None else None
        if found is None or found.info is not item._save_slice_info:
            targets += _targets(graph, name, item)
            if name is None and isinstance(item, _VARIABLES) and item.shape.is_fully_defined():
                known[id(item)] = _Known(item, item._save_slice_info, targets[-1])
        else:
            targets.append(found.target)
    targets = [target for target in targets if target.parts]  # some objects have no state
    check(targets)
    return targets


class _Known(NamedTuple):
    """The target of a variable under its own name, kept because it takes 10 µs to make."""

    variable: Any  # kept alive, so that its id remains its own
    info: Any
    target: Target


def pairs(var_list: Any) -> Iterator[tuple[str | None, Any]]:
    """Every variable of the list with the name it is given, `None` where it bears its own."""
    if isinstance(var_list, Mapping):
        for name, item in var_list.items():
            if not isinstance(name, str):
                raise TypeError(f"names in var_list are strings, not {name!r}")
            check_keras(item)
            yield name, item
    elif isinstance(var_list, list | tuple | set | frozenset):
        for item in tf.nest.flatten(list(var_list)):
            check_keras(item)
            yield None, item
    else:
        raise TypeError(
            "var_list is a list of variables or a mapping from names to variables, "
            f"not {var_list!r}"
        )


def check_keras(item: Any) -> None:
    """Raise `TypeError` for a variable of Keras 3, which is none of TensorFlow's but holds one."""
    if type(item).__module__.startswith("keras.") and hasattr(item, "path"):
        raise TypeError(
            f"var_list: {item.path!r} is a variable of Keras 3: restore a Keras model with "
            "ckptfast.keras.load_weights, or pass {name in the checkpoint: variable.value}"
        )


def check(targets: list[Target]) -> None:
    """Raise `ValueError` unless there is something to restore, each thing from one place."""
    if not targets:
        raise ValueError("no variables to restore: the graph (or var_list) has none")
    names: dict[tuple[str, Box | None], Target] = {}
    sinks: dict[int, str] = {}
    for target in targets:
        for part in target.parts:
            if names.setdefault((part.name, part.box), target) is not target:
                raise ValueError(f"at least two variables have the same name: {part.name}")
        name, other = target.parts[0].name, sinks.get(id(target.sink))
        if other == name:
            raise ValueError(f"at least two variables have the same name: {name}")
        if other is not None:
            raise ValueError(f"one variable cannot be restored from two names: {other}, {name}")
        sinks[id(target.sink)] = name


def _everything(graph: Any) -> Iterator[Any]:
    """What `Saver()` would take, and where the collections are lost, every variable there is.

    A graph comes without collections from a bare GraphDef. Local variables (counters of metrics
    and input queues) are not part of a model, and `Saver` leaves them out.
    """
    known = graph.get_collection(_KEYS.GLOBAL_VARIABLES)
    if known:
        yield from known
    else:
        local = {id(handle_of(item)) for item in graph.get_collection(_KEYS.LOCAL_VARIABLES)}
        yield from (handle for handle in handles_in(graph) if id(handle) not in local)
    yield from graph.get_collection(_KEYS.SAVEABLE_OBJECTS)


def handles_in(graph: Any) -> Iterator[Any]:
    """The tensors that stand for variables, of all operations of a graph that hold one."""
    for op in graph.get_operations():
        if op.type == _RESOURCE_OP or op.type in REFERENCE_OPS:
            yield op.outputs[0]


def _targets(graph: Any, name: str | None, item: Any) -> Iterator[Target]:
    if isinstance(item, variables.PartitionedVariable):
        for part in item:
            yield _variable(graph, item.name if name is None else name, part)
    elif isinstance(item, list | tuple):  # only as a value of a mapping: slices of one variable
        check_slices(item)
        for part in item:
            yield _variable(graph, name, part)
    elif isinstance(item, _VARIABLES):
        yield _variable(graph, name, item)
    elif isinstance(item, tf.Tensor):
        yield _tensor(graph, name, item)
    elif isinstance(item, saveable_object.SaveableObject):
        yield _saveables.target(item)
    elif isinstance(item, trackable.Trackable):
        yield from map(_saveables.target, _saveables.of_trackable(graph, item, name))
    else:
        raise TypeError(f"not a variable: {item!r}")


def check_slices(items: Iterable[Any]) -> None:
    """Raise `ValueError` unless the items are slices of one partitioned variable."""
    names = set()
    for item in items:
        info = getattr(item, "_save_slice_info", None)
        if info is None:
            raise ValueError(f"a list in a mapping holds slices of one variable, not {item!r}")
        names.add(info.full_name)
    if len(names) > 1:
        raise ValueError(f"slices of different variables in one list: {', '.join(sorted(names))}")


def handle_of(variable: Any) -> Any:
    """The tensor that stands for the variable itself, not for its value."""
    if isinstance(variable, ref_variable.RefVariable):
        return variable._ref()
    return variable.handle


def _variable(graph: Any, name: str | None, variable: Any) -> Target:
    if not getattr(variable, "_in_graph_mode", True):
        raise ValueError(
            f"variable {variable.name!r} was created eagerly: it belongs to no session; "
            "restore it with sess=None"
        )
    handle = handle_of(variable)
    if handle.graph is not graph:
        raise ValueError(f"variable {variable.name!r} is not in the graph of the session")
    box = slice_of(variable)
    if name is None:
        name = handle.op.name if box is None else variable._save_slice_info.full_name
    dtype = variable.dtype.base_dtype.as_datatype_enum
    # Whoever turned validation off gets any shape, as from `Saver`.
    free = getattr(variable, "_validate_shape", True) is False
    shape = None if free else shape_of(variable.shape)
    return Target((Part(name, dtype, shape, box),), handle)


def slice_of(variable: Any) -> Box | None:
    """Where the variable lies in the partitioned variable it is a slice of."""
    info = variable._save_slice_info
    if info is None:
        return None
    return Box(tuple(info.full_shape), tuple(info.var_offset), tuple(info.var_shape))


def _tensor(graph: Any, name: str | None, tensor: Any) -> Target:
    """A target from a tensor that is, or was read from, a variable."""
    if tensor.graph is not graph:
        raise ValueError(f"tensor {tensor.name!r} is not in the graph of the session")
    op = tensor.op
    if op.type == "ReadVariableOp":
        op = op.inputs[0].op
    handle = op.outputs[0]
    if op.type == _RESOURCE_OP:
        dtype = op.get_attr("dtype").as_datatype_enum
        shape = shape_of(tf.TensorShape(op.get_attr("shape")))
    elif op.type in REFERENCE_OPS:
        dtype = handle.dtype.base_dtype.as_datatype_enum
        shape = shape_of(handle.shape)
    else:
        raise TypeError(f"not a variable: {tensor!r}")
    return Target((Part(name or op.name, dtype, shape),), handle)


def shape_of(shape: Any) -> Shape | None:
    """The sizes in a `tf.TensorShape`, `None` for an unknown rank."""
    return None if shape.rank is None else tuple(shape.as_list())


_PART = re.compile(r"(.+)/part_(\d+)")


def slices_by_name(targets: Iterable[Target]) -> dict[str, list[Target]]:
    """Whole variables called NAME/part_0, NAME/part_1, …: by NAME, in order.

    A graph without collections does not say that they are slices of one variable; their names do,
    for this is what `get_variable(partitioner=…)` calls them.
    """
    found: dict[str, dict[int, Target]] = {}
    for target in targets:
        match = _PART.fullmatch(target.parts[0].name) if len(target.parts) == 1 else None
        if match and target.parts[0].box is None:
            found.setdefault(match[1], {})[int(match[2])] = target
    return {
        name: [numbered[number] for number in range(len(numbered))]
        for name, numbered in found.items()
        if set(numbered) == set(range(len(numbered)))
    }
