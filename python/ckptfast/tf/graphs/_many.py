"""The standard nodes for thousands of variables, from those for one variable of each kind.

TensorFlow takes half a millisecond for each variable, and variables of one kind (type, shape and
device) have nodes that differ in names and numbers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import tensorflow as tf
from tensorflow.python.training import saver as stock

from .._targets import Target

_FEW: Final = 100
"""So many variables are no trouble for TensorFlow."""

Read = Callable[[Target], Any]
"""The tensor that TensorFlow saves of a resource variable, `None` of other ones."""
Kinds = Mapping[Hashable, Sequence[Target]]


def kinds(builder: Any, targets: Sequence[Target], read: Read) -> Kinds | None:
    """The targets by kind; `None` where they are few, or too various to be multiplied.

    They all have to be whole variables on one device, beside nothing else, and have a read.
    """
    is_plain = type(builder) is stock.BulkSaverBuilder and builder._write_version == 2
    if not is_plain or len(targets) < _FEW:
        return None
    found: dict[Hashable, list[Target]] = {}
    places = set()
    for target in targets:
        (part,), op, source = target.parts, target.sink.op, read(target)
        is_resource = target.sink.dtype == tf.resource
        if part.box is not None or (is_resource and source is None) or _is_beside(op):
            return None
        places.add(op.device)
        if source is not None:
            places.add(source.op.device)
        found.setdefault((op.type, part.dtype, part.shape), []).append(target)
    return found if len(places) == 1 else None


def _is_beside(op: Any) -> bool:
    return bool(op.colocation_groups() != [f"loc:@{op.name}".encode()])


class _Template(NamedTuple):
    """The nodes that restore one variable: its assignment, and for resources what is before it."""

    copy: Any | None
    assignment: Any


def expanded(
    nodes: Iterable[Any], by_kind: Kinds, targets: Sequence[Target], read: Read
) -> list[Any]:
    """The nodes for all targets, in TensorFlow's order, from `nodes` for the first of each kind."""
    nodes = list(nodes)
    templates = _templates(nodes)
    for members in by_kind.values():
        first = templates[members[0].sink.op.name]
        templates.update((member.sink.op.name, first) for member in members)
    restore = next(node.name for node in nodes if node.op == "RestoreV2")
    assignments = _assignments(restore, templates, targets)
    own = {node.name for found in templates.values() for node in found if node is not None}
    made: list[Any] = []
    for node in nodes:
        if node.name in own:
            made += assignments  # all of them, where the first one was
            assignments = []
        else:
            made.append(node)
    copied = [tf.compat.v1.NodeDef.FromString(node.SerializeToString()) for node in made]
    for node in copied:
        _fill(node, own, copied, targets, read)
    return copied


def _templates(nodes: Sequence[Any]) -> dict[str, _Template]:
    by_name = {node.name: node for node in nodes}
    found = {}
    for node in nodes:
        if node.op == "AssignVariableOp":
            found[node.input[0]] = _Template(by_name[node.input[1]], node)
        elif node.op == "Assign":
            found[node.input[0]] = _Template(None, node)
    return found


def _assignments(
    restore: str, templates: Mapping[str, _Template], targets: Sequence[Target]
) -> list[Any]:
    """The nodes that restore each target, numbered as TensorFlow does it."""
    scope = restore.rpartition("/")[0]
    used: dict[str, int] = {}
    for template in templates.values():
        for node in template:
            if node is not None:
                first = _number(node)  # the nodes that save may have taken some
                used[node.op] = min(first, used.get(node.op, first))

    def named(template: Any) -> Any:
        node = tf.compat.v1.NodeDef()
        node.CopyFrom(template)
        number = used[node.op]
        used[node.op] += 1
        node.name = f"{scope}/{node.op}" + (f"_{number}" if number else "")
        return node

    made = []
    for number, target in enumerate(targets):
        name = target.sink.op.name
        copy, assignment = templates[name]
        value = f"{restore}:{number}" if number else restore
        if copy is not None:
            copy = named(copy)
            copy.input[0] = value
            value = copy.name
            made.append(copy)
        assignment = named(assignment)
        assignment.input[0], assignment.input[1] = name, value
        if "_class" in assignment.attr:
            assignment.attr["_class"].list.s[0] = f"loc:@{name}".encode()
        made.append(assignment)
    return made


def _number(node: Any) -> int:
    return int(node.name.rpartition(node.op)[2].removeprefix("_") or 0)


def _fill(
    node: Any, own: set[str], nodes: Sequence[Any], targets: Sequence[Target], read: Read
) -> None:
    """Let a node that was made for a few variables name all of them."""
    parts = [target.parts[0] for target in targets] if node.op in _LISTS else []
    if node.op == "Const" and node.name.endswith("/tensor_names"):
        _set_text(node, [part.name for part in parts])
    elif node.op == "Const" and node.name.endswith("/shape_and_slices"):
        _set_text(node, [""] * len(parts))
    elif node.op in ("SaveV2", "RestoreV2"):
        del node.attr["dtypes"].list.type[:]
        node.attr["dtypes"].list.type.extend(part.dtype for part in parts)
        if node.op == "SaveV2":
            del node.input[3:]
            node.input.extend(_source(target, read).op.name for target in targets)
        else:
            shapes = node.attr["_output_shapes"].list.shape
            shapes.extend([shapes[0]] * (len(parts) - len(shapes)))
    elif node.op == "NoOp" and any(name[1:] in own for name in node.input):
        del node.input[:]
        node.input.extend(
            sorted(f"^{other.name}" for other in nodes if other.op.startswith("Assign"))
        )


_LISTS: Final = frozenset({"Const", "SaveV2", "RestoreV2"})


def _source(target: Target, read: Read) -> Any:
    source = read(target)
    return target.sink if source is None else source


def _set_text(node: Any, values: Sequence[str]) -> None:
    proto = tf.make_tensor_proto([value.encode() for value in values], tf.string, [len(values)])
    node.attr["value"].tensor.CopyFrom(proto)
    node.attr["_output_shapes"].list.shape[0].dim[0].size = len(values)
