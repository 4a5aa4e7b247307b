"""TensorFlow's functions for the checkpoints of a directory: same names, arguments and results.

They differ from TensorFlow's where its behaviour loses work: a path is taken literally before it is
a pattern; dead paths in a state file are looked for beside it; a checkpoint with missing files is
never the latest one; an index is deleted before its data. Directories on other file systems go
through TensorFlow.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final

from . import _latest, _paths, _remote, _shards, _state
from ._checkpoint_reader import _reading
from ._files import Durability
from ._paths import AnyPath
from ._state import CheckpointState
from ._warnings import warn
from .errors import DataLossError

# SaverDef.CheckpointFormatVersion.V2
_V2: Final = 2
_POLL_SECONDS: Final = 1.0
# How V1 shards are named in the list of a saver.
_V1_SHARDS: Final = re.compile(r"-\?{5}-of-[0-9]+$")


def _state_name(latest_filename: str | None) -> str:
    """The name of the state file. "" is none: as in TensorFlow, there is no such file."""
    return _latest.STATE_NAME if latest_filename is None else latest_filename


def get_checkpoint_state(
    checkpoint_dir: AnyPath, latest_filename: str | None = None
) -> CheckpointState | None:
    """What the state file of a directory says, its paths joined with `checkpoint_dir`.

    `None` if there is no state file, or, with a warning, if it cannot be read or parsed. A path
    that leads nowhere is replaced by the checkpoint of that name beside the state file, if there is
    one. Raises `ValueError` if the state names no checkpoint.
    """
    if _remote.is_remote(checkpoint_dir):
        return _message(
            _through_tensorflow("get_checkpoint_state", checkpoint_dir, latest_filename)
        )
    directory = _paths.local(checkpoint_dir)
    path = os.path.join(directory, _state_name(latest_filename))
    try:
        if _latest.file_status(path) is None:
            return None
        state = _latest.read_state(path, directory)
    except (OSError, DataLossError) as error:
        warn(f"{error}; the state file {path} is ignored")
        return None
    if not state.model_checkpoint_path:
        raise ValueError(f"Invalid checkpoint state loaded from {directory}")
    return state


def latest_checkpoint(checkpoint_dir: AnyPath, latest_filename: str | None = None) -> str | None:
    """The prefix of the latest checkpoint of a directory, by its state file; `None` without one.

    If files of that checkpoint are missing, the newest whole one is returned, with a warning, or
    `None` if there is no other. For V1 shards the result is their pattern.
    """
    if _remote.is_remote(checkpoint_dir):
        return _remote.latest(checkpoint_dir, _state_name(latest_filename))
    state = get_checkpoint_state(checkpoint_dir, latest_filename)
    return None if state is None else _latest.latest_of_state(state)


def checkpoint_exists(checkpoint_prefix: AnyPath) -> bool:
    """Whether a V2 index or a V1 file of that prefix exists, or matches it as a pattern."""
    if _remote.is_remote(checkpoint_prefix):
        return bool(_through_tensorflow("checkpoint_exists", checkpoint_prefix))
    return _latest.exists(_paths.local(checkpoint_prefix))


@_reading()
def get_checkpoint_mtimes(checkpoint_prefixes: Iterable[AnyPath]) -> list[float]:
    """When each checkpoint was written; those missing are left out.

    In seconds since the epoch, and whole ones, as TensorFlow gives them.
    """
    times: list[float] = []
    for prefix in checkpoint_prefixes:
        if _remote.is_remote(prefix):
            times += _through_tensorflow("get_checkpoint_mtimes", [os.fsdecode(prefix)], url=prefix)
            continue
        path = _paths.local(prefix)
        found = _latest.matching(_shards.index_file(path)) or _latest.matching(path)
        if found:
            with contextlib.suppress(FileNotFoundError):
                times.append(float(os.stat(found[0]).st_mtime_ns // 10**9))
    return times


def remove_checkpoint(
    checkpoint_prefix: AnyPath,
    checkpoint_format_version: int = _V2,
    meta_graph_suffix: str = "meta",
) -> None:
    """Delete a checkpoint: its index, then the data files that the index names, then its `.meta`.

    Without its index a checkpoint does not exist, so nobody takes what is left of it for one if the
    deletion is cut short. Where the index is gone already or cannot be read, all data files of that
    prefix are deleted. `checkpoint_format_version` is `SaverDef.V2` (2) or `SaverDef.V1` (1).
    """
    _remove(checkpoint_prefix, checkpoint_format_version, meta_graph_suffix, _latest.matching)


def remove_listed(
    checkpoint_prefix: str, checkpoint_format_version: int, meta_graph_suffix: str
) -> None:
    """`remove_checkpoint` for a checkpoint that a saver lists: its path is never a pattern.

    Otherwise the list of `run[1]` could cost files of `run1`. A pattern is only what V1 shards end
    in.
    """
    _remove(checkpoint_prefix, checkpoint_format_version, meta_graph_suffix, _literally)


def remove_bundle(prefix: str) -> None:
    """Delete index and data files of a V2 bundle; its local path is never a pattern."""
    for path in _data_and_index(prefix, _literally):
        _delete(path)


def _literally(path: str) -> list[str]:
    shards = _V1_SHARDS.search(path)
    if shards is None:
        return [path] if _latest.file_status(path) is not None else []
    return sorted(glob.glob(glob.escape(path[: shards.start()]) + shards[0]))


@_reading()
def _remove(prefix: AnyPath, version: int, suffix: str, find: Callable[[str], list[str]]) -> None:
    """Delete the files that `find` finds by their names."""
    if _remote.is_remote(prefix):
        _through_tensorflow("remove_checkpoint", prefix, version, suffix)
        return
    prefix = _paths.local(prefix)
    if version == _V2:
        for path in _data_and_index(prefix, find):
            _delete(path)
    else:
        for path in find(prefix):
            _delete(path)
    for path in find(_shards.meta_file(prefix, suffix)):
        _delete(path)


def _data_and_index(prefix: str, find: Callable[[str], list[str]]) -> Iterator[str]:
    """The files of one bundle in the order of their deletion; of several, if it is a pattern."""
    indices = find(_shards.index_file(prefix))
    for index in indices:
        found = _shards.strip_suffix(index)
        try:
            data = _shards.data_files(found)
        except FileNotFoundError:
            data = None
        yield index
        yield from _left_over(found) if data is None else data
    if not indices:
        yield from _left_over(prefix)


def _left_over(prefix: str) -> list[str]:
    """The data files of a bundle without a readable index, by their names."""
    directory, stem = os.path.split(prefix)
    names = _shards.names_in(directory)
    found = [name for name in names if _shards.DATA_SUFFIX.sub("", name) == stem != name]
    return sorted(os.path.join(directory, name) for name in found)


def _delete(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def generate_checkpoint_state_proto(
    save_dir: AnyPath,
    model_checkpoint_path: AnyPath,
    all_model_checkpoint_paths: Sequence[AnyPath] | None = None,
    all_model_checkpoint_timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
) -> CheckpointState:
    """The state of a directory, with paths relative to `save_dir` if that is relative.

    `model_checkpoint_path` is appended to the others if it is not the last of them; the list that
    was passed stays as it is. Raises `ValueError` if the number of timestamps is another one.
    """
    if isinstance(all_model_checkpoint_paths, str | bytes):
        raise TypeError(
            f"all_model_checkpoint_paths is a list, not one path: {all_model_checkpoint_paths!r}"
        )
    directory = os.fsdecode(save_dir)
    model_checkpoint_path = _paths.text(model_checkpoint_path)
    paths = [_paths.text(path) for path in all_model_checkpoint_paths or ()]
    if not paths or paths[-1] != model_checkpoint_path:
        paths.append(model_checkpoint_path)
    timestamps = [float(stamp) for stamp in all_model_checkpoint_timestamps or ()]
    if timestamps and len(timestamps) != len(paths):
        raise ValueError(
            "Checkpoint timestamps, if provided, must match checkpoint paths (got "
            f"paths {paths} and timestamps {timestamps})"
        )
    if not os.path.isabs(directory):
        model_checkpoint_path = _relative(model_checkpoint_path, directory)
        paths = [_relative(path, directory) for path in paths]
    return CheckpointState(
        model_checkpoint_path, paths, timestamps, float(last_preserved_timestamp or 0.0)
    )


def _relative(path: str, directory: str) -> str:
    return path if os.path.isabs(path) else os.path.relpath(path, directory or None)


@_reading()
def update_checkpoint_state(
    save_dir: AnyPath,
    model_checkpoint_path: AnyPath,
    all_model_checkpoint_paths: Sequence[AnyPath] | None = None,
    latest_filename: str | None = None,
    all_model_checkpoint_timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
    *,
    durability: Durability = "full",
) -> None:
    """Write the state file of a directory, in one step that readers see whole or not at all.

    The arguments are those of `generate_checkpoint_state_proto`; `durability` is that of
    `ckptfast.save`. Raises `RuntimeError` if the checkpoint would have the name of the state file.
    """
    arguments = (all_model_checkpoint_timestamps, last_preserved_timestamp)
    if _remote.is_remote(save_dir):
        paths = list(all_model_checkpoint_paths or ())
        names = (model_checkpoint_path, paths, latest_filename)
        _through_tensorflow("update_checkpoint_state", save_dir, *names, *arguments)
        return
    state = generate_checkpoint_state_proto(
        save_dir, model_checkpoint_path, all_model_checkpoint_paths, *arguments
    )
    path = os.path.join(_paths.local(save_dir), _state_name(latest_filename))
    if path == state.model_checkpoint_path:
        raise RuntimeError(
            f"Save path '{_paths.text(model_checkpoint_path)}' conflicts with path used for "
            "checkpoint state.  Please use a different save path."
        )
    _state.write(path, state, durability=durability)


def checkpoints_iterator(
    checkpoint_dir: AnyPath,
    min_interval_secs: float = 0,
    timeout: float | None = None,
    timeout_fn: Callable[[], bool] | None = None,
) -> Iterator[str]:
    """Yield each new latest checkpoint of a directory as it appears, looking once a second.

    Yields at most every `min_interval_secs` seconds. After `timeout` seconds without a new one the
    iteration ends, unless `timeout_fn` is given and returns something false. An incomplete
    checkpoint is waited for; an older one is yielded only before there was any other.
    """
    last: str | None = None
    while True:
        found = _wait_for_new(checkpoint_dir, last, timeout)
        if found is not None:
            started = time.time()
            last = found
            yield found
            time.sleep(max(0.0, started + min_interval_secs - time.time()))
        elif timeout_fn is None:
            return
        if timeout_fn is not None and timeout_fn():
            return


def _wait_for_new(directory: AnyPath, last: str | None, timeout: float | None) -> str | None:
    stop = None if timeout is None else time.time() + timeout
    while True:
        found = _newest(directory, last)
        if found is not None and found != last:
            return found
        if stop is not None and time.time() + _POLL_SECONDS > stop:
            return None
        time.sleep(_POLL_SECONDS)


def _newest(directory: AnyPath, last: str | None) -> str | None:
    if last is None or _remote.is_remote(directory):
        return latest_checkpoint(directory)
    state = get_checkpoint_state(directory)
    if state is None or _latest.trouble(state.model_checkpoint_path) is not None:
        return None
    return state.model_checkpoint_path


def _through_tensorflow(name: str, *arguments: Any, url: AnyPath | None = None) -> Any:
    """Call TensorFlow's function `name`; `url` says which file system, if the first does not."""
    function = _remote.file_system(arguments[0] if url is None else url).train(name)
    first = os.fsdecode(arguments[0]) if url is None else arguments[0]
    return function(first, *arguments[1:])


def _message(proto: Any) -> CheckpointState | None:
    """Our dataclass for TensorFlow's message."""
    if proto is None:
        return None
    return CheckpointState(
        proto.model_checkpoint_path,
        list(proto.all_model_checkpoint_paths),
        list(proto.all_model_checkpoint_timestamps),
        proto.last_preserved_timestamp,
    )
