"""Bundles made by hand, and a look into bundles that others made."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from helpers.table import build_table, crc32c, mask, parse_table, read_varint, varint

HEADER = bytes.fromhex("08011a020801")
"""What TensorFlow writes for one data file."""


def field(number: int, value: int | bytes) -> bytes:
    """One field of a protocol buffer: a varint or bytes. Zero is left out, as in proto3."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    return varint(number << 3) + varint(value & (1 << 64) - 1) if value else b""


def header(num_shards: int, *, endianness: int = 0, min_consumer: int = 0) -> bytes:
    """The value of the empty key."""
    version = field(1, 1) + field(2, min_consumer)
    return field(1, num_shards) + field(2, endianness) + field(3, version)


def shape_proto(shape: Sequence[int]) -> bytes:
    return b"".join(field(2, field(1, size)) for size in shape)


def slice_proto(spec: str) -> bytes:
    """`0,2:-` as a TensorSliceProto."""

    def extent(text: str) -> bytes:
        if text == "-":
            return b""
        start, length = map(int, text.split(","))
        # The length is in a oneof, so it is written even where it is zero.
        return field(1, start) + varint(2 << 3) + varint(length)

    return b"".join(field(1, extent(text)) for text in spec.split(":") if spec)


def entry(
    dtype: int,
    shape: Sequence[int],
    *,
    shard: int = 0,
    offset: int = 0,
    size: int = 0,
    crc: int | None = None,
    slices: Sequence[str] = (),
) -> bytes:
    """A BundleEntryProto; `crc` unmasked, `None` for an entry without one."""
    out = field(1, dtype) + field(2, shape_proto(shape))
    out += field(3, shard) + field(4, offset) + field(5, size)
    if crc is not None:
        out += varint(6 << 3 | 5) + struct.pack("<I", mask(crc))
    return out + b"".join(field(7, slice_proto(spec)) for spec in slices)


class Entry(NamedTuple):
    """What an index says of one key."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    """As stored, masked."""
    num_slices: int


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    found: list[tuple[int, int | bytes]] = []
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at)
        if tag & 7 == 0:
            value, at = read_varint(data, at)
            found.append((tag >> 3, value))
        elif tag & 7 == 5:
            found.append((tag >> 3, struct.unpack_from("<I", data, at)[0]))
            at += 4
        else:
            length, at = read_varint(data, at)
            found.append((tag >> 3, data[at : at + length]))
            at += length
    return found


def parse_entry(value: bytes) -> Entry:
    fields = _fields(value)
    last = dict(fields)

    def number(key: int) -> int:
        found = last.get(key, 0)
        assert isinstance(found, int)
        return found

    dims = _fields(last.get(2, b""))  # type: ignore[arg-type]
    shape = tuple(int(dict(_fields(dim)).get(1, 0)) for _, dim in dims)  # type: ignore[arg-type]
    num_slices = sum(key == 7 for key, _ in fields)
    return Entry(number(1), shape, number(3), number(4), number(5), number(6), num_slices)


def entries(prefix: Path | str) -> dict[bytes, Entry]:
    """Every key of a bundle but the header."""
    table = parse_table(Path(f"{prefix}.index").read_bytes())
    return {key: parse_entry(value) for key, value in table.items() if key}


def data_path(prefix: Path | str, shard: int = 0, num_shards: int = 1) -> Path:
    return Path(f"{prefix}.data-{shard:05}-of-{num_shards:05}")


def write_bundle(
    prefix: Path | str,
    items: Mapping[bytes, bytes] | Iterable[tuple[bytes, bytes]],
    data: Sequence[bytes],
    *,
    head: bytes | None = None,
    **table: Any,
) -> str:
    """Write `items` (encoded entries by key) and data files, whatever they say of each other.

    `table` is passed on to `build_table`.
    """
    value = header(len(data)) if head is None else head
    pairs = items.items() if isinstance(items, Mapping) else items
    index = build_table([(b"", value), *pairs], **table)
    Path(f"{prefix}.index").write_bytes(index)
    for shard, content in enumerate(data):
        data_path(prefix, shard, len(data)).write_bytes(content)
    return str(prefix)


def plain_entry(
    dtype: int, shape: Sequence[int], data: bytes, offset: int, shard: int = 0
) -> bytes:
    """The entry of a tensor whose bytes are `data`."""
    return entry(dtype, shape, shard=shard, offset=offset, size=len(data), crc=crc32c(data))


def slice_key(name: bytes, spec: str) -> bytes:
    """The key of one slice."""
    escaped = {0x00: b"\0\xff", 0xFF: b"\xff\0"}
    out = b"\0" + b"".join(escaped.get(byte, bytes([byte])) for byte in name) + b"\0\1"
    extents = spec.split(":") if spec else []
    out += bytes([1, len(extents)]) if extents else b"\0"
    for text in extents:
        start, length = (0, -1) if text == "-" else map(int, text.split(","))
        out += _ordered(start) + _ordered(length)
    return out


def _ordered(number: int) -> bytes:
    """In n bytes 7n bits, whose order is that of the numbers; the first n bits tell n and sign."""
    size = next(size for size in range(1, 11) if -1 << 7 * size - 1 <= number < 1 << 7 * size - 1)
    ones = (1 << size) - 1 << 7 * size
    return (number % (1 << 8 * size) ^ ones).to_bytes(size, "big")
