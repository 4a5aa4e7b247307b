"""Varints: numbers in base 128, the lowest digit first, as in tables and protocol buffers."""

from __future__ import annotations


def varint(number: int) -> bytes:
    """The shortest varint of a number that is not negative."""
    digits = bytearray()
    while number > 0x7F:
        digits.append(number & 0x7F | 0x80)
        number >>= 7
    digits.append(number)
    return bytes(digits)


def read_varint(data: bytes, at: int) -> tuple[int | None, int]:
    """The varint at `at`, and where it ends; `None` where there is no whole one."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            return None, at
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return None, at
