"""Partitioned tensors: written in slices, read whole and by any box."""

from __future__ import annotations

import itertools
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfast
from ckptfast import DataLossError, Tensor
from helpers import bundle, tf_io, values
from helpers.boxes import Box, boxes_in, partitions
from helpers.values import FIXED, Kind, assert_same

# TensorFlow assembles slices of these types only; of others it restores a stored slice at most.
ASSEMBLED = ["float32", "float64", "int32", "uint8", "int16", "int8", "complex64", "complex128"]
ASSEMBLED += ["int64", "bool", "bfloat16"]
KINDS = st.sampled_from(FIXED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a property: they overwrite each other."""
    return tmp_path_factory.mktemp("partitions")


def parts(
    value: values.Array, boxes: list[Box], dtype: str | None = None, dashes: Any = ()
) -> list[Tensor]:
    """`value` cut into boxes, as `save` takes it."""
    spec = [box.spec(value.shape, dashes) for box in boxes]
    return [Tensor(value[box.index()], dtype, s) for box, s in zip(boxes, spec, strict=True)]


def any_value(kind: Kind | None, shape: tuple[int, ...]) -> values.Array:
    return values.strings(shape) if kind is None else values.sample(kind, shape)


@settings(max_examples=100, deadline=None)
@given(
    data=st.data(),
    cut=partitions(),
    kind=st.none() | KINDS,
    dashes=st.lists(st.booleans(), max_size=4),
    shards=st.integers(1, 3),
)
def test_any_box_of_any_partition_of_any_type(
    folder: Path,
    data: st.DataObject,
    cut: tuple[tuple[int, ...], list[Box]],
    kind: Kind | None,
    dashes: list[bool],
    shards: int,
) -> None:
    shape, boxes = cut
    value = any_value(kind, shape)
    name = kind.name if kind else "string"
    tensors: dict[str, Any] = {"w": parts(value, boxes, name, dashes), "a": np.ones(2), "x": "s"}
    prefix = ckptfast.save(folder / "any", tensors, shards=shards, durability="none")
    with ckptfast.open(prefix) as reader:
        assert list(reader) == ["a", "w", "x"]
        info = reader.info("w")
        assert (info.dtype, info.shape) == (name, shape)
        if len(boxes) > 1:
            assert set(info.slices) == {box.text(shape, dashes) for box in boxes}
            assert (info.shard, info.offset, info.crc32c) == (None, None, None)
        box = data.draw(boxes_in(shape))
        assert_same(reader.read("w", box.index()), value[box.index()])
        assert_same(reader["w"], value)
    assert_same(ckptfast.load(prefix, copy=True)["w"], value)
    assert ckptfast.verify(prefix)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), cut=partitions(), kind=st.sampled_from(ASSEMBLED))
def test_tensorflow_assembles_our_slices(
    tf: ModuleType, folder: Path, data: st.DataObject, cut: tuple[Any, list[Box]], kind: str
) -> None:
    shape, boxes = cut
    value = values.sample(values.BY_NAME[kind], shape)
    prefix = ckptfast.save(folder / "ours", {"w": parts(value, boxes)}, durability="none")
    box = data.draw(boxes_in(shape))
    specs = ["", box.spec(shape)]
    whole, part = tf_io.restore(tf, prefix, ["w", "w"], [kind, kind], specs)
    assert_same(whole, value)
    assert_same(part, value[box.index()])


@settings(max_examples=60, deadline=None)
@given(data=st.data(), cut=partitions(), kind=st.none() | KINDS)
def test_we_assemble_tensorflows_slices(
    tf: ModuleType, folder: Path, data: st.DataObject, cut: tuple[Any, list[Box]], kind: Kind | None
) -> None:
    """Of every type; TensorFlow itself cannot read most of these again."""
    shape, boxes = cut
    value = any_value(kind, shape)
    tensors = [("w", tf_io.tensor(tf, value[box.index()], kind and kind.name)) for box in boxes]
    specs = [box.spec(shape) for box in boxes]
    prefix = tf_io.save(tf, folder / "theirs", tensors, specs)
    box = data.draw(boxes_in(shape))
    with ckptfast.open(prefix) as reader:
        assert_same(reader.read("w", box.index()), value[box.index()])
        assert_same(reader["w"], value)


@pytest.mark.parametrize("kind", [*FIXED, None], ids=lambda kind: kind.name if kind else "string")
def test_stored_slices_are_restored_by_tensorflow(
    tf: ModuleType, tmp_path: Path, kind: Kind | None
) -> None:
    value = any_value(kind, (5, 4))
    boxes = [Box((0, 0), (2, 4)), Box((2, 0), (3, 1)), Box((2, 1), (3, 3))]
    name = kind.name if kind else "string"
    prefix = ckptfast.save(tmp_path / "m", {"w": parts(value, boxes, name)})
    specs = [box.spec(value.shape) for box in boxes]
    found = tf_io.restore(tf, prefix, ["w"] * 3, [name] * 3, specs)
    for box, restored in zip(boxes, found, strict=True):
        assert_same(restored, value[box.index()])


def test_a_half_variable_that_tensorflow_split(tf: ModuleType, tmp_path: Path) -> None:
    """`MaxShardSizePolicy` writes checkpoints that TensorFlow 2.21 cannot restore."""
    value = values.sample(values.BY_NAME["float16"], (60, 7))
    sharding = tf.train.experimental.MaxShardSizePolicy(max_shard_size=300)
    options = tf.train.CheckpointOptions(experimental_sharding_callback=sharding)
    tracked = tf.train.Checkpoint(v=tf.Variable(value))
    prefix = tracked.write(str(tmp_path / "m"), options=options)
    name = "v/.ATTRIBUTES/VARIABLE_VALUE"
    with pytest.raises(tf.errors.OpError):
        tf_io.restore(tf, prefix, [name], ["float16"])
    with ckptfast.open(prefix) as reader:
        assert len(reader.info(name).slices) > 1
        assert reader.num_shards > 1
        assert_same(reader[name], value)
        assert_same(reader.read(name, np.s_[13:47, 2:]), value[13:47, 2:])
    whole = ckptfast.save(tmp_path / "whole", dict(ckptfast.load(prefix)))
    assert_same(tf_io.restore(tf, whole, [name], ["float16"])[0], value)


def test_starts_and_lengths_of_every_width(tf: ModuleType, tmp_path: Path) -> None:
    """Slice keys encode numbers in one to ten bytes."""
    cuts = [0, 1, 63, 64, 65, 8191, 8192, 8193, 1 << 20, (1 << 20) + 1, 3 << 20]
    value = np.arange(cuts[-1], dtype=np.uint32).view(np.uint8)[: cuts[-1]]
    boxes = [Box((a,), (b - a,)) for a, b in itertools.pairwise(cuts)]
    ours = ckptfast.save(tmp_path / "ours", {"w": parts(value, boxes)})
    tensors = [("w", value[box.index()]) for box in boxes]
    theirs = tf_io.save(tf, tmp_path / "theirs", tensors, [box.spec(value.shape) for box in boxes])
    assert bundle.entries(ours).keys() == bundle.entries(theirs).keys()
    for prefix in [ours, theirs]:
        assert_same(ckptfast.load(prefix)["w"], value)
        assert_same(tf_io.restore(tf, prefix, ["w"], ["uint8"])[0], value)


def test_a_dash_and_an_explicit_extent_are_different_keys(tf: ModuleType, tmp_path: Path) -> None:
    value = np.arange(8, dtype=np.float32).reshape(4, 2)
    for upper, lower in [("0,2:-", "2,2:-"), ("0,2:0,2", "2,2:-"), ("0,2:0,2", "2,2:0,2")]:
        tensors = [Tensor(value[:2], slice=f"4 2 {upper}"), Tensor(value[2:], slice=f"4 2 {lower}")]
        prefix = ckptfast.save(tmp_path / "m", {"w": tensors})
        keys = {bundle.slice_key(b"w", upper), bundle.slice_key(b"w", lower), b"w"}
        assert bundle.entries(prefix).keys() == keys
        assert_same(tf_io.restore(tf, prefix, ["w"], ["float32"])[0], value)
        assert_same(ckptfast.load(prefix)["w"], value)


def test_names_with_zero_and_ff_bytes_in_slice_keys(tf: ModuleType, tmp_path: Path) -> None:
    value = np.arange(4, dtype=np.float32)
    boxes = [Box((0,), (1,)), Box((1,), (3,))]
    for name in [b"a\xff", b"\xff\xff", b"a\0b", b"a\0", b"\xff\0\xff"]:
        text = name.decode("utf-8", "surrogateescape")
        prefix = ckptfast.save(tmp_path / "m", {text: parts(value, boxes)})
        assert bundle.slice_key(name, "0,1") in bundle.entries(prefix)
        assert_same(ckptfast.load(prefix)[text], value)
        assert_same(tf_io.restore(tf, prefix, [name], ["float32"])[0], value)


def test_a_slice_that_is_everything_is_stored_unsliced(tmp_path: Path) -> None:
    value = np.arange(8, dtype=np.float32).reshape(4, 2)
    for spec in ["4 2 -:-", "4 2 0,4:-", "4 2 0,4:0,2"]:
        prefix = ckptfast.save(tmp_path / "m", {"w": Tensor(value, slice=spec)})
        assert bundle.entries(prefix).keys() == {b"w"}
        with ckptfast.open(prefix) as reader:
            assert reader.info("w").slices == ()
            assert_same(reader["w"], value)


def test_a_tensor_with_a_hole_is_read_where_it_is_whole(tmp_path: Path) -> None:
    value = np.arange(40, dtype=np.float32).reshape(10, 4)
    boxes = [Box((0, 0), (4, 4)), Box((6, 0), (4, 4))]
    prefix = ckptfast.save(tmp_path / "m", {"w": parts(value, boxes), "other": value})
    with ckptfast.open(prefix) as reader:
        assert_same(reader.read("w", np.s_[1:3]), value[1:3])
        assert_same(reader.read("w", np.s_[7:, 2]), value[7:, 2])
        for index in [np.s_[:], np.s_[3:5], np.s_[4, 0]]:
            with pytest.raises(DataLossError, match=r"slices hold .* elements") as caught:
                reader.read("w", index)
            assert caught.value.key == "w"
        with pytest.raises(DataLossError):
            reader["w"]
    report = ckptfast.verify(prefix)
    assert list(report.bad) == ["w"]
    assert report.tensors == 2


@pytest.mark.parametrize(
    ("slices", "message"),
    [
        (["4 2 0,2:-", "4 2 0,2:-"], "Adding duplicate key"),
        (["4 2 0,2:-", "4 2 0,2:0,2"], "Overlapping slices"),
        (["4 2 0,2:-", "4 2 1,2:-"], "Overlapping slices"),
        (["4 2 0,2:-", "5 2 2,2:-"], "disagree"),
        (["4 2 -:-", "4 2 0,2:-"], "does not match the shape|duplicate|are"),
        (["4 2 3,2:-"], "out of bounds"),
        (["4 2 0,1:-"], "does not match the shape of the tensor"),
        (["4 2 0,2"], "dimensions"),
        (["4 2 0,2:-:-"], "dimensions"),
        (["4 2 0,0:-"], "slice such as"),
        (["4 2 -1,2:-"], "slice such as"),
        (["4 2"], "slice such as"),
        (["0,2:-"], "dimensions and a slice"),
        (["4 x 0,2:-"], "dimensions and a slice"),
        (["-4 2 0,2:-"], "dimensions and a slice"),
        (["99999999999999999999 2 0,2:-"], "dimensions and a slice"),
        ([""], "dimensions and a slice"),
    ],
    ids=lambda value: " | ".join(value) if isinstance(value, list) else "",
)
def test_slices_that_contradict_themselves_or_each_other(
    tmp_path: Path, slices: list[str], message: str
) -> None:
    data = np.zeros((2, 2), np.float32)
    with pytest.raises(ValueError, match=message) as caught:
        ckptfast.save(tmp_path / "m", {"w": [Tensor(data, slice=spec) for spec in slices]})
    assert "'w'" in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_slices_of_different_types_and_parts_without_slices(tmp_path: Path) -> None:
    one = Tensor(np.zeros((2, 2), np.float32), slice="4 2 0,2:-")
    other = Tensor(np.zeros((2, 2), np.float64), slice="4 2 2,2:-")
    with pytest.raises(ValueError, match="disagree"):
        ckptfast.save(tmp_path / "m", {"w": [one, other]})
    for part in [Tensor(np.zeros((2, 2), np.float32)), np.zeros((2, 2), np.float32), None]:
        with pytest.raises(TypeError, match="'w'"):
            ckptfast.save(tmp_path / "m", {"w": [one, part]})
    assert not list(tmp_path.iterdir())


def test_overlapping_slices_that_somebody_else_wrote(tf: ModuleType, tmp_path: Path) -> None:
    """TensorFlow writes them without a word, and fails when it reads them."""
    value = np.arange(8, dtype=np.float32).reshape(4, 2)
    tensors = [("w", value[:3]), ("w", value[2:])]
    prefix = tf_io.save(tf, tmp_path / "m", tensors, ["4 2 0,3:-", "4 2 2,2:-"])
    with ckptfast.open(prefix) as reader, pytest.raises(DataLossError, match="Overlapping slices"):
        reader["w"]


def test_a_partition_of_thousands_of_slices(tmp_path: Path) -> None:
    """Cover and overlap are checked in less than quadratic time."""
    value = np.arange(20_000, dtype=np.int32).reshape(10_000, 2)
    boxes = [Box((row, 0), (1, 2)) for row in range(10_000)]
    prefix = ckptfast.save(tmp_path / "m", {"w": parts(value, boxes)}, durability="none")
    assert_same(ckptfast.load(prefix)["w"], value)
    with ckptfast.open(prefix) as reader:
        assert_same(reader.read("w", np.s_[4000:4100, 1]), value[4000:4100, 1])
