"""Constants as bytes: the node of a `Const` operation around values that are not in memory.

Fields and their order are those of node_def.proto, attr_value.proto and tensor.proto, and which
field holds the values is what TensorFlow's `make_tensor_proto` chooses; so the file is, byte for
byte, what TensorFlow writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .. import _dtypes
from .._wire import varint

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

_FLOAT, _DOUBLE, _STRING, _COMPLEX64, _INT64, _BOOL = 1, 2, 7, 8, 9, 10
_BFLOAT16, _COMPLEX128, _HALF, _UINT32, _UINT64 = 14, 18, 19, 22, 23
_FLOAT8: Final = frozenset((*range(24, 29), 33))
# Their place in `tensor_content` is an implementation's affair: TensorFlow does not use it.
_NARROW: Final = frozenset(range(29, 33))
_CONTENT: Final = 4
# Values of these types are packed as they lie in memory, in a field of their own.
_PACKED: Final = {_BOOL: 11, _COMPLEX64: 9, _COMPLEX128: 12}


def is_raw(dtype: int, size: int) -> bool:
    """Whether a constant is its values' bytes, as they lie in memory, behind a header."""
    return size > 1 and _dtypes.itemsize(dtype) > 0 and dtype not in _NARROW


def header(name: str, dtype: int, shape: tuple[int, ...], nbytes: int) -> bytes:
    """What comes before the values of a `Const` node in a `GraphDef`: they are its last bytes."""
    dims = b"".join(_field(2, _number(1, size) if size else b"") for size in shape)
    tensor = _number(1, dtype) + _field(2, dims)
    tensor += _tag(_PACKED.get(dtype, _CONTENT)) + varint(nbytes)
    # Each message holds the one before it as its last field; lengths count the values too.
    value = _tag(8) + varint(len(tensor) + nbytes) + tensor
    entry = _field(1, b"value") + _tag(2) + varint(len(value) + nbytes) + value
    type_entry = _field(1, b"dtype") + _field(2, _number(6, dtype))
    node = _field(1, name.encode()) + _field(2, b"Const") + _field(5, type_entry)
    node += _tag(5) + varint(len(entry) + nbytes) + entry
    return _tag(1) + varint(len(node) + nbytes) + node


def _tag(field: int) -> bytes:
    return bytes((field << 3 | 2,))


def _field(field: int, content: bytes) -> bytes:
    return _tag(field) + varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return bytes((field << 3,)) + varint(value)


def fill(tensor: Any, array: Array, dtype: int) -> None:
    """Put the values of a small array, or of strings, into a `TensorProto`."""
    tensor.dtype = dtype
    tensor.tensor_shape.SetInParent()
    for size in array.shape:
        tensor.tensor_shape.dim.add(size=size)
    if array.size == 0:
        return
    values = array.ravel()
    if dtype == _STRING:
        tensor.string_val.extend(values.tolist())
    elif dtype in (_HALF, _BFLOAT16):
        tensor.half_val.extend(values.view("uint16").tolist())
    elif dtype in _FLOAT8:
        tensor.float8_val = values.view("uint8").tobytes()
    elif dtype in (_COMPLEX64, _COMPLEX128):
        parts = values.view(values.real.dtype).tolist()
        (tensor.scomplex_val if dtype == _COMPLEX64 else tensor.dcomplex_val).extend(parts)
    else:
        getattr(tensor, _FIELDS.get(dtype, "int_val")).extend(_plain(values, dtype))


_FIELDS: Final = {
    _FLOAT: "float_val",
    _DOUBLE: "double_val",
    _INT64: "int64_val",
    _BOOL: "bool_val",
    _UINT32: "uint32_val",
    _UINT64: "uint64_val",
}


def _plain(values: Array, dtype: int) -> list[Any]:
    if dtype in _NARROW:
        values = values.astype("int8")
    plain: list[Any] = values.tolist()
    return plain
