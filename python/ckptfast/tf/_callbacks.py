"""Checkpoint callbacks of C++ libraries, run by TensorFlow's kernels beside our work.

`CheckpointCallbackManager` keeps them, in the resources of a device, and only the kernels SaveV2
and RestoreV2 ask it to run them; what Python can do is to run these kernels. So where a library may
have registered callbacks, a save also runs SaveV2 on one number, under a prefix of which the
manager thinks that it is the checkpoint's, and a restore runs RestoreV2 on one tensor of it.
Everything else is TensorFlow's own doing: which callbacks run, the id they are told, their files
`ID.EXTENSION` beside the checkpoint, that their errors are no more than warnings in the log.

TensorFlow's `Saver` runs them between the rename of the index and the state file, and so do we.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import tensorflow as tf
from tensorflow.python.eager import context

from .. import _dtypes, _paths, _remote, _stats
from .._bundle import Reader
from .._warnings import warn
from . import _libraries, _session
from ._kept import kept, lock
from ._targets import Target

_DEVICE: Final = "/device:CPU:0"
"""Where TensorFlow's savers run the kernels, and so where the callbacks are."""

_LIKE_TEMPORARY: Final = re.compile(r"^part-[0-9]*-of-[0-9]*$|-[0-9]*_temp$")
"""Names that the manager takes for temporary ones of a save."""

_PATTERN: Final = frozenset("*?[\\")


@contextlib.contextmanager
def saving(session: Any, prefix: str, *, sharded: bool) -> Iterator[None]:
    """The block writes the checkpoint `prefix`; callbacks run when it has.

    `sharded`: whether TensorFlow would write parts first and merge them, as `Checkpoint` does.
    `session` is `None` in eager mode. Raises `RuntimeError` before the block where a finalized
    graph lacks the nodes, and TensorFlow's error after it if SaveV2 fails.
    """
    if _is_no_matter(session):
        yield
        return
    run = _save_eagerly if session is None else _save_in(session)
    yield
    _stats.count_fallback("save callbacks of C++")
    aside = _aside(prefix, sharded=sharded)
    try:
        with _explaining(f"{prefix} is written"):
            tf.io.gfile.makedirs(_paths.parent(aside))
            run(aside)
    finally:
        _remove(aside)


@contextlib.contextmanager
def restoring(session: Any, reader: Reader) -> Iterator[None]:
    """The block assigns what is in the checkpoint; callbacks run when it has. As `saving`."""
    # With V1 files the kernel asks nobody, and without a tensor it does not run.
    if _is_no_matter(session) or reader.format == "V1" or not len(reader):
        yield
        return
    prefix = reader.prefix
    if _PATTERN.intersection(prefix):
        warn(f"{prefix}: TensorFlow takes this path for a pattern; restore callbacks do not run")
        yield
        return
    run = _restore_eagerly(reader) if session is None else _restore_in(session, reader)
    yield
    _stats.count_fallback("restore callbacks of C++")
    with _explaining(f"{prefix} is restored"):
        run(prefix)


def prepare(graph: Any, targets: Sequence[Target]) -> None:
    """Make the nodes for saves and restores of these targets, while nodes can be made."""
    if graph.finalized or not _libraries.may_register_callbacks():
        return
    _save_node(graph)
    numbers = (part.dtype for target in targets for part in target.parts)
    _restore_node(graph, next(filter(_dtypes.itemsize, numbers), _dtypes.STRING))


def _is_no_matter(session: Any) -> bool:
    """Whether no callback can run. On a remote master TensorFlow's nodes do the work themselves."""
    if session is not None and _session.is_remote(session):
        return True
    return not _libraries.may_register_callbacks()


def _aside(prefix: str, *, sharded: bool) -> str:
    """A prefix for a moment, of which the manager learns the id and folder that `prefix` has.

    It goes up from the last name of a path until one looks like a checkpoint: "NAME-5" or
    "NAME-5_temp". Ours looks like none, and the folder gives what TensorFlow's prefix would:
    "PREFIX_temp/part-…" where parts are written first, else "PREFIX".
    """
    name = prefix.rpartition("/")[2]
    folder = prefix if not sharded and _LIKE_TEMPORARY.search(name) else f"{prefix}_temp"
    return f"{folder}/callbacks.{uuid.uuid4().hex}"


def _remove(prefix: str) -> None:
    """Delete what SaveV2 wrote, or left when it failed, and the folder if nothing else is in it."""
    folder, name = os.path.split(prefix)
    with contextlib.suppress(tf.errors.OpError, OSError):
        for found in tf.io.gfile.listdir(folder):
            if found.startswith(name):
                tf.io.gfile.remove(os.path.join(folder, found))
        if not _remote.is_remote(folder):
            os.rmdir(_paths.local(folder))
        elif not tf.io.gfile.listdir(folder):
            tf.io.gfile.rmtree(folder)


@contextlib.contextmanager
def _explaining(done: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        message = f"{done}, but the callbacks of C++ libraries could not be run: {error.message}"
        raise type(error)(None, None, message) from error


# ------------------------------------------------------------------------------------ eager mode


def _save_eagerly(aside: str) -> None:
    with context.eager_mode(), tf.device(_DEVICE):  # a thread of ours has the default mode
        tf.raw_ops.SaveV2(
            prefix=aside, tensor_names=["none"], shape_and_slices=[""], tensors=[tf.constant(0.0)]
        )


def _restore_eagerly(reader: Reader) -> Callable[[str], None]:
    key, number = _smallest(reader)

    def run(prefix: str) -> None:
        with context.eager_mode(), tf.device(_DEVICE):
            tf.raw_ops.RestoreV2(
                prefix=prefix,
                tensor_names=[key],
                shape_and_slices=[""],
                dtypes=[tf.as_dtype(number)],
            )

    return run


# ------------------------------------------------------------------------------------ sessions


def _save_in(session: Any) -> Callable[[str], None]:
    op, prefix = _save_node(session.graph)
    return lambda aside: session.run(op, {prefix: aside})


def _restore_in(session: Any, reader: Reader) -> Callable[[str], None]:
    graph = session.graph
    key, number = _smallest(reader, [name for name in _nodes(graph) if name != "save"])
    op, prefix, keys = _restore_node(graph, number)
    return lambda path: session.run(op, {prefix: path, keys: [key]})


def _nodes(graph: Any) -> dict[Any, Any]:
    """Ours by the number of the type that they restore, or "save"."""
    return kept(graph, "callbacks", dict)


def _save_node(graph: Any) -> Any:
    def make() -> Any:
        prefix = tf.compat.v1.placeholder(tf.string, [], name="prefix")
        op = tf.raw_ops.SaveV2(
            prefix=prefix, tensor_names=["none"], shape_and_slices=[""], tensors=[tf.constant(0.0)]
        )
        return op, prefix

    return _node(graph, "save", make)


def _restore_node(graph: Any, number: int) -> Any:
    def make() -> Any:
        prefix = tf.compat.v1.placeholder(tf.string, [], name="prefix")
        keys = tf.compat.v1.placeholder(tf.string, [1], name="keys")
        (value,) = tf.raw_ops.RestoreV2(
            prefix=prefix, tensor_names=keys, shape_and_slices=[""], dtypes=[tf.as_dtype(number)]
        )
        return value.op, prefix, keys

    return _node(graph, number, make)


def _node(graph: Any, key: Any, make: Callable[[], Any]) -> Any:
    from .saver._graph_nodes import building  # it is loaded after this module

    with lock:
        known = _nodes(graph)
        if key not in known:
            if graph.finalized:
                raise RuntimeError(
                    "the graph is finalized, so the nodes that run checkpoint callbacks of C++ "
                    "libraries cannot be added: before graph.finalize(), load the library and then "
                    "make a ckptfast.Saver, or save and restore once"
                )
            with building(graph, "callbacks"), graph.device(_DEVICE):
                known[key] = make()
        return known[key]


def _smallest(reader: Reader, numbers: Sequence[int] = ()) -> tuple[str, int]:
    """Key and type of the smallest tensor, of the types in `numbers` if there is one of these."""

    def order(row: tuple[str, tuple[int, tuple[int, ...]]]) -> tuple[bool, bool, int]:
        number, shape = row[1]
        width = _dtypes.itemsize(number)
        return number not in numbers, not width, (width or 0) * math.prod(shape)

    key, (number, _) = min(zip(reader._names, reader._signatures, strict=True), key=order)
    return key, number
