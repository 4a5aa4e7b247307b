"""The TensorFlow session that values are fed to."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy
import tensorflow as tf
from tensorflow.python.client.session import BaseSession

Feed = tuple[Any, Any]
"""A tensor of the graph, and the array that takes its place in one run."""


def unwrap(sess: Any) -> Any:
    """The session itself, where `sess` is one of those that wrap one to add hooks or a debugger.

    Their hooks count steps and save checkpoints; a restore is none of their business. `TypeError`
    for what is not a session.
    """
    seen = sess
    while not isinstance(seen, BaseSession):
        inner = getattr(seen, "_tf_sess", None)
        inner = inner() if callable(inner) else getattr(seen, "_sess", None)
        if sess is None:
            raise TypeError("sess is None, and a tf.compat.v1.Session is needed here: pass one")
        if inner is None:
            raise TypeError(
                f"sess is a tf.compat.v1.Session, or None to restore eager variables, not {sess!r}"
            )
        seen = inner
    return seen


def is_remote(session: Any) -> bool:
    """Whether the session runs in another process, or in the server of this one."""
    return bool(session.sess_str)


def run(
    session: Any, ops: Sequence[Any], feeds: Sequence[Feed], fetches: Sequence[Any] = ()
) -> list[Any]:
    """Run `ops` with `feeds`, which TensorFlow takes without a copy where they are aligned.

    Returns copies of the values of `fetches`.

    `Session.run` looks every feed up by name, several times: 30 µs each, which for ten thousand
    variables is six times what the run itself takes. The tensors here come from the graph and their
    arrays were checked, so this calls what `Session.run` ends in.
    """
    if session._closed:
        raise RuntimeError("the session is closed")
    session._extend_graph()
    values: list[Any] = session._do_call(
        session._call_tf_sessionrun,
        None,  # no RunOptions
        {tensor._as_tf_output(): array for tensor, array in feeds},
        [tensor._as_tf_output() for tensor in fetches],
        [op._c_op for op in ops],
        None,  # no RunMetadata
    )
    return values


def feedable(dtype: int, array: Any) -> Any:
    """`array` as TensorFlow wants it for a tensor of type `dtype` (a `DataType` number).

    Quantised types are structured ones in NumPy; the reader gives their plain integers.
    """
    wanted = _numpy_dtype(dtype)
    return array if array.dtype == wanted else array.view(wanted)


@functools.cache
def _numpy_dtype(dtype: int) -> Any:
    return numpy.dtype(tf.as_dtype(dtype).as_numpy_dtype)
