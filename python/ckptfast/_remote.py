"""Checkpoints on other file systems (`gs://`, `s3://`, `hdfs://`, …), through TensorFlow's.

Files are copied whole to a private temporary directory for reading, and from one for saving.
Needs TensorFlow; counted in `ckptfast.stats()` as a fallback. This module knows no `tensorflow`:
it loads `ckptfast.tf._gfile` when a remote path is first used.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import posixpath
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType, TracebackType
from typing import Any, Final, Self

from . import _filetype, _latest, _native, _paths, _shards, _state, _stats
from ._filetype import FileType
from ._paths import AnyPath
from ._warnings import warn
from .errors import CheckpointError, DataLossError, UnsupportedError, _located

# Copies in flight at once: object stores give one stream only a part of the bandwidth.
_STREAMS: Final = 8


def is_remote(path: AnyPath) -> bool:
    """Whether `path` is a URL of anything but `file://`."""
    return _paths.scheme(path) is not None


def file_system(path: AnyPath) -> Any:
    """`ckptfast.tf._gfile`, counted as a fallback.

    Raises `UnsupportedError` where TensorFlow is not installed.
    """
    scheme = _paths.scheme(path)
    try:
        module: ModuleType = importlib.import_module(".tf._gfile", __package__)
    except ModuleNotFoundError as error:
        raise UnsupportedError(
            f"{os.fsdecode(path)}: {scheme}:// goes through TensorFlow's file systems; "
            "install it with: pip install 'ckptfast[tensorflow]'"
        ) from error
    _stats.count_fallback(f"remote file system: {scheme}")
    return module


def exists(path: AnyPath) -> bool:
    """Whether anything bears the name `path`, or matches it as a pattern, here or elsewhere."""
    if is_remote(path):
        return bool(file_system(path).matching(_paths.text(path)))
    try:
        return bool(_latest.matching(_paths.local(path)))
    except FileNotFoundError:  # a file:// URL of another host
        return False


class Names:
    """Says `url` where it would be `folder`, which is private, and gone before anybody looks."""

    def __init__(self, folder: str, url: str) -> None:
        self._folder = folder
        self._url = url

    def shown(self, text: str) -> str:
        """A text, its paths of copies as URLs."""
        return text.replace(self._folder, self._url)

    @contextlib.contextmanager
    def in_errors(self) -> Iterator[None]:
        """Errors name the URL."""
        try:
            yield
        except (CheckpointError, OSError) as error:
            self.rename(error)
            raise

    def rename(self, error: Exception) -> None:
        """Change what an error says, in place."""
        texts = [arg for arg in error.args if isinstance(arg, str)]
        renamed = dict(zip(texts, map(self.shown, texts), strict=True))
        error.args = tuple(renamed.get(arg, arg) for arg in error.args)
        if isinstance(error, OSError) and isinstance(error.filename, str):
            error.filename = self.shown(error.filename)
        elif isinstance(error, CheckpointError) and error.path is not None:
            error.path = self.shown(error.path)

    def reader(self, native: Any) -> Any:
        """A native reader of the copy, whose errors name the URL."""
        return _Renaming(native, self)


class _Renaming:
    def __init__(self, native: Any, names: Names) -> None:
        self._native = native
        self._names = names

    def __getattr__(self, name: str) -> Any:
        with self._names.in_errors():
            found = getattr(self._native, name)
        return self._names.in_errors()(found) if callable(found) else found

    def verify(self, indices: Sequence[int]) -> list[tuple[int, Exception]]:
        """Errors come as values here."""
        bad: list[tuple[int, Exception]] = self._native.verify(indices)
        for _, error in bad:
            self._names.rename(error)
        return bad


def _folder(url: str) -> str:
    """All of `url` before its last slash, of which those of `scheme://` are two."""
    return url.rpartition("/")[0]


class Localized:
    """A local copy of one remote checkpoint; `path` is what to open. Gone after `close()`.

    Mappings of the copied files outlive it, as those of any deleted file do.
    """

    path: str
    names: Names
    """What the copied files are called for users."""

    def __init__(self, url: AnyPath) -> None:
        # The directory's own finalizer removes it when nobody calls `close`.
        self._folder = tempfile.TemporaryDirectory(prefix="ckptfast-")
        try:
            files = file_system(url)
            found = _prefix(files, os.fsdecode(url))
            self.names = Names(self._folder.name, _folder(found))
            self.path = _fetch(files, found, self._folder.name)
        except BaseException:
            self._folder.cleanup()
            raise

    def close(self) -> None:
        """Remove the copy."""
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def localize(url: AnyPath) -> Localized:
    """Copy the checkpoint that a URL means to the local disk.

    The URL may name what a local path may: a prefix, a file of the checkpoint, a directory, a state
    file, a SavedModel, a V1 file or pattern. Raises what `_paths.resolve` raises.
    """
    return Localized(url)


def _fetch(files: Any, found: str, folder: str) -> str:
    """Copy the checkpoint whose prefix is `found` into `folder`; what to open there."""
    target = os.path.join(folder, posixpath.basename(found))
    if not files.is_file(_shards.index_file(found)):
        sources = _v1_files(files, found)
        _copy_all(files, {s: os.path.join(folder, posixpath.basename(s)) for s in sources})
        return target
    files.copy(_shards.index_file(found), _shards.index_file(target))
    named = {found + path.removeprefix(target): path for path in _shards.data_files(target) or ()}
    # A missing data file is no reason to refuse: names and shapes can be read without it.
    there = set(files.names_in(_paths.parent(found)))
    _copy_all(files, {s: t for s, t in named.items() if posixpath.basename(s) in there})
    return target


def _copy_all(files: Any, pairs: Mapping[str, str]) -> None:
    with ThreadPoolExecutor(_STREAMS) as pool:
        for done in [pool.submit(files.copy, *pair) for pair in pairs.items()]:
            done.result()


def _prefix(files: Any, url: str) -> str:
    """The prefix of the bundle that a URL means, or the file or pattern of a V1 checkpoint."""
    for candidate in (url, _shards.strip_suffix(url)):
        if files.is_file(_shards.index_file(candidate)):
            return candidate
    if files.is_directory(url):
        return _prefix_in(files, url)
    if not files.is_file(url):
        return url
    head, tail, size = files.ends(url, _filetype.HEAD_BYTES, _shards.FOOTER_BYTES)
    kind = _filetype.recognise(head, tail, size)
    directory, name = _paths.parent(url), posixpath.basename(url)
    if kind is FileType.STATE:
        return _required(_latest_of_state(files, directory, name), url)
    if kind is FileType.SAVED_MODEL or name in _paths.SAVED_MODEL_FILES:
        return _prefix_in(files, directory)
    if kind is not FileType.V1_TABLE:
        raise _filetype.problem(url, kind)
    return url


def _prefix_in(files: Any, directory: str) -> str:
    names = files.names_in(directory)
    if any(name in names for name in _paths.SAVED_MODEL_FILES):
        return posixpath.join(directory, "variables", "variables")
    if _latest.STATE_NAME in names:
        return _required(_latest_of_state(files, directory, _latest.STATE_NAME), directory)
    prefixes = [name.removesuffix(".index") for name in names if name.endswith(".index")]
    ordered = sorted(prefixes, key=lambda name: (_latest.step(name), name), reverse=True)
    paths = (posixpath.join(directory, name) for name in ordered)
    return _required(next((path for path in paths if _is_whole(files, path)), None), directory)


def _required(prefix: str | None, url: str) -> str:
    if prefix is None:
        raise FileNotFoundError(errno.ENOENT, "there is no whole checkpoint here", url)
    return prefix


def _v1_files(files: Any, path: str) -> list[str]:
    shard = _shards.V1_SHARD_SUFFIX.search(path)
    pattern = _shards.v1_pattern(path[: shard.start()], shard[2]) if shard else path
    found: list[str] = [path] if not shard and files.is_file(path) else files.matching(pattern)
    if not found:
        raise FileNotFoundError(errno.ENOENT, "there is no such checkpoint", path)
    return found


def _is_whole(files: Any, prefix: str) -> bool:
    names = set(files.names_in(_paths.parent(prefix)))
    base = posixpath.basename(prefix)
    if _shards.index_file(base) not in names:
        return bool(files.matching(prefix))
    ends = files.ends(_shards.index_file(prefix), _shards.HEAD_BYTES, _shards.FOOTER_BYTES)
    count = _native.shard_count(ends[0])
    if _filetype.recognise(*ends) is not FileType.V2_INDEX or count is None:
        return False
    return len(names) > count and all(
        _shards.data_file(base, shard, count) in names for shard in range(count)
    )


def latest(directory: AnyPath, state_name: str = _latest.STATE_NAME) -> str | None:
    """The newest whole checkpoint that the state file of a remote directory leads to."""
    url = os.fsdecode(directory)
    files = file_system(url)
    if not files.is_file(posixpath.join(url, state_name)):
        return None
    return _latest_of_state(files, url, state_name)


def _latest_of_state(files: Any, directory: str, name: str) -> str | None:
    url = posixpath.join(directory, name)
    try:
        state = _state.parse(files.ends(url, _state.MAX_BYTES + 1, 0)[0])
    except DataLossError as error:
        raise _located(DataLossError(f"{url}: {error}"), path=url) from None
    listed = [state.model_checkpoint_path, *reversed(state.all_model_checkpoint_paths)]
    for path in listed:
        joined = path if is_remote(path) else posixpath.join(directory, path)
        for prefix in (joined, posixpath.join(directory, posixpath.basename(path))):
            if path and _is_whole(files, prefix):
                if path != listed[0]:
                    warn(f"the latest checkpoint {listed[0]} is not whole; using {prefix}")
                return prefix
    return None


# -------------------------------------------------------------------------------------- saving


@contextlib.contextmanager
def staging(url: AnyPath) -> Iterator[tuple[str, Callable[[], str]]]:
    """A local prefix to save to, and the function that then publishes it at `url`.

    The prefix looks like the one at `url`: it has the same index, and empty files for its data. So
    a save over it picks names that are free at `url` as well, and replacing is atomic there too.
    """
    remote = os.fsdecode(url)
    files = file_system(remote)
    with tempfile.TemporaryDirectory(prefix="ckptfast-") as folder:
        prefix = os.path.join(folder, posixpath.basename(remote))
        names = Names(folder, _folder(remote))
        if files.is_file(_shards.index_file(remote)):
            files.copy(_shards.index_file(remote), _shards.index_file(prefix))
            for path in _shards.data_files(prefix) or ():
                open(path, "xb").close()

        def finish() -> str:
            _publish(files, prefix, remote)
            return remote

        with names.in_errors():
            yield prefix, finish


def upload(local_prefix: str, remote_prefix: AnyPath) -> None:
    """Copy a local bundle to a remote prefix: data first, the index last.

    Until the index is there the new bundle does not exist. Where the bundle at `remote_prefix` has
    as many shards as the new one, its data is overwritten, so its index is removed first.
    """
    remote = os.fsdecode(remote_prefix)
    _publish(file_system(remote), local_prefix, remote)


def _publish(files: Any, local: str, remote: str) -> None:
    new = _data_suffixes(local)
    old: set[str] = set()
    if files.is_file(_shards.index_file(remote)):
        with tempfile.TemporaryDirectory(prefix="ckptfast-") as folder:
            copied = os.path.join(folder, "old")
            files.copy(_shards.index_file(remote), _shards.index_file(copied))
            old = _data_suffixes(copied)
        if old & new:
            files.remove(_shards.index_file(remote))
    with ThreadPoolExecutor(_STREAMS) as pool:
        for done in [pool.submit(files.publish, local + suffix, remote + suffix) for suffix in new]:
            done.result()
    files.publish(_shards.index_file(local), _shards.index_file(remote))
    for suffix in old - new:
        files.remove(remote + suffix)


def _data_suffixes(prefix: str) -> set[str]:
    return {path.removeprefix(prefix) for path in _shards.data_files(prefix) or ()}
