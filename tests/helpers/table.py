"""The table format behind an index and a V1 file, written a second time and simply.

Tests make bundles by hand with it that no writer would make, and look into files without trusting
the reader they test.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

FOOTER_BYTES = 48
MAGIC = bytes.fromhex("57fb808b247547db")


def _crc_table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """CRC-32C, byte by byte: a megabyte takes a second."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def mask(crc: int) -> int:
    """A checksum as it is stored."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def unmask(stored: int) -> int:
    """The checksum behind a stored one."""
    rotated = (stored - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def varint(number: int) -> bytes:
    """Seven bits to a byte, the lowest first."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at `at`, and the position behind it."""
    number = shift = 0
    while True:
        number |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            return number, at


def snappy(data: bytes) -> bytes:
    """`data` in Snappy's form: literals, and copies of 64 bytes where those before are the same."""
    out = bytearray(varint(len(data)))
    literal = b""

    def flush() -> None:
        for at in range(0, len(literal), 60):
            part = literal[at : at + 60]
            out.append(len(part) - 1 << 2)
            out.extend(part)

    at = 0
    while at < len(data):
        if at >= 64 and data[at : at + 64] == data[at - 64 : at]:
            flush()
            literal = b""
            out.extend(bytes([63 << 2 | 2, 64, 0]))
            at += 64
        else:
            literal += data[at : at + 1]
            at += 1
    flush()
    return bytes(out)


def build_table(
    items: Iterable[tuple[bytes, bytes]],
    *,
    per_block: int = 1 << 30,
    compress: Callable[[bytes], bytes] | None = None,
) -> bytes:
    """A table of `items` in their order (which need not be the right one), no prefix shared.

    `compress` is `snappy`, or what a test takes for it.
    """
    out = bytearray()
    handles = []

    def add_block(entries: list[tuple[bytes, bytes]]) -> bytes:
        block = b"".join(
            b"\0" + varint(len(key)) + varint(len(value)) + key + value for key, value in entries
        )
        # One restart point: whoever searches from it walks the whole block.
        block += struct.pack("<II", 0, 1)
        block = compress(block) + b"\1" if compress else block + b"\0"
        handle = varint(len(out)) + varint(len(block) - 1)
        out.extend(block + struct.pack("<I", mask(crc32c(block))))
        return handle

    pending = list(items)
    while pending:
        entries, pending = pending[:per_block], pending[per_block:]
        handles.append((entries[-1][0], add_block(entries)))
    metaindex = add_block([])
    footer = metaindex + add_block(handles)
    return bytes(out) + footer.ljust(FOOTER_BYTES - len(MAGIC), b"\0") + MAGIC


def _read_block(data: bytes, handle: bytes) -> dict[bytes, bytes]:
    offset, at = read_varint(handle, 0)
    size, _ = read_varint(handle, at)
    block, trailer = data[offset : offset + size], data[offset + size : offset + size + 5]
    assert trailer[:1] == b"\0", "compressed"
    assert struct.unpack("<I", trailer[1:]) == (mask(crc32c(block + b"\0")),)
    (restarts,) = struct.unpack("<I", block[-4:])
    entries, key, at = {}, b"", 0
    while at < size - 4 - 4 * restarts:
        shared, at = read_varint(block, at)
        added, at = read_varint(block, at)
        length, at = read_varint(block, at)
        key = key[:shared] + block[at : at + added]
        entries[key] = block[at + added : at + added + length]
        at += added + length
    return entries


def parse_table(data: bytes) -> dict[bytes, bytes]:
    """Keys and values of an uncompressed table, in their order."""
    assert data.endswith(MAGIC)
    footer = data[-FOOTER_BYTES:]
    _, at = read_varint(footer, 0)
    _, at = read_varint(footer, at)
    entries: dict[bytes, bytes] = {}
    for handle in _read_block(data, footer[at:]).values():
        entries.update(_read_block(data, handle))
    return entries


def harmless_bytes(data: bytes) -> tuple[set[int], set[int]]:
    """The bytes of a table that a reader of its entries has no need to look at.

    First those that say nothing: the metaindex block and the footer's padding. Then those of which
    some bits may change without harm: the metaindex block's handle, which only has to be one, and
    the last byte of the index block's, whose top bit says that the zero behind it belongs to it.
    """
    start = len(data) - FOOTER_BYTES
    offset, at = read_varint(data, start)
    size, at = read_varint(data, at)
    handle = range(start, at)
    for _ in range(2):
        _, at = read_varint(data, at)
    padding = range(at, len(data) - len(MAGIC))
    return {*range(offset, offset + size + 5), *padding}, {*handle, at - 1}
