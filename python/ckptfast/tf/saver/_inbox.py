"""How values leave a session: as inputs of a py_func, which are views of TensorFlow's memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy
import tensorflow as tf


class Inbox:
    """A py_func that keeps what it receives for the run that asked; several may run at once."""

    def __init__(self, tensors: Sequence[Any], keep: Callable[[Sequence[Any]], list[Any]]) -> None:
        """Made among nodes of ours. `keep` takes the arrays inside of the run."""
        self._keep = keep
        self._pending: dict[int, list[Any]] = {}
        self._calls = itertools.count()
        self._call = tf.compat.v1.placeholder(tf.int64, [], name="call")
        # A scratch graph, for TensorFlow drops a function together with the graph it was made in.
        self._registered = tf.Graph()
        with self._registered.as_default():
            function = tf.numpy_function(self._take, [tf.constant(0, tf.int64)], [])
        graph = self._call.graph
        inputs = [self._call, *tensors]
        with graph.device("/device:CPU:0"):
            self.op = graph._create_op_internal(
                "PyFunc",
                inputs,
                [],
                name="take",
                attrs={
                    "token": function.node_def.attr["token"],
                    "Tin": _types([tensor.dtype.base_dtype for tensor in inputs]),
                    "Tout": _types([]),
                },
            )

    def _take(self, call: Any, *values: Any) -> None:
        self._pending[int(call)] = self._keep(values)

    def open(self) -> tuple[int, tuple[Any, Any]]:
        """The number of a run that is about to begin, and the feed that tells it."""
        call = next(self._calls)
        return call, (self._call, numpy.array(call, numpy.int64))

    def collect(self, call: int) -> list[Any]:
        """What a run brought; nothing if it failed."""
        return self._pending.pop(call, [])


def _types(dtypes: Sequence[Any]) -> Any:
    numbers = [dtype.as_datatype_enum for dtype in dtypes]
    return tf.compat.v1.AttrValue(list=tf.compat.v1.AttrValue.ListValue(type=numbers))
