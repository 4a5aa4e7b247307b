"""`ckptfast.restore`: the values of a checkpoint into a session, or into eager variables."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import tensorflow as tf

from .. import _arguments, _patterns
from .._bundle import Backend, Reader, open_private, while_replaced
from .._patterns import Patterns, Rename
from ..errors import CheckpointError, NotFoundError, _located
from . import _apply, _callbacks, _choice, _eager, _initial, _plan, _session
from ._errors import combined
from ._names import Names, NewNames
from ._plan import Plan
from ._report import RestoreReport
from ._targets import Target
from ._variables import graph_targets

OnMissing = Literal["error", "skip", "initialize"]
OnMismatch = Literal["error", "skip", "slice"]


class _Policy(NamedTuple):
    """What becomes of the variables that do not fit."""

    missing: str
    mismatch: str


def restore(
    sess: Any,
    path: str | bytes | os.PathLike[Any],
    var_list: Any = None,
    *,
    include: Patterns | None = None,
    exclude: Patterns | None = None,
    rename: Rename | None = None,
    on_missing: OnMissing | None = None,
    on_mismatch: OnMismatch | None = None,
    strict: bool = True,
    moving_averages: bool = False,
    verify: bool = True,
    copy: bool | None = None,
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
    - `include`, `exclude`: which of those variables, by their names: one pattern or several. A
      string is a name, a scope ("conv1/", with the "/"), or a glob (`*`, `?`, `[…]`); a compiled
      regular expression is searched for; a function is asked. An exact name beats any other
      pattern on the other side, else `exclude` wins. The word ":slots" in `exclude` stands for the
      variables of optimizers.
    - `rename`: a mapping from names in the checkpoint to names of variables, or a function from one
      to the other. `None` as the new name drops a tensor. Keys may be names, scopes
      (`{"vgg/": "backbone/"}`; "/" is the root), globs (each `*` of the new name is what the
      wildcard in its place matched) and regular expressions (`\\1` in the new name). An exact name
      beats a scope, the longest scope the others; a tensor that was given a name beats one that
      has it, and the one that a mapping as `var_list` says. Two tensors that become one variable
      are a `ValueError`.
    - `on_missing`: what becomes of a variable that the checkpoint lacks: "error", "skip" leaves it
      as it is, "initialize" gives it its initial value, after those it depends on. In eager mode
      variables have theirs from the beginning, so there it is the same as "skip".
    - `on_mismatch`: of one whose tensor has another type or shape: "error", "skip", or "slice",
      which restores the rows that both have, where shapes differ in one dimension alone (a larger
      or smaller vocabulary). Further rows keep what they hold, or get initial values.
    - `strict`: `False` stands for "skip" in both, wherever they do not say otherwise. Keys that no
      variable asks for are never an error.
    - `moving_averages`: a variable that `tf.train.ExponentialMovingAverage` averaged gets its
      average (`NAME/ExponentialMovingAverage`), any other its own value.
    - `verify`: compare all bytes with their checksums before the first assignment.
    - `copy`: `None` lets variables use the pages of the mapped file (below). `True` reads into
      memory that depends on nothing. `False` never copies, and fails where it would have to.
    - `backend`: "mmap" maps data files, "pread" reads them, "auto" chooses by the file system.

    The name of a variable is its own, as in the graph, also where `var_list` is a mapping: its keys
    are names in the checkpoint. But variables of eager mode often have no name of their own, so
    what no variable is called, `include`, `exclude` and `rename` may mean by its key. The report
    and errors call the variables of a mapping by their keys.

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
    policy = _policy(on_missing, on_mismatch, strict=strict)
    wanted = _wanted(session, var_list)
    own = _choice.own_names(wanted) if isinstance(var_list, Mapping) else {}
    choice = _choice.choose(wanted, include, exclude, own=own)

    def read() -> RestoreReport:
        begin = time.perf_counter()
        with open_private(path, verify=verify, copy=copy, backend=backend) as reader:
            names = _names(reader, rename, policy, own, moving_averages=moving_averages)
            plan = _plan.plan(reader, choice.targets, names, slices=policy.mismatch == "slice")
            _check(reader, plan, policy)
            absent = plan.absent if policy.missing == "initialize" and session is not None else []
            with _callbacks.restoring(session, reader):
                nbytes, new = _apply.apply(session, reader, plan, initialize=absent, verify=verify)
            skipped = _skipped(plan, new) | choice.left
            return RestoreReport(
                path=reader.prefix,
                restored=plan.restored,
                missing=(*plan.missing, *plan.ambiguous),
                unexpected=plan.unexpected,
                mismatched=tuple(plan.mismatched),
                nbytes=nbytes,
                seconds=time.perf_counter() - begin,
                renamed=_renamed(names, plan),
                averaged=_averaged(names, plan),
                sliced=tuple(plan.sliced),
                skipped=skipped,
                initialized=_names_of(new),
                uninitialized=_uninitialized(session, [*choice.targets, *choice.others], skipped),
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
        raise TypeError(
            "sess is None, which is for eager mode only, and this is graph mode: pass the session"
        )
    return _eager.eager_targets(var_list)


def _policy(
    on_missing: OnMissing | None, on_mismatch: OnMismatch | None, *, strict: bool
) -> _Policy:
    if on_missing not in (None, "error", "skip", "initialize"):
        raise ValueError(f"on_missing is 'error', 'skip' or 'initialize', not {on_missing!r}")
    if on_mismatch not in (None, "error", "skip", "slice"):
        raise ValueError(f"on_mismatch is 'error', 'skip' or 'slice', not {on_mismatch!r}")
    _arguments.flag("strict", strict)
    default = "error" if strict else "skip"
    return _Policy(on_missing or default, on_mismatch or default)


def _check(reader: Reader, plan: Plan, policy: _Policy) -> None:
    """Raise the one error that lists what does not fit and may not be passed over."""
    error = _plan.error_of(
        reader,
        plan,
        missing=policy.missing == "error",
        mismatched=policy.mismatch != "skip",
    )
    if error is not None:
        raise error


def _names(
    reader: Reader,
    rename: Rename | None,
    policy: _Policy,
    own: Mapping[str, str],
    *,
    moving_averages: bool,
) -> Names:
    if rename is None and not moving_averages:
        return Names(reader)
    names = NewNames(reader, rename, moving_averages=moving_averages, own=own)
    if names.unused and policy.missing == "error":
        raise _unmatched(reader, names.unused)
    return names


def _unmatched(reader: Reader, entries: Sequence[str]) -> NotFoundError:
    """The error for entries of a renaming that match nothing in the checkpoint."""
    lines = _patterns.unmatched(entries, [name for name in reader if name])
    error = NotFoundError(
        f"rename: {reader.prefix} has nothing of the name{'s' * (len(entries) > 1)}:{lines}\n"
        "Nothing was assigned. rename={name in the checkpoint: name of the variable}; with "
        'on_missing="skip" or "initialize" such entries are passed over.'
    )
    _located(error, path=reader.prefix, key=entries[0])
    return error


def _names_of(targets: Iterable[Target]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.name for target in targets for part in target.parts))


def _values_of(plan: Plan) -> tuple[str, ...]:
    """The names of all variables that the plan gives values to, whole or in part."""
    return _names_of(match.target for match in [*plan.matches, *plan.corners])


def _renamed(names: Names, plan: Plan) -> dict[str, str]:
    if not isinstance(names, NewNames):
        return {}
    found = {name: names.renamed(name) for name in _values_of(plan)}
    return {name: old for name, old in found.items() if old is not None}


def _averaged(names: Names, plan: Plan) -> tuple[str, ...]:
    if not isinstance(names, NewNames):
        return ()
    return tuple(name for name in _values_of(plan) if names.is_average(name))


def _skipped(plan: Plan, initialized: Iterable[Target]) -> dict[str, str]:
    """The names of the variables that were asked for and left alone, each with the reason."""
    done = {*plan.restored, *_names_of(initialized)}
    reasons = dict.fromkeys(plan.missing, "not in the checkpoint")
    reasons |= dict.fromkeys(plan.taken_away, _plan.TAKEN_AWAY)
    reasons |= dict.fromkeys(plan.ambiguous, "several objects of that name were saved")
    for mismatch in plan.mismatched:
        reasons[mismatch.name] = "another type or shape"
    return {name: reason for name, reason in reasons.items() if name not in done}


def _uninitialized(
    session: Any, targets: Iterable[Target], skipped: Mapping[str, str]
) -> tuple[str, ...]:
    """Those of the skipped variables that have no value yet, as far as the graph can tell."""
    if session is None or not skipped:
        return ()
    left = [
        target
        for target in targets
        if isinstance(target.sink, tf.Tensor) and target.parts[0].name in skipped
    ]
    handles = [target.sink for target in left]
    empty = set(map(id, _initial.without_value(session, handles, may_add=False)))
    return _names_of(target for target in left if id(target.sink) in empty)
