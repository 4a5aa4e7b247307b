"""Event files made by hand: records, and the messages in them."""

from __future__ import annotations

import struct
from pathlib import Path

from ckptfast import _native


def masked(data: bytes) -> bytes:
    """The checksum of `data` as it is stored."""
    crc = _native.crc32c(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def record(data: bytes, *, length: int | None = None) -> bytes:
    """A record of `data`; `length` is what its header says instead of the truth."""
    header = struct.pack("<Q", len(data) if length is None else length)
    return header + masked(header) + data + masked(data)


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*encoded, value))


def field(number: int, value: int | float | bytes) -> bytes:
    """A varint, a double, or bytes with their length."""
    match value:
        case int():
            return varint(number << 3) + varint(value)
        case float():
            return varint(number << 3 | 1) + struct.pack("<d", value)
        case _:
            return varint(number << 3 | 2) + varint(len(value)) + value


def event(step: int, *parts: bytes, wall_time: float = 1.0) -> bytes:
    """A record of an `Event`."""
    return record(field(1, wall_time) + field(2, step) + b"".join(parts))


def simple(tag: str, value: float) -> bytes:
    """A summary of one `simple_value`."""
    number = varint(2 << 3 | 5) + struct.pack("<f", value)
    return field(5, field(1, field(1, tag.encode()) + number))


def tensor(tag: str, message: bytes, plugin: str | None = "scalars") -> bytes:
    """A summary of one `TensorProto`."""
    said = b"" if plugin is None else field(9, field(1, field(1, plugin.encode())))
    return field(5, field(1, field(1, tag.encode()) + said + field(8, message)))


def float_tensor(value: float, *dims: int) -> bytes:
    """A float32 tensor of one value, as its content."""
    shape = b"".join(field(2, field(1, size)) for size in dims)
    return field(1, 1) + field(2, shape) + field(4, struct.pack("<f", value))


def write(folder: Path, *records: bytes, seconds: int = 1700000000) -> Path:
    """An event file in a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"events.out.tfevents.{seconds}.host"
    path.write_bytes(record(field(3, b"brain.Event:2")) + b"".join(records))
    return path


def scalars(folder: Path, tag: str, values: dict[int, float], *, seconds: int = 1700000000) -> Path:
    """An event file of one scalar at some steps."""
    records = [event(step, simple(tag, value)) for step, value in values.items()]
    return write(folder, *records, seconds=seconds)
