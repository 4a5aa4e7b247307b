"""The table of element types: TensorFlow's numbers and names, NumPy's types."""

from __future__ import annotations

import pickle
import subprocess
import sys
from types import ModuleType

import ml_dtypes
import numpy as np
import pytest

from ckptfast import UnsupportedError, _dtypes
from ckptfast._dtypes import DType

NUMBERS = range(1, 34)
VALUES = [number for number in NUMBERS if _dtypes.name(number) not in ("resource", "variant")]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_name_differs_from_tensorflows(tf: ModuleType, number: int) -> None:
    from tensorflow.core.framework import types_pb2

    theirs = tf.dtypes.as_dtype(number)
    ours = DType(number)
    assert _dtypes.name(number) == ours.name == theirs.name
    assert _dtypes.enum_name(number) == types_pb2.DataType.Name(number)
    assert _dtypes.number(theirs.name) == ours.as_datatype_enum == theirs.as_datatype_enum
    assert ours == theirs
    assert theirs == ours
    assert ours != tf.dtypes.as_dtype(number % 33 + 1)


def test_a_type_of_tensorflow_is_unknown(tf: ModuleType) -> None:
    from tensorflow.core.framework import types_pb2

    # Numbers from 100 on are references to the types below.
    assert sorted(n for n in types_pb2.DataType.values() if 0 < n < 100) == list(NUMBERS)


@pytest.mark.parametrize("number", VALUES)
def test_values_have_another_type_than_tensorflows_reader_gives(
    tf: ModuleType, number: int
) -> None:
    theirs = tf.dtypes.as_dtype(number)
    ours = _dtypes.numpy_dtype(number)
    if theirs.is_quantized:
        assert ours == np.dtype(theirs.as_numpy_dtype)[0]
    else:
        assert ours == np.dtype(theirs.as_numpy_dtype)
        assert DType(number).as_numpy_dtype is theirs.as_numpy_dtype
        assert _dtypes.from_numpy(ours) == number
        assert DType(number) == ours
        assert DType(number) == ours.type
        assert hash(DType(number)) == hash(theirs.name)
    assert ours.isnative
    if number != _dtypes.STRING:
        assert _dtypes.itemsize(number) == ours.itemsize == theirs.size
    assert DType(number).size == theirs.size


def test_an_array_gets_another_number() -> None:
    assert _dtypes.from_numpy(np.longlong) == _dtypes.from_numpy(np.int64) == 9
    assert _dtypes.from_numpy(np.intc) == 3
    for spelling in (">f4", "<f4", "=f4", float, "int64", bool):
        assert _dtypes.from_numpy(spelling) == _dtypes.from_numpy(np.dtype(spelling).newbyteorder())
    for text in (str, bytes, object, "S5", "U7", np.dtypes.StringDType()):
        assert _dtypes.from_numpy(text) == _dtypes.STRING
    assert _dtypes.from_numpy(ml_dtypes.int4) == _dtypes.number("int4")
    for other in (np.longdouble, np.clongdouble, "M8[s]", "m8[s]", "V4", [("int8", "i1")]):
        with pytest.raises(TypeError, match="TensorFlow has no element type"):
            _dtypes.from_numpy(other)


def test_an_unknown_type_is_not_explained() -> None:
    assert _dtypes.number("half") == 19
    with pytest.raises(ValueError, match="did you mean 'bfloat16'"):
        _dtypes.number("bfloat1")
    for number in (0, 34, 101, -1):
        with pytest.raises(UnsupportedError, match=f"DataType number {number}"):
            DType(number)
    with pytest.raises(UnsupportedError, match="resource"):
        _dtypes.numpy_dtype(20)


def test_a_type_equals_something_else() -> None:
    quantised, plain = DType(_dtypes.number("qint8")), DType(_dtypes.number("int8"))
    assert quantised != plain
    assert quantised != np.int8
    assert plain == "int8"
    assert plain == np.int8
    assert plain != np.uint8
    assert plain != "q"
    assert plain != 6
    assert plain is not None
    assert DType(19) == "half"
    assert len({DType(1), DType(1), DType(2)}) == 2
    assert pickle.loads(pickle.dumps(quantised)) == quantised
    assert repr(quantised) == "ckptfast.qint8"


def test_numpy_is_loaded_for_names() -> None:
    code = (
        "import sys\n"
        "from ckptfast._dtypes import DType, name, number\n"
        "assert number('int8') == 6 and name(6) == 'int8' and DType(6) != DType(7)\n"
        "assert 'numpy' not in sys.modules and 'ml_dtypes' not in sys.modules\n"
        "assert DType(14).as_numpy_dtype.__name__ == 'bfloat16'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
