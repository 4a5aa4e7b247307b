"""`ckptfast.restore` of every element type, of strings and of very large tensors."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from restore_cases import graph_of, removed, saved, session, v1, values_of, write
from restore_models import BOTH, variable

import ckptfast

DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8",
          "uint16", "uint32", "uint64", "bool", "complex64", "complex128", "qint8", "quint8",
          "qint32", "float8_e5m2", "float8_e4m3fn", "int4", "uint4", "int2", "uint2",
          "float4_e2m1fn")  # fmt: skip


@pytest.mark.parametrize("shape", [(5, 7), (), (0, 2)], ids=["matrix", "scalar", "empty"])
@pytest.mark.parametrize("name", DTYPES)
def test_every_type_that_a_variable_can_have(
    tf: ModuleType, tmp_path: Path, name: str, shape: tuple[int, ...]
) -> None:
    dtype = tf.as_dtype(name)
    memory_type = np.dtype(dtype.as_numpy_dtype)
    if dtype.is_quantized:
        memory_type = memory_type[0]  # TensorFlow's is a structure of one plain integer
    noise = np.random.default_rng(3).integers(0, 256, [*shape, memory_type.itemsize], np.uint8)
    stored = noise.view(memory_type).reshape(shape)
    if name in ("bool", "int4", "uint4", "int2", "uint2", "float4_e2m1fn"):
        stored = (np.arange(stored.size).reshape(shape) % 2).astype(memory_type)
    path = str(tmp_path / "model")
    with graph_of(lambda: None).as_default(), v1().Session() as sess:
        fed = v1().placeholder(dtype, shape)
        pad = tf.constant([1], tf.uint8)  # so that the value is not aligned by chance
        save = tf.raw_ops.SaveV2(
            prefix=path, tensor_names=["a", "w"], shape_and_slices=["", ""], tensors=[pad, fed]
        )
        sess.run(save, {fed: stored.view(dtype.as_numpy_dtype)})
    made: list[Any] = []

    def build() -> None:
        initial = v1().placeholder(dtype, shape)
        made.append(v1().Variable(initial, name="w", use_resource=True, dtype=dtype))

    with session(graph_of(build)) as sess:
        report = ckptfast.restore(sess, path)
        found = sess.run(made[0]._graph_element)
        assert report.nbytes == stored.nbytes
        assert found.dtype == stored.dtype
        assert found.shape == stored.shape
        assert found.tobytes() == stored.tobytes()


@BOTH
def test_strings(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    text = np.array([[b"", b"\0a\0"], [b"x" * 100_000, "ü".encode()]], object)

    def build() -> None:
        variable("text", tf.constant(text), resource=resource)
        variable("scalar", tf.constant(b"alone"), resource=resource)
        variable("empty", tf.zeros([0, 2], tf.string), resource=resource)

    graph = graph_of(build)
    path, expected = saved(graph, tmp_path / "model")
    with session(graph) as sess:
        ckptfast.restore(sess, path)
        found = values_of(sess)
    assert found["text"].tolist() == text.tolist() == expected["text"].tolist()
    assert found["scalar"] == b"alone"
    assert found["empty"].shape == (0, 2)


def test_a_tensor_of_more_than_2_gib(tf: ModuleType, tmp_path: Path) -> None:
    size = (1 << 31) + 3
    value = np.zeros(size, np.uint8)
    value[-1] = 9
    path = write(tmp_path / "model", {"w": value})
    del value
    made: list[Any] = []

    def build() -> None:
        zeros = v1().zeros_initializer()
        made.append(v1().get_variable("w", [size], tf.uint8, zeros, use_resource=True))
        made.append(made[0][-3:])

    with removed(path), session(graph_of(build)) as sess:
        assert ckptfast.restore(sess, path).nbytes == size
        assert sess.run(made[1]).tolist() == [0, 0, 9]
