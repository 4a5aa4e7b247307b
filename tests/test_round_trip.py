"""What TensorFlow writes we read, and what we write TensorFlow reads: types, shapes and names."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfast
from helpers import bundle, tf_io, values
from helpers.values import FIXED, Kind, assert_same

SHAPES: list[tuple[int, ...]] = [(), (0,), (1,), (7,), (2, 0, 3), (3, 4, 5), (1,) * 8, (1000, 33)]

by_kind = pytest.mark.parametrize("kind", FIXED, ids=lambda kind: kind.name)


def ours(value: values.Array, kind: Kind) -> Any:
    """`value` as `save` takes it."""
    return ckptfast.Tensor(value, dtype=kind.name) if kind.quantised else value


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a property: they overwrite each other."""
    return tmp_path_factory.mktemp("round-trip")


# ------------------------------------------------------------------------------- types and shapes


@by_kind
def test_every_type_and_shape_from_tensorflow(tf: ModuleType, tmp_path: Path, kind: Kind) -> None:
    arrays = {f"{index}": values.sample(kind, shape, index) for index, shape in enumerate(SHAPES)}
    tensors = [(name, tf_io.tensor(tf, value, kind.name)) for name, value in arrays.items()]
    prefix = tf_io.save(tf, tmp_path / "m", tensors)
    with ckptfast.open(prefix) as reader:
        assert list(reader) == sorted(arrays)
        for name, value in arrays.items():
            assert_same(reader[name], value, name)
            assert reader.info(name).dtype == kind.name
            assert reader.info(name).shape == value.shape
            assert reader.info(name).nbytes == value.nbytes


@by_kind
@pytest.mark.parametrize("align", [1, 64])
def test_every_type_and_shape_to_tensorflow(
    tf: ModuleType, tmp_path: Path, kind: Kind, align: int
) -> None:
    arrays = {f"{index}": values.sample(kind, shape, index) for index, shape in enumerate(SHAPES)}
    tensors = {name: ours(value, kind) for name, value in arrays.items()}
    prefix = ckptfast.save(tmp_path / "m", tensors, align=align)
    found = tf_io.restore(tf, prefix, list(arrays), [kind.name] * len(arrays))
    for (name, value), restored in zip(arrays.items(), found, strict=True):
        assert_same(restored, value, name)
        assert_same(ckptfast.load(prefix)[name], value, name)


@pytest.mark.parametrize("kind", [kind for kind in FIXED if kind.bits], ids=lambda kind: kind.name)
def test_unused_bits_of_narrow_types_are_zero_in_the_file(tmp_path: Path, kind: Kind) -> None:
    """TensorFlow's -1 of int4 is the byte 0x0f; NumPy's is 0xff."""
    array = values.sample(kind, (5, 40))
    prefix = ckptfast.save(tmp_path / "m", {"whole": array, "strided": array[::-1, ::3]}, align=1)
    data = bundle.data_path(prefix).read_bytes()
    for name, value in {"whole": array, "strided": array[::-1, ::3]}.items():
        place = bundle.entries(prefix)[name.encode()]
        content = data[place.offset : place.offset + place.size]
        assert content == values.stored(value, kind.bits)
        assert max(content) < 1 << kind.bits


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_strings_both_ways(tf: ModuleType, tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = values.strings(shape)
    theirs = tf_io.save(tf, tmp_path / "theirs", {"s": array})
    assert_same(ckptfast.load(theirs)["s"], array)
    ours = ckptfast.save(tmp_path / "ours", {"s": array})
    assert_same(tf_io.restore(tf, ours, ["s"], ["string"])[0], array)
    assert_same(ckptfast.load(ours)["s"], array)


@pytest.mark.parametrize(
    "value",
    [
        b"end\0",
        [b"\0", b"", b"end\0\0"],
        "Grüße\0",
        [["a\0", "b"], ["", "ß"]],
        np.array(["ß", "long enough"]),
        np.array([b"x", b"longer"]),
        np.bytes_(b"scalar"),
    ],
    ids=repr,
)
def test_text_and_bytes_are_stored_whole(tf: ModuleType, tmp_path: Path, value: Any) -> None:
    """NumPy's own bytes and text types would end an element at its last zero."""

    def encoded(element: Any) -> Any:
        if isinstance(element, list):
            return [encoded(one) for one in element]
        return element.encode() if isinstance(element, str) else bytes(element)

    prefix = ckptfast.save(tmp_path / "m", {"s": value})
    expected = encoded(value.tolist() if isinstance(value, np.ndarray) else value)
    (found,) = tf_io.restore(tf, prefix, ["s"], ["string"])
    assert found.tolist() == expected
    assert ckptfast.load(prefix)["s"].tolist() == expected


def test_variants_both_ways(tf: ModuleType, tmp_path: Path) -> None:
    """The bytes of a variant pass through us and mean the same to TensorFlow."""
    rows = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    tensor_list = tf.raw_ops.TensorListFromTensor(tensor=rows, element_shape=[2])
    stack = tf.stack([tensor_list, tensor_list])
    theirs = tf_io.save(tf, tmp_path / "theirs", {"v": tensor_list, "vs": stack})
    loaded = ckptfast.load(theirs)
    assert b"tensorflow::TensorList" in loaded["v"].item()
    assert loaded["vs"].shape == (2,)
    with ckptfast.open(theirs) as reader:
        assert reader.info("v").dtype == "variant"

    tensors = {name: ckptfast.Tensor(value, dtype="variant") for name, value in loaded.items()}
    prefix = ckptfast.save(tmp_path / "ours", tensors, align=1)
    assert bundle.data_path(prefix).read_bytes() == bundle.data_path(theirs).read_bytes()
    one, two = tf.raw_ops.RestoreV2(
        prefix=prefix,
        tensor_names=["v", "vs"],
        shape_and_slices=["", ""],
        dtypes=[tf.variant] * 2,
    )
    for variant in [one, *tf.unstack(two)]:
        found = tf.raw_ops.TensorListStack(
            input_handle=variant, element_shape=[2], element_dtype=tf.float32
        )
        assert_same(found.numpy(), rows.numpy())


@pytest.mark.parametrize("shards", range(1, 8))
def test_shards_both_ways(tf: ModuleType, tmp_path: Path, shards: int) -> None:
    arrays = {
        f"{index}/{kind.name}": values.sample(kind, (index * 7 % 50, 3), index)
        for index, kind in enumerate(values.PLAIN)
    }
    tensors: dict[str, Any] = {**arrays, "strings": values.strings((20,))}
    theirs = tf_io.save_sharded(tf, tmp_path / "theirs", tensors, shards)
    ours = ckptfast.save(tmp_path / "ours", tensors, shards=shards)
    found = tf_io.restore(tf, ours, list(arrays), [value.dtype for value in arrays.values()])
    for (name, value), restored in zip(arrays.items(), found, strict=True):
        assert_same(restored, value, name)
    for prefix in [theirs, ours]:
        with ckptfast.open(prefix) as reader:
            assert reader.num_shards == shards
            assert {reader.info(name).shard for name in reader} == set(range(shards))
            for name, value in tensors.items():
                assert_same(reader[name], value, name)


# ------------------------------------------------------------------------------------------ names

NAMES = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    st.lists(
        st.sampled_from(["a", "b", "layer_1", "", ".", "..", "é", "日本", " ", "*"]), min_size=2
    )
    .map("/".join)
    .filter(bool),
)
KEYS = NAMES.map(str.encode) | st.binary(min_size=1).map(lambda key: key.replace(b"\0", b"\xff"))


@settings(max_examples=60, deadline=None)
@given(names=st.sets(KEYS, min_size=1, max_size=8))
def test_any_name_both_ways(tf: ModuleType, folder: Path, names: set[bytes]) -> None:
    """Names are bytes; those that are not UTF-8 come through with surrogateescape."""
    keys = sorted(names)
    arrays = [np.float32([index, -index]) for index in range(len(keys))]
    text = [key.decode("utf-8", "surrogateescape") for key in keys]
    theirs = tf_io.save(tf, folder / "theirs", list(zip(keys, arrays, strict=True)))
    tensors = dict(zip(reversed(text), reversed(arrays), strict=True))
    ours = ckptfast.save(folder / "ours", tensors, durability="none")
    for restored, value in zip(
        tf_io.restore(tf, ours, keys, ["float32"] * len(keys)), arrays, strict=True
    ):
        assert_same(restored, value)
    for prefix in [theirs, ours]:
        with ckptfast.open(prefix) as reader:
            assert list(reader) == text
            for name, value in zip(text, arrays, strict=True):
                assert name in reader
                assert reader.info(name).name == name
                assert_same(reader[name], value)


def test_long_names_that_share_most_of_their_bytes(tf: ModuleType, tmp_path: Path) -> None:
    """Prefix compression, restart points and several blocks."""
    names = [f"{'scope/' * (index % 90)}variable_{index:04}" for index in range(3000)]
    tensors = {name: np.int32(index) for index, name in enumerate(names)}
    theirs = tf_io.save(tf, tmp_path / "theirs", sorted(tensors.items()))
    ours = ckptfast.save(tmp_path / "ours", tensors)
    assert {name: value.item() for name, value in ckptfast.load(theirs).items()} == tensors
    found = tf_io.restore(tf, ours, names, ["int32"] * len(names))
    assert [value.item() for value in found] == list(range(3000))


# ---------------------------------------------------------------------------------------- layouts

WIDTHS = ["uint8", "float16", "bfloat16", "int32", "complex64", "complex128", "int4", "bool"]


@st.composite
def layouts(draw: st.DrawFn) -> values.Array:
    """A view into an array: cut, stepped, reversed, transposed, broadcast."""
    kind = values.BY_NAME[draw(st.sampled_from(WIDTHS))]
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    array = values.sample(kind, shape, draw(st.integers(0, 99)))
    steps = st.sampled_from([-3, -2, -1, 1, 1, 2, 3])
    bounds = st.none() | st.integers(-6, 6)
    index = tuple(slice(draw(bounds), draw(bounds), draw(steps)) for _ in shape)
    array = array[index].transpose(draw(st.permutations(range(len(shape)))))
    if draw(st.booleans()):
        array = np.broadcast_to(array, (draw(st.integers(0, 3)), *array.shape))
    return array


@settings(max_examples=150, deadline=None)
@given(arrays=st.lists(layouts(), min_size=1, max_size=6), align=st.sampled_from([1, 64]))
def test_any_layout_in_memory(folder: Path, arrays: list[values.Array], align: int) -> None:
    tensors = {str(index): array for index, array in enumerate(arrays)}
    prefix = ckptfast.save(folder / "layout", tensors, align=align, durability="none")
    loaded = ckptfast.load(prefix)
    for name, value in tensors.items():
        assert_same(loaded[name], value, (name, value.dtype, value.shape, value.strides))


@pytest.mark.parametrize("name", ["int16", "float32", "uint64", "complex64", "complex128"])
def test_other_byte_order_and_other_memory(tf: ModuleType, tmp_path: Path, name: str) -> None:
    kind = values.BY_NAME[name]
    array = values.sample(kind, (6, 5))
    swapped = array.astype(array.dtype.newbyteorder(">"))
    read_only = array.copy()
    read_only.flags.writeable = False
    misaligned = np.frombuffer(b"x" + array.tobytes(), kind.numpy, offset=1).reshape(6, 5)
    record = np.zeros((6, 5), [("pad", "u1"), ("value", kind.numpy)])
    record["value"] = array
    tensors = {
        "swapped": swapped,
        "swapped 0-d": swapped[1, 1],
        "swapped view": swapped[::-2].T,
        "fortran": np.asfortranarray(array),
        "read-only": read_only,
        "misaligned": misaligned,
        "field of records": record["value"],
        "scalar": array[0, 0],
        "0-d view": array[2:3, 2:3].reshape(()),
    }
    prefix = ckptfast.save(tmp_path / "m", tensors)
    found = tf_io.restore(tf, prefix, list(tensors), [name] * len(tensors))
    for (key, value), restored in zip(tensors.items(), found, strict=True):
        assert_same(restored, value, key)


def test_views_that_are_larger_than_any_buffer(tmp_path: Path) -> None:
    """Several threads walk pieces of one array; items straddle the ends of buffers."""
    rng = np.random.default_rng(0)
    wide = rng.integers(0, 1 << 32, (3001, 2004), dtype=np.uint32)
    tensors = {
        "a": np.uint8([1, 2, 3]),  # nothing behind it is aligned
        "b": wide.T,
        "c": wide.view(np.complex64).T[::-1],
        "d": wide[:, ::2].astype(">u4"),
        "e": wide[:2000, :2000].view(np.complex128)[:, ::-1],
        "f": rng.integers(-8, 8, (2000, 2000), dtype=np.int8)
        .astype(values.BY_NAME["int4"].numpy)
        .T,
    }
    for threads in [1, 3]:
        prefix = ckptfast.save(
            tmp_path / "m", tensors, align=1, shards=1, durability="none", threads=threads
        )
        loaded = ckptfast.load(prefix)
        for name, value in tensors.items():
            assert_same(loaded[name], value, name)
