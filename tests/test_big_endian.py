"""Bundles written on a big-endian machine. None are made any more, so these are made by hand."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ckptfast
from ckptfast import UnsupportedError
from helpers import bundle, tf_io, values
from helpers.table import crc32c, mask, varint
from helpers.values import FIXED, Kind, assert_same

# TensorFlow refuses to swap the others, although there is nothing to swap in a byte.
SWAPPED_BY_TENSORFLOW = [kind for kind in FIXED if kind.number < 24]


def big_endian(array: values.Array) -> bytes:
    """The elements with the most significant byte first; complex numbers part by part."""
    array = np.ascontiguousarray(array)
    if array.dtype.kind == "V":
        return array.view(f"u{array.dtype.itemsize}").astype(f">u{array.dtype.itemsize}").tobytes()
    return array.astype(array.dtype.newbyteorder(">")).tobytes()


def string_data(elements: Sequence[bytes]) -> tuple[bytes, int]:
    """The stored form of a string tensor, and the checksum of its entry."""
    lengths = b"".join(varint(len(element)) for element in elements)
    words = b"".join(struct.pack(">I", len(element)) for element in elements)
    checksum = struct.pack(">I", mask(crc32c(words)))
    content = b"".join(elements)
    return lengths + checksum + content, crc32c(words + checksum + content)


def write(prefix: Path, arrays: dict[str, tuple[int, values.Array]]) -> str:
    """A big-endian bundle of arrays, each with the number of its type."""
    items, data = {}, b""
    for name, (number, array) in sorted(arrays.items()):
        if array.dtype == object:
            content, crc = string_data(array.ravel().tolist())
        else:
            content = big_endian(array)
            crc = crc32c(content)
        items[name.encode()] = bundle.entry(
            number, array.shape, offset=len(data), size=len(content), crc=crc
        )
        data += content
    return bundle.write_bundle(prefix, items, [data], head=bundle.header(1, endianness=1))


def sample(kind: Kind) -> values.Array:
    return values.sample(kind, (3, 5))


@pytest.mark.parametrize("kind", FIXED, ids=lambda kind: kind.name)
def test_every_type_is_read_in_this_machines_order(tmp_path: Path, kind: Kind) -> None:
    array = sample(kind)
    # In a file a narrow type has zeros above its bits; those of ml_dtypes repeat the sign.
    in_file = np.frombuffer(values.stored(array, kind.bits), np.uint8) if kind.bits else array
    prefix = write(
        tmp_path / "m",
        {"pad": (4, np.zeros(3, np.uint8)), "x": (kind.number, in_file.reshape(3, 5))},
    )
    for options in [{}, {"backend": "pread"}, {"copy": True}, {"verify": False}]:
        with ckptfast.open(prefix, **options) as reader:
            assert_same(reader["x"], array)
            assert_same(reader.read("x", np.s_[1:, 2:4]), array[1:, 2:4])
            assert not reader["x"].flags.writeable
    assert ckptfast.verify(prefix)


@pytest.mark.parametrize("kind", SWAPPED_BY_TENSORFLOW, ids=lambda kind: kind.name)
def test_tensorflow_reads_the_same_from_these_files(
    tf: ModuleType, tmp_path: Path, kind: Kind
) -> None:
    """So they are what a big-endian machine would have written."""
    prefix = write(tmp_path / "m", {"x": (kind.number, sample(kind))})
    (found,) = tf_io.restore(tf, prefix, ["x"], [kind.name])
    assert_same(found, sample(kind))


def test_strings(tf: ModuleType, tmp_path: Path) -> None:
    """Lengths count as big-endian words in the checksum, and are varints all the same."""
    array = values.strings((3, 4))
    empty = np.zeros((0,), object)
    prefix = write(tmp_path / "m", {"empty": (7, empty), "s": (7, array)})
    loaded = ckptfast.load(prefix)
    assert_same(loaded["s"], array)
    assert_same(loaded["empty"], empty)
    assert_same(tf_io.restore(tf, prefix, ["s"], ["string"])[0], array)
    assert ckptfast.verify(prefix)


def test_a_damaged_byte_is_found_before_anything_is_swapped(tmp_path: Path) -> None:
    kind = values.BY_NAME["float64"]
    prefix = write(tmp_path / "m", {"x": (kind.number, sample(kind))})
    data = bundle.data_path(prefix)
    content = bytearray(data.read_bytes())
    content[17] ^= 0x10
    data.write_bytes(content)
    with pytest.raises(ckptfast.DataLossError) as caught:
        ckptfast.load(prefix)
    assert caught.value.stored_crc32c == crc32c(big_endian(sample(kind)))
    assert caught.value.calculated_crc32c == crc32c(bytes(content))


def test_partitioned_tensors(tmp_path: Path) -> None:
    kind = values.BY_NAME["int32"]
    array = values.sample(kind, (6, 4))
    parts = {"0,2:0,4": array[:2], "2,4:0,1": array[2:, :1], "2,4:1,3": array[2:, 1:]}
    items, data = {}, b""
    for spec, part in sorted(parts.items()):
        content = big_endian(part)
        items[bundle.slice_key(b"w", spec)] = bundle.plain_entry(3, part.shape, content, len(data))
        data += content
    items[b"w"] = bundle.entry(3, array.shape, slices=list(parts))
    prefix = bundle.write_bundle(
        tmp_path / "m", dict(sorted(items.items())), [data], head=bundle.header(1, endianness=1)
    )
    with ckptfast.open(prefix) as reader:
        assert_same(reader["w"], array)
        assert_same(reader.read("w", np.s_[1:5, 1:]), array[1:5, 1:])
    assert ckptfast.verify(prefix)


def test_what_must_be_swapped_cannot_be_the_pages_of_the_file(tmp_path: Path) -> None:
    bytes_, words = values.BY_NAME["uint8"], values.BY_NAME["float32"]
    prefix = write(tmp_path / "m", {"bytes": (4, sample(bytes_)), "words": (1, sample(words))})
    with ckptfast.open(prefix, copy=False) as reader:
        assert_same(reader["bytes"], sample(bytes_))
        with pytest.raises(ValueError, match="copy=False"):
            reader["words"]


def test_variants_are_refused(tmp_path: Path) -> None:
    """TensorFlow never defined them for the other byte order."""
    content = varint(3) + b"abc" + struct.pack("<I", 0)
    items = {b"v": bundle.plain_entry(21, (), content, 0)}
    prefix = bundle.write_bundle(
        tmp_path / "m", items, [content], head=bundle.header(1, endianness=1)
    )
    with ckptfast.open(prefix) as reader, pytest.raises(UnsupportedError, match="variant"):
        reader["v"]


def test_writing_is_little_endian_whatever_was_read(tf: ModuleType, tmp_path: Path) -> None:
    kind = values.BY_NAME["uint64"]
    prefix = write(tmp_path / "m", {"x": (kind.number, sample(kind))})
    copy = ckptfast.save(tmp_path / "copy", dict(ckptfast.load(prefix)))
    assert_same(tf_io.restore(tf, copy, ["x"], ["uint64"])[0], sample(kind))
