"""Restoring what a checkpoint has not all of: `on_missing`, and the words of options."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from restore_cases import graph_of, session, v1, values_of, write
from restore_models import BOTH, INITIAL, SHAPES, STORED, Model

import ckptfast


@pytest.mark.parametrize("strict", [True, False])
def test_an_on_option_beats_strict(tf: ModuleType, path: str, strict: bool) -> None:
    model = Model("resource", {"new": [2], "vgg/conv/b": [4], "step": []})
    with pytest.raises(tf.errors.NotFoundError, match="new"):
        model.restore(path, strict=strict, on_missing="error", on_mismatch="skip")
    with pytest.raises(tf.errors.InvalidArgumentError, match="vgg/conv/b"):
        model.restore(path, strict=strict, on_missing="skip", on_mismatch="error")
    report = model.restore(path, strict=strict, on_missing="skip", on_mismatch="skip")
    assert report.restored == ("step",)
    assert report.missing == ("new",)
    assert [item.name for item in report.mismatched] == ["vgg/conv/b"]
    assert report.skipped == {
        "new": "not in the checkpoint",
        "vgg/conv/b": "another type or shape",
    }
    assert set(report.uninitialized) == {"new", "vgg/conv/b"}


@pytest.mark.parametrize("name", ["on_missing", "on_mismatch"])
def test_a_mistyped_option_is_refused(tf: ModuleType, path: str, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Model("resource", SHAPES).restore(path, **{name: "skp"})


def test_strict_is_a_flag_and_nothing_else(path: str) -> None:
    """`strict="no"` would be true."""
    with pytest.raises(TypeError, match="strict is True or False, not 'no'"):
        Model("resource", SHAPES).restore(path, strict="no")


def test_missing_variables_get_their_initial_values(kind: str, path: str) -> None:
    model = Model(kind, {"new": [2], "step": []})
    report = model.restore(path, on_missing="initialize")
    assert report.missing == ("new",)
    assert report.initialized == (() if kind == "eager" else ("new",))
    assert model.values()["new"].tolist() == [INITIAL, INITIAL]
    assert model.values()["step"] == STORED["step"]


@BOTH
def test_initial_values_read_what_was_restored(tf: ModuleType, path: str, resource: bool) -> None:
    def build() -> None:
        variable = v1().Variable
        base = variable(np.zeros([3], np.float32), name="vgg/conv/b", use_resource=resource)
        # `last` is made of `middle`, which is made of what the checkpoint has.
        middle = variable(base * 10.0, name="middle", use_resource=resource)
        variable(middle + 1.0, name="last", use_resource=resource)

    sess = session(graph_of(build))
    report = ckptfast.restore(sess, path, on_missing="initialize")
    assert report.initialized == ("middle", "last")
    values = values_of(sess)
    assert values["middle"].tolist() == [20, 20, 20]
    assert values["last"].tolist() == [21, 21, 21]


def test_a_missing_table_cannot_be_initialized(tf: ModuleType, path: str) -> None:
    def build() -> None:
        from tensorflow.python.ops import lookup_ops

        v1().get_variable("step", [], tf.int64, use_resource=True)
        lookup_ops.MutableHashTable(tf.string, tf.int64, -1, name="table")

    with pytest.raises(ValueError, match="no variable"):
        ckptfast.restore(session(graph_of(build)), path, on_missing="initialize")


def test_a_circle_of_initial_values_is_found_after_the_values_changed(
    tf: ModuleType, tmp_path: Path
) -> None:
    path = write(tmp_path / "m", {"x": np.float32([5])})
    with tf.Graph().as_default():
        zero = tf.compat.v1.zeros_initializer()
        x, first = (
            tf.compat.v1.get_variable(name, [1], initializer=zero, use_resource=True)
            for name in ("x", "first")
        )
        second = tf.compat.v1.Variable(lambda: first + 1.0, name="second", use_resource=True)
        first._initializer_op = tf.raw_ops.AssignVariableOp(
            resource=first.handle, value=second.read_value()
        )
        with tf.compat.v1.Session() as sess:
            sess.run(x.initializer)
            with pytest.raises(ValueError, match="initial values that need each other"):
                ckptfast.restore(sess, path, on_missing="initialize")
            assert sess.run(x).tolist() == [0]
