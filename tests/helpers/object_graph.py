"""`TrackableObjectGraph` messages, written by hand."""

from __future__ import annotations

from collections.abc import Sequence


def varint(value: int) -> bytes:
    """A number, seven bits to a byte."""
    head = b""
    while value >= 0x80:
        head += bytes([value & 0x7F | 0x80])
        value >>= 7
    return head + bytes([value])


def field(number: int, value: bytes | int) -> bytes:
    """A field of a message in the wire format."""
    if isinstance(value, int):
        return bytes([number << 3]) + varint(value)
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def child(number: int, name: str) -> bytes:
    """A child of an object."""
    return field(1, field(1, number) + field(2, name.encode()))


def value(key: str, full_name: str = "", name: str = "VARIABLE_VALUE") -> bytes:
    """A value of an object."""
    texts = (name, full_name, key)
    return field(2, b"".join(field(at, text.encode()) for at, text in enumerate(texts, 1)))


def slot(variable: int, name: str, number: int) -> bytes:
    """A slot variable of an optimizer."""
    return field(3, field(1, variable) + field(2, name.encode()) + field(3, number))


def graph(objects: Sequence[bytes]) -> bytes:
    """The message of all objects."""
    return b"".join(field(1, item) for item in objects)


def chain(length: int) -> bytes:
    """Objects of which each is the child "x" of the one before."""
    return graph([*(child(number + 1, "x") for number in range(length - 1)), b""])
