"""Restored things that are no variables: hash tables, and other objects that can be saved.

TensorFlow hides them behind `SaveableObject`: a list of tensors to save, and a method that makes
the operations to restore them. Those are made once per graph and object, and fed as any assignment.
"""

from __future__ import annotations

from typing import Any

from tensorflow.python.training.saving import saveable_object_util

from ._kept import kept, lock
from ._targets import Box, Part, Target


def target(saveable: Any) -> Target:
    """The target of a `SaveableObject`; its values may have any shape."""
    parts = tuple(
        Part(spec.name, spec.dtype.base_dtype.as_datatype_enum, None, box_of(spec.slice_spec))
        for spec in saveable.specs
    )
    return Target(parts, saveable)


def of_trackable(graph: Any, obj: Any, name: str | None) -> list[Any]:
    """The saveables of a trackable object, named as `Saver` names them.

    Making one may add operations that read the object, so they are kept with the graph.
    """
    with lock:
        known: dict[Any, Any] = kept(graph, "saveables", dict)
        found = known.get((id(obj), name))
        if found is None:
            with graph.as_default(), graph.control_dependencies(None):
                found = (obj, _make(obj, name))
            known[id(obj), name] = found  # with the object: its id is not given away
    saveables: list[Any] = found[1]
    return saveables


def _make(obj: Any, name: str | None) -> list[Any]:
    names = saveable_object_util.op_list_to_dict([obj]) if name is None else {name: obj}
    return list(saveable_object_util.validate_and_slice_inputs(names))


def of_eager(obj: Any, name: str | None) -> list[Any]:
    """The saveables of a trackable object outside of any graph."""
    return _make(obj, name)


def box_of(spec: str) -> Box | None:
    """The box that TensorFlow writes as "4 2 0,2:-"; `None` for all of the tensor."""
    if not spec:
        return None
    *sizes, extents = spec.split()
    full_shape = tuple(map(int, sizes))
    pairs = [
        (0, size) if extent == "-" else tuple(map(int, extent.split(",")))
        for extent, size in zip(extents.split(":"), full_shape, strict=True)
    ]
    return Box(full_shape, tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))
