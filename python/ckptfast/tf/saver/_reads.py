"""The nodes that read any number of resource variables in one run.

TensorFlow prepares the first run of every set of operations at some 0.5 ms per operation: seconds
for ten thousand variables. So handles are data, and a block of up to 512 of them passes through
four nodes, whatever the variables. All blocks are part of one run: no variable is read at a moment
of its own.

    handles (fed) ─ ParseTensor ─ Unpack ─ _ReadVariablesOp ─┐
    handles (fed) ─ ParseTensor ─ Unpack ─ _ReadVariablesOp ─┴─ PyFunc

There is a py_func for every few blocks: one makes arrays while other blocks are still read. It
receives its inputs as views of the variables' memory, and an update makes a copy first, so what it
receives is a snapshot that costs nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import tensorflow as tf

from .._kept import kept, lock
from . import _graph_nodes, _handles, _layout
from ._inbox import Inbox
from ._layout import Group, Layout

_TOGETHER: Final = 4
"""Blocks that share a py_func."""


class Reads:
    """The nodes that read so many variables of each device and type in one graph."""

    def __init__(self, graph: Any, groups: Sequence[Group]) -> None:
        self._handles: list[Any] = []
        with _graph_nodes.building(graph, "reads"):
            blocks: list[list[Any]] = []
            for device, dtypes in _layout.blocks(groups):
                with graph.device(device):
                    text, handles = _handles.unpacked(graph, len(dtypes))
                    blocks.append(_read(graph, handles, dtypes))
                self._handles.append(text)
            self.inboxes = [
                Inbox(list(itertools.chain(*blocks[at : at + _TOGETHER])), list)
                for at in range(0, len(blocks), _TOGETHER)
            ]

    def feeds(self, layout: Layout, devices: Mapping[str, str]) -> list[tuple[Any, Any]]:
        """What to feed so that the inboxes receive the values of `layout.order`."""
        return list(zip(self._handles, layout.fed_to_read(devices), strict=True))


def of(graph: Any, layout: Layout) -> Reads | None:
    """The reads for a layout: made once, or `None` where the graph was finalized before."""
    with lock:
        known: dict[Any, Reads] = kept(graph, "reads", dict)
        if layout.all not in known:
            if graph.finalized:
                return None
            known[layout.all] = Reads(graph, layout.all)
        return known[layout.all]


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
