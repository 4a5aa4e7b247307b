"""Partitioned variables: every part gets its box of the whole, however the whole was stored."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from restore_cases import data_file, flip_a_byte, graph_of, is_mapped, saved, session, v1, write

import ckptfast

BOTH = pytest.mark.parametrize("resource", [True, False], ids=["resource", "reference"])
SHAPE = (10, 6)
WHOLE = np.arange(60, dtype=np.float32).reshape(SHAPE)


def variable(cuts: list[int] | None, *, resource: bool = True, dtype: Any = np.float32) -> Any:
    """A variable "p", cut into `cuts[axis]` parts along each axis, or in one piece."""
    partitioner = None if cuts is None else lambda shape, dtype: cuts
    return v1().get_variable(
        "p", SHAPE, dtype, v1().zeros_initializer(), partitioner=partitioner, use_resource=resource
    )


def assembled(sess: Any, item: Any) -> Any:
    """The whole value of a variable, put together from its parts by hand."""
    parts = parts_of(item)
    whole = np.full(SHAPE, 77, parts[0].dtype.as_numpy_dtype)
    for part in parts:
        info = part._save_slice_info
        value = sess.run(getattr(part, "_graph_element", part))
        if info is None:
            return value
        box = tuple(
            slice(start, start + size)
            for start, size in zip(info.var_offset, info.var_shape, strict=True)
        )
        whole[box] = value
    return whole


def parts_of(item: Any) -> list[Any]:
    return list(item) if hasattr(item, "_get_variable_list") else [item]


CUTS = [None, [1, 1], [3, 1], [10, 1], [1, 4]]


@BOTH
@pytest.mark.parametrize("new", CUTS, ids=str)
@pytest.mark.parametrize("old", CUTS, ids=str)
def test_any_partition_restores_from_any_other(
    tf: ModuleType, tmp_path: Path, old: Any, new: Any, resource: bool
) -> None:
    made: list[Any] = []
    graph = graph_of(lambda: made.append(variable(old)))
    with graph.as_default(), session(graph) as sess:
        for part in parts_of(made[0]):
            info = part._save_slice_info
            start = [0, 0] if info is None else info.var_offset
            size = SHAPE if info is None else info.var_shape
            value = WHOLE[start[0] : start[0] + size[0], start[1] : start[1] + size[1]]
            part.load(value, sess)
        path = v1().train.Saver().save(sess, str(tmp_path / "model"))
    graph = graph_of(lambda: made.append(variable(new, resource=resource)))
    graph.finalize()
    with session(graph) as sess:
        report = ckptfast.restore(sess, path)
        assert np.array_equal(assembled(sess, made[1]), WHOLE)
    assert report.restored == ("p",)
    assert report.nbytes == WHOLE.nbytes
    assert report.unexpected == ()


@BOTH
@pytest.mark.parametrize("how", ["list", "mapping", "mapping of slices", "some slices"])
def test_every_way_to_name_a_partitioned_variable(
    tf: ModuleType, tmp_path: Path, resource: bool, how: str
) -> None:
    made: list[Any] = []
    graph = graph_of(lambda: made.append(variable([3, 1], resource=resource)))
    path = write(tmp_path / "model", {"p": WHOLE, "renamed": WHOLE + 1})
    (whole,) = made
    var_list: Any = {
        "list": [whole],
        "mapping": {"renamed": whole},
        "mapping of slices": {"renamed": list(whole)},
        "some slices": list(whole)[1:],
    }[how]
    expected = WHOLE + 1 if how.startswith("mapping") else WHOLE
    with session(graph) as sess:
        ckptfast.restore(sess, path, var_list)
        if how == "some slices":
            second = sess.run(list(whole)[1].value())
            assert np.array_equal(second, WHOLE[4:7])
            with pytest.raises(tf.errors.FailedPreconditionError):
                sess.run(next(iter(whole)).value())
        else:
            assert np.array_equal(assembled(sess, whole), expected)


@pytest.mark.parametrize("name", ["float16", "uint16", "bfloat16", "uint64", "int8"])
def test_types_that_tensorflow_cannot_cut(tf: ModuleType, tmp_path: Path, name: str) -> None:
    """Its own restore ends in "Dtype half not supported" when slices do not match the stored."""
    made: list[Any] = []
    dtype = tf.as_dtype(name)
    whole = WHOLE.astype(dtype.as_numpy_dtype)
    path = os.fspath(tmp_path / "model")
    tf.raw_ops.SaveV2(
        prefix=path,
        tensor_names=["p", "p"],
        shape_and_slices=["10 6 0,3:-", "10 6 3,7:-"],
        tensors=[tf.constant(whole[:3]), tf.constant(whole[3:])],
    )
    graph = graph_of(lambda: made.append(variable([4, 1], dtype=dtype)))
    with session(graph) as sess:
        ckptfast.restore(sess, path)
        found = assembled(sess, made[0])
    assert found.dtype == whole.dtype
    assert found.tobytes() == whole.tobytes()


def test_strings_are_cut_too(tf: ModuleType, tmp_path: Path) -> None:
    made: list[Any] = []
    words = np.array([b"%d" % number for number in range(10)], object)

    def build() -> None:
        made.append(
            v1().get_variable(
                "words",
                [10],
                tf.string,
                lambda shape, **_: tf.fill(shape, "?"),
                partitioner=lambda shape, dtype: [3],
                use_resource=True,
            )
        )

    graph = graph_of(build)
    path = write(tmp_path / "model", {"words": words})
    with session(graph) as sess:
        ckptfast.restore(sess, path)
        parts = [sess.run(part._graph_element) for part in made[0]]
    assert np.concatenate(parts).tolist() == words.tolist()


@BOTH
def test_a_graph_without_collections_still_has_parts(
    tf: ModuleType, tmp_path: Path, resource: bool
) -> None:
    """Nothing says so but their names, and that their sizes add up along one axis only."""
    made: list[Any] = []
    graph = graph_of(lambda: made.append(variable([1, 4], resource=resource)))
    path, _ = saved(graph, tmp_path / "zeros")
    path = write(tmp_path / "model", {"p": WHOLE})
    bare = graph_of(lambda: v1().import_graph_def(graph.as_graph_def(), name=""))
    with session(bare) as sess:
        report = ckptfast.restore(sess, path)
        suffix = "/Read/ReadVariableOp:0" if resource else ":0"
        parts = [
            sess.run(bare.get_tensor_by_name(f"p/part_{number}{suffix}")) for number in range(4)
        ]
    assert np.array_equal(np.concatenate(parts, axis=1), WHOLE)
    assert report.restored == ("p",)


def test_parts_that_do_not_add_up_are_missing(tf: ModuleType, tmp_path: Path) -> None:
    def build() -> None:
        for number, size in enumerate([(4, 6), (5, 6)]):
            v1().get_variable(f"p/part_{number}", size, use_resource=True)

    path = write(tmp_path / "model", {"p": WHOLE})
    with session(graph_of(build)) as sess, pytest.raises(tf.errors.NotFoundError) as caught:
        ckptfast.restore(sess, path)
    assert "p/part_0: not in the checkpoint" in str(caught.value)
    assert "p/part_1: not in the checkpoint" in str(caught.value)


def test_a_partition_of_another_shape_is_a_mismatch(tf: ModuleType, tmp_path: Path) -> None:
    made: list[Any] = []
    graph = graph_of(lambda: made.append(variable([2, 1])))
    path = write(tmp_path / "model", {"p": WHOLE[:, :5]})
    with session(graph) as sess:
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"\(10, 6\).*\(10, 5\)"):
            ckptfast.restore(sess, path)
        report = ckptfast.restore(sess, path, strict=False)
    assert {item.name for item in report.mismatched} == {"p"}
    assert report.restored == ()


@BOTH
def test_a_damaged_slice_leaves_every_part_as_it_was(
    tf: ModuleType, tmp_path: Path, resource: bool
) -> None:
    """Also the slices that come before the damaged one."""
    made: list[Any] = []
    graph = graph_of(lambda: made.append(variable([2, 1], resource=resource)))
    path = write(tmp_path / "model", {"p": WHOLE})
    flip_a_byte(path, "p")
    with graph.as_default(), session(graph) as sess:
        sess.run(v1().global_variables_initializer())
        with pytest.raises(tf.errors.DataLossError):
            ckptfast.restore(sess, path)
        assert not assembled(sess, made[0]).any()


def test_parts_do_not_share_their_memory_with_the_file_by_accident(
    tf: ModuleType, tmp_path: Path
) -> None:
    """Rows of a mapped tensor may start anywhere: what is not aligned has to be copied."""
    made: list[Any] = []

    def build() -> None:
        made.append(
            v1().get_variable(
                "p", [7, 3], partitioner=lambda shape, dtype: [7, 1], use_resource=True
            )
        )

    value = np.arange(21, dtype=np.float32).reshape(7, 3)
    path = write(tmp_path / "model", {"p": value})
    graph = graph_of(build)
    with graph.as_default():
        doubled = [part * 2.0 for part in made[0]]
    with session(graph) as sess:
        ckptfast.restore(sess, path)
        assert np.array_equal(np.concatenate(sess.run(doubled)), value * 2)
        if is_mapped(data_file(path)):  # the first row, which is aligned
            assert not any(sess.run(part.value()).ctypes.data % 4 for part in made[0])
