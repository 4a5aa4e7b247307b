"""V1 files that TensorFlow writes: every type they can hold, slices, shards, and any box."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfast
from ckptfast import DataLossError, NotFoundError
from helpers import tf_io, values
from helpers.boxes import Box, boxes_in, partitions
from helpers.values import BY_NAME, assert_same

KINDS = ["float32", "float64", "int32", "uint8", "int16", "int8", "int64", "bool", "uint16"]
KINDS += ["qint8", "quint8", "qint32", "complex64", "complex128", "float16"]
SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (7,), (2, 0, 3), (3, 4, 5), (300, 40)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a property: they overwrite each other."""
    return tmp_path_factory.mktemp("v1")


@pytest.mark.parametrize("name", KINDS)
def test_every_type_and_shape(tf: ModuleType, tmp_path: Path, name: str) -> None:
    kind = BY_NAME[name]
    arrays = {f"{index}": values.sample(kind, shape, index) for index, shape in enumerate(SHAPES)}
    tensors = {key: tf_io.tensor(tf, value, name) for key, value in arrays.items()}
    path = tf_io.save_v1(tf, tmp_path / "m.ckpt", tensors)
    with ckptfast.open(path) as reader:
        assert (reader.format, list(reader)) == ("V1", sorted(arrays))
        for key, value in arrays.items():
            assert reader.info(key).dtype == name
            assert_same(reader[key], value, key)
            assert not reader[key].flags.writeable
            assert reader[key].flags.aligned
    assert ckptfast.verify(path)


def test_strings(tf: ModuleType, tmp_path: Path) -> None:
    tensors = {f"{index}": values.strings(shape, index) for index, shape in enumerate(SHAPES)}
    path = tf_io.save_v1(tf, tmp_path / "m.ckpt", tensors)
    for key, value in ckptfast.load(path).items():
        assert_same(value, tensors[key], key)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), cut=partitions(), name=st.sampled_from([*KINDS, "string"]))
def test_any_box_of_any_partition(
    tf: ModuleType, folder: Path, data: st.DataObject, cut: tuple[Any, list[Box]], name: str
) -> None:
    shape, boxes = cut
    value = values.strings(shape) if name == "string" else values.sample(BY_NAME[name], shape)
    tf.raw_ops.SaveSlices(
        filename=str(folder / "m.ckpt"),
        tensor_names=["w"] * len(boxes),
        shapes_and_slices=[box.spec(shape) for box in boxes],
        data=[tf_io.tensor(tf, value[box.index()], name) for box in boxes],
    )
    box = data.draw(boxes_in(shape))
    with ckptfast.open(folder / "m.ckpt") as reader:
        assert_same(reader.read("w", box.index()), value[box.index()])
        assert_same(reader["w"], value)


@pytest.mark.parametrize("shards", [1, 2, 5])
def test_a_sharded_saver(tf: ModuleType, tmp_path: Path, shards: int) -> None:
    """Its name is a pattern; so is what `save` returns and the state file says."""
    v1 = tf.compat.v1
    arrays = {f"v{index}": values.sample(BY_NAME["float32"], (index, 3)) for index in range(1, 10)}
    with v1.Graph().as_default():
        for index, (name, value) in enumerate(arrays.items()):
            with tf.device(f"/cpu:{index % shards}"):
                v1.get_variable(name, initializer=value)
        config = v1.ConfigProto(device_count={"CPU": shards})
        with v1.Session(config=config) as session:
            session.run(v1.global_variables_initializer())
            saver = v1.train.Saver(sharded=True, write_version=v1.train.SaverDef.V1)
            path = saver.save(session, str(tmp_path / "m"), global_step=7)
    assert path == str(tmp_path / f"m-7-?????-of-{shards:05}")
    for name in [path, tmp_path / "m-7", tmp_path, tmp_path / f"m-7-00000-of-{shards:05}"]:
        with ckptfast.open(name) as reader:
            assert (reader.format, reader.num_shards) == ("V1", shards)
            assert list(reader) == sorted(arrays)
            for key, value in arrays.items():
                assert_same(reader[key], value, key)


def test_a_missing_shard(tf: ModuleType, tmp_path: Path) -> None:
    for shard in range(2):
        tf_io.save_v1(tf, tmp_path / f"m-0000{shard}-of-00002", {f"{shard}": np.ones(3)})
    assert sorted(ckptfast.load(tmp_path / "m")) == ["0", "1"]
    (tmp_path / "m-00001-of-00002").unlink()
    with pytest.raises((FileNotFoundError, DataLossError), match="m-00001-of-00002"):
        ckptfast.load(tmp_path / "m")


def test_names_of_any_kind(tf: ModuleType, tmp_path: Path) -> None:
    names = ["a", "a/b", "é/日本", " ", "a" * 500, "A", "~"]
    tensors = {name: np.int32(index) for index, name in enumerate(names)}
    path = tf_io.save_v1(tf, tmp_path / "m.ckpt", tensors)
    with ckptfast.open(path) as reader:
        assert list(reader) == sorted(names, key=str.encode)
        assert {name: int(value) for name, value in reader.items()} == tensors
        with pytest.raises(NotFoundError, match=r"nearest names: a/b"):
            reader["a/c"]


def test_values_are_decoded_so_they_are_never_pages_of_the_file(
    tf: ModuleType, tmp_path: Path
) -> None:
    path = tf_io.save_v1(tf, tmp_path / "m.ckpt", {"a": np.ones(1000)})
    before = ckptfast.stats()
    for backend in ["mmap", "pread"]:
        ckptfast.load(path, backend=backend)
    after = ckptfast.stats()
    assert after.bytes_aliased == before.bytes_aliased
    assert after.bytes_copied - before.bytes_copied == 16_000
    with pytest.raises(ValueError, match="copy=False"):
        ckptfast.load(path, copy=False)


def test_thousands_of_tensors_in_several_blocks(tf: ModuleType, tmp_path: Path) -> None:
    tensors = {f"layer_{index:04}/{'x' * 100}": np.int64(-index) for index in range(3000)}
    path = tf_io.save_v1(tf, tmp_path / "m.ckpt", tensors)
    assert {name: int(value) for name, value in ckptfast.load(path).items()} == tensors
