"""`reshard`: the same bundle in another number of data files, or with other gaps in them."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

from . import _dtypes, _fingerprint, _native, _paths, _threads, _writer
from ._bundle import Place, Reader, while_replaced
from ._files import Durability
from ._paths import AnyPath
from .errors import UnsupportedError, _located


def reshard(
    path: AnyPath,
    *,
    shards: int | None = None,
    align: int = 64,
    durability: Durability = "full",
    threads: int | None = None,
) -> str:
    """Write a bundle anew where it is, into `shards` data files; returns its prefix.

    `path` is anything that `ckptfast.open` takes: a prefix, a folder, a SavedModel, whose variables
    are then written anew. Names, types, shapes, values, slices of partitioned tensors, strings and
    the object graph stay what they are; every byte is checked before anything is written.

    - `shards`: how many data files, at most one for each tensor. `None` keeps the number.
    - `align`: every tensor begins at a multiple of this many bytes (a power of two up to 4096).
      With 64, as in no file of TensorFlow's, values can be used where they lie in the file; with 1
      tensors are packed as TensorFlow does it.
    - `durability`, `threads`: as for `ckptfast.save`.

    The new index takes the place of the old one in one step: whenever the process dies, the old
    bundle is there or the new one. The number of data files is part of their names, so where it
    stays the same, the bundle is written twice, first in another number. Values go from the mapped
    files to the new ones; on network file systems, and where bytes have to be swapped or a
    partitioned tensor is put together from slices, through memory.

    A SavedModel's `fingerprint.pb` is brought up to date. One that was wrong before, or that cannot
    be read, is removed with a warning. If the process dies meanwhile, it may be missing, which does
    not keep TensorFlow from loading the model; it is never wrong.

    Raises what `ckptfast.open` and `ckptfast.save` raise: `DataLossError` where a checksum does not
    match, `UnsupportedError` for a V1 file (load it and save it) and for `gs://` and the like.
    """
    if shards is not None and not 1 <= shards <= _writer.MAX_SHARDS:
        raise ValueError(f"shards is between 1 and {_writer.MAX_SHARDS}, not {shards}")
    location = _paths.resolve(path)
    prefix = os.path.abspath(location.prefix)
    if location.format != "V2":
        message = f"{location.prefix}: a V1 file has no data files to divide; load it and save it"
        raise _located(UnsupportedError(message), path=location.prefix)

    def write() -> None:
        with Reader(location, threads=threads) as reader:
            rows = list(_rows(reader))
            there = reader.num_shards
        wanted = there if shards is None else shards
        # The names of the live data files are taken. `None` is any number whose names are free.
        for number in [None, wanted] if wanted == there else [wanted]:
            _native.write(
                prefix,
                rows,
                shards=number,
                align=align,
                durability=durability,
                threads=_threads.checked(threads),
                mapped={at for at, row in enumerate(rows) if isinstance(row[4], memoryview)},
            )

    with _fingerprint.kept_right(prefix, durability):
        while_replaced(write)
    return location.prefix


def _rows(reader: Reader) -> Iterator[_writer.Row]:
    """Everything that the index lists, each with its bytes where they lie."""
    slices = {name: reader.info(name).slices for name in reader}
    whole = [name for name in reader if not slices[name]]
    for name, place in reader._places(whole, align=0).items():
        yield _row(reader, name, reader.info(name).shape, None, place)
    for name, texts in slices.items():
        shape = reader.info(name).shape
        for text in texts:
            start, length = _box(text, shape)
            place = reader._box_place(name, start, length, align=0)
            yield _row(reader, name, length, f"{' '.join(map(str, shape))} {text}", place)


def _row(
    reader: Reader, name: str, shape: Sequence[int], spec: str | None, place: Place
) -> _writer.Row:
    number = reader._signatures[reader._index(name)][0]
    data: Any = place
    if not isinstance(place, list):
        region, offset = place
        data = memoryview(region)[offset : offset + math.prod(shape) * _dtypes.itemsize(number)]
    return name, number, shape, spec, data, 0, 0


def _box(text: str, shape: Sequence[int]) -> tuple[list[int], list[int]]:
    """Start and length in every dimension of a slice such as "0,2:-"."""
    pairs = [
        (0, size) if extent == "-" else tuple(map(int, extent.split(",")))
        for extent, size in zip(text.split(":"), shape, strict=True)
    ]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]
