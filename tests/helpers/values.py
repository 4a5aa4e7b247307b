"""Every element type that TensorFlow 2.21 stores, and arrays of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, Any]


class Kind(NamedTuple):
    """A type: its DataType number, TensorFlow's name, and NumPy's type for its values."""

    number: int
    name: str
    numpy: np.dtype[Any]
    bits: int = 0
    """Bits that count, for types below a byte."""

    @property
    def quantised(self) -> bool:
        return self.name.startswith(("qint", "quint"))


def _extension(number: int, name: str, bits: int = 0) -> Kind:
    return Kind(number, name, np.dtype(getattr(ml_dtypes, name)), bits)


PLAIN = [
    Kind(1, "float32", np.dtype("float32")),
    Kind(2, "float64", np.dtype("float64")),
    Kind(3, "int32", np.dtype("int32")),
    Kind(4, "uint8", np.dtype("uint8")),
    Kind(5, "int16", np.dtype("int16")),
    Kind(6, "int8", np.dtype("int8")),
    Kind(8, "complex64", np.dtype("complex64")),
    Kind(9, "int64", np.dtype("int64")),
    Kind(10, "bool", np.dtype("bool")),
    Kind(17, "uint16", np.dtype("uint16")),
    Kind(18, "complex128", np.dtype("complex128")),
    Kind(19, "float16", np.dtype("float16")),
    Kind(22, "uint32", np.dtype("uint32")),
    Kind(23, "uint64", np.dtype("uint64")),
]
QUANTISED = [
    Kind(11, "qint8", np.dtype("int8")),
    Kind(12, "quint8", np.dtype("uint8")),
    Kind(13, "qint32", np.dtype("int32")),
    Kind(15, "qint16", np.dtype("int16")),
    Kind(16, "quint16", np.dtype("uint16")),
]
EXTENSION = [
    _extension(14, "bfloat16"),
    _extension(24, "float8_e5m2"),
    _extension(25, "float8_e4m3fn"),
    _extension(26, "float8_e4m3fnuz"),
    _extension(27, "float8_e4m3b11fnuz"),
    _extension(28, "float8_e5m2fnuz"),
    _extension(29, "int4", 4),
    _extension(30, "uint4", 4),
    _extension(31, "int2", 2),
    _extension(32, "uint2", 2),
    _extension(33, "float4_e2m1fn", 4),
]
FIXED = [*PLAIN, *QUANTISED, *EXTENSION]
"""All types whose elements have one width."""
BY_NAME = {kind.name: kind for kind in FIXED}


def sample(kind: Kind, shape: Sequence[int], seed: int = 0) -> Array:
    """An array of arbitrary bit patterns: NaNs, negative numbers, the largest and the least."""
    rng = np.random.default_rng([seed, kind.number])
    count = int(np.prod(shape, dtype=np.int64))
    raw = rng.integers(0, 256, count * kind.numpy.itemsize, dtype=np.uint8)
    if kind.name == "bool":
        raw &= 1
    if kind.bits:
        # In memory ml_dtypes extends the sign; its values are made from small integers.
        raw &= (1 << kind.bits) - 1
        return _extended(raw, kind).reshape(shape)
    return raw.view(kind.numpy).reshape(shape)


def _extended(raw: Array, kind: Kind) -> Array:
    if kind.name.startswith("int"):
        sign = 1 << kind.bits - 1
        return ((raw ^ sign).astype(np.int8) - np.int8(sign)).astype(kind.numpy)
    if kind.name.startswith("uint"):
        return raw.astype(kind.numpy)
    return raw.view(kind.numpy)


def strings(shape: Sequence[int], seed: int = 0) -> Array:
    """A string tensor: empty ones, long ones, zero bytes at both ends, and no text at all."""
    rng = np.random.default_rng(seed)
    count = int(np.prod(shape, dtype=np.int64))
    special = [b"", b"\0", b"end\0", b"\0start", b"\xff\xfe", "é".encode(), b"x" * 300]
    elements = [
        special[index] if index < len(special) else rng.bytes(int(rng.integers(0, 40)))
        for index in rng.permutation(max(count, len(special)))[:count]
    ]
    array = np.empty(count, dtype=object)
    array[:] = elements
    return array.reshape(shape)


def raw(array: Array) -> bytes:
    """The bytes of the elements in row-major order, little-endian."""
    array = np.asarray(array)
    return array.astype(array.dtype.newbyteorder("<"), order="C").tobytes()


def stored(array: Array, bits: int = 0) -> bytes:
    """The bytes that a data file holds for an array of fixed-width elements."""
    content = np.frombuffer(raw(array), dtype=np.uint8)
    return (content & ((1 << bits) - 1) if bits else content).tobytes()


def assert_same(actual: Any, expected: Any, what: object = "") -> None:
    """Same type, shape and bits, so that NaN equals itself and -0.0 does not equal 0.0."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.dtype == expected.dtype.newbyteorder("="), (what, actual.dtype, expected.dtype)
    assert actual.shape == expected.shape, (what, actual.shape, expected.shape)
    if expected.dtype == object:
        assert actual.tolist() == expected.tolist(), what
    else:
        assert raw(actual) == raw(expected), what
