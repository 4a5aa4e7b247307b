"""The reader as a mapping: names, what the index says of them, whole values and boxes of them."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ckptfast
from ckptfast import DataLossError, NotFoundError, Tensor, UnsupportedError
from helpers import bundle, tf_io, values
from helpers.boxes import Box
from helpers.values import assert_same

WEIGHTS = values.sample(values.BY_NAME["float32"], (6, 5, 4))
TENSORS: dict[str, Any] = {
    "Upper": np.uint8([1, 2, 3]),
    "empty": np.zeros((0, 3), np.float32),
    "labels": values.strings((4, 2)),
    "scalar": np.array(2.5),
    "weights": WEIGHTS,
    "é": np.int64([-1]),
}
BOXES = [Box((0, 0, 0), (2, 5, 4)), Box((2, 0, 0), (4, 2, 4)), Box((2, 2, 0), (4, 3, 4))]
PARTS = [Tensor(WEIGHTS[box.index()], slice=box.spec(WEIGHTS.shape)) for box in BOXES]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reader")


@pytest.fixture(scope="module")
def prefix(folder: Path) -> str:
    return ckptfast.save(folder / "m", {**TENSORS, "parts": PARTS}, shards=2)


# ---------------------------------------------------------------------------------------- mapping


def test_it_is_a_mapping_in_the_order_of_bytes(prefix: str) -> None:
    reader = ckptfast.open(prefix)
    assert isinstance(reader, Mapping)
    names = ["Upper", "empty", "labels", "parts", "scalar", "weights", "é"]
    assert list(reader) == list(reader.keys()) == names
    assert len(reader) == 7
    assert "weights" in reader
    for missing in ["weight", "", "Weights", "\0", "\udcff", "\ud800", 5, None, b"weights"]:
        assert missing not in reader
        assert reader.get(missing) is None if isinstance(missing, str) else True
    for (name, value), array in zip(reader.items(), reader.values(), strict=True):
        expected = TENSORS.get(name, WEIGHTS)
        assert_same(value, expected, name)
        assert_same(array, expected, name)
    assert "7 tensors" in repr(reader)
    assert prefix in repr(reader)


def test_what_it_says_of_the_checkpoint(prefix: str, tf: Any, tmp_path: Path) -> None:
    with ckptfast.open(prefix) as reader:
        assert (reader.format, reader.prefix, reader.num_shards) == ("V2", prefix, 2)
    v1 = tf_io.save_v1(tf, tmp_path / "old.ckpt", {"a": np.ones(3)})
    with ckptfast.open(v1) as reader:
        assert (reader.format, reader.prefix, reader.num_shards) == ("V1", v1, 1)
        info = reader.info("a")
        assert (info.dtype, info.shape, info.nbytes) == ("float64", (3,), 24)
        assert (info.shard, info.offset, info.crc32c, info.slices) == (None, None, None, ())


def test_info_is_what_the_index_says(prefix: str) -> None:
    entries = bundle.entries(prefix)
    with ckptfast.open(prefix) as reader:
        for name in TENSORS:
            info, entry = reader.info(name), entries[name.encode()]
            assert (info.name, info.shape) == (name, entry.shape)
            assert (info.shard, info.offset, info.nbytes) == (entry.shard, entry.offset, entry.size)
            assert (info.crc32c, info.slices) == (entry.crc, ())
        dtypes = {name: reader.info(name).dtype for name in reader}
        assert dtypes == {
            "Upper": "uint8",
            "empty": "float32",
            "labels": "string",
            "parts": "float32",
            "scalar": "float64",
            "weights": "float32",
            "é": "int64",
        }
        info = reader.info("parts")
        assert (info.shard, info.offset, info.crc32c) == (None, None, None)
        assert (info.shape, info.nbytes) == (WEIGHTS.shape, WEIGHTS.nbytes)
        assert list(info.slices) == [box.text(WEIGHTS.shape) for box in BOXES]


def test_a_missing_name_is_an_error_that_names_the_nearest(prefix: str) -> None:
    with ckptfast.open(prefix) as reader:
        for call in [reader.__getitem__, reader.info, reader.read]:
            with pytest.raises(NotFoundError, match=r"weigths.*nearest names: weights") as caught:
                call("weigths")
            assert isinstance(caught.value, KeyError)
            assert (caught.value.key, caught.value.path) == ("weigths", prefix)
        with pytest.raises(NotFoundError, match=r"zzzzz not found in checkpoint [^;]*$"):
            reader["zzzzz"]
        for name in ["\ud800", "\udcff", ""]:
            with pytest.raises(NotFoundError):
                reader[name]


def test_a_default_for_a_missing_name_costs_no_search(
    prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Finding the nearest takes longer than many a read, and `get` drops the answer."""

    def never(*_: Any, **__: Any) -> list[str]:
        raise AssertionError("looked for the nearest names")

    monkeypatch.setattr("difflib.get_close_matches", never)
    with ckptfast.open(prefix) as reader:
        assert reader.get("weigths") is None
        assert reader.get("weigths", 5) == 5
        assert_same(reader.get("weights", 5), WEIGHTS, "weights")


def test_readers_are_not_compared_by_their_arrays(prefix: str) -> None:
    with ckptfast.open(prefix) as reader, ckptfast.open(prefix) as other:
        assert reader == reader
        assert reader != other
        assert {reader, other, reader} == {other, reader}


def test_names_that_are_no_text_are_shown_as_they_were_given(prefix: str) -> None:
    for names in [b"weights", 5, [b"weights"]]:
        with pytest.raises(TypeError, match=r"names are names or globs.*(b'weights'|5)$"):
            ckptfast.load(prefix, names)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="backend is text, not None"):
        ckptfast.open(prefix, backend=None)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_exceptions_survive_pickling(prefix: str, protocol: int) -> None:
    where = {"path": "p", "key": "k", "shard": 1, "offset": 2, "nbytes": 3}
    for error in [NotFoundError("it's gone"), DataLossError("lost"), UnsupportedError("new")]:
        vars(error).update(where)
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is type(error)
        assert str(again) == str(error)
        assert vars(again) == where
    with ckptfast.open(prefix) as reader, pytest.raises(NotFoundError) as caught:
        reader["nope"]
    again = pickle.loads(pickle.dumps(caught.value, protocol))
    assert (again.key, again.path, str(again)) == ("nope", prefix, str(caught.value))


def test_keys_that_are_not_utf_8_can_be_used_as_they_are_shown(tmp_path: Path) -> None:
    items = {
        name: bundle.plain_entry(4, (1,), bytes([index]), index)
        for index, name in enumerate([b"\xc3", b"\xc3\xa9", b"\xff\xfe/a"])
    }
    path = bundle.write_bundle(tmp_path / "m", items, [bytes(range(3))])
    with ckptfast.open(path) as reader:
        names = list(reader)
        assert names == ["\udcc3", "é", "\udcff\udcfe/a"]
        for index, name in enumerate(names):
            assert name in reader
            assert reader[name] == [index]
            assert reader.info(name).offset == index
        str(reader)
        with pytest.raises(NotFoundError):
            reader["\udcff"]
    assert list(ckptfast.load(path, "\udcff*")) == [names[2]]


# ------------------------------------------------------------------------------------------ boxes

BOUNDS = st.none() | st.integers(-8, 8)
ITEMS = st.one_of(
    st.integers(-7, 7),
    st.integers(-3, 3).map(np.int64),
    st.builds(slice, BOUNDS, BOUNDS, st.sampled_from([None, 1])),
    st.just(...),
)
INDICES = ITEMS | st.lists(ITEMS, max_size=4).map(tuple)


@pytest.mark.parametrize("backend", ["mmap", "pread"])
@pytest.mark.parametrize("name", ["weights", "parts", "labels", "empty", "scalar", "Upper"])
def test_boxes_are_what_numpy_gives(prefix: str, name: str, backend: Any) -> None:
    whole = TENSORS.get(name, WEIGHTS)

    @settings(max_examples=150, deadline=None)
    @given(index=INDICES, copy=st.sampled_from([None, True]))
    def check(index: Any, copy: bool | None) -> None:
        with ckptfast.open(prefix, backend=backend, copy=copy) as reader:
            try:
                expected = whole[index]
            except IndexError:
                with pytest.raises(IndexError):
                    reader.read(name, index)
                return
            # NumPy gives elements as scalars.
            if whole.dtype == object and isinstance(expected, bytes):
                expected = np.array(expected, dtype=object)
            value = reader.read(name, index)
            assert_same(value, expected, index)
            assert not value.flags.writeable
            assert isinstance(value, np.ndarray)

    check()


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (np.s_[::2], IndexError),
        (np.s_[::-1], IndexError),
        (np.s_[6], IndexError),
        (np.s_[-7], IndexError),
        (np.s_[0, 0, 0, 0], IndexError),
        (np.s_[..., 0, ...], IndexError),
        (np.s_[1.0], TypeError),
        ("a", TypeError),
        (True, TypeError),
        (np.s_[True, 0], TypeError),
        (np.newaxis, None),  # as an argument it means: no slice
        (np.s_[np.newaxis, 0], TypeError),
        ([0, 1], TypeError),
        (np.array([0, 1]), TypeError),
        ((np.array([0, 1]), 0), TypeError),
        (np.zeros(6, bool), TypeError),
    ],
    ids=repr,
)
def test_indices_that_are_not_boxes_are_refused(prefix: str, index: Any, error: Any) -> None:
    with ckptfast.open(prefix) as reader:
        if error is None:
            assert_same(reader.read("weights", index), WEIGHTS)
            return
        with pytest.raises(error):
            reader.read("weights", index)


def test_out_is_filled_and_returned(prefix: str) -> None:
    with ckptfast.open(prefix) as reader:
        for name in ["weights", "parts"]:
            out = np.zeros_like(WEIGHTS)
            assert reader.read(name, out=out) is out
            assert_same(out, WEIGHTS)
            part = np.zeros((4, 6), np.float32).T[::2]
            assert reader.read(name, np.s_[1:4, 0], part) is part
            assert_same(part, WEIGHTS[1:4, 0])
        labels = np.empty((4, 2), object)
        assert reader.read("labels", out=labels) is labels
        assert_same(labels, TENSORS["labels"])
        scalar = np.zeros(())
        assert reader.read("scalar", out=scalar) == 2.5


def test_an_out_that_does_not_fit_is_refused(prefix: str) -> None:
    read_only = np.zeros_like(WEIGHTS)
    read_only.flags.writeable = False
    with ckptfast.open(prefix) as reader:
        for out in [
            np.zeros((6, 5), np.float32),
            np.zeros((1, *WEIGHTS.shape), np.float32),
            WEIGHTS.astype(np.float64),
            WEIGHTS.astype(">f4"),
            read_only,
        ]:
            before = out.tobytes()
            with pytest.raises(ValueError, match=r"out has shape|read-only"):
                reader.read("weights", out=out)
            assert out.tobytes() == before


# ------------------------------------------------------------------------------------------- load


@pytest.fixture(scope="module")
def globs(folder: Path) -> str:
    names = ["a", "a/b", "a/b/c", "b", "b1", "b[1]", "b*", "Ä", "x?"]
    return ckptfast.save(folder / "globs", {name: np.int32(i) for i, name in enumerate(names)})


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (None, ["a", "a/b", "a/b/c", "b", "b*", "b1", "b[1]", "x?", "Ä"]),
        ("a", ["a"]),
        (["b", "a"], ["b", "a"]),
        ("a/*", ["a/b", "a/b/c"]),
        (["*/c", "a*"], ["a/b/c", "a", "a/b"]),
        ("b?", ["b*", "b1"]),
        ("b[1]", ["b[1]"]),
        ("b*", ["b*"]),
        ("b[0-9]", ["b1"]),
        ("b[[]1]", ["b[1]"]),
        ("x?", ["x?"]),
        (["a", "a", "?"], ["a", "b", "Ä"]),
        ([], []),
        (dict.fromkeys(["a", "b"]), ["a", "b"]),
    ],
    ids=repr,
)
def test_names_and_globs(globs: str, names: Any, expected: list[str]) -> None:
    """An exact name wins over what it means as a glob."""
    loaded = ckptfast.load(globs, names)
    assert list(loaded) == expected
    with ckptfast.open(globs) as reader:
        for name, value in loaded.items():
            assert value == reader[name]


@pytest.mark.parametrize("names", ["c", "A", "a/", "[b", ["a", "nope*"], "", ["b", ""]])
def test_a_pattern_without_a_match_is_an_error(globs: str, names: Any) -> None:
    with pytest.raises(NotFoundError):
        ckptfast.load(globs, names)


@pytest.mark.parametrize("threads", [1, 2, 7, 1000, None])
def test_any_number_of_threads_reads_the_same(prefix: str, threads: int | None) -> None:
    for copy in [None, True]:
        loaded = ckptfast.load(prefix, threads=threads, copy=copy)
        for name, value in {**TENSORS, "parts": WEIGHTS}.items():
            assert_same(loaded[name], value, name)


@pytest.mark.parametrize("options", [{"threads": 0}, {"threads": -1}, {"backend": "map"}])
def test_options_that_mean_nothing_are_refused(prefix: str, options: Any) -> None:
    for call in [ckptfast.open, ckptfast.load, ckptfast.verify]:
        with pytest.raises(ValueError, match=next(iter(options))):
            call(prefix, **options)
