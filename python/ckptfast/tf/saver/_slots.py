"""A few nodes through which the values of any number of resource variables pass.

TensorFlow prepares the first run of every set of operations at some 0.5 ms per operation: seconds
for ten thousand variables. So the operations here are not of variables but of *slots*. A slot reads
or assigns whatever variable's handle it is fed, and a graph of many variables is run through its
slots in rounds. Nothing grows with the number of variables but the number of rounds.

    handles (fed) ─ ParseTensor ─ Unpack ─┬─ _ReadVariablesOp ─ PyFunc
                                          ├─ DisableCopyOnRead, for sparsely updated variables
                                          └─ AssignVariableOp, of a value that is fed

The py_func receives its inputs as views of the variables' memory, and an update makes a copy first,
so what it receives is a snapshot that costs nothing.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy
import tensorflow as tf

from .._kept import kept, lock
from . import _graph_nodes, _handles

ROUND: Final = 512
"""Most slots that a graph gets for one set of variables."""


class Group(NamedTuple):
    """Slots for variables of one device (as the graph names it) and type (`DataType` number)."""

    device: str
    dtype: int
    size: int


class Layout:
    """Which variable takes which slot in which round, and the handles that say so."""

    def __init__(self, handles: Sequence[Any], kinds: Sequence[tuple[str, int]]) -> None:
        """`kinds` are the device (as the graph names it) and the type of every handle."""
        members: dict[tuple[str, int], list[int]] = {}
        for number, kind in enumerate(kinds):
            members.setdefault(kind, []).append(number)
        self._handles = handles
        self._fed: dict[tuple[str, ...], list[list[Any]]] = {}
        self.size = len(handles)
        self.rounds = -(-len(handles) // ROUND)
        self._members = sorted(members.items())
        self._in_round: list[list[int]] = []
        self._to_share: list[int] = []
        self._shared_as_of = -1
        self.groups = tuple(
            Group(device, dtype, -(-len(numbers) // self.rounds))
            for (device, dtype), numbers in self._members
        )

    @functools.cached_property
    def _places(self) -> list[tuple[str, str]] | None:
        found = [_handles.place(handle) for handle in self._handles]
        places = [place for place in found if place is not None]
        return places if len(places) == len(found) else None

    @property
    def has_names(self) -> bool:
        """Whether every variable has a name by which a handle leads to it."""
        return self._places is not None

    def in_round(self, number: int) -> list[int]:
        """For every position the variable that is there in a round; some are there twice."""
        while len(self._in_round) <= number:
            self._in_round.append(self._variables(len(self._in_round)))
        return self._in_round[number]

    def _variables(self, number: int) -> list[int]:
        found: list[int] = []
        for (_, numbers), group in zip(self._members, self.groups, strict=True):
            here = numbers[number * group.size : (number + 1) * group.size]
            found += here + [numbers[0]] * (group.size - len(here))
        return found

    def rounds_to_share(self, graph: Any) -> list[int]:
        """The rounds with variables that are updated sparsely.

        Those copy themselves whenever they are read, unless told not to; for an embedding that may
        be all of the memory there is.
        """
        if self._shared_as_of != graph.version:
            self._shared_as_of = graph.version
            sparse = [_is_sparsely_updated(handle) for handle in self._handles]
            self._to_share = [
                number
                for number in range(self.rounds)
                if any(sparse[variable] for variable in self.in_round(number))
            ]
        return self._to_share

    def fed_handles(self, number: int, devices: Mapping[str, str]) -> list[Any]:
        """What to feed to the `handles` of every device; `devices` gives their full names."""
        names = tuple(devices[group.device] for group in self.groups)
        if names not in self._fed:
            self._fed[names] = [self._serialized(at, devices) for at in range(self.rounds)]
        return self._fed[names][number]

    def _serialized(self, number: int, devices: Mapping[str, str]) -> list[Any]:
        assert self._places is not None
        places = self._places
        by_device: dict[str, list[int]] = {}
        variables = iter(self.in_round(number))
        for group in self.groups:
            here = by_device.setdefault(group.device, [])
            here += itertools.islice(variables, group.size)
        return [
            _handles.serialized(devices[device], [places[at] for at in here])
            for device, here in by_device.items()
        ]


class Slots:
    """The nodes for one layout's groups in one graph."""

    def __init__(self, graph: Any, groups: Sequence[Group]) -> None:
        self.graph = graph
        self._pending: dict[int, list[Any]] = {}
        self._calls = itertools.count()
        with _graph_nodes.building(graph, "slots"):
            self._handles: list[Any] = []
            self._values: list[Any] = []
            call = tf.compat.v1.placeholder(tf.int64, [], name="call")
            self._call = call._as_tf_output()
            reads: list[Any] = []
            assignments: list[Any] = []
            sharings: list[Any] = []
            for device, of_device in itertools.groupby(groups, key=lambda group: group.device):
                dtypes = [group.dtype for group in of_device for _ in range(group.size)]
                with graph.device(device):
                    handles = self._unpacked(len(dtypes))
                    reads += _read(graph, handles, dtypes)
                    sharings += _share(graph, handles)
                    assignments += self._assign(handles, dtypes)
            self._sharing = tf.group(*sharings, name="share")
            self._assignment = tf.group(*assignments, name="assign")
            with graph.device("/device:CPU:0"):
                self._sink = tf.numpy_function(self._take, [call, *reads], [], name="take")

    def _unpacked(self, count: int) -> Any:
        text = tf.compat.v1.placeholder(tf.string, [], name="handles")
        self._handles.append(text._as_tf_output())
        handles = tf.raw_ops.ParseTensor(serialized=text, out_type=tf.resource)
        return tf.raw_ops.Unpack(value=handles, num=count)

    def _assign(self, handles: Sequence[Any], dtypes: Sequence[int]) -> Iterator[Any]:
        for handle, dtype in zip(handles, dtypes, strict=True):
            value = _placeholder(self.graph, dtype)
            self._values.append(value._as_tf_output())
            attributes = {"dtype": tf.compat.v1.AttrValue(type=dtype)}
            yield self.graph._create_op_internal(
                "AssignVariableOp", [handle, value], [], name="assign_one", attrs=attributes
            )

    def _take(self, call: Any, *values: Any) -> None:
        self._pending[int(call)] = list(values)

    def read(self, session: Any, layout: Layout, devices: Mapping[str, str]) -> list[Any]:
        """The values of the layout's variables, as views of the session's memory."""
        for number in layout.rounds_to_share(self.graph):
            self._share(session, layout, number, devices)
        found: list[Any] = [None] * layout.size
        for number in range(layout.rounds):
            values = self._read_round(session, layout, number, devices)
            for variable, value in zip(layout.in_round(number), values, strict=True):
                found[variable] = value
        return found

    def _read_round(
        self, session: Any, layout: Layout, number: int, devices: Mapping[str, str]
    ) -> list[Any]:
        call = next(self._calls)
        feeds = self._feeds(layout, number, devices)
        feeds[self._call] = numpy.array(call, numpy.int64)
        try:
            _run(session, self._sink, feeds)
            return self._pending[call]
        except tf.errors.FailedPreconditionError:
            # A variable has no value; this fails with the message that people know.
            self._share(session, layout, number, devices)
            raise
        finally:
            self._pending.pop(call, None)

    def _share(self, session: Any, layout: Layout, number: int, devices: Mapping[str, str]) -> None:
        _run(session, self._sharing, self._feeds(layout, number, devices))

    def assign(
        self,
        session: Any,
        layout: Layout,
        devices: Mapping[str, str],
        values: Sequence[Any],
    ) -> None:
        """Assign a value to every variable of the layout."""
        for number in range(layout.rounds):
            variables = layout.in_round(number)
            feeds = self._feeds(layout, number, devices)
            feeds.update(zip(self._values, [values[at] for at in variables], strict=True))
            _run(session, self._assignment, feeds)

    def _feeds(self, layout: Layout, number: int, devices: Mapping[str, str]) -> dict[Any, Any]:
        return dict(zip(self._handles, layout.fed_handles(number, devices), strict=True))


def _run(session: Any, operation: Any, feeds: dict[Any, Any]) -> None:
    """`_session.run`, with the tensors' C handles, which take longer to ask for than to use."""
    if session._closed:
        raise RuntimeError("Attempted to use a closed Session.")
    session._extend_graph()
    session._do_call(session._call_tf_sessionrun, None, feeds, [], [operation._c_op], None)


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


def _read(graph: Any, handles: Sequence[Any], dtypes: Sequence[int]) -> list[Any]:
    # An operation of TensorFlow's own that has no Python function.
    types = tf.compat.v1.AttrValue.ListValue(type=dtypes)
    op = graph._create_op_internal(
        "_ReadVariablesOp",
        list(handles),
        [tf.as_dtype(dtype) for dtype in dtypes],
        name="read",
        attrs={
            "N": tf.compat.v1.AttrValue(i=len(dtypes)),
            "dtypes": tf.compat.v1.AttrValue(list=types),
        },
    )
    return list(op.outputs)


def _share(graph: Any, handles: Sequence[Any]) -> list[Any]:
    """Operations after which a sparsely updated variable no longer copies itself for readers."""
    return [
        graph._create_op_internal("DisableCopyOnRead", [handle], [], name="share_one")
        for handle in handles
    ]


def _is_sparsely_updated(handle: Any) -> bool:
    return any(
        op.type.startswith(("ResourceScatter", "ResourceSparse")) for op in handle.consumers()
    )


@functools.cache
def may_be_cpu(device: str) -> bool:
    """Whether a variable with this device in the graph lies, or may lie, in main memory."""
    return tf.DeviceSpec.from_string(device).device_type in (None, "CPU")


def of(graph: Any, layout: Layout) -> Slots | None:
    """The slots for a layout: made once, or `None` where the graph was finalized before."""
    with lock:
        known: dict[Any, Slots] = kept(graph, "slots", dict)
        if layout.groups not in known:
            if graph.finalized:
                return None
            known[layout.groups] = Slots(graph, layout.groups)
        return known[layout.groups]


def full_names(session: Any, layout: Layout) -> dict[str, str] | None:
    """The session's name for every device of the layout, `None` where that is not certain.

    A variable without a device is where TensorFlow put it, which is certain only where there is no
    choice.
    """
    there = [tf.DeviceSpec.from_string(device.name) for device in session.list_devices()]
    there = [spec for spec in there if not (spec.device_type or "").startswith("XLA_")]
    found = {}
    for device in dict.fromkeys(group.device for group in layout.groups):
        wanted = tf.DeviceSpec.from_string(device)
        # What the graph leaves open, the session's device fills in; the rest has to agree.
        fitting = [spec for spec in there if spec.make_merged_spec(wanted) == spec]
        if len(fitting) != 1:
            return None
        found[device] = fitting[0].to_string()
    return found
