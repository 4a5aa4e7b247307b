"""A few nodes through which the values of any number of resource variables are assigned.

TensorFlow prepares the first run of every set of operations at some 0.5 ms per operation: seconds
for ten thousand variables. So the operations here are not of variables but of *slots*. A slot
assigns whatever variable's handle it is fed, and a graph of many variables is run through its slots
in rounds, two at a time. Nothing grows with the number of variables but the number of rounds.

    handles (fed) ─ ParseTensor ─ Unpack ─ AssignVariableOp, of a value that is fed
    handles (fed) ─ ParseTensor ─ Unpack ─ DisableCopyOnRead, for sparsely updated variables
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import config_pb2
from tensorflow.python.client import pywrap_tf_session as tf_session

from .. import _session
from .._kept import kept, lock
from . import _graph_nodes, _handles, _layout, _overlap
from ._layout import Group, Layout


class Slots:
    """The nodes for so many variables of each device and type in one graph."""

    def __init__(self, graph: Any, groups: Sequence[Group], sizes: Mapping[str, int]) -> None:
        """`sizes` are the numbers of variables that there are on each device."""
        self._handles: list[Any] = []
        self._values: list[Any] = []
        self._sharing: dict[str, tuple[Any, Any]] = {}
        self._callables: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self._callables_lock = threading.Lock()
        with _graph_nodes.building(graph, "slots"):
            assignments: list[Any] = []
            for device, of_device in itertools.groupby(groups, key=lambda group: group.device):
                dtypes = [group.dtype for group in of_device for _ in range(group.size)]
                with graph.device(device):
                    assignments += self._assign(graph, dtypes)
                    self._sharing[device] = _share(graph, min(_layout.SHARED, sizes[device]))
            self._assignment = tf.group(*assignments, name="assign")

    def _assign(self, graph: Any, dtypes: Sequence[int]) -> Iterator[Any]:
        text, handles = _handles.unpacked(graph, len(dtypes))
        self._handles.append(text)
        for handle, dtype in zip(handles, dtypes, strict=True):
            value = _placeholder(graph, dtype)
            self._values.append(value)
            attributes = {"dtype": tf.compat.v1.AttrValue(type=dtype)}
            yield graph._create_op_internal(
                "AssignVariableOp", [handle, value], [], name="assign_one", attrs=attributes
            )

    def share(
        self, session: Any, layout: Layout, variables: Sequence[int], devices: Mapping[str, str]
    ) -> None:
        """Let variables be read without a copy; fails where one has no value, and names it."""
        for device, handles in layout.fed_to_share(variables, devices):
            text, op = self._sharing[device]
            _session.run(session, [op], [(text, handles)])

    def assign(
        self,
        session: Any,
        layout: Layout,
        devices: Mapping[str, str],
        values: Callable[[Sequence[int]], list[Any]],
    ) -> None:
        """Assign a value to every variable of the layout; `values` gives those of some of them."""
        number = self._callable(session)
        rounds = list(zip(layout.fed_to_assign(devices), layout.variables_in_rounds, strict=True))

        def run(of_round: tuple[list[Any], list[int]]) -> None:
            handles, variables = of_round
            session._do_call(_run_callable, session, number, [*handles, *values(variables)])

        if layout.rounds == 1:
            run(rounds[0])
        else:
            _overlap.for_each(iter(rounds), run)

    def _callable(self, session: Any) -> int:
        """The number of a callable for the assignments, which takes feeds in a fixed order.

        `Session.run` looks up every feed by name, in C++ too: with hundreds of them in a run that
        is a third of its time. A callable is freed with its session.
        """
        with self._callables_lock:
            if session not in self._callables:
                options = config_pb2.CallableOptions(
                    feed=[tensor.name for tensor in [*self._handles, *self._values]],
                    target=[self._assignment.name],
                )
                session._extend_graph()
                self._callables[session] = session._do_call(_make_callable, session, options)
            return self._callables[session]


def _make_callable(session: Any, options: Any) -> int:
    buffer = tf_session.TF_NewBufferFromString(options.SerializeToString())
    try:
        number: int = tf_session.TF_SessionMakeCallable(session._session, buffer)
        return number
    finally:
        tf_session.TF_DeleteBuffer(buffer)


def _run_callable(session: Any, number: int, fed: list[Any]) -> None:
    tf_session.TF_SessionRunCallable(session._session, number, fed, None)


def of(graph: Any, layout: Layout) -> Slots | None:
    """The slots for a layout: made once, or `None` where the graph was finalized before."""
    sizes = _layout.sizes_of_devices(layout.all)
    key = layout.in_a_round, *(min(size, _layout.SHARED) for size in sizes.values())
    with lock:
        known: dict[Any, Slots] = kept(graph, "slots", dict)
        if key not in known:
            if graph.finalized:
                return None
            known[key] = Slots(graph, layout.in_a_round, sizes)
        return known[key]


def _placeholder(graph: Any, dtype: int) -> Any:
    """`tf.placeholder`, in a fifth of its time: there are hundreds of them."""
    unknown = tf.TensorShape(None).as_proto()
    attributes = {
        "dtype": tf.compat.v1.AttrValue(type=dtype),
        "shape": tf.compat.v1.AttrValue(shape=unknown),
    }
    op = graph._create_op_internal(
        "Placeholder", [], [tf.as_dtype(dtype)], name="value", attrs=attributes
    )
    return op.outputs[0]


def _share(graph: Any, count: int) -> tuple[Any, Any]:
    """Where handles are fed, and the operation after which variables no longer copy themselves.

    Only those that are updated sparsely do, but `Reads` has to know that of all its variables.
    """
    text, handles = _handles.unpacked(graph, count)
    sharings = [
        graph._create_op_internal("DisableCopyOnRead", [handle], [], name="share_one")
        for handle in handles
    ]
    return text, tf.group(*sharings, name="share")
