"""Which checkpoint of a directory is the latest one that is whole.

A save, a copy or a clean-up that was cut short leaves an index without its data files, or a state
file that names what is not there. Whoever asks for the latest checkpoint gets the newest one whose
files are all present, and a warning when that is not the one the state file names.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import re
import stat
from collections.abc import Iterator
from typing import Final

from . import _filetype, _native, _shards, _state
from ._filetype import FileType
from ._warnings import warn
from .errors import DataLossError, UnsupportedError

STATE_NAME: Final = "checkpoint"
# Nothing can have a name that is so long, or goes in circles.
_NO_SUCH_NAME: Final = (errno.ENAMETOOLONG, errno.ELOOP)


def file_status(path: str) -> os.stat_result | None:
    """`os.stat`, or `None` where there is nothing of that name. Other errors are raised."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in the name
        return None
    except OSError as error:
        if error.errno in _NO_SUCH_NAME:
            return None
        raise


def is_file(path: str) -> bool:
    """Whether anything but a directory is there. Raises `PermissionError` where nobody may look."""
    status = file_status(path)
    return status is not None and not stat.S_ISDIR(status.st_mode)


def matching(path: str) -> list[str]:
    """`path` itself if it exists, else what it matches as a pattern, sorted.

    TensorFlow takes every path for a pattern, and so misses files in a folder called `run[1]`;
    here the folder is taken literally too, before the whole path is a pattern.
    """
    if file_status(path) is not None:
        return [path]
    if not glob.has_magic(path) or "\0" in path:
        return []
    directory, name = os.path.split(path)
    return sorted(glob.glob(os.path.join(glob.escape(directory), name)) or glob.glob(path))


def exists(prefix: str) -> bool:
    """Whether a V2 index or a V1 file (or pattern) of that name exists, where one may look."""
    try:
        return bool(prefix) and bool(matching(_shards.index_file(prefix)) or matching(prefix))
    except PermissionError:  # the folder of somebody else, whose state file was copied
        return False


def fault(prefix: str) -> str | None:
    """What keeps the checkpoint at `prefix` from being whole; `None` if nothing seems to.

    Reads the index, and looks at the presence and the length of every data file; their checksums
    are compared when tensors are read. (The parts of a partitioned tensor count for presence only.)
    """
    index = _shards.index_file(prefix)
    if is_file(index):
        return _bundle_fault(prefix, index)
    files = [path for path in matching(prefix) if is_file(path)]
    if not files:
        return f"neither {index} nor {prefix} exists"
    for path in files:
        kind = _filetype.of_file(path)
        if kind is not FileType.V1_TABLE:
            return f"{path} is not a V1 checkpoint but {kind.value}"
    return _v1_fault(prefix, files)


def trouble(prefix: str) -> str | None:
    """The same, where a checkpoint that nobody may look at is one with a fault."""
    try:
        return fault(prefix)
    except PermissionError as error:
        return str(error)


def _bundle_fault(prefix: str, index: str) -> str | None:
    kind = _filetype.of_file(index)
    if kind is not FileType.V2_INDEX:
        return f"{index} is {kind.value}"
    files = _shards.data_files(prefix)
    if files is None:
        return f"{index} has no readable header"
    missing = [path for path in files if not is_file(path)]
    if missing:
        count = f", one of {len(missing)} missing of {len(files)}," if len(missing) > 1 else ""
        return f"{missing[0]}{count} does not exist"
    return _data_fault(prefix, files)


def _data_fault(prefix: str, files: tuple[str, ...]) -> str | None:
    """What is wrong with the length of a data file: a copy that was cut short, for one."""
    try:
        reader = _native.Reader(prefix, (), backend="pread", private=False, threads=1)
        entries = [reader.entry(index) for index in range(len(reader.signatures()))]
    except UnsupportedError:
        return None  # whole, and the reader will say what it cannot read
    except DataLossError as error:
        return str(error)
    needed = [0] * len(files)
    for shard, offset, nbytes, *_ in entries:
        if shard is not None and offset is not None and nbytes is not None:
            needed[shard] = max(needed[shard], offset + nbytes)
    for path, size in zip(files, needed, strict=True):
        status = file_status(path)
        if status is None or status.st_size < size:
            return f"{path} is shorter than the {size} bytes that the index says"
    return None


def _v1_fault(prefix: str, files: list[str]) -> str | None:
    if files == [prefix]:
        return None  # a single file, or one shard that was asked for by name
    matches = [match for path in files if (match := _shards.V1_SHARD_SUFFIX.search(path))]
    sets = {(match.string[: match.start()], match[2]) for match in matches}
    if len(matches) < len(files) or len(sets) != 1:
        return f"{prefix} matches files of more than one checkpoint"
    missing = [path for path in _shards.v1_files(*sets.pop()) if path not in files]
    return f"{missing[0]} does not exist" if missing else None


def relocated(path: str, directory: str) -> str:
    """A path from a state file in `directory`, as one that can be opened.

    Relative paths are relative to `directory`. A dead one is looked for beside the state file:
    directories are moved and copied, and state files written with absolute paths are not updated.
    """
    joined = os.path.join(directory, path)
    if not exists(joined):
        for name in (os.path.basename(path), re.split(r"[/\\]", path)[-1]):
            beside = os.path.join(directory, name)
            if name and exists(beside):
                return beside
    return joined


def read_state(path: str, directory: str) -> _state.CheckpointState:
    """The state file at `path`, its paths as seen from here: see `relocated`.

    Raises `OSError`, or `DataLossError` naming the file.
    """
    state = _state.read(path)
    if state.model_checkpoint_path:
        state.model_checkpoint_path = relocated(state.model_checkpoint_path, directory)
    state.all_model_checkpoint_paths = [
        relocated(listed, directory) for listed in state.all_model_checkpoint_paths
    ]
    return state


def latest_of_state(state: _state.CheckpointState) -> str | None:
    """The newest whole checkpoint that a state (see `read_state`) leads to.

    That is the one it names; if that one is not whole, with a warning, the newest of the others
    that it lists, or else of those that lie beside it under the same name with another step.
    """
    named = state.model_checkpoint_path
    reason = trouble(named)
    if reason is None:
        return named
    for prefix in _others(state):
        if prefix != named and trouble(prefix) is None:
            warn(f"the latest checkpoint {named} is not whole ({reason}); using {prefix}")
            return prefix
    warn(f"the latest checkpoint {named} is not whole ({reason}), and there is no other")
    return None


def _others(state: _state.CheckpointState) -> Iterator[str]:
    yield from reversed(state.all_model_checkpoint_paths)
    directory, name = os.path.split(state.model_checkpoint_path)
    with contextlib.suppress(PermissionError):  # `trouble` has said so
        yield from newest_first(directory, like=name)


def latest_of_directory(directory: str) -> str | None:
    """The newest whole checkpoint in a directory, whatever a state file there may say."""
    for prefix in newest_first(directory):
        reason = fault(prefix)
        if reason is None:
            return prefix
        warn(f"skipping the checkpoint {prefix}, which is not whole ({reason})")
    return None


def newest_first(directory: str, *, like: str | None = None) -> list[str]:
    """The prefixes of all checkpoints in a directory, whole or not, newest first.

    With `like`, only those whose names differ from it in their step alone. Where all names differ
    so, the highest step is the newest: the times of copied files say nothing. Otherwise time
    decides.
    """
    found: dict[str, int] = {}
    for entry in _entries(directory):
        name = _checkpoint_name(entry)
        if name is not None and (like is None or _stem(name) == _stem(like)):
            try:
                found[name] = entry.stat().st_mtime_ns
            except OSError:
                continue  # deleted since the directory was listed
    by_step = len({_stem(name) for name in found}) == 1
    order = sorted(found, key=lambda name: (0 if by_step else found[name], step(name), name))
    return [os.path.join(directory, name) for name in reversed(order)]


def _checkpoint_name(entry: os.DirEntry[str]) -> str | None:
    """The name of the checkpoint that a file stands for: one file of each checkpoint does."""
    name = entry.name
    if name.endswith(".index"):
        return name.removesuffix(".index")
    shard = _shards.V1_SHARD_SUFFIX.search(name)
    if shard and ".data-" not in name:
        first = int(shard[1]) == 0
        return _shards.v1_pattern(name[: shard.start()], shard[2]) if first else None
    # A V1 file has no suffix of its own, and reading every file would take long.
    if ".ckpt" in name and _shards.strip_suffix(name) == name and entry.is_file():
        return name if _filetype.of_file(entry.path) is FileType.V1_TABLE else None
    return None


def _entries(directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory or ".") as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        if error.errno in _NO_SUCH_NAME:
            return []
        raise


def _stem(name: str) -> str:
    return re.sub(r"(-\d+)?(-\?{5}-of-\d+)?$", "", name)


def step(name: str) -> int:
    """The step at the end of a checkpoint's name, -1 if there is none."""
    match = re.search(r"(?<!-of)-(\d{1,19})(-\?{5}-of-\d+)?$", name)
    return int(match[1]) if match else -1
