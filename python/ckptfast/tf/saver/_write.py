"""From values to files: which tensor goes into which data file, and under what names.

Without `sharded` there is one data file, as TensorFlow writes it, or two where one would overwrite
that of the checkpoint being replaced. With it there is one for each device.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from typing import Any, Final

import numpy

from ... import _dtypes, _native, _paths, _remote, _shards, _threads
from ..._writer import _USED_BITS
from .._targets import Part, Target
from ._config import Options
from ._snapshot import Messages, Taken
from ._wanted import by_device

_PLAIN: Final = frozenset("?bBhHiIlLqQefdFD")
"""Codes of NumPy's own types. It offers no buffer of bfloat16 and the like."""


def write(
    prefix: str,
    targets: Sequence[Target],
    values: Sequence[Taken],
    options: Options,
    *,
    sharded: bool,
) -> None:
    """Write the bundle at `prefix`. Raises the core's errors, and leaves what was there."""
    if _remote.is_remote(prefix):
        with _remote.staging(prefix) as (local, finish):
            write(local, targets, values, options, sharded=sharded)
            finish()
        return
    rows = _rows([part for target in targets for part in target.parts], values)
    shards = _by_device(targets, rows) if sharded else [rows]
    prefix = _paths.local(prefix)
    if len(shards) == 1:
        _write(prefix, shards[0], options, 1 if options.strict else None, options.durability)
    else:
        _merge(prefix, shards, options)


def _merge(prefix: str, shards: Sequence[list[Any]], options: Options) -> None:
    """One bundle for each shard in a folder beside the checkpoint, made one by renaming."""
    folder = f"{prefix}_temp"
    parts = [
        os.path.join(folder, f"part-{number:05d}-of-{len(shards):05d}")
        for number in range(len(shards))
    ]
    try:
        for part, rows in zip(parts, shards, strict=True):
            _write(part, rows, options, 1, options.durability)
        _native.merge(
            parts, prefix, durability=options.durability, delete_old=True, allow_missing=False
        )
    except BaseException:
        for part in parts:
            with contextlib.suppress(OSError):
                os.unlink(_shards.index_file(part))
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _write(
    prefix: str, rows: list[Any], options: Options, shards: int | None, durability: str
) -> None:
    _native.write(
        prefix,
        rows,
        shards=shards,
        align=options.align,
        durability=durability,
        threads=_threads.resolve(None),
    )


def _by_device(targets: Sequence[Target], rows: Sequence[Any]) -> list[list[Any]]:
    remaining = iter(rows)
    of = {id(target): [next(remaining) for _ in target.parts] for target in targets}
    return [
        [row for target in members for row in of[id(target)]] for _, members in by_device(targets)
    ]


def _rows(parts: Sequence[Part], values: Sequence[Taken]) -> list[Any]:
    rows = []
    for part, value in zip(parts, values, strict=True):
        # What nearly all values are, at once: there may be thousands.
        if type(value) is numpy.ndarray and value.dtype.char in _PLAIN and part.box is None:
            shape = value.shape
            if shape:
                rows.append((part.name, part.dtype, shape, None, value, 0, 0))
                continue
        rows.append(_row(part, value))
    return rows


def _row(part: Part, value: Taken) -> tuple[Any, ...]:
    name, number, _, box = part
    spec = None if box is None else box.spec
    if isinstance(value, Messages):
        return name, number, value.shape, spec, value.elements, 0, 0
    if number == _dtypes.STRING:
        if isinstance(value, bytes):  # a scalar; an array of it would forget zero bytes at its end
            return name, number, (), spec, [value], 0, 0
        return name, number, value.shape, spec, value.ravel().tolist(), 0, 0
    shape = value.shape
    if value.dtype.char not in _PLAIN:
        value = value.view(f"u{value.dtype.itemsize}")
    if not shape:
        value = value.reshape(1)  # the core takes no buffer without dimensions
    return name, number, shape, spec, value, 0, _USED_BITS.get(number, 0)
