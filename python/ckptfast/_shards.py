"""Names of a bundle's files, and which data files its index names.

A bundle at PREFIX is `PREFIX.index` and `PREFIX.data-SSSSS-of-NNNNN` for each shard S; N is what
the header in the index says, so data files of another N are leftovers of an earlier save.
"""

from __future__ import annotations

import os
import re
from typing import Final

from . import _files, _native
from .errors import DataLossError

# The widths are minimums: a hundred thousand shards just get longer names.
DATA_SUFFIX: Final = re.compile(r"\.data-(\d{5,})-of-(\d{5,})$")
V1_SHARD_SUFFIX: Final = re.compile(r"(?<!\.data)-(\d{5,})-of-(\d{5,})$")

MAGIC: Final = bytes.fromhex("57fb808b247547db")
FOOTER_BYTES: Final = 48
# Enough for the header: the first entry of the table, whose key is empty.
HEAD_BYTES: Final = 512
# Beyond this, a number of shards is damage or malice, and not worth a list of names.
_MOST_SHARDS: Final = 1 << 20


def data_file(prefix: str, shard: int, shards: int) -> str:
    """The path of data file number `shard` of `shards`."""
    return f"{prefix}.data-{shard:05d}-of-{shards:05d}"


def index_file(prefix: str) -> str:
    """The path of the index, whose existence is what makes the bundle exist."""
    return f"{prefix}.index"


def strip_suffix(path: str) -> str:
    """`path` without the suffix of an index, a data file or a meta graph; else `path` itself."""
    for suffix in (".index", ".meta"):
        if path.endswith(suffix):
            return path.removesuffix(suffix)
    return DATA_SUFFIX.sub("", path)


def meta_file(prefix: str, suffix: str = "meta") -> str:
    """The path of the meta graph that `Saver` writes beside a checkpoint (V1 shards share one)."""
    return re.sub(r"-[\d?]+-of-\d+$", "", prefix) + f".{suffix}"


def data_files(prefix: str) -> tuple[str, ...] | None:
    """The data files that the index at `prefix` names, present or not; `None` if unreadable.

    Raises `OSError` if the index cannot be read.
    """
    index = index_file(prefix)
    with _files.naming(index), open(index, "rb", buffering=0) as file:
        count = _native.shard_count(file.read(HEAD_BYTES))
    if count is None or count > _MOST_SHARDS:
        return None
    return tuple(data_file(prefix, shard, count) for shard in range(count))


def v1_files(prefix: str, count: str) -> tuple[str, ...]:
    """The files of a V1 checkpoint in `count` shards (as written in their names), present or not.

    Raises `DataLossError` for more than a directory would ever hold.
    """
    if int(count) > _MOST_SHARDS:
        raise DataLossError(f"{prefix}: a checkpoint of {count} shards is none")
    return tuple(f"{prefix}-{shard:05d}-of-{count}" for shard in range(int(count)))


def v1_pattern(prefix: str, count: str) -> str:
    """What `Saver.save` returns for a sharded V1 checkpoint, and what state files hold."""
    return f"{prefix}-?????-of-{count}"


def v1_count(prefix: str) -> str | None:
    """The number of shards, as written in names, of the V1 shards saved under `prefix`.

    `None` if there are none, or of two different numbers.
    """
    directory, stem = os.path.split(prefix)
    names = names_in(directory)
    matches = (V1_SHARD_SUFFIX.search(name) for name in names if name.startswith(stem + "-"))
    counts = {found[2] for found in matches if found and found.string[: found.start()] == stem}
    return counts.pop() if len(counts) == 1 else None


def names_in(directory: str) -> list[str]:
    """The names of the files in a directory; none if it cannot be listed."""
    try:
        return os.listdir(directory or ".")
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return []
