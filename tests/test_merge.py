"""Merging does what TensorFlow's `MergeV2Checkpoints` does, file for file, and more safely."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast
from ckptfast import DataLossError, Tensor
from helpers import bundle, tf_io, values
from helpers.values import assert_same

Make = Callable[[Path], Sequence[str]]
"""Makes bundles below a folder; returns their prefixes in the order to merge."""

TABLE = np.arange(24, dtype=np.float32).reshape(6, 4)


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file below a folder with its content; directories have none."""
    found = {}
    for path in sorted(folder.rglob("*")):
        found[str(path.relative_to(folder))] = None if path.is_dir() else path.read_bytes()
    return found


@pytest.fixture
def both(tf: ModuleType, tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Merges what `make` made twice: once by TensorFlow, once by us."""

    def run(make: Make, name: str = "m", **options: bool) -> tuple[Path, Path]:
        theirs, ours = tmp_path / "theirs", tmp_path / "ours"
        delete_old = options.get("delete_old", True)
        allow_missing = options.get("allow_missing", False)
        tf.raw_ops.MergeV2Checkpoints(
            checkpoint_prefixes=list(make(theirs)),
            destination_prefix=str(theirs / name),
            delete_old_dirs=delete_old,
            allow_missing_files=allow_missing,
        )
        prefix = ckptfast.merge(make(ours), ours / name, **options)
        assert prefix == str(ours / name)
        return theirs, ours

    return run


@pytest.fixture
def make(tf: ModuleType) -> Callable[..., Make]:
    """Bundles of the given tensors, as a sharded Saver leaves them; made again for each call."""

    def bundles(*contents: dict[str, Any], specs: Sequence[Sequence[str]] = ()) -> Make:
        def write(folder: Path) -> list[str]:
            prefixes = []
            for shard, tensors in enumerate(contents):
                prefix = folder / "m_temp" / f"part-{shard:05}-of-{len(contents):05}"
                prefix.parent.mkdir(parents=True, exist_ok=True)
                prefixes.append(tf_io.save(tf, prefix, tensors, specs[shard] if specs else None))
            return prefixes

        return write

    return bundles


THREE = [
    {"b": np.float32([1, 2]), "z": np.int64(3)},
    {"a": values.strings((5,)), "c": np.zeros((0, 2))},
    {"aa": np.uint8(range(9))},
]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("delete_old", [True, False])
def test_the_same_files(
    both: Any, make: Any, tf: ModuleType, order: tuple[int, ...], delete_old: bool
) -> None:
    def shuffled(folder: Path) -> list[str]:
        prefixes = make(*THREE)(folder)
        return [prefixes[index] for index in order]

    theirs, ours = both(shuffled, delete_old=delete_old)
    assert tree(ours) == tree(theirs)
    loaded = ckptfast.load(ours / "m")
    for name, value in {**THREE[0], **THREE[1], **THREE[2]}.items():
        assert_same(loaded[name], value, name)


def test_one_bundle(both: Any, make: Any) -> None:
    theirs, ours = both(make({"a": np.ones(3)}))
    assert tree(ours) == tree(theirs)


def test_slices_in_several_bundles(both: Any, make: Any, tf: ModuleType) -> None:
    contents = [{"w": TABLE[:2], "x": np.ones(1)}, {"w": TABLE[2:]}]
    theirs, ours = both(make(*contents, specs=[["6 4 0,2:-", ""], ["6 4 2,4:-"]]))
    assert tree(ours) == tree(theirs)
    assert_same(ckptfast.load(ours / "m")["w"], TABLE)
    assert_same(tf_io.restore(tf, ours / "m", ["w"], ["float32"])[0], TABLE)


def test_bundles_of_several_data_files(both: Any, tf: ModuleType) -> None:
    def sharded(folder: Path) -> list[str]:
        folder.mkdir()
        first = {f"{index}": np.float32([index]) for index in range(5)}
        second = {f"x{index}": np.float32([index]) for index in range(3)}
        return [
            tf_io.save_sharded(tf, folder / "one", first, 3),
            tf_io.save_sharded(tf, folder / "two", second, 2),
        ]

    theirs, ours = both(sharded)
    assert tree(ours) == tree(theirs)
    with ckptfast.open(ours / "m") as reader:
        assert reader.num_shards == 5
        assert [int(reader[f"{index}"][0]) for index in range(5)] == list(range(5))


def test_a_missing_bundle_may_be_allowed(both: Any, make: Any) -> None:
    def with_a_gap(folder: Path) -> list[str]:
        return [str(folder / "nothing"), *make(*THREE[:2])(folder), str(folder / "m_temp" / "no")]

    theirs, ours = both(with_a_gap, allow_missing=True)
    assert tree(ours) == tree(theirs)


def test_a_folder_with_something_else_in_it_stays(both: Any, make: Any) -> None:
    def with_a_guest(folder: Path) -> Sequence[str]:
        prefixes = make(*THREE)(folder)
        (folder / "m_temp" / "guest").touch()
        return prefixes

    theirs, ours = both(with_a_guest)
    assert tree(ours) == tree(theirs)
    assert (ours / "m_temp" / "guest").exists()


def test_our_own_bundles(tf: ModuleType, tmp_path: Path) -> None:
    """Aligned, partitioned, one of them written by several threads."""
    parts = [Tensor(TABLE[a:b], slice=f"6 4 {a},{b - a}:-") for a, b in [(0, 1), (1, 4), (4, 6)]]
    one = ckptfast.save(tmp_path / "t" / "one", {"w": parts[:2], "a": np.ones(3)}, shards=2)
    two = ckptfast.save(tmp_path / "t" / "two", {"w": parts[2], "b": values.strings((3,))})
    prefix = ckptfast.merge([one, two], tmp_path / "m")
    assert sorted(os.listdir(tmp_path)) == [
        *(f"m.data-0000{i}-of-00003" for i in range(3)),
        "m.index",
    ]
    assert_same(ckptfast.load(prefix)["w"], TABLE)
    assert_same(tf_io.restore(tf, prefix, ["w"], ["float32"])[0], TABLE)
    assert ckptfast.verify(prefix)


def test_over_a_bundle_that_is_in_use(make: Any, tf: ModuleType, tmp_path: Path) -> None:
    """The new bundle takes no name of the old one, whose arrays stay what they are."""
    many = {f"{index}": np.full(20, index, np.float32) for index in range(4)}
    for before in [1, 2, 3, 4]:
        prefix = ckptfast.save(tmp_path / "m", many, shards=before)
        held = ckptfast.load(prefix)
        ckptfast.merge(make(*THREE)(tmp_path), prefix)
        for name, value in many.items():
            assert_same(held[name], value, name)
        assert sorted(ckptfast.load(prefix)) == ["a", "aa", "b", "c", "z"]
        assert tf_io.restore(tf, prefix, ["z"], ["int64"])[0] == 3
        with ckptfast.open(prefix) as reader:
            assert reader.num_shards == (4 if before == 3 else 3)
            files = [*(tmp_path.glob("m.data-*"))]
            assert len(files) == reader.num_shards


def test_into_one_of_the_bundles_that_go_in(make: Any, tmp_path: Path) -> None:
    """TensorFlow deletes the index that it has just written."""
    prefixes = make(*THREE)(tmp_path)
    ckptfast.merge(prefixes, prefixes[1])
    assert sorted(ckptfast.load(prefixes[1])) == ["a", "aa", "b", "c", "z"]
    assert len(list(Path(prefixes[1]).parent.iterdir())) == 4


# ----------------------------------------------------------------------------------------- errors


def assert_refused(
    tf: ModuleType, folder: Path, prefixes: Sequence[str], error: Any, message: str
) -> None:
    """Both refuse, in the same words where TensorFlow's are known; nothing of ours changes."""
    before = tree(folder)
    with pytest.raises(error, match=message):
        ckptfast.merge(prefixes, folder / "m")
    assert tree(folder) == before
    with pytest.raises(tf.errors.OpError):
        tf.raw_ops.MergeV2Checkpoints(
            checkpoint_prefixes=list(prefixes), destination_prefix=str(folder / "m")
        )


def test_the_same_tensor_twice(make: Any, tf: ModuleType, tmp_path: Path) -> None:
    prefixes = make({"a": np.ones(1), "b": np.ones(1)}, {"a": np.ones(1)})(tmp_path)
    message = "Duplicate tensor keyed by a encountered, when merging prefix: "
    assert_refused(tf, tmp_path, prefixes, ValueError, message)


def test_a_missing_bundle(make: Any, tf: ModuleType, tmp_path: Path) -> None:
    prefixes = [*make({"a": np.ones(1)})(tmp_path), str(tmp_path / "nothing")]
    message = "allow_missing_files was set to false and .*nothing did not exist"
    assert_refused(tf, tmp_path, prefixes, ValueError, message)


def test_nothing_but_missing_bundles(tmp_path: Path) -> None:
    for prefixes in [[], [str(tmp_path / "nothing")]]:
        with pytest.raises(ValueError, match="At least one prefix checkpoint file must exist"):
            ckptfast.merge(prefixes, tmp_path / "m", allow_missing=True)
    assert not tree(tmp_path)


def test_different_byte_orders(make: Any, tf: ModuleType, tmp_path: Path) -> None:
    (little,) = make({"a": np.ones(1)})(tmp_path)
    big = bundle.write_bundle(
        tmp_path / "big",
        {b"b": bundle.plain_entry(4, (1,), b"x", 0)},
        [b"x"],
        head=bundle.header(1, endianness=1),
    )
    assert_refused(tf, tmp_path, [little, big], ValueError, "conflicting endianness")


def test_slices_that_do_not_fit_together(make: Any, tmp_path: Path) -> None:
    """TensorFlow merges the first, and aborts the process at the others."""
    for other, spec in [
        (TABLE[1:3], "6 4 1,2:-"),
        (TABLE[2:, :3], "6 3 2,4:-"),
        (TABLE[2:].astype(np.float64), "6 4 2,4:-"),
    ]:
        prefixes = make({"w": TABLE[:2]}, {"w": other}, specs=[["6 4 0,2:-"], [spec]])(tmp_path)
        before = tree(tmp_path)
        with pytest.raises(ValueError, match=r"Overlapping slices|disagree"):
            ckptfast.merge(prefixes, tmp_path / "m")
        assert tree(tmp_path) == before


def test_damaged_and_incomplete_bundles(make: Any, tmp_path: Path) -> None:
    def refused(error: type[Exception]) -> None:
        before = tree(tmp_path)
        with pytest.raises(error):
            ckptfast.merge(prefixes, tmp_path / "m")
        assert tree(tmp_path) == before

    prefixes = make(*THREE)(tmp_path)
    data = bundle.data_path(prefixes[2])
    content = data.read_bytes()
    data.write_bytes(content[:-1])
    refused(DataLossError)
    data.unlink()
    refused(FileNotFoundError)
    data.write_bytes(content)
    index = Path(f"{prefixes[1]}.index")
    damaged = bytearray(index.read_bytes())
    damaged[9] ^= 1
    index.write_bytes(damaged)
    refused(DataLossError)


@pytest.mark.parametrize("one", ["ab", b"ab", Path("ab")])
def test_a_path_is_taken_for_a_list_and_its_letters_are_deleted(
    one: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "ab"):
        ckptfast.save(name, {name: np.ones(1)})
    before = sorted(os.listdir())
    with pytest.raises(TypeError, match="prefixes is a list of checkpoints, not one"):
        ckptfast.merge(one, "merged")
    assert sorted(os.listdir()) == before
