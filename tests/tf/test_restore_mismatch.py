"""Restoring into variables of another size: `on_mismatch`."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from restore_cases import assert_same, flip_a_byte, graph_of, session, v1, values_of, write
from restore_models import BOTH, INITIAL, Model

import ckptfast

ROWS = np.arange(4000 * 3, dtype=np.float32).reshape(4000, 3)


def test_a_vocabulary_shrinks(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / "m", {"emb": ROWS})
    model = Model(kind, {"emb": [500, 3]})
    report = model.restore(path, on_mismatch="slice")
    assert report.restored == ()
    assert [str(item) for item in report.sliced] == [
        "emb: (500, 3) here, (4000, 3) in the checkpoint"
    ]
    assert report.nbytes == ROWS[:500].nbytes
    assert_same(model.values(), {"emb": ROWS[:500]})


@pytest.mark.parametrize("has_value", [True, False])
def test_a_vocabulary_grows(kind: str, tmp_path: Path, has_value: bool) -> None:
    path = write(tmp_path / "m", {"emb": ROWS[:500]})
    model = Model(kind, {"emb": [4000, 3]})
    expected = np.full([4000, 3], INITIAL, np.float32)
    expected[:500] = ROWS[:500]
    if has_value:
        model.initialize()
    for _ in range(2):
        report = model.restore(path, on_mismatch="slice")
        assert_same(model.values(), {"emb": expected})
    assert report.nbytes == ROWS[:500].nbytes
    assert report.initialized == ()  # the second time it had a value
    # The checkpoint was not changed by writing into a variable over its pages.
    assert_same(ckptfast.load(path), {"emb": ROWS[:500]})


def test_rows_that_are_not_stored_keep_what_was_trained(kind: str, tmp_path: Path) -> None:
    big = write(tmp_path / "big", {"emb": ROWS})
    small = write(tmp_path / "small", {"emb": -ROWS[:500]})
    model = Model(kind, {"emb": [4000, 3]})
    model.restore(big)
    model.restore(small, on_mismatch="slice")
    assert_same(model.values(), {"emb": np.concatenate([-ROWS[:500], ROWS[500:]])})
    assert_same(ckptfast.load(big), {"emb": ROWS})


def test_the_columns_of_an_output_layer_grow(kind: str, tmp_path: Path) -> None:
    stored = {"w": np.ones([3, 4], np.float32), "b": np.ones([4], np.float32)}
    path = write(tmp_path / "m", stored)
    model = Model(kind, {"w": [3, 6], "b": [6]})
    model.restore(path, on_mismatch="slice")
    row = [1, 1, 1, 1, INITIAL, INITIAL]
    assert model.values()["b"].tolist() == row
    assert model.values()["w"].tolist() == [row] * 3


@BOTH
def test_growing_adds_operations_once_and_exports_none(
    tf: ModuleType, tmp_path: Path, resource: bool
) -> None:
    path = write(tmp_path / "m", {"emb": ROWS[:500]})
    model = Model("resource" if resource else "reference", {"emb": [4000, 3]})
    graph = model.session.graph
    model.initialize()
    before = str(graph.as_graph_def())
    nodes = []
    for _ in range(3):
        model.restore(path, on_mismatch="slice")
        nodes.append(len(graph.get_operations()))
    assert nodes[0] == nodes[-1]
    assert str(graph.as_graph_def()) == before


def test_slicing_is_for_one_dimension_of_the_same_type(tf: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "m", {"a": np.ones([3, 4], np.float32), "b": np.ones([3], np.float64)})
    for shapes in ({"a": [2, 5]}, {"a": [3]}, {"b": [2]}):
        model = Model("resource", shapes)
        # Here strict=False would not help.
        with pytest.raises(tf.errors.InvalidArgumentError, match='on_mismatch="skip"'):
            model.restore(path, on_mismatch="slice", strict=False)


@pytest.mark.parametrize("rows", [4, 7, 9])
def test_partitions_of_another_size_take_the_rows_that_are_theirs(
    tf: ModuleType, tmp_path: Path, rows: int
) -> None:
    stored = np.arange(rows * 2, dtype=np.float32).reshape(rows, 2)
    path = write(tmp_path / "m", {"emb": stored})
    graph = graph_of(
        lambda: v1().get_variable(
            "emb", [8, 2], tf.float32, v1().constant_initializer(INITIAL),
            partitioner=v1().fixed_size_partitioner(4), use_resource=True,
        )
    )  # fmt: skip
    sess = session(graph)
    report = ckptfast.restore(sess, path, on_mismatch="slice")
    assert [item.name for item in report.sliced] == ["emb"]
    expected = np.full([8, 2], INITIAL, np.float32)
    expected[:rows] = stored[:8]
    parts = values_of(sess)
    assert np.array_equal(np.concatenate([parts[name] for name in sorted(parts)]), expected)


def test_a_damaged_row_is_found_before_anything_changes(kind: str, tmp_path: Path) -> None:
    tensors = {"emb": ROWS[:500], "w": np.ones([3], np.float32)}
    path = write(tmp_path / "m", tensors)
    flip_a_byte(path, "emb")
    model = Model(kind, {"emb": [4000, 3], "w": [3], "new": [1]})
    model.initialize()
    before = model.values()
    with pytest.raises(ckptfast.DataLossError, match="emb"):
        model.restore(path, on_mismatch="slice", on_missing="initialize")
    assert_same(model.values(), before)


@BOTH
def test_growing_through_a_remote_session(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    path = write(tmp_path / "m", {"emb": ROWS[:500]})
    model = Model("resource" if resource else "reference", {"emb": [4000, 3]})
    server = v1().train.Server.create_local_server()
    with v1().Session(server.target, graph=model.session.graph) as sess:
        report = ckptfast.restore(sess, path, on_mismatch="slice")
        assert report.initialized == ("emb",)
        (found,) = values_of(sess).values()
    assert np.array_equal(found[:500], ROWS[:500])
    assert found[500:].max() == INITIAL
