"""`save(align=1, shards=1)` writes the very files that TensorFlow writes for the same tensors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfast
from ckptfast import Tensor
from helpers import bundle, tf_io, values
from helpers.boxes import Box, partitions


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a property: they overwrite each other."""
    return tmp_path_factory.mktemp("identity")


def ours(folder: Path, tensors: dict[str, Any]) -> str:
    return ckptfast.save(folder / "ours", tensors, align=1, shards=1, durability="none")


def assert_identical(actual: Path | str, expected: Path | str) -> None:
    for suffix in [".index", ".data-00000-of-00001"]:
        first, second = (Path(f"{prefix}{suffix}").read_bytes() for prefix in (actual, expected))
        # Not `==` alone: a failure would print megabytes.
        same = first == second
        assert same, f"{suffix}: {len(first)} and {len(second)} bytes"


def text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


# -------------------------------------------------------------------------------------- the Saver


def test_saver_with_variables_of_every_kind(tf: ModuleType, tmp_path: Path) -> None:
    v1 = tf.compat.v1
    arrays: dict[str, Any] = {
        "z/scalar": np.float32(1.5),
        "a/empty": np.zeros((0, 3), np.float64),
        "b/step": np.int64(7),
        "b/half": np.arange(6, dtype=np.float16).reshape(2, 3),
        "c/bfloat16": values.sample(values.BY_NAME["bfloat16"], (5,)),
        "c/words": values.strings((4, 2)),
        "c/flag": np.array([True, False]),
        "B/upper": np.uint8([1, 2, 3]),
    }
    table = np.arange(70, dtype=np.float32).reshape(10, 7)
    with v1.Graph().as_default(), v1.Session() as session:
        for name, value in arrays.items():
            dtype = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
            v1.get_variable(name, dtype=dtype, initializer=tf.constant(value), use_resource=True)
        v1.get_variable(
            "partitioned",
            shape=table.shape,
            initializer=lambda shape, dtype, partition_info: tf.slice(
                table, partition_info.var_offset, shape
            ),
            partitioner=v1.fixed_size_partitioner(3),
        )
        session.run(v1.global_variables_initializer())
        theirs = v1.train.Saver().save(session, str(tmp_path / "theirs"), write_meta_graph=False)
    parts = [
        Tensor(table[a:b], slice=f"10 7 {a},{b - a}:0,7") for a, b in [(0, 4), (4, 7), (7, 10)]
    ]
    assert_identical(ours(tmp_path, {**arrays, "partitioned": parts}), theirs)


def test_saver_with_one_variable(tf: ModuleType, tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with v1.Graph().as_default(), v1.Session() as session:
        v1.get_variable("v", initializer=np.float32(3))
        session.run(v1.global_variables_initializer())
        theirs = v1.train.Saver().save(session, str(tmp_path / "theirs"), write_meta_graph=False)
    assert_identical(ours(tmp_path, {"v": np.float32(3)}), theirs)


# --------------------------------------------------------------------------------- many keys


@pytest.mark.parametrize("count", [1, 2, 16, 17, 9_000, 15_000])
def test_numbers_of_keys_around_one_block_and_restart_point(
    tf: ModuleType, tmp_path: Path, count: int
) -> None:
    """9,000 of these fill one block, 15,000 take two."""
    names = [f"layer_{index:05}/kernel" for index in range(count)]
    value = tf.constant(np.float32(1))
    theirs = tf_io.save(tf, tmp_path / "theirs", [(name, value) for name in names])
    assert_identical(ours(tmp_path, dict.fromkeys(names, np.float32(1))), theirs)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1 << 30),
    alphabet=st.sampled_from([b"ab", b"a\xff", b"\xfe\xff", b"\xff", b"a/\xc3\xa9", b"\1\0a"]),
    longest=st.sampled_from([3, 40, 5000, 300_000]),
)
def test_blocks_that_end_between_any_two_keys(
    tf: ModuleType, folder: Path, seed: int, alphabet: bytes, longest: int
) -> None:
    """Keys of the index block are the shortest that separate two blocks; 0xff cannot grow."""
    rng = np.random.default_rng(seed)
    letters = np.frombuffer(alphabet, np.uint8)
    count = min(400, 2_000_000 // longest)
    lengths = rng.integers(1, longest, count, endpoint=True)
    tails = [letters[rng.integers(0, len(letters), length)].tobytes() for length in lengths]
    # Half of them share a long beginning with another.
    names = {
        tail if index % 2 else tails[index - 1][:-1] + tail for index, tail in enumerate(tails)
    }
    keys = sorted(name for name in names if name[:1] not in (b"", b"\0"))
    if not keys:
        return
    value = tf.constant(np.int16(seed % 1000))
    theirs = tf_io.save(tf, folder / "theirs", [(key, value) for key in keys])
    tensors = dict.fromkeys(map(text, keys), np.int16(seed % 1000))
    assert_identical(ours(folder, tensors), theirs)


# -------------------------------------------------------------------------- types, shapes, slices


@st.composite
def tensor_lists(draw: st.DrawFn) -> list[tuple[str, str, values.Array, Sequence[Box]]]:
    """Tensors by name: type, value, and the boxes it is cut into (none: it is whole)."""
    names = draw(st.sets(st.text("abz/é_0", min_size=1, max_size=12), min_size=1, max_size=10))
    tensors = []
    for name in sorted(names, key=str.encode):
        kind = draw(st.sampled_from([*values.FIXED, None]))
        if draw(st.integers(0, 3)) == 0:
            shape, boxes = draw(partitions())
        else:
            shape, boxes = tuple(draw(st.lists(st.integers(0, 5), max_size=4))), []
        value = values.sample(kind, shape) if kind else values.strings(shape)
        tensors.append((name, kind.name if kind else "string", value, boxes))
    return tensors


@settings(max_examples=80, deadline=None)
@given(tensors=tensor_lists(), dash=st.booleans())
def test_any_tensors(
    tf: ModuleType,
    folder: Path,
    tensors: list[tuple[str, str, values.Array, Sequence[Box]]],
    dash: bool,
) -> None:
    pairs, specs, mine = [], [], {}
    for name, dtype, value, boxes in tensors:
        rows: list[tuple[str, Any]] = [("", value)]
        if boxes:
            dashes = [dash] * value.ndim
            rows = [(box.spec(value.shape, dashes), value[box.index()]) for box in boxes]
        pairs += [(name, tf_io.tensor(tf, part, dtype)) for _, part in rows]
        specs += [spec for spec, _ in rows]
        mine[name] = [Tensor(part, dtype, spec or None) for spec, part in rows]
    theirs = tf_io.save(tf, folder / "theirs", pairs, specs)
    flat = {name: parts if parts[0].slice else parts[0] for name, parts in mine.items()}
    assert_identical(ours(folder, flat), theirs)


def test_strings_without_elements_and_with_long_ones(tf: ModuleType, tmp_path: Path) -> None:
    tensors = {
        "empty": np.zeros((0, 4), dtype=object),
        "long": np.array([b"x" * 300_000, b"", b"y" * (1 << 21)], dtype=object),
        "many": values.strings((9000,)),
        "scalar": np.array(b"", dtype=object),
    }
    theirs = tf_io.save(tf, tmp_path / "theirs", tensors)
    assert bundle.entries(theirs)[b"empty"].size == 4
    assert_identical(ours(tmp_path, tensors), theirs)


def test_what_was_loaded_is_written_as_it_was(tf: ModuleType, tmp_path: Path) -> None:
    """Arrays that are pages of the file that the save is compared with."""
    rng = np.random.default_rng(0)
    tensors = {f"t{index:03}": rng.bytes(index * 1000) for index in range(60)}
    arrays = {name: np.frombuffer(data, np.uint8) for name, data in tensors.items()}
    theirs = tf_io.save(tf, tmp_path / "theirs", sorted(arrays.items()))
    assert_identical(ours(tmp_path, dict(ckptfast.load(theirs))), theirs)
