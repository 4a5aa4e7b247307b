"""Restoring moving averages into the variables themselves."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from restore_cases import assert_same, graph_of, session, values_of, write
from restore_models import Model

import ckptfast

AVERAGED = {
    "a/w": np.float32([1]),
    "a/w/ExponentialMovingAverage": np.float32([10]),
    "b/w": np.float32([2]),
}


def test_averages_go_into_the_variables_themselves(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / "m", AVERAGED)
    model = Model(kind, {"a/w": [1], "b/w": [1]})
    report = model.restore(path, moving_averages=True)
    assert report.averaged == ("a/w",)
    assert set(report.restored) == {"a/w", "b/w"}
    assert report.unexpected == ()
    assert report.renamed == {}
    assert {name: value.tolist() for name, value in model.values().items()} == {
        "a/w": [10],
        "b/w": [2],
    }
    assert "averaged" in str(report)
    assert model.restore(path).averaged == ()
    assert model.values()["a/w"].tolist() == [1]


@pytest.mark.parametrize("rename", [{"a/": "new/"}, {"a/w": "new/w"}], ids=["scope", "name"])
def test_averages_follow_a_renamed_variable(
    tf: ModuleType, tmp_path: Path, rename: dict[str, str]
) -> None:
    path = write(tmp_path / "m", AVERAGED)
    model = Model("resource", {"new/w": [1]})
    report = model.restore(path, rename=rename, moving_averages=True)
    assert model.values()["new/w"].tolist() == [10]
    assert report.averaged == ("new/w",)
    assert set(report.renamed) == {"new/w"}


def test_averages_alone_are_enough(tf: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "m", {"w/ExponentialMovingAverage": np.float32([10])})
    model = Model("resource", {"w": [1]})
    assert model.restore(path, moving_averages=True).averaged == ("w",)
    assert model.values()["w"].tolist() == [10]


def test_a_dropped_shadow_is_restored_all_the_same(tf: ModuleType, tmp_path: Path) -> None:
    shadow = "x/ExponentialMovingAverage"
    path = write(tmp_path / "m", {"x": np.float32([4]), shadow: np.float32([7])})
    graph = graph_of(lambda: tf.compat.v1.get_variable("x", [1]))
    with session(graph) as sess:
        report = ckptfast.restore(sess, path, rename={shadow: None}, moving_averages=True)
        assert_same(values_of(sess), {"x": np.float32([4])})
    assert report.averaged == () and report.restored == ("x",)


def test_a_dropped_tensor_is_nearest_to_itself(tf: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "m", {"x": np.float32([4])})
    graph = graph_of(lambda: tf.compat.v1.get_variable("x", [1]))
    with session(graph) as sess:
        with pytest.raises(ckptfast.NotFoundError, match="x: rename drops its tensor") as caught:
            ckptfast.restore(sess, path, rename=lambda name: None)
        assert "nearest" not in str(caught.value)
        report = ckptfast.restore(sess, path, rename={"x": None}, on_missing="skip")
    assert "rename drops" in report.skipped["x"]
