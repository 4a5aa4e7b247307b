"""Element types: TensorFlow's number, TensorFlow's name, NumPy's type, bytes per element.

Numbers are those of `tensorflow.DataType` (types.proto); a checkpoint stores nothing else. The
reference types (101 to 133) never reach a file. NumPy and ml_dtypes load on first use.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .errors import UnsupportedError

if TYPE_CHECKING:
    import numpy
    import numpy.typing


class Row(NamedTuple):
    """One element type.

    `itemsize` counts bytes per element on disk, 0 where elements vary (string, variant) or cannot
    be stored (resource). The types below one byte take a whole byte each, high bits zero.
    """

    number: int
    name: str
    numpy_name: str
    itemsize: int


# The rows of quantised types name plain integers, which is what TensorFlow's reader returns too.
_TABLE: Final = (
    Row(1, "float32", "float32", 4),
    Row(2, "float64", "float64", 8),
    Row(3, "int32", "int32", 4),
    Row(4, "uint8", "uint8", 1),
    Row(5, "int16", "int16", 2),
    Row(6, "int8", "int8", 1),
    Row(7, "string", "object", 0),
    Row(8, "complex64", "complex64", 8),
    Row(9, "int64", "int64", 8),
    Row(10, "bool", "bool", 1),
    Row(11, "qint8", "int8", 1),
    Row(12, "quint8", "uint8", 1),
    Row(13, "qint32", "int32", 4),
    Row(14, "bfloat16", "bfloat16", 2),
    Row(15, "qint16", "int16", 2),
    Row(16, "quint16", "uint16", 2),
    Row(17, "uint16", "uint16", 2),
    Row(18, "complex128", "complex128", 16),
    Row(19, "float16", "float16", 2),
    Row(20, "resource", "object", 0),
    Row(21, "variant", "object", 0),
    Row(22, "uint32", "uint32", 4),
    Row(23, "uint64", "uint64", 8),
    Row(24, "float8_e5m2", "float8_e5m2", 1),
    Row(25, "float8_e4m3fn", "float8_e4m3fn", 1),
    Row(26, "float8_e4m3fnuz", "float8_e4m3fnuz", 1),
    Row(27, "float8_e4m3b11fnuz", "float8_e4m3b11fnuz", 1),
    Row(28, "float8_e5m2fnuz", "float8_e5m2fnuz", 1),
    Row(29, "int4", "int4", 1),
    Row(30, "uint4", "uint4", 1),
    Row(31, "int2", "int2", 1),
    Row(32, "uint2", "uint2", 1),
    Row(33, "float4_e2m1fn", "float4_e2m1fn", 1),
)

STRING: Final = 7
VARIANT: Final = 21

# Where the name that C++ and the enumeration use (`DT_HALF`) is not the one Python uses.
_ENUM_NAMES: Final = {1: "FLOAT", 2: "DOUBLE", 19: "HALF"}
_ALIASES: Final = {"float": 1, "double": 2, "half": 19}

_BY_NUMBER: Final = {row.number: row for row in _TABLE}
_BY_NAME: Final = {row.name: row.number for row in _TABLE} | _ALIASES
# Only types that NumPy itself tells apart: a plain int8 array is int8, never qint8.
_BY_NUMPY_NAME: Final = {row.numpy_name: row.number for row in _TABLE if row.numpy_name == row.name}
_EXTENSION: Final = frozenset((14, *range(24, 34)))


def row(number: int) -> Row:
    """The row of `number`; `UnsupportedError` for a number that TensorFlow 2.21 does not have."""
    try:
        return _BY_NUMBER[number]
    except KeyError:
        raise UnsupportedError(f"unknown element type: DataType number {number}") from None


def name(number: int) -> str:
    """TensorFlow's name of a type, such as "bfloat16" (what `tf.DType.name` says)."""
    return row(number).name


def enum_name(number: int) -> str:
    """The name in the enumeration, such as "DT_HALF"."""
    return "DT_" + _ENUM_NAMES.get(number, row(number).name.upper())


def number(name: str) -> int:
    """The number of the type called `name`; C++ names ("half", "float", "double") work too.

    Raises `ValueError` for any other name.
    """
    try:
        return _BY_NAME[name]
    except KeyError:
        import difflib

        near = difflib.get_close_matches(name, _BY_NAME, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"TensorFlow has no element type called {name!r}{hint}") from None


def itemsize(number: int) -> int:
    """Bytes per element on disk; 0 for string, variant and resource."""
    return row(number).itemsize


@functools.cache
def numpy_dtype(number: int) -> numpy.dtype[Any]:
    """NumPy's type for values of a type: native byte order, `object` for string and variant.

    Quantised types give their plain integers. `UnsupportedError` for an unknown number, and for a
    resource, which has no value.
    """
    import numpy

    entry = row(number)
    if entry.name == "resource":
        raise UnsupportedError("a resource has no value that an array could hold")
    if number in _EXTENSION:
        import ml_dtypes

        extension: numpy.dtype[Any] = numpy.dtype(getattr(ml_dtypes, entry.numpy_name))
        return extension
    return numpy.dtype(entry.numpy_name)


def from_numpy(dtype: numpy.typing.DTypeLike) -> int:
    """The number for arrays of a NumPy type, whatever its byte order.

    Arrays of `str`, `bytes` (of any width) and `object` are string tensors. Raises `TypeError` for
    types that TensorFlow does not have (`longdouble`, `datetime64`, structured types, …).
    """
    import numpy

    dtype = numpy.dtype(dtype)
    if dtype.kind in "OSUT":
        return STRING
    # By name, because two NumPy types may share a width (`long` and `longlong`) and ml_dtypes'
    # types share the kind "V" with structured ones. The name leaves byte order out.
    found = _BY_NUMPY_NAME.get(dtype.name)
    if found is None or (dtype.kind == "V" and found not in _EXTENSION):
        raise TypeError(f"TensorFlow has no element type for NumPy's {dtype}")
    return found


class DType:
    """An element type, for processes without TensorFlow: the part of `tf.DType` that says what.

    Equal to a `tf.DType` of the same number, to TensorFlow's name for it, and to the NumPy type
    that means it.
    """

    __slots__ = ("as_datatype_enum",)

    as_datatype_enum: int

    def __init__(self, number: int) -> None:
        self.as_datatype_enum = row(number).number

    @property
    def name(self) -> str:
        """TensorFlow's name, such as "bfloat16"."""
        return name(self.as_datatype_enum)

    @property
    def size(self) -> int:
        """Bytes per element; 0 for string and variant."""
        return itemsize(self.as_datatype_enum)

    @property
    def as_numpy_dtype(self) -> type[Any]:
        """NumPy's scalar class, such as `numpy.float32`; `object` for strings, as in TensorFlow."""
        dtype = numpy_dtype(self.as_datatype_enum)
        return object if dtype.hasobject else dtype.type

    def __eq__(self, other: object) -> bool:
        if isinstance(other, str):
            return _BY_NAME.get(other) == self.as_datatype_enum
        if hasattr(other, "as_datatype_enum"):
            return bool(other.as_datatype_enum == self.as_datatype_enum)
        np = sys.modules.get("numpy")
        if np is None:
            return NotImplemented  # then `other` cannot be one of its types
        if isinstance(other, type) and issubclass(other, np.generic):
            other = np.dtype(other)
        if not isinstance(other, np.dtype):
            return NotImplemented
        try:
            return from_numpy(other) == self.as_datatype_enum
        except TypeError:
            return False

    def __hash__(self) -> int:
        # As the name hashes: this is how a `tf.DType` on the left finds its equal.
        return hash(self.name)

    def __repr__(self) -> str:
        return f"ckptfast.{self.name}"

    def __reduce__(self) -> tuple[type[DType], tuple[int]]:
        return DType, (self.as_datatype_enum,)
