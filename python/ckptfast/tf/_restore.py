"""`ckptfast.restore`: the values of a checkpoint into a session, or into eager variables."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from .. import _stats
from .._bundle import Backend, Reader, open_private, while_replaced
from ..errors import CheckpointError
from . import _assign, _eager, _plan, _session, _tensorflow_ops, _values
from ._errors import combined
from ._plan import Match
from ._report import RestoreReport
from ._targets import Target
from ._variables import graph_targets


def restore(
    sess: Any,
    path: str | bytes | os.PathLike[Any],
    var_list: Any = None,
    *,
    verify: bool = True,
    copy: bool | None = None,
    strict: bool = True,
    backend: Backend = "auto",
) -> RestoreReport:
    """Restore variables from a checkpoint, of a name-based or an object-based one.

    - `sess`: the session whose variables get the values. They need not be initialized, and the
      graph may be finalized. `None` in eager mode, for `tf.Variable`s.
    - `path`: the prefix that `Saver.save` returned, or anything else that `ckptfast.open` takes,
      such as a folder (its latest whole checkpoint).
    - `var_list`: what to restore, as for `tf.compat.v1.train.Saver`: a list of variables, or a
      mapping from names in the checkpoint to variables. By default everything that `Saver()` would
      save; of a graph without collections, every variable.
    - `verify`: compare all bytes with their checksums before the first assignment.
    - `copy`: `None` lets variables use the pages of the mapped file (below). `True` reads into
      memory that depends on nothing. `False` never copies, and fails where it would have to.
    - `strict`: whether a variable that the checkpoint lacks, or has with another type or shape, is
      an error. Otherwise the variables that fit are restored, and the report names the others.
      Keys that no variable asks for are never an error.
    - `backend`: "mmap" maps data files, "pread" reads them, "auto" chooses by the file system.

    Names, types and shapes are checked for all variables, and the bytes too, before anything is
    assigned: an error that the checkpoint is to blame for leaves every variable as it was. Types
    are never converted.

    A resource variable whose tensor is aligned to 64 bytes in the file (as `ckptfast.save` writes
    it; TensorFlow does not align) is not copied: it *is* the pages of the file until it is first
    changed, when TensorFlow gives it memory of its own. Training never reaches the file. Replacing
    or deleting the file is harmless too. But if somebody truncates it *in place*, the next read of
    the variable kills the process (SIGBUS), and if somebody rewrites it in place, the variable
    changes. Pass `copy=True` where that may happen.

    A session on a remote master restores by TensorFlow's own operations, which are added to the
    graph once. Where that cannot be (the graph is finalized), the values are sent to the master.
    `ckptfast.stats()` counts both under `fallbacks`.

    Raises `tf.errors.NotFoundError` when variables are missing, `tf.errors.InvalidArgumentError`
    when types or shapes differ, `tf.errors.DataLossError` for damaged files (each is also the
    exception of `ckptfast.errors` for it); one error lists every variable that does not fit.
    `FileNotFoundError` (also a `tf.errors.NotFoundError`) when there is no checkpoint.
    """
    session = _session.unwrap(sess) if sess is not None else None
    targets = _wanted(session, var_list)

    def read() -> RestoreReport:
        begin = time.perf_counter()
        with open_private(path, verify=verify, copy=copy, backend=backend) as reader:
            plan = _plan.plan(reader, targets)
            error = _plan.error_of(reader, plan) if strict else None
            if error is not None:
                raise error
            nbytes = _assign_all(session, reader, plan.matches, verify=verify)
            return RestoreReport(
                path=reader.prefix,
                restored=plan.restored,
                missing=(*plan.missing, *plan.ambiguous),
                unexpected=plan.unexpected,
                mismatched=tuple(plan.mismatched),
                nbytes=nbytes,
                seconds=time.perf_counter() - begin,
            )

    try:
        return while_replaced(read)
    except tf.errors.OpError:
        raise
    except (CheckpointError, OSError) as error:
        raise combined(error) from error.__cause__


def _wanted(session: Any, var_list: Any) -> list[Target]:
    if session is not None:
        return graph_targets(session.graph, var_list)
    if not tf.executing_eagerly():
        raise TypeError("sess is None, which is for eager mode only: pass the session")
    return _eager.eager_targets(var_list)


def _assign_all(session: Any, reader: Reader, matches: Sequence[Match], *, verify: bool) -> int:
    if not matches:
        return 0
    if session is None:
        return _eager.assign(reader, matches, verify=verify)
    if _session.is_remote(session):
        return _assign_remote(session, reader, matches, verify=verify)
    opaque = [match for match in matches if _values.has_variant(match)]
    fed = [match for match in matches if not _values.has_variant(match)]
    if opaque:
        _tensorflow_ops.prepare(session.graph, opaque)
        if verify:
            _values.verify(reader, [source for match in opaque for source in match.sources])
    total = _assign.assign(session, reader, fed, verify=verify) if fed else 0
    if opaque:
        total += _tensorflow_ops.restore(session, reader, opaque, "variant tensor")
    return total


def _assign_remote(session: Any, reader: Reader, matches: Sequence[Match], *, verify: bool) -> int:
    """By TensorFlow's operations, in which the workers read the files; else values are sent."""
    if _tensorflow_ops.can_restore(session.graph, reader, matches):
        return _tensorflow_ops.restore(session, reader, matches, "remote session")
    _stats.count_fallback("remote session, values sent")
    return _assign.assign(session, reader, matches, verify=verify, local=False)
