"""Restoring with a mapping as `var_list`: which names the options mean."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from restore_cases import graph_of, session, v1, values_of, write

import ckptfast


def mapped() -> tuple[Any, dict[str, Any]]:
    """A session of variables called "a" and "b", and these by other names: "b" is that of "a"."""
    graph = graph_of(lambda: [v1().get_variable(called, [1]) for called in ("a", "b")])
    a, b = graph.get_collection("variables")
    return session(graph), {"b": a, "key": b}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"include": "a"}, ("b",)),
        ({"include": "b"}, ("key",)),  # as the variable is called, not as its key is
        ({"include": "key"}, ("key",)),
        ({"exclude": "b"}, ("b",)),
        ({"exclude": ["a*"]}, ("key",)),
        ({"include": re.compile("k"), "exclude": "a"}, ("key",)),
    ],
)
def test_the_key_of_a_mapped_variable_hides_its_own_name(
    tf: ModuleType, tmp_path: Path, options: dict[str, Any], expected: tuple[str, ...]
) -> None:
    path = write(tmp_path / "m", {"b": np.float32([4]), "key": np.float32([5])})
    sess, var_list = mapped()
    assert ckptfast.restore(sess, path, var_list, **options).restored == expected
    with pytest.raises(ValueError, match="include: no variable matches nothing"):
        ckptfast.restore(sess, path, var_list, include="nothing")


@pytest.mark.parametrize(
    ("rename", "a", "b"),
    [
        ({}, 2, 3),
        ({"x": "a"}, 1, 3),
        ({"x": "b"}, 2, 1),  # "b" is what a variable is called, though it is the key of another
        ({"x": "key"}, 2, 1),
        ({"b": "a"}, 2, 3),
        ({"b": "b2", "x": "a"}, 1, 3),
        ({"key": "a", "b": "b"}, 3, 2),
    ],
)
def test_new_names_are_taken_for_the_keys_of_a_mapping(
    tf: ModuleType, tmp_path: Path, rename: Any, a: float, b: float
) -> None:
    stored = {"x": np.float32([1]), "b": np.float32([2]), "key": np.float32([3])}
    path = write(tmp_path / "m", stored)
    sess, var_list = mapped()
    ckptfast.restore(sess, path, var_list, rename=rename)
    assert values_of(sess, list(var_list.values())) == {"a": [a], "b": [b]}


def test_a_shadow_is_not_found_beside_a_mapped_variable(tf: ModuleType, tmp_path: Path) -> None:
    stored = {"old/a": 1, "old/a/ExponentialMovingAverage": 2, "key": 3}
    path = write(tmp_path / "m", {name: np.float32([value]) for name, value in stored.items()})
    sess, var_list = mapped()
    report = ckptfast.restore(sess, path, var_list, rename={"old/": "/"}, moving_averages=True)
    assert report.averaged == ("b",)
    assert report.renamed == {"b": "old/a/ExponentialMovingAverage"}
    assert values_of(sess, list(var_list.values())) == {"a": [2], "b": [3]}


def test_new_names_for_eager_variables_without_names_are_keys(
    tf: ModuleType, tmp_path: Path
) -> None:
    path = write(tmp_path / "m", {"old/x": np.float32([1]), "old/y": np.float32([2])})
    variables = {name: tf.Variable([0.0]) for name in ("new/x", "new/y")}
    ckptfast.restore(None, path, variables, rename={"old/": "new/"}, include="new/y")
    assert [item.numpy().tolist() for item in variables.values()] == [[0], [2]]


def test_wrong_variables_and_sessions_are_not_said(tf: ModuleType, tmp_path: Path) -> None:
    import keras

    path = write(tmp_path / "m", {"x": np.float32([4])})
    variable = keras.Variable(np.float32([0]), name="x")
    for var_list in ([variable], {"x": variable}):
        with pytest.raises(TypeError, match=r"'x' is a variable of Keras 3: .*load_weights"):
            ckptfast.restore(None, path, var_list)
    ckptfast.restore(None, path, {"x": variable.value})
    assert np.asarray(variable).tolist() == [4]
    with pytest.raises(TypeError, match=r"sess is None, and a tf\.compat\.v1\.Session is needed"):
        ckptfast.uninitialized(None)
    graph = graph_of(lambda: tf.compat.v1.get_variable("x", [1]))
    with session(graph) as sess, pytest.raises(TypeError, match="var_list is a list of variables"):
        ckptfast.uninitialized(sess, graph.get_collection("variables")[0])
