"""What a failed restore says, and that it has changed nothing."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from restore_cases import (
    assert_same,
    data_file,
    flip_a_byte,
    graph_of,
    session,
    v1,
    values_of,
    write,
)

import ckptfast
from ckptfast import _patterns

BOTH = pytest.mark.parametrize("resource", [True, False], ids=["resource", "reference"])

STORED = {
    "dense/kernel": np.ones([3, 4], np.float32),
    "dense/bias": np.ones(4, np.float32),
    "step": np.int64(9),
}


def model(resource: bool = True, **changes: tuple[list[int], type] | None) -> Any:
    """The model that is stored; `changes` gives variables another shape and type, or adds some."""
    kinds: dict[str, Any] = {
        name: (list(np.shape(value)), np.asarray(value).dtype.type)
        for name, value in STORED.items()
    }
    kinds |= {name.replace("__", "/"): kind for name, kind in changes.items()}

    def build() -> None:
        for name, (shape, dtype) in kinds.items():
            v1().get_variable(name, shape, dtype, v1().zeros_initializer(), use_resource=resource)

    return graph_of(build)


def fails(graph: Any, path: Any, kind: type[BaseException], **options: Any) -> Any:
    """The error of a restore into an initialized session, none of whose variables has changed."""
    with graph.as_default(), session(graph) as sess:
        sess.run(v1().global_variables_initializer())
        before = values_of(sess)
        with pytest.raises(kind) as caught:
            ckptfast.restore(sess, path, **options)
        assert_same(values_of(sess), before)
    return caught.value


@BOTH
def test_a_missing_variable_names_the_nearest_keys(
    tf: ModuleType, tmp_path: Path, resource: bool
) -> None:
    path = write(tmp_path / "model", STORED)
    graph = model(resource, dense__kernell=([3, 4], np.float32))
    error = fails(graph, path, tf.errors.NotFoundError)
    assert isinstance(error, ckptfast.NotFoundError)
    assert "dense/kernell: not in the checkpoint (nearest: dense/kernel" in str(error)
    assert path in str(error)
    assert "Nothing was assigned" in str(error)
    assert "strict=False" in str(error)
    assert (error.path, error.key) == (path, "dense/kernell")


@BOTH
def test_one_error_lists_everything(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    path = write(tmp_path / "model", STORED)
    graph = model(
        resource,
        dense__kernel=([3, 5], np.float32),
        step=([], np.int32),
        zebra=([2], np.float32),
        other=([2], np.float32),
    )
    text = str(fails(graph, path, tf.errors.NotFoundError)).splitlines()
    assert text[0].startswith("4 of the variables cannot be restored")
    assert sorted(line.strip().split(" (nearest")[0] for line in text[1:5]) == [
        "dense/kernel: (3, 5) here, (3, 4) in the checkpoint",
        "other: not in the checkpoint",
        "step: int32 here, int64 in the checkpoint",
        "zebra: not in the checkpoint",
    ]


@BOTH
@pytest.mark.parametrize(
    ("change", "text"),
    [
        (([3, 5], np.float32), "(3, 5) here, (3, 4) in the checkpoint"),
        (([12], np.float32), "(12,) here, (3, 4) in the checkpoint"),
        (([], np.float32), "() here, (3, 4) in the checkpoint"),
        (([3, 4], np.float64), "float64 here, float32 in the checkpoint"),
        (([3, 4], np.int32), "int32 here, float32 in the checkpoint"),
        (([3, 4], np.float16), "float16 here, float32 in the checkpoint"),
    ],
    ids=lambda value: str(value[:2]) if isinstance(value, tuple) else "",
)
def test_shape_and_type_are_exact(
    tf: ModuleType, tmp_path: Path, resource: bool, change: Any, text: str
) -> None:
    """TensorFlow lets a resource variable take any shape."""
    path = write(tmp_path / "model", STORED)
    graph = model(resource, dense__kernel=change)
    error = fails(graph, path, tf.errors.InvalidArgumentError)
    assert isinstance(error, ckptfast.CheckpointError)
    assert f"dense/kernel: {text}" in str(error)


def test_a_quantised_type_is_not_its_plain_integer(tf: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "model", {"w": ckptfast.Tensor(np.zeros(3, np.int8), dtype="qint8")})
    graph = graph_of(lambda: v1().get_variable("w", [3], tf.int8, v1().zeros_initializer()))
    error = fails(graph, path, tf.errors.InvalidArgumentError)
    assert "w: int8 here, qint8 in the checkpoint" in str(error)


@BOTH
def test_what_fits_is_restored_on_request(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    path = write(tmp_path / "model", STORED | {"extra": np.float32(1)})
    graph = model(resource, dense__kernel=([3, 5], np.float32), lost=([2], np.float32))
    with graph.as_default(), session(graph) as sess:
        sess.run(v1().global_variables_initializer())
        report = ckptfast.restore(sess, path, strict=False)
        values = values_of(sess)
    assert report.restored == ("dense/bias", "step")
    assert report.missing == ("lost",)
    assert [str(item) for item in report.mismatched] == [
        "dense/kernel: (3, 5) here, (3, 4) in the checkpoint"
    ]
    assert report.unexpected == ("extra",)
    assert report.nbytes == 4 * 4 + 8
    assert values["step"] == 9
    assert values["dense/bias"].tolist() == [1] * 4
    assert not values["dense/kernel"].any()


def test_nothing_may_fit(tf: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "model", {"extra": np.float32(1)})
    with session(model()) as sess:
        report = ckptfast.restore(sess, path, strict=False)
    assert (report.restored, report.nbytes) == ((), 0)
    assert report.missing == tuple(STORED)


@BOTH
@pytest.mark.parametrize("align", [1, 64])
@pytest.mark.parametrize("name", list(STORED))
def test_a_damaged_tensor(
    tf: ModuleType, tmp_path: Path, resource: bool, align: int, name: str
) -> None:
    path = write(tmp_path / "model", STORED, align=align)
    flip_a_byte(path, name)
    error = fails(model(resource), path, tf.errors.DataLossError)
    assert isinstance(error, ckptfast.DataLossError)
    assert error.key == name
    assert error.stored_crc32c != error.calculated_crc32c
    with session(model(resource)) as sess:  # nobody asked for a check
        ckptfast.restore(sess, path, verify=False)


@BOTH
def test_damage_is_found_before_any_portion_is_assigned(
    tf: ModuleType, tmp_path: Path, resource: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Large models go by portions; the damage here is in the last one."""
    from ckptfast.tf import _assign

    monkeypatch.setattr(_assign, "IN_FLIGHT", 64)
    monkeypatch.setattr(_assign, "_GROUP", 32)
    names = [f"v{number}" for number in range(20)]
    tensors = {name: np.full(9, 3, np.float32) for name in names}
    path = write(tmp_path / "model", tensors, align=1)

    def build() -> None:
        for name in names:
            v1().get_variable(name, [9], initializer=v1().zeros_initializer(),
                              use_resource=resource)  # fmt: skip

    with session(graph_of(build)) as sess:
        ckptfast.restore(sess, path)
        assert_same(values_of(sess), tensors)
    flip_a_byte(path, "v19")
    fails(graph_of(build), path, tf.errors.DataLossError)


@BOTH
def test_a_truncated_data_file(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    path = write(tmp_path / "model", STORED)
    os.truncate(data_file(path), 20)
    fails(model(resource), path, tf.errors.DataLossError)


def test_no_checkpoint(tf: ModuleType, tmp_path: Path) -> None:
    error = fails(model(), tmp_path / "nothing", FileNotFoundError)
    assert isinstance(error, tf.errors.NotFoundError)


def test_no_data_file(tf: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "model", STORED)
    data_file(path).unlink()
    fails(model(), path, FileNotFoundError)


def test_not_a_checkpoint(tf: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "model.index").write_text("<html>not found</html>" * 9)
    fails(model(), tmp_path / "model", tf.errors.DataLossError)


@pytest.mark.parametrize("case", ["missing", "mismatch", "damage", "nothing"])
def test_errors_pickle(tf: ModuleType, tmp_path: Path, case: str) -> None:
    path = write(tmp_path / "model", STORED)
    graph = model()
    if case == "missing":
        graph = model(other=([2], np.float32))
    elif case == "mismatch":
        graph = model(step=([2], np.int64))
    elif case == "damage":
        flip_a_byte(path, "step")
    else:
        path = str(tmp_path / "nothing")
    error = fails(graph, path, Exception)
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert isinstance(again, ckptfast.CheckpointError | FileNotFoundError)
    assert isinstance(again, tf.errors.OpError)
    assert getattr(again, "key", None) == getattr(error, "key", None)


def test_a_long_index_does_not_make_a_long_wait(
    tf: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searching for near names is slow; of many missing ones, only some get a hint."""
    stored = {f"model/layer_{number:05}/kernel": np.float32(1) for number in range(5000)}
    path = write(tmp_path / "model", stored)
    graph = graph_of(
        lambda: [v1().get_variable(f"net/layer_{n:05}/kernel", []) for n in range(300)]
    )
    searches = []

    def near(name: str, names: Any) -> str:
        searches.append(name)
        return ""

    monkeypatch.setattr(_patterns, "near", near)
    with session(graph) as sess, pytest.raises(tf.errors.NotFoundError) as caught:
        ckptfast.restore(sess, path)
    assert 0 < len(searches) <= 10
    assert str(caught.value).count("not in the checkpoint") == 300


def variable_of_another_graph() -> Any:
    made: list[Any] = []
    graph_of(lambda: made.append(v1().get_variable("w", [2], use_resource=True)))
    return made[0]


@pytest.mark.parametrize(
    ("var_list", "kind", "text"),
    [
        (lambda graph: [variable_of_another_graph()], ValueError, "not in the graph"),
        (lambda graph: [], ValueError, "no variables to restore"),
        (lambda graph: {}, ValueError, "no variables to restore"),
        (lambda graph: "dense/bias", TypeError, "a list of variables or a mapping"),
        (lambda graph: ["dense/bias"], TypeError, "not a variable"),
        (lambda graph: {3: graph.get_tensor_by_name("step:0")}, TypeError, "names .* are strings"),
        (lambda graph: [graph.get_tensor_by_name("step:0")] * 2, ValueError, "the same name"),
        (
            lambda graph: dict.fromkeys(["a", "b"], graph.get_tensor_by_name("step:0")),
            ValueError,
            "one variable cannot be restored from two names",
        ),
        (
            lambda graph: [graph.get_operations()[0].outputs[0]],
            TypeError,
            "not a variable",
        ),
        (
            lambda graph: {"x": [graph.get_tensor_by_name("step:0")]},
            ValueError,
            "slices of one variable",
        ),
    ],
)
def test_what_is_no_list_of_variables(
    tf: ModuleType,
    tmp_path: Path,
    var_list: Callable[[Any], Any],
    kind: type[Exception],
    text: str,
) -> None:
    path = write(tmp_path / "model", STORED)
    graph = model()
    with session(graph) as sess, pytest.raises(kind, match=text):
        ckptfast.restore(sess, path, var_list(graph))


def test_a_graph_without_variables(tf: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "model", STORED)
    with (
        session(graph_of(lambda: tf.constant(1))) as sess,
        pytest.raises(ValueError, match="no variables to restore"),
    ):
        ckptfast.restore(sess, path)


def test_what_is_no_session(tf: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "model", STORED)
    with pytest.raises(TypeError, match=r"sess is a tf.compat.v1.Session"):
        ckptfast.restore(path, path)
    graph = model()
    sess = session(graph)
    sess.close()
    with pytest.raises(RuntimeError, match="closed"):
        ckptfast.restore(sess, path)


def test_a_finalized_graph_that_cannot_be_restored(tf: ModuleType, tmp_path: Path) -> None:
    """It has no operation that assigns, and may not get one."""
    path = write(tmp_path / "model", {"w": np.float32([1, 2])})
    graph = graph_of(
        lambda: tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[2], shared_name="w", name="w")
    )
    graph.finalize()
    with session(graph) as sess, pytest.raises(RuntimeError, match=r"before graph.finalize\(\)"):
        ckptfast.restore(sess, path)
