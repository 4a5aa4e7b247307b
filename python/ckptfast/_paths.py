"""From what people pass to the files of one checkpoint.

`resolve` takes a prefix, any file of a checkpoint, a directory, a state file, a SavedModel, a V1
file or the pattern of its shards. A path is taken literally first and as a pattern only if nothing
of that name exists. What is not a checkpoint is recognised by its bytes.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import os
import re
import stat
import urllib.parse
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from . import _filetype, _latest, _native, _shards
from ._filetype import FileType
from ._latest import is_file
from ._warnings import warn
from .errors import AmbiguousError, DataLossError, UnsupportedError, _located

AnyPath: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]

SAVED_MODEL_FILES: Final = ("saved_model.pb", "saved_model.pbtxt", "saved_model.cpb")
# Bytes; Git-LFS's specification has no pointer as long.
_LFS_POINTER_LIMIT: Final = 1024
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True, slots=True)
class Location:
    """One checkpoint on a local disk.

    - `prefix`: of a V2 bundle, whose index is `prefix + ".index"`; for V1 the file, or the
      pattern of its shards (`model.ckpt-7-?????-of-00002`), as `Saver.save` returns it.
    - `format`: "V2" or "V1".
    - `files`: the shards of a V1 checkpoint, in order; empty for V2, whose index names its files.
    """

    prefix: str
    format: Literal["V2", "V1"]
    files: tuple[str, ...] = ()


def absolute(location: Location) -> Location:
    """The same checkpoint, whatever the working directory will be."""
    # Joined rather than normalised: a prefix may end in a slash, which is part of it.
    here = os.getcwd()
    files = tuple(os.path.join(here, file) for file in location.files)
    return Location(os.path.join(here, location.prefix), location.format, files)


def text(path: AnyPath) -> str:
    """A path as text. Raises `TypeError` for what is none."""
    try:
        return os.fsdecode(path)
    except TypeError as error:
        hint = (
            "; latest_checkpoint returns None where there is no checkpoint" if path is None else ""
        )
        raise TypeError(f"the path of a checkpoint: {error}{hint}") from None


def scheme(path: AnyPath) -> str | None:
    """The scheme of a URL in lower case ("gs"), `None` for a path and for a `file://` URL."""
    match = _SCHEME.match(text(path))
    return match[1].lower() if match and match[1].lower() != "file" else None


def parent(path: str) -> str:
    """The folder of a path or a URL. Of `scheme://NAME` that is `scheme://`, the root."""
    folder, slash, _ = path.rpartition("/")
    is_root = "://" in path and folder.endswith((":/", "://"))
    return folder + slash if is_root else os.path.dirname(path)


def local(path: AnyPath) -> str:
    """`path` as text, without `file://`.

    Raises `UnsupportedError` for other schemes and `FileNotFoundError` for other hosts.
    """
    name = text(path)
    if scheme(name) is not None:
        raise _located(
            UnsupportedError(f"{name}: not on a local file system; copy it to one"), path=name
        )
    if name[:7].lower() != "file://":
        return name
    host, slash, rest = name[7:].partition("/")
    if host not in ("", "localhost"):
        raise _not_found(name, "a file:// URL has three slashes, or localhost after two")
    plain = slash + rest
    # `Path.as_uri` writes a blank as %20; a name may also hold a percent sign of its own.
    return plain if _latest.exists(plain) else urllib.parse.unquote(plain)


def resolve(path: AnyPath) -> Location:
    """The checkpoint that `path` means.

    Only the ends of an index are read here; that of the data only what tells a Git-LFS pointer.

    Raises `FileNotFoundError`, naming what exists nearby; `DataLossError` or `UnsupportedError`
    for a file that is something else, saying what it is; `ValueError` if a pattern matches
    several checkpoints; `PermissionError` and other `OSError`s as they come.
    """
    text = local(path)
    if not text:
        raise ValueError("the path of a checkpoint must not be empty")
    location = _literal(text) or _pattern(text)
    if location is None:
        raise _missing(text)
    return location


def _literal(path: str) -> Location | None:
    if is_file(_shards.index_file(path)):
        return _bundle(path)
    status = _latest.file_status(path)
    if status is not None:
        return _directory(path) if stat.S_ISDIR(status.st_mode) else _file(path)
    prefix = _shards.strip_suffix(path)
    if prefix != path and is_file(_shards.index_file(prefix)):
        return _bundle(prefix)
    return _v1_sharded(path)


def _bundle(prefix: str) -> Location:
    index = _shards.index_file(prefix)
    kind = _filetype.of_file(index)
    if kind is FileType.V1_TABLE:
        return Location(index, "V1", (index,))
    # Of a damaged index the reader can say which bytes are wrong.
    if kind not in (FileType.V2_INDEX, FileType.DAMAGED_TABLE):
        raise _filetype.problem(index, kind)
    first = (_shards.data_files(prefix) or ("",))[0]
    # A missing data file is no reason to refuse: names and shapes can be read without it.
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        small = os.stat(first).st_size < _LFS_POINTER_LIMIT
        if small and _filetype.of_file(first) is FileType.LFS_POINTER:
            raise _filetype.problem(first, FileType.LFS_POINTER)
    return Location(prefix, "V2")


def _file(path: str) -> Location:
    """The checkpoint that an existing file belongs to, or names."""
    kind = _filetype.of_file(path)
    prefix = _shards.strip_suffix(path)
    if kind is FileType.V1_TABLE:
        return _v1(path)
    if path.endswith(".index"):
        return _bundle(prefix)
    if prefix != path and is_file(_shards.index_file(prefix)):
        return _bundle(prefix)
    if kind is FileType.V2_INDEX:
        raise _misnamed_index(path)
    if _shards.DATA_SUFFIX.search(path):
        raise _no_index(prefix)
    if path.endswith(".meta"):
        return _beside_meta(path, prefix, kind)
    if kind is FileType.STATE:
        return _of_state(path)
    directory, name = os.path.split(path)
    if kind is FileType.SAVED_MODEL or name in SAVED_MODEL_FILES:
        variables = os.path.join(directory, "variables", "variables")
        if is_file(_shards.index_file(variables)):
            return _bundle(variables)
    raise _filetype.problem(path, kind)


def _beside_meta(path: str, prefix: str, kind: FileType) -> Location:
    """A V1 checkpoint by its meta graph; that of a V2 one has been found by its index."""
    if is_file(prefix):
        return _file(prefix)
    location = _v1_sharded(prefix)
    if location is None:
        more = f"it holds the graph and no values, and there is no checkpoint {prefix} beside it"
        raise _filetype.problem(path, kind, more if kind is FileType.META_GRAPH else "")
    return location


def _v1(path: str) -> Location:
    match = _shards.V1_SHARD_SUFFIX.search(path)
    if match is None:
        return Location(path, "V1", (path,))
    return _v1_set(path[: match.start()], match[2])


def _v1_sharded(prefix: str) -> Location | None:
    """A sharded V1 checkpoint by the name it was saved under."""
    count = _shards.v1_count(prefix)
    return None if count is None else _v1_set(prefix, count)


def _v1_set(prefix: str, count: str) -> Location:
    pattern = _shards.v1_pattern(prefix, count)
    files = _shards.v1_files(prefix, count)
    for path in files:
        if not is_file(path):
            raise _not_found(path, f"a shard of the V1 checkpoint {pattern} is missing")
        kind = _filetype.of_file(path)
        if kind is not FileType.V1_TABLE:
            raise _filetype.problem(path, kind)
    return Location(pattern, "V1", files)


def _pattern(path: str) -> Location | None:
    """The one checkpoint that a pattern matches: a V1 file or set, or a bundle by any file."""
    files = [found for found in _latest.matching(path) if is_file(found)]
    prefixes = {_shards.strip_suffix(found) for found in files}
    prefixes.update(_shards.strip_suffix(i) for i in _latest.matching(_shards.index_file(path)))
    bundles = sorted(prefix for prefix in prefixes if is_file(_shards.index_file(prefix)))
    shards = [match for found in files if (match := _shards.V1_SHARD_SUFFIX.search(found))]
    sets = sorted({(match.string[: match.start()], match[2]) for match in shards})
    others = [found for found in files if not _shards.V1_SHARD_SUFFIX.search(found)]
    others = [other for other in others if _shards.strip_suffix(other) not in bundles]
    singles = [other for other in others if _filetype.of_file(other) is FileType.V1_TABLE]
    found = [*bundles, *(_shards.v1_pattern(*one) for one in sets), *singles]
    if len(found) > 1:
        some = ", ".join(found[:5])
        text = f"{path} matches {len(found)} checkpoints ({some}); pass one of them"
        raise _located(AmbiguousError(text), path=path)
    if bundles:
        return _bundle(bundles[0])
    if sets:
        return _v1_set(*sets[0])
    if singles:
        return _v1(singles[0])
    return _file(files[0]) if len(files) == 1 else None


def _directory(path: str) -> Location:
    variables = os.path.join(path, "variables", "variables")
    if any(is_file(os.path.join(path, name)) for name in SAVED_MODEL_FILES):
        if not is_file(_shards.index_file(variables)):
            raise _not_found(path, "this SavedModel has no variables")
        return _bundle(variables)
    state = os.path.join(path, _latest.STATE_NAME)
    if is_file(state):
        try:
            return _of_state(state)
        except FileNotFoundError:
            pass  # there was a warning, with the reason
        except DataLossError as error:
            warn(f"{error}; looking for a checkpoint beside it")
    prefix = _latest.latest_of_directory(path)
    if prefix is None and is_file(_shards.index_file(variables)):
        prefix = variables
    location = None if prefix is None else _literal(prefix) or _pattern(prefix)
    if location is None:
        raise _not_found(path, f"there is no whole checkpoint in this directory{_inside(path)}")
    return location


def _of_state(path: str) -> Location:
    state = _latest.read_state(path, os.path.dirname(path))
    if not state.model_checkpoint_path:
        raise _located(DataLossError(f"{path}: this state file names no checkpoint"), path=path)
    prefix = _latest.latest_of_state(state)
    location = None if prefix is None else _literal(prefix) or _pattern(prefix)
    if location is None:
        named = state.model_checkpoint_path
        raise _not_found(path, f"{named}, which the state file names, is not a whole checkpoint")
    return location


# -------------------------------------------------------------------- errors that show the way


def _not_found(path: str, message: str) -> FileNotFoundError:
    return FileNotFoundError(errno.ENOENT, message, path)


def _missing(path: str) -> FileNotFoundError:
    """The error for a path where nothing is, with what is nearby."""
    directory, name = os.path.split(path.rstrip("/"))
    if not os.path.isdir(directory or "."):
        while directory and not os.path.isdir(directory):
            existing, absent = os.path.split(directory)
            directory, name = existing, absent
        hint = " (nobody expands it: pass os.path.expanduser(path))" if name[:1] == "~" else ""
        where = directory or "the working directory"
        return _not_found(path, f"there is no {name!r} in {where}{hint}")
    prefix = _shards.strip_suffix(path)
    if any(_shards.DATA_SUFFIX.fullmatch(rest) for rest in _suffixes(prefix)):
        return _no_index(prefix)
    found = [os.path.basename(other) for other in _latest.newest_first(directory)]
    near = [other for other in found if other.startswith(name)]
    near += difflib.get_close_matches(name, [o for o in found if o not in near], n=3, cutoff=0.5)
    if near:
        hint = " or ".join(os.path.join(directory, other) for other in near[:3])
        return _not_found(path, f"there is no such checkpoint; did you mean {hint}?")
    if found:
        return _not_found(path, f"there is no such checkpoint; nearby: {', '.join(found[:5])}")
    return _not_found(path, "there is no such checkpoint, nor any other beside it")


def _suffixes(prefix: str) -> list[str]:
    """What follows the name of `prefix` in the names of the files beside it."""
    directory, stem = os.path.split(prefix)
    return [name[len(stem) :] for name in _shards.names_in(directory) if name.startswith(stem)]


def _no_index(prefix: str) -> FileNotFoundError:
    return _not_found(
        _shards.index_file(prefix),
        "the data is there, but the index without which it cannot be read is not: "
        "the save did not finish, or the index was not copied along",
    )


def _misnamed_index(path: str) -> UnsupportedError:
    # A flipped bit can make a V1 file look like an index. Read as V1, damage has a checksum to
    # show, and an index that is whole has none.
    try:
        _native.Reader(path, (path,), backend="pread", private=False, threads=1)
    except DataLossError as error:
        if error.stored_crc32c is not None:
            raise
    why = "its name must be the prefix and .index, beside its data files"
    if re.search(r"\.tempstate\d+$", path):
        why = "it was left behind by a save that did not finish"
    return UnsupportedError(f"{path}: this is the index of a checkpoint; {why}")


def _inside(directory: str) -> str:
    """A hint at checkpoints one level further down, as below the versions of a served model."""
    try:
        with os.scandir(directory) as entries:
            folders = sorted(entry.path for entry in entries if entry.is_dir())[:100]
    except OSError:
        return ""
    marks = (_latest.STATE_NAME, *SAVED_MODEL_FILES)
    found = [
        folder
        for folder in folders
        if any(is_file(os.path.join(folder, mark)) for mark in marks)
        or _latest.newest_first(folder)
    ]
    return f"; did you mean {' or '.join(found[:3])}?" if found else ""
