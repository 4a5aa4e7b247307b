"""The least that passes for a checkpoint, for tests of what finds, judges and deletes them.

V1 files are the two ends of a table: nothing looks further before it reads a tensor.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import ckptfast
from ckptfast import _shards

FOOTER = bytes(40) + _shards.MAGIC


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def entry(value: bytes) -> bytes:
    """The first entry of a table: an empty key, and `value`."""
    return b"\0\0" + varint(len(value)) + value


def bundle(prefix: Path, shards: int = 1, missing: Sequence[int] = ()) -> str:
    """A bundle of one number in each shard, without the data files that are to be missing."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    numbers = {f"t{i}": np.int32(i) for i in range(shards)}
    ckptfast.save(prefix, numbers, shards=shards, durability="none")
    for shard in missing:
        os.unlink(_shards.data_file(str(prefix), shard, shards))
    return str(prefix)


def v1(path: Path) -> str:
    path.write_bytes(entry(b"\x0a\x05\x0a\x03\x0a\x01a") + bytes(20) + FOOTER)
    return str(path)


def v1_sharded(prefix: Path, shards: int) -> tuple[str, ...]:
    return tuple(v1(Path(f"{prefix}-{i:05d}-of-{shards:05d}")) for i in range(shards))


def state(path: Path, latest: str, others: Sequence[str] = ()) -> None:
    lines = [f'model_checkpoint_path: "{latest}"']
    lines += [f'all_model_checkpoint_paths: "{name}"' for name in others]
    path.write_text("\n".join(lines))
