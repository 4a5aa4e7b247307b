"""The resource variables of a saver by device and type, and the handles that lead to them."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import tensorflow as tf

from ..._cached import cached_property
from . import _handles

ROUND: Final = 256
"""Most slots that a graph gets for one set of variables."""

BLOCK: Final = 512
"""Most handles that come out of one node."""

SHARED: Final = 64
"""Most variables of a device that are told at once not to copy themselves for readers."""


class Group(NamedTuple):
    """So many variables of one device (as the graph names it) and type (`DataType` number)."""

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
        self._devices = [device for device, _ in kinds]
        self.size = len(handles)
        self.rounds = -(-len(handles) // ROUND)
        self._members = sorted(members.items())
        self.all = tuple(
            Group(device, dtype, len(numbers)) for (device, dtype), numbers in self._members
        )
        """Everything there is, as `Reads` needs it."""
        self.in_a_round = tuple(
            Group(device, dtype, -(-size // self.rounds)) for device, dtype, size in self.all
        )
        """What is assigned at a time, as `Slots` needs it."""
        self._fed: dict[Any, list[Any]] = {}
        self._messages: dict[tuple[str, ...], list[bytes]] = {}
        self._sparse: list[int] = []
        self._sparse_as_of = -1

    @cached_property
    def _places(self) -> list[tuple[str, str]] | None:
        found = [_handles.place(handle) for handle in self._handles]
        places = [place for place in found if place is not None]
        return places if len(places) == len(found) else None

    @property
    def has_names(self) -> bool:
        """Whether every variable has a name by which a handle leads to it."""
        return self._places is not None

    @cached_property
    def order(self) -> list[int]:
        """The variables as `Reads` reads them: by device, then by type."""
        return [number for _, numbers in self._members for number in numbers]

    @cached_property
    def variables_in_rounds(self) -> list[list[int]]:
        """For every round the variable in each slot; some are there twice."""
        return [self._in_round(number) for number in range(self.rounds)]

    def _in_round(self, number: int) -> list[int]:
        found: list[int] = []
        for (_, numbers), group in zip(self._members, self.in_a_round, strict=True):
            here = numbers[number * group.size : (number + 1) * group.size]
            found += here + [numbers[0]] * (group.size - len(here))
        return found

    def sparse(self, graph: Any) -> list[int]:
        """The variables that are updated sparsely.

        Those copy themselves whenever they are read, unless told not to; for an embedding that may
        be all of the memory there is.
        """
        if self._sparse_as_of != graph.version:
            self._sparse_as_of = graph.version
            handles = enumerate(self._handles)
            self._sparse = [number for number, handle in handles if _is_sparsely_updated(handle)]
        return self._sparse

    def fed_to_read(self, devices: Mapping[str, str]) -> list[Any]:
        """What to feed for every block of `blocks(all)`; `devices` gives their full names."""
        return self._kept("read", devices, lambda: self._in_blocks(self.order, devices))

    def fed_to_assign(self, devices: Mapping[str, str]) -> list[list[Any]]:
        """The same for every round, and every device of `in_a_round`."""
        rounds = self.variables_in_rounds
        return self._kept(
            "assign", devices, lambda: [self._by_device(here, devices) for here in rounds]
        )

    def fed_to_share(
        self, variables: Sequence[int], devices: Mapping[str, str]
    ) -> list[tuple[str, Any]]:
        """Device and handles of every run that lets `variables` be read without copies."""
        return self._kept(("share", *variables), devices, lambda: self._shared(variables, devices))

    def _kept(self, use: Any, devices: Mapping[str, str], make: Any) -> list[Any]:
        key = use, tuple(devices[device] for device, _, _ in self.all)
        if key not in self._fed:
            self._fed[key] = make()
        return self._fed[key]

    def _in_blocks(self, variables: Sequence[int], devices: Mapping[str, str]) -> list[Any]:
        messages = self._handle_messages(devices)
        remaining = iter(variables)
        return [
            _handles.serialized([messages[at] for at in itertools.islice(remaining, len(dtypes))])
            for _, dtypes in blocks(self.all)
        ]

    def _by_device(self, variables: Sequence[int], devices: Mapping[str, str]) -> list[Any]:
        messages = self._handle_messages(devices)
        return [
            _handles.serialized([messages[at] for at in here])
            for _, here in itertools.groupby(variables, key=self._devices.__getitem__)
        ]

    def _shared(self, variables: Sequence[int], devices: Mapping[str, str]) -> list[Any]:
        messages = self._handle_messages(devices)
        sizes = sizes_of_devices(self.all)
        found = []
        for device, of_device in itertools.groupby(
            sorted(variables, key=self._devices.__getitem__), key=self._devices.__getitem__
        ):
            numbers = list(of_device)
            size = min(SHARED, sizes[device])
            for start in range(0, len(numbers), size):
                here = numbers[start : start + size]
                here += [numbers[0]] * (size - len(here))
                found.append((device, _handles.serialized([messages[at] for at in here])))
        return found

    def _handle_messages(self, devices: Mapping[str, str]) -> list[bytes]:
        assert self._places is not None
        names = tuple(devices[device] for device, _, _ in self.all)
        if names not in self._messages:
            self._messages[names] = [
                _handles.message(devices[device], *place)
                for device, place in zip(self._devices, self._places, strict=True)
            ]
        return self._messages[names]


def blocks(groups: Sequence[Group]) -> list[tuple[str, list[int]]]:
    """Device and types of the variables of each block, of which none has more than `BLOCK`."""
    found = []
    for device, of_device in itertools.groupby(groups, key=lambda group: group.device):
        dtypes = [dtype for _, dtype, size in of_device for _ in range(size)]
        found += [(device, dtypes[at : at + BLOCK]) for at in range(0, len(dtypes), BLOCK)]
    return found


def sizes_of_devices(groups: Sequence[Group]) -> dict[str, int]:
    """How many variables there are on each device."""
    sizes: dict[str, int] = {}
    for device, _, size in groups:
        sizes[device] = sizes.get(device, 0) + size
    return sizes


def full_names(session: Any, layout: Layout) -> dict[str, str] | None:
    """The session's name for every device of the layout, `None` where that is not certain.

    A variable without a device is where TensorFlow put it, which is certain only where there is no
    choice.
    """
    there = [tf.DeviceSpec.from_string(device.name) for device in session.list_devices()]
    there = [spec for spec in there if not (spec.device_type or "").startswith("XLA_")]
    found = {}
    for device in dict.fromkeys(group.device for group in layout.all):
        wanted = tf.DeviceSpec.from_string(device)
        # What the graph leaves open, the session's device fills in; the rest has to agree.
        fitting = [spec for spec in there if spec.make_merged_spec(wanted) == spec]
        if len(fitting) != 1:
            return None
        found[device] = fitting[0].to_string()
    return found


@functools.cache
def may_be_cpu(device: str) -> bool:
    """Whether a variable with this device in the graph lies, or may lie, in main memory."""
    return tf.DeviceSpec.from_string(device).device_type in (None, "CPU")


def _is_sparsely_updated(handle: Any) -> bool:
    return any(
        op.type.startswith(("ResourceScatter", "ResourceSparse")) for op in handle.consumers()
    )
