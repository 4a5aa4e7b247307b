"""`best_checkpoint`: which checkpoint of a folder had the best value of a metric."""

from __future__ import annotations

import dataclasses
import difflib
import errno
import math
import os
from collections.abc import Iterator
from typing import Literal

from . import _events, _latest, _paths
from ._checkpoints import get_checkpoint_state
from ._paths import AnyPath
from ._warnings import warn
from .errors import NotFoundError, _located

# A run is a folder of event files, by its path below the one that was asked for ("." for itself).
_Series = dict[int, float]
_Metrics = dict[str, dict[str, _Series]]


@dataclasses.dataclass(frozen=True, slots=True)
class BestCheckpoint:
    """What `ckptfast.best_checkpoint` found. Can be passed wherever a path can."""

    path: str
    """The prefix of the checkpoint."""
    step: int
    """Its step: the number at the end of its name."""
    value: float
    """The metric at that step."""
    run: str
    """The folder of the event file that says so, relative to the one asked for."""

    def __fspath__(self) -> str:
        return self.path


def best_checkpoint(
    directory: AnyPath,
    metric: str = "loss",
    mode: Literal["min", "max"] = "min",
    *,
    run: str | None = None,
) -> BestCheckpoint:
    """The checkpoint of a folder at whose step a scalar of the event files was lowest or highest.

    The checkpoints are those that are there and whole, whether or not the state file still lists
    them; the step of each is the number at the end of its name (`model.ckpt-1200`). The scalars are
    those of the event files in `directory` and in all folders below it, such as `eval`.

    - `metric`: the tag of the scalar, exactly.
    - `mode`: "min" or "max".
    - `run`: which folder's event files count, relative to `directory` ("eval", "." for itself).
      Where several have the metric, one below `directory` goes before `directory` itself (what was
      measured in an evaluation before what training said); several below it are an error.

    Of several values at one step the last one written holds, as after a restart. NaN is never the
    best. Of equal values the latest step wins. A checkpoint that is not whole is skipped with a
    warning.

    Raises `NotFoundError` (a `KeyError`) where no event file has the metric, naming the tags there
    are, and where no checkpoint is at a step with a value, naming steps of both; `ValueError` where
    it cannot be told which run is meant; `FileNotFoundError` where there are no event files or no
    checkpoints at all; `DataLossError` for a damaged event file.
    """
    if not isinstance(metric, str):
        raise TypeError(f"metric is the tag of a scalar, not {metric!r}")
    if mode not in ("min", "max"):
        raise ValueError(f"mode is 'min' or 'max', not {mode!r}")
    folder = _paths.local(directory)
    chosen, series = _series(folder, _metrics(folder), metric, run)
    checkpoints = _by_step(folder)
    numbers = {step: value for step, value in series.items() if not math.isnan(value)}
    common = numbers.keys() & checkpoints.keys()
    if not common:
        raise _no_common_step(folder, metric, chosen, series, numbers, checkpoints)
    sign = 1 if mode == "max" else -1
    for step in sorted(common, key=lambda step: (sign * numbers[step], step), reverse=True):
        for prefix in checkpoints[step]:
            trouble = _latest.fault(prefix)
            if trouble is None:
                return BestCheckpoint(prefix, step, numbers[step], chosen)
            warn(f"skipping the checkpoint {prefix}, which is not whole ({trouble})")
    raise _nothing(folder, f"no checkpoint at a step with a value of {metric!r} is whole")


def _metrics(folder: str) -> _Metrics:
    """The values of every tag, in every run, by step."""
    if not os.path.isdir(folder):
        hint = " (this is a file: pass the folder it is in)" if os.path.exists(folder) else ""
        raise FileNotFoundError(errno.ENOENT, f"there is no such folder{hint}", folder)
    found: _Metrics = {}
    has_files = False
    for parent, folders, _ in os.walk(folder):
        folders.sort()
        for file in _events.in_folder(parent):
            has_files = True
            _add(file, os.path.relpath(parent, folder), found)
    if not has_files:
        raise FileNotFoundError(
            errno.ENOENT, "there is no event file in this folder or below it", folder
        )
    return found


def _add(file: str, run: str, found: _Metrics) -> None:
    # Files come oldest first, and so do the records in them.
    for _, step, tag, value in _events.rows(file):
        if isinstance(value, float):
            found.setdefault(tag, {}).setdefault(run, {})[step] = value


def _series(folder: str, found: _Metrics, metric: str, run: str | None) -> tuple[str, _Series]:
    """The run that is meant, and the metric's values in it."""
    runs = found.get(metric)
    if runs is None:
        near = difflib.get_close_matches(metric, found, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        tags = _some(sorted(found)) or "none"
        raise _nothing(
            folder, f"no event file has a scalar called {metric!r}{hint}; the tags are {tags}"
        )
    names = sorted(runs)
    if run is not None:
        wanted = os.path.normpath(run)
        if wanted not in runs:
            raise _nothing(folder, f"{metric!r} is not in the run {run!r}, but in {_some(names)}")
        return wanted, runs[wanted]
    below = [name for name in names if name != "."] or names
    if len(below) > 1:
        raise ValueError(
            f"{folder}: {metric!r} is in the event files of {_some(below)}; say which with run="
        )
    return below[0], runs[below[0]]


def _by_step(folder: str) -> dict[int, list[str]]:
    """The checkpoints at every step: those that the state file lists first, newest first."""
    found: dict[int, dict[str, None]] = {}
    for prefix in _checkpoints(folder):
        step = _latest.step(os.path.basename(prefix))
        if step >= 0:
            found.setdefault(step, {})[prefix] = None
    if not found:
        raise FileNotFoundError(
            errno.ENOENT, "there is no checkpoint with a step in its name in this folder", folder
        )
    return {step: list(prefixes) for step, prefixes in found.items()}


def _checkpoints(folder: str) -> Iterator[str]:
    state = get_checkpoint_state(folder) if _has_state(folder) else None
    for prefix in reversed(state.all_model_checkpoint_paths if state else []):
        # The state file of a copied folder, or one that nobody updated, names what is not there.
        if _latest.exists(prefix):
            yield os.path.normpath(prefix)
    for prefix in _latest.newest_first(folder):
        yield os.path.normpath(prefix)


def _has_state(folder: str) -> bool:
    return _latest.is_file(os.path.join(folder, _latest.STATE_NAME))


def _no_common_step(
    folder: str,
    metric: str,
    run: str,
    series: _Series,
    numbers: _Series,
    checkpoints: dict[int, list[str]],
) -> NotFoundError:
    measured, saved = sorted(numbers), sorted(checkpoints)
    if series.keys() & checkpoints.keys():
        return _nothing(folder, f"{metric!r} is NaN at the step of every checkpoint")
    return _nothing(
        folder,
        f"no checkpoint is at a step with a value of {metric!r}: "
        f"checkpoints are at {_some(saved)}, values (in the run {run!r}) at {_some(measured)}",
    )


def _some(items: list[str] | list[int], most: int = 20) -> str:
    shown = ", ".join(repr(item) for item in items[:most])
    return f"{shown} … ({len(items)} in all)" if len(items) > most else shown


def _nothing(folder: str, message: str) -> NotFoundError:
    error = NotFoundError(f"{folder}: {message}")
    _located(error, path=folder)
    return error
