"""`ckptfast.restore(None, …)`: variables of eager mode."""

from __future__ import annotations

import gc
import hashlib
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from restore_cases import data_file, flip_a_byte, is_mapped, scribble, write

import ckptfast

BITS = {"bool": 0x01, "int4": 0x0F, "uint4": 0x0F, "int2": 0x03, "uint2": 0x03,
        "float4_e2m1fn": 0x0F}  # fmt: skip
DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8",
          "uint16", "uint32", "uint64", "bool", "complex64", "complex128", "qint8", "quint8",
          "qint32", "float8_e5m2", "float8_e4m3fn", "int4", "uint4", "int2", "uint2",
          "float4_e2m1fn")  # fmt: skip


def save(tf: ModuleType, prefix: Path, tensors: dict[str, Any]) -> str:
    """A checkpoint as TensorFlow writes it, of eager tensors."""
    tf.raw_ops.SaveV2(
        prefix=os.fspath(prefix),
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )
    return os.fspath(prefix)


def test_a_list_goes_by_the_names_that_saver_uses(tf: ModuleType, tmp_path: Path) -> None:
    old = [tf.Variable([1.0, 2.0], name="a"), tf.Variable(3, name="b", dtype=tf.int64)]
    path = tf.compat.v1.train.Saver(old).save(None, str(tmp_path / "model"))
    new = [tf.Variable([0.0, 0.0], name="a"), tf.Variable(0, name="b", dtype=tf.int64)]
    report = ckptfast.restore(None, path, new)
    assert report.restored == ("a", "b")
    assert new[0].numpy().tolist() == [1, 2]
    assert new[1].numpy() == 3


def test_a_mapping_takes_the_keys_of_an_object_based_checkpoint(
    tf: ModuleType, tmp_path: Path
) -> None:
    weight, again = tf.Variable([1.0, 2.0], name="same"), tf.Variable([3.0], name="same")
    path = tf.train.Checkpoint(weight=weight, again=again).write(str(tmp_path / "objects"))
    target = tf.Variable([0.0])
    report = ckptfast.restore(None, path, {"again/.ATTRIBUTES/VARIABLE_VALUE": target})
    assert target.numpy().tolist() == [3]
    assert report.unexpected == ("weight/.ATTRIBUTES/VARIABLE_VALUE",)


def test_a_name_that_two_saved_objects_bear_is_not_guessed(tf: ModuleType, tmp_path: Path) -> None:
    """TensorFlow takes whichever comes last."""
    objects = tf.train.Checkpoint(
        one=tf.Variable([1.0], name="kernel"), two=tf.Variable([2.0], name="kernel")
    )
    path = objects.write(str(tmp_path / "objects"))
    target = tf.Variable([0.0], name="kernel")
    with pytest.raises(tf.errors.NotFoundError, match=r"one/.*two/"):
        ckptfast.restore(None, path, [target])
    report = ckptfast.restore(None, path, [target], strict=False)
    assert report.missing == ("kernel",)
    assert target.numpy() == 0


@pytest.mark.parametrize("aligned", [True, False], ids=["aligned", "misaligned"])
@pytest.mark.parametrize("shape", [(5, 7), (), (0, 2)], ids=["matrix", "scalar", "empty"])
@pytest.mark.parametrize("name", DTYPES)
def test_every_type(
    tf: ModuleType, tmp_path: Path, name: str, shape: tuple[int, ...], aligned: bool
) -> None:
    dtype = tf.as_dtype(name)
    memory_type = np.dtype(dtype.as_numpy_dtype)
    if dtype.is_quantized:
        memory_type = memory_type[0]
    noise = np.random.default_rng(3).integers(0, 256, [*shape, memory_type.itemsize], np.uint8)
    stored = (noise & BITS.get(name, 0xFF)).view(memory_type).reshape(shape)
    tensor = ckptfast.Tensor(stored, dtype=name)
    path = write(
        tmp_path / "model", {"a": np.zeros(1, np.uint8), "w": tensor}, align=64 if aligned else 1
    )
    variable = uninitialized(tf, shape, dtype)
    report = ckptfast.restore(None, path, {"w": variable})
    found = variable.read_value().numpy()
    assert report.nbytes == stored.nbytes
    assert found.shape == shape
    mask = BITS.get(name, 0xFF)
    assert (np.frombuffer(found.tobytes(), np.uint8) & mask).tobytes() == stored.tobytes()


def uninitialized(tf: ModuleType, shape: tuple[int, ...], dtype: Any) -> Any:
    """A variable without a value: of some types, TensorFlow can make none on this device."""
    from tensorflow.python.ops import resource_variable_ops

    return resource_variable_ops.UninitializedVariable(shape=shape, dtype=dtype, name="w")


def test_strings(tf: ModuleType, tmp_path: Path) -> None:
    text = tf.constant([[b"", b"\0a"], [b"x" * 9999, "ü".encode()]])
    path = save(tf, tmp_path / "model", {"text": text, "scalar": tf.constant(b"alone")})
    variables = {"text": tf.Variable(tf.fill([2, 2], "?")), "scalar": tf.Variable("?")}
    ckptfast.restore(None, path, variables)
    assert variables["text"].numpy().tolist() == text.numpy().tolist()
    assert variables["scalar"].numpy() == b"alone"


def test_aligned_tensors_are_the_pages_of_the_file(tf: ModuleType, tmp_path: Path) -> None:
    value = np.random.default_rng(2).standard_normal(1 << 18, np.float32)
    half = value.astype(tf.bfloat16.as_numpy_dtype)
    path = write(tmp_path / "model", {"w": value, "h": half})
    variables = {
        "w": tf.Variable(tf.zeros(1 << 18)),
        "h": tf.Variable(tf.zeros(1 << 18, tf.bfloat16)),
    }
    before = ckptfast.stats()
    ckptfast.restore(None, path, variables)
    assert ckptfast.stats().bytes_aliased - before.bytes_aliased == value.nbytes + half.nbytes
    assert is_mapped(data_file(path))
    scribble(32 << 20)
    assert np.array_equal(variables["w"].numpy(), value)
    assert np.array_equal(variables["h"].numpy(), half)
    del variables
    gc.collect()
    assert not is_mapped(data_file(path))


def test_copy_depends_on_nothing(tf: ModuleType, tmp_path: Path) -> None:
    value = np.random.default_rng(2).standard_normal(1 << 18, np.float32)
    path = write(tmp_path / "model", {"w": value})
    variable = tf.Variable(tf.zeros(1 << 18))
    ckptfast.restore(None, path, {"w": variable}, copy=True)
    assert not is_mapped(data_file(path))
    os.truncate(data_file(path), 0)
    assert np.array_equal(variable.numpy(), value)


def test_training_does_not_reach_the_file(tf: ModuleType, tmp_path: Path) -> None:
    value = np.zeros([64, 64], np.float32)
    path = write(tmp_path / "model", {"w": value, "v": value})
    before = hashlib.sha256(data_file(path).read_bytes()).digest()
    w, v = tf.Variable(value + 1), tf.Variable(value + 1)
    for _ in range(2):
        ckptfast.restore(None, path, {"w": w, "v": v})
        w.assign_add(tf.ones_like(w))
        w.scatter_update(tf.IndexedSlices(tf.fill([1, 64], 5.0), tf.constant([3])))
        w[0, 0].assign(7.0)
        assert w.numpy()[3].tolist() == [5.0] * 64
        assert w.numpy()[1].tolist() == [1.0] * 64
        assert w.numpy()[0, 0] == 7
        assert not v.numpy().any()
    assert hashlib.sha256(data_file(path).read_bytes()).digest() == before


def test_misaligned_tensors_never_reach_a_kernel(tf: ModuleType, tmp_path: Path) -> None:
    """A misaligned buffer that came in by DLPack would abort the process here."""
    tensors = {f"v{n:02}": np.full(n + 1, n, np.float32) for n in range(40)}
    path = write(tmp_path / "model", tensors, align=1)
    variables = {name: tf.Variable(tf.zeros(value.shape)) for name, value in tensors.items()}
    ckptfast.restore(None, path, variables)
    for name, value in tensors.items():
        assert tf.reduce_sum(variables[name] * 2.0 + 1.0).numpy() == (value * 2 + 1).sum()


def test_nothing_is_assigned_when_something_is_wrong(tf: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "model", {name: np.full(4, 5, np.float32) for name in "abc"})
    good, other = tf.Variable(tf.zeros(4)), tf.Variable(tf.zeros(3))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"b: \(3,\) here, \(4,\) in"):
        ckptfast.restore(None, path, {"a": good, "b": other})
    assert ckptfast.restore(None, path, {"b": other}, strict=False).mismatched[0].name == "b"
    flip_a_byte(path, "c")
    with pytest.raises(tf.errors.DataLossError):
        ckptfast.restore(None, path, {"a": good, "c": tf.Variable(tf.zeros(4))})
    assert good.numpy().tolist() == [0] * 4


def test_a_mirrored_variable(tf: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "model", {"w": np.float32([1, 2])})
    strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
    with strategy.scope():
        variable = tf.Variable([0.0, 0.0], name="w")
    ckptfast.restore(None, path, [variable])
    assert [item.numpy().tolist() for item in variable.values] == [[1, 2]]


def test_a_hash_table(tf: ModuleType, tmp_path: Path) -> None:
    table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    table.insert(tf.constant(["a", "b"]), tf.constant([1, 2], tf.int64))
    path = save(
        tf,
        tmp_path / "model",
        dict(zip(("t-keys", "t-values"), table.export(), strict=True)),
    )
    other = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    ckptfast.restore(None, path, {"t": other})
    assert other.lookup(tf.constant(["b", "a", "c"])).numpy().tolist() == [2, 1, -1]


def test_slices_of_a_stored_tensor(tf: ModuleType, tmp_path: Path) -> None:
    """A ShardedVariable is a list of variables, one after the other along the first axis."""
    value = np.arange(20, dtype=np.float32).reshape(10, 2)
    path = write(tmp_path / "model", {"w": value})
    parts = [tf.Variable(tf.zeros([size, 2]), name=f"w/part_{n}") for n, size in enumerate((4, 6))]
    from tensorflow.python.distribute.sharded_variable import ShardedVariable

    sharded = ShardedVariable(parts, name="w")
    ckptfast.restore(None, path, {"w": sharded})
    assert np.array_equal(np.concatenate([part.numpy() for part in parts]), value)


def test_what_eager_mode_cannot_take(tf: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "model", {"w": np.float32([1, 2])})
    with pytest.raises(TypeError, match="var_list says what to restore"):
        ckptfast.restore(None, path)
    with pytest.raises(TypeError, match="not a variable"):
        ckptfast.restore(None, path, [tf.constant(1.0)])
    with pytest.raises(ValueError, match="no variables"):
        ckptfast.restore(None, path, [])
    with tf.Graph().as_default():
        of_graph = tf.compat.v1.get_variable("w", [2], use_resource=True)
        with pytest.raises(TypeError, match="eager mode only"):
            ckptfast.restore(None, path, [of_graph])
    with pytest.raises(ValueError, match="belongs to a graph"):
        ckptfast.restore(None, path, [of_graph])
    twins = [tf.Variable([0.0, 0.0], name="w") for _ in range(2)]
    with pytest.raises(ValueError, match="same name"):
        ckptfast.restore(None, path, twins)
    sess = tf.compat.v1.Session(graph=tf.Graph())
    with pytest.raises(ValueError, match="created eagerly"):
        ckptfast.restore(sess, path, twins[:1])
