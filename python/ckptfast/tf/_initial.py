"""Which variables of a session have no value yet, and giving them their initial ones."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from . import _session, _stored_initial, _variables
from ._kept import kept, lock
from ._upstream import upstream

_CHECKS = {"VarIsInitializedOp", "IsVariableInitialized"}
_ASSIGNMENTS = {"Assign", "AssignVariableOp"}
_READS = {"ReadVariableOp", "Identity"}
_RESTORES = {"Restore", "RestoreSlice", "RestoreV2"}


def uninitialized(sess: Any, var_list: Any = None) -> list[str]:
    """The names of the variables that have no value in a session, in the order of their creation.

    `var_list` is a list of variables, by default all global and local ones (in a graph that was
    imported without its collections, all there are). TensorFlow says the same of one variable at a
    time, by the `FailedPreconditionError` of whatever reads it.

        >>> ckptfast.restore(session, "pretrained/model", strict=False)
        >>> ckptfast.uninitialized(session)
        ['head/kernel', 'head/bias']

    Nothing is added to the graph for resource variables; for reference variables one operation
    each, once, which no export contains. In a finalized graph without such an operation the
    variables are read instead. Raises `RuntimeError` where that cannot be either.
    """
    session = _session.unwrap(sess)
    handles = handles_of(session.graph, var_list)
    return [handle.op.name for handle in without_value(session, handles)]


def handles_of(graph: Any, var_list: Any) -> list[Any]:
    """The tensors that stand for variables; by default all that are global or local."""
    if var_list is not None:
        is_empty = isinstance(var_list, list | tuple | set | frozenset | dict) and not var_list
        targets = [] if is_empty else _variables.graph_targets(graph, var_list)
        return [target.sink for target in targets if isinstance(target.sink, tf.Tensor)]
    return list({id(handle): handle for handle in _all(graph)}.values())


def _all(graph: Any) -> Iterator[Any]:
    keys = tf.compat.v1.GraphKeys
    known = [
        *graph.get_collection(keys.GLOBAL_VARIABLES),
        *graph.get_collection(keys.LOCAL_VARIABLES),
    ]
    if known:
        yield from map(_variables.handle_of, known)
    else:
        yield from _variables.handles_in(graph)


def without_value(session: Any, handles: Sequence[Any], *, may_add: bool = True) -> list[Any]:
    """Those of the variables that have no value in the session.

    Without `may_add` no operation is added, and a variable that cannot be asked is left out; with
    it, that is a `RuntimeError`.
    """
    with lock:
        known: dict[int, Any] = kept(session.graph, "initialized", dict)
        checks = {id(handle): _check(known, handle, may_add=may_add) for handle in handles}
    asked = [handle for handle in handles if checks[id(handle)] is not None]
    answers = session.run([checks[id(handle)] for handle in asked]) if asked else []
    empty = {id(handle) for handle, has in zip(asked, answers, strict=True) if not has}
    reads = {id(handle): _read(handle) for handle in handles if checks[id(handle)] is None}
    for handle in handles:
        if may_add and reads.get(id(handle), handle) is None:
            raise RuntimeError(
                f"the graph has no operation that reads {handle.op.name}, and it is finalized, so "
                "none can be added: ask once before graph.finalize()"
            )
    readable = {number: op for number, op in reads.items() if op is not None}
    if readable and not _runs(session, list(readable.values())):
        empty |= {number for number, op in readable.items() if not _runs(session, [op])}
    return [handle for handle in handles if id(handle) in empty]


def _check(known: dict[int, Any], handle: Any, *, may_add: bool) -> Any:
    """A tensor that says whether the variable has a value; `None` if none can be made."""
    if id(handle) in known:
        return known[id(handle)]
    graph = handle.graph
    found = next((op.outputs[0] for op in handle.consumers() if op.type in _CHECKS), None)
    if found is None and may_add and not graph.finalized:
        from .saver._graph_nodes import building  # it is loaded after this module

        with building(graph, "initialized"):
            if handle.dtype == tf.resource:
                found = tf.raw_ops.VarIsInitializedOp(resource=handle)
            else:
                found = tf.raw_ops.IsVariableInitialized(ref=handle)
    if found is not None:
        known[id(handle)] = found
    return found


def _read(handle: Any) -> Any:
    """An operation that reads the variable and no more, if the graph has one."""
    for op in handle.consumers():
        if op.type in _READS and not op.control_inputs and op.inputs[0] is handle:
            return op
    return None


def _runs(session: Any, ops: Sequence[Any]) -> bool:
    """Whether the operations find a value; nothing is fetched."""
    try:
        session.run(list(ops))
    except tf.errors.FailedPreconditionError:
        return False
    return True


def initializers(graph: Any, handles: Iterable[Any]) -> dict[int, Any]:
    """The operation that gives each variable its initial value, by the `id` of its handle.

    Raises `ValueError` naming the variables that have none.
    """
    keys = tf.compat.v1.GraphKeys
    known = {
        id(_variables.handle_of(variable)): variable
        for key in (keys.GLOBAL_VARIABLES, keys.LOCAL_VARIABLES)
        for variable in graph.get_collection(key)
    }
    found = {}
    lacking = []
    for handle in handles:
        variable = known.get(id(handle))
        op = _assignment(handle) if variable is None else variable.initializer
        if op is None:
            lacking.append(handle.op.name)
        else:
            found[id(handle)] = op if isinstance(op, tf.Operation) else op.op
    if lacking:
        raise ValueError(f"the graph has no initial value for {', '.join(lacking)}")
    return found


def _assignment(handle: Any) -> Any:
    """Of a variable whose object is lost, the first assignment that is not a `Saver`'s."""
    for op in handle.consumers():
        if op.type not in _ASSIGNMENTS or op.inputs[0] is not handle:
            continue
        if not any(below.type in _RESTORES for below in upstream([op.inputs[1].op])):
            return op
    return None


def in_order(handles: Sequence[Any], ops: Mapping[int, Any]) -> graphlib.TopologicalSorter[Any]:
    """The operations that hold the variables, those first whose values the initial ones read.

    Raises `ValueError` where initial values read each other in a circle.
    """
    names = {handle.op for handle in handles}
    order: graphlib.TopologicalSorter[Any] = graphlib.TopologicalSorter()
    for handle in handles:
        op = ops[id(handle)]
        start = [*(tensor.op for tensor in op.inputs if tensor is not handle), *op.control_inputs]
        order.add(handle.op, *(upstream(start) & names - {handle.op}))
    try:
        order.prepare()
    except graphlib.CycleError as error:
        circle = " reads ".join(op.name for op in reversed(error.args[1]))
        raise ValueError(f"initial values that need each other: {circle}") from None
    return order


def initialize(
    session: Any,
    handles: Sequence[Any],
    ops: Mapping[int, Any],
    order: graphlib.TopologicalSorter[Any],
) -> None:
    """Run the initializers `ops` of the variables, in the `order` that `in_order` found."""
    names = {handle.op: handle for handle in handles}
    while order.is_active():
        ready = order.get_ready()
        rest = _stored_initial.assign_stored(session, [names[op] for op in ready], ops)
        if rest:
            session.run([ops[id(handle)] for handle in rest])
        order.done(*ready)
