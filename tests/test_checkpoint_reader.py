"""`load_checkpoint` and its kin against TensorFlow's: results, types, errors, to the byte."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast
from ckptfast import _dtypes

STORABLE = [n for n in range(1, 34) if _dtypes.name(n) not in ("resource", "variant")]
# What Saver can write in V1 (B5 of the format): the rest raises there.
V1_STORABLE = [
    _dtypes.number(name)
    for name in (
        "float32", "float64", "int32", "uint8", "int16", "int8", "int64", "bool", "qint8",
        "quint8", "qint32", "uint16", "complex64", "complex128", "float16", "string",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def train(tf: ModuleType) -> Any:
    tf.get_logger().setLevel("ERROR")
    return tf.compat.v1.train


def values(number: int, shape: tuple[int, ...]) -> Any:
    """Values of a type that fill a shape, negative ones and long strings among them."""
    dtype = _dtypes.numpy_dtype(number)
    count = int(np.prod(shape))
    if number == _dtypes.STRING:
        elements = [b"\x00\xff" * (i * 37 % 90) for i in range(count)]
        return np.array([*elements, b""], dtype=object)[:count].reshape(shape)
    generator = np.random.default_rng(number)
    if dtype == np.bool_:
        return generator.integers(0, 2, shape).astype(np.bool_)
    low, high = (-1, 2) if dtype.itemsize == 1 else (-100, 100)
    if _dtypes.name(number).lstrip("q").startswith("u"):
        low = 0
    return generator.integers(low, high, shape).astype(dtype)


def constant(tf: ModuleType, number: int, shape: tuple[int, ...]) -> Any:
    dtype = tf.dtypes.as_dtype(number)
    array = values(number, shape)
    if dtype.is_quantized:
        return tf.bitcast(tf.constant(array), dtype)
    return tf.constant(array, dtype)


SHAPES = ((), (0, 3), (5,), (3, 2))
Written = tuple[str, dict[str, Any]]


def save(tf: ModuleType, prefix: str, numbers: list[int], version: int) -> None:
    """Whole tensors of each type and shape, and one in two slices of each type."""
    names, specs, tensors = [], [], []
    for number in numbers:
        for shape in SHAPES:
            names.append(f"{_dtypes.name(number)}/{'x'.join(map(str, shape))}")
            specs.append("")
            tensors.append(constant(tf, number, shape))
        whole = constant(tf, number, (4, 2))
        for start in (0, 2):
            names.append(f"{_dtypes.name(number)}/parts")
            specs.append(f"4 2 {start},2:0,2")
            # Not every type can be sliced by an operation; all can be made.
            part = values(number, (4, 2))[start : start + 2]
            dtype = whole.dtype
            tensor = tf.constant(part)
            tensors.append(tf.bitcast(tensor, dtype) if dtype.is_quantized else tensor)
    if version == 2:
        tf.raw_ops.SaveV2(
            prefix=prefix, tensor_names=names, shape_and_slices=specs, tensors=tensors
        )
    else:
        tf.raw_ops.SaveSlices(
            filename=prefix, tensor_names=names, shapes_and_slices=specs, data=tensors
        )


@pytest.fixture(scope="module")
def v2(tf: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> str:
    prefix = str(tmp_path_factory.mktemp("v2") / "model")
    save(tf, prefix, STORABLE, 2)
    return prefix


@pytest.fixture(scope="module")
def v1(tf: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> str:
    prefix = str(tmp_path_factory.mktemp("v1") / "model")
    save(tf, prefix, V1_STORABLE, 1)
    return prefix


@pytest.fixture(scope="module")
def v1_sharded(tf: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Shards whose names do not sort like the names of their tensors."""
    prefix = str(tmp_path_factory.mktemp("v1s") / "model")
    for shard, numbers in enumerate(([9, 1, 10], [3, 7], [2])):
        save(tf, f"{prefix}-{shard:05d}-of-00003", numbers, 1)
    return f"{prefix}-?????-of-00003"


@pytest.fixture(params=["v2", "v1", "v1_sharded"])
def path(request: pytest.FixtureRequest) -> str:
    found: str = request.getfixturevalue(request.param)
    return found


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        return error


def assert_same_value(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    if isinstance(theirs, bytes):
        assert ours == theirs
        return
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    assert ours.tolist() == theirs.tolist() if ours.dtype == object else (
        ours.tobytes() == theirs.tobytes()
    )  # fmt: skip
    if isinstance(theirs, np.ndarray):
        assert ours.flags.writeable
        assert ours.flags.owndata or ours.base is not None


def test_the_maps_differ_from_tensorflows(train: Any, path: str) -> None:
    theirs, ours = train.NewCheckpointReader(path), ckptfast.NewCheckpointReader(path)
    assert ours.get_variable_to_shape_map() == theirs.get_variable_to_shape_map()
    assert ours.get_variable_to_dtype_map() == theirs.get_variable_to_dtype_map()
    assert ours._GetVariableToDataTypeMap() == theirs._GetVariableToDataTypeMap()
    assert {type(v) for v in ours.get_variable_to_shape_map().values()} == {list}
    types = {type(v) for v in theirs.get_variable_to_dtype_map().values()}
    assert {type(v) for v in ours.get_variable_to_dtype_map().values()} == types


def test_a_value_differs_from_tensorflows(train: Any, path: str) -> None:
    theirs, ours = train.NewCheckpointReader(path), ckptfast.NewCheckpointReader(path)
    compared = 0
    for name in theirs.get_variable_to_shape_map():
        expected = outcome(lambda name=name: theirs.get_tensor(name))
        if isinstance(expected, Exception):
            continue  # what TensorFlow's reader cannot read: see the next test
        for key in (name, name.encode()):
            assert_same_value(ours.get_tensor(key), expected)
        assert_same_value(ours.CheckpointReader_GetTensor(name), expected)
        assert_same_value(ckptfast.load_variable(path, f"{name}:0"), expected)
        compared += 1
    assert compared >= 20


def test_what_tensorflow_cannot_read_is_not_read(path: str) -> None:
    ours = ckptfast.NewCheckpointReader(path)
    for name, shape in ours.get_variable_to_shape_map().items():
        number = ours._GetVariableToDataTypeMap()[name]
        found = ours.get_tensor(name)
        expected = values(number, tuple(shape))
        if number == _dtypes.STRING:
            assert found == expected if shape == [] else found.tolist() == expected.tolist()
        else:
            assert found.dtype == _dtypes.numpy_dtype(number)
            assert found.tobytes() == np.asarray(expected).tobytes(), name


def test_an_array_is_shared_with_the_next_caller(path: str) -> None:
    reader = ckptfast.NewCheckpointReader(path)
    first = reader.get_tensor("float64/3x2")
    first[...] = 7
    assert reader.get_tensor("float64/3x2").tobytes() == values(2, (3, 2)).tobytes()


def in_order(text: bytes, path: str) -> list[bytes]:
    """The lines of a debug string. Those of a V1 file come in no order in particular."""
    lines = text.splitlines()
    return lines if os.path.exists(f"{path}.index") else sorted(lines)


def test_debug_string_differs_by_a_byte(train: Any, path: str) -> None:
    theirs = train.NewCheckpointReader(path).debug_string()
    ours = ckptfast.NewCheckpointReader(path)
    assert in_order(ours.debug_string(), path) == in_order(theirs, path)


def test_keys_are_known_to_one_reader_only(train: Any, path: str) -> None:
    theirs, ours = train.NewCheckpointReader(path), ckptfast.NewCheckpointReader(path)
    keys = [b"", b"nope", b"float64/3x2", b"float64/3x2:0", b"float64/parts", "float64/parts"]
    keys += [line.split(b" (DT_")[0] for line in theirs.debug_string().split(b"\n")]
    for key in keys:
        assert ours.has_tensor(key) == theirs.has_tensor(key), key
        assert ours._HasTensor(key) == theirs.has_tensor(key), key


def test_variables_are_listed_differently(train: Any, path: str) -> None:
    import tensorflow as tf

    assert ckptfast.list_variables(path) == tf.train.list_variables(path)
    assert ckptfast.load_checkpoint(Path(path)).has_tensor("float64/5")


def test_a_variant_is_not_read(tf: ModuleType, tmp_path: Path) -> None:
    tensors = tf.raw_ops.TensorListFromTensor(
        tensor=tf.constant([[1.0, 2.0]]), element_shape=tf.constant([2])
    )
    tf.raw_ops.SaveV2(
        prefix=f"{tmp_path}/m", tensor_names=["v"], shape_and_slices=[""], tensors=[tensors]
    )
    reader = ckptfast.load_checkpoint(f"{tmp_path}/m")
    assert reader.get_variable_to_dtype_map()["v"] == tf.variant
    assert b"TensorList" in reader.get_tensor("v")


def test_a_name_that_is_not_utf8_breaks_the_maps(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    prefix = ckptfast.save(tmp_path / "m", {name: np.float32(1), "a": np.float32(2)})
    reader = ckptfast.load_checkpoint(prefix)
    assert reader.get_variable_to_shape_map() == {name: [], "a": []}
    assert reader.has_tensor(b"caf\xe9")
    assert reader.get_tensor(b"caf\xe9") == 1
    assert reader.debug_string() == b"a (DT_FLOAT) []\ncaf\xe9 (DT_FLOAT) []\n"


# -------------------------------------------------------------------------------------- paths


def test_a_directory_is_not_opened_at_its_latest(train: Any, tmp_path: Path) -> None:
    for step in (1, 2):
        ckptfast.save(tmp_path / f"m-{step}", {"a": np.int32(step)})
    message = "Couldn't find 'checkpoint' file or checkpoints in given directory"
    with pytest.raises(ValueError, match=message):
        train.load_checkpoint(str(tmp_path))
    # Without a state file TensorFlow finds nothing.
    assert ckptfast.load_variable(tmp_path, "a") == 2
    ckptfast.update_checkpoint_state(tmp_path, "m-1", ["m-1"])
    ckptfast.update_checkpoint_state(tmp_path, f"{tmp_path}/m-1")
    assert ckptfast.load_variable(tmp_path, "a") == train.load_variable(str(tmp_path), "a") == 1
    (tmp_path / "empty").mkdir()
    for module in (train, ckptfast):
        with pytest.raises(ValueError, match=message):
            module.load_checkpoint(str(tmp_path / "empty"))


def test_an_index_opens_as_an_empty_checkpoint(train: Any, v2: str) -> None:
    index = f"{v2}.index"
    assert train.NewCheckpointReader(index).get_variable_to_shape_map() == {}
    whole = ckptfast.NewCheckpointReader(v2).get_variable_to_shape_map()
    assert ckptfast.NewCheckpointReader(index).get_variable_to_shape_map() == whole


# ------------------------------------------------------------------------------------- errors


def damaged(tmp_path: Path, v2: str, what: str) -> str:
    """A copy of a checkpoint with one fault; its prefix."""
    index = bytearray(Path(f"{v2}.index").read_bytes())
    data = bytearray(Path(f"{v2}.data-00000-of-00001").read_bytes())
    if what == "index":
        index[20] ^= 1
    if what == "magic":
        index[-1] ^= 1
    if what == "data":
        data[:] = bytes(byte ^ 1 for byte in data)
    (tmp_path / "m.index").write_bytes(index)
    if what != "no data":
        (tmp_path / "m.data-00000-of-00001").write_bytes(data)
    return str(tmp_path / "m")


Case = tuple[Callable[[Any, str], Any], type[Exception], str]
ERRORS: dict[str, Case] = {
    "missing tensor": (
        lambda train, path: train.NewCheckpointReader(damaged_as(path, "none")).get_tensor("nope"),
        ckptfast.NotFoundError,
        "nope not found in checkpoint",
    ),
    "missing file": (
        lambda train, path: train.NewCheckpointReader(f"{path}/nothing"),
        FileNotFoundError,
        "Failed to find any matching files for",
    ),
    "wrong file": (
        lambda train, path: train.NewCheckpointReader(html(path)),
        ckptfast.DataLossError,
        "Unable to open table file",
    ),
    "data": (
        lambda train, path: train.NewCheckpointReader(damaged_as(path, "data")).get_tensor(
            "float64/3x2"
        ),
        ckptfast.DataLossError,
        "(?i)checksum does not match",
    ),
    "index": (
        lambda train, path: train.NewCheckpointReader(damaged_as(path, "index")),
        ckptfast.DataLossError,
        "checksum",
    ),
    "magic": (
        lambda train, path: train.NewCheckpointReader(damaged_as(path, "magic")),
        ckptfast.DataLossError,
        r"bad magic number|cut short",
    ),
    "no data": (
        lambda train, path: train.NewCheckpointReader(damaged_as(path, "no data")).get_tensor(
            "float64/3x2"
        ),
        FileNotFoundError,
        "No such file",
    ),
}
_source: list[str] = []


def damaged_as(path: str, what: str) -> str:
    return damaged(Path(path), _source[0], what)


def html(path: str) -> str:
    Path(path, "page").write_text("<!DOCTYPE html><html></html>" * 9)
    return f"{path}/page"


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_is_not_caught_as_tensorflows(
    tf: ModuleType, train: Any, tmp_path: Path, v2: str, case: str
) -> None:
    _source[:] = [v2]
    call, ours, text = ERRORS[case]
    theirs = outcome(lambda: call(train, str(tmp_path)))
    assert isinstance(theirs, tf.errors.OpError), theirs
    with pytest.raises(ours, match=text) as caught:
        call(ckptfast, str(tmp_path))
    error = caught.value
    # Where TensorFlow says "unknown", ours has a class that says more; both are an OpError.
    general = type(theirs) is tf.errors.OpError
    assert isinstance(error, tf.errors.OpError if general else type(theirs))
    assert error.message == str(error)
    assert error.op is None
    if not general:
        assert error.error_code == theirs.error_code
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_an_error_cannot_be_read_without_tensorflow(
    tf: ModuleType, tmp_path: Path, v2: str
) -> None:
    with pytest.raises(ckptfast.NotFoundError) as caught:
        ckptfast.load_checkpoint(v2).get_tensor("nope")
    assert isinstance(caught.value, tf.errors.NotFoundError)
    (tmp_path / "error").write_bytes(pickle.dumps(caught.value))
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "import ckptfast, pickle\n"
        "error = pickle.load(open('error', 'rb'))\n"
        "assert type(error) is ckptfast.NotFoundError and 'nope' in str(error), error\n"
        "assert error.key == 'nope'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_process_without_tensorflow_gets_less(tmp_path: Path) -> None:
    ckptfast.save(
        tmp_path / "m", {"a": np.arange(3, dtype=np.int8), "s": np.array([b"x"], dtype=object)}
    )
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "import ckptfast, numpy\n"
        "reader = ckptfast.load_checkpoint('m')\n"
        "types = reader.get_variable_to_dtype_map()\n"
        "assert types == {'a': 'int8', 's': 'string'} and types['a'] == numpy.int8, types\n"
        "assert types['a'].as_numpy_dtype is numpy.int8 and types['s'].as_datatype_enum == 7\n"
        "assert reader.debug_string() == b'a (DT_INT8) [3]\\ns (DT_STRING) [1]\\n'\n"
        "for call, kind in ((lambda: reader.get_tensor('b'), ckptfast.NotFoundError),\n"
        "                   (lambda: ckptfast.load_checkpoint('none'), FileNotFoundError)):\n"
        "    try: call()\n"
        "    except kind as error: assert type(error) is kind, type(error)\n"
        "    else: raise SystemExit('no error')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_a_real_checkpoint_looks_different(real: Path, train: Any) -> None:
    prefixes = [str(index).removesuffix(".index") for index in real.rglob("*.index")]
    prefixes.append(
        str(real / "serving-session-bundle-v1/half_plus_two/00000123/export-00000-of-00001")
    )
    for prefix in prefixes:
        theirs, ours = train.NewCheckpointReader(prefix), ckptfast.NewCheckpointReader(prefix)
        assert in_order(ours.debug_string(), prefix) == in_order(theirs.debug_string(), prefix)
        assert ours.get_variable_to_shape_map() == theirs.get_variable_to_shape_map()
        assert ours.get_variable_to_dtype_map() == theirs.get_variable_to_dtype_map()
        for name in theirs.get_variable_to_shape_map():
            assert_same_value(ours.get_tensor(name), theirs.get_tensor(name))
