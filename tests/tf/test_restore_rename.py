"""Restoring under other names: `rename`."""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from restore_cases import assert_same, graph_of, session, v1, values_of, write
from restore_models import INITIAL, STORED, Model

import ckptfast


def test_scopes_are_renamed(kind: str, path: str) -> None:
    model = Model(kind, {"backbone/conv/w": [2, 3], "backbone/conv/b": [3], "step": []})
    report = model.restore(path, rename={"vgg/": "backbone/"})
    assert report.renamed == {
        "backbone/conv/w": "vgg/conv/w",
        "backbone/conv/b": "vgg/conv/b",
    }
    expected = {
        "backbone/conv/w": STORED["vgg/conv/w"],
        "backbone/conv/b": STORED["vgg/conv/b"],
        "step": STORED["step"],
    }
    assert_same(model.values(), expected)
    assert set(report.unexpected) == {"vgg/fc8/w", "vgg/conv/w/Adam"}
    assert "vgg/conv/w as backbone/conv/w" in str(report)


@pytest.mark.parametrize(
    "rename",
    [
        {"vgg/conv/w": "kernel"},
        {"*/conv/w": "kernel"},
        {re.compile(r"^.*/conv/w$"): "kernel"},
        lambda name: {"vgg/conv/w": "kernel"}.get(name),
        {"*": "other/*", "vgg/conv/w": "kernel"},
        {"vgg/": None, "vgg/conv/w": "kernel"},
    ],
    ids=["name", "glob", "expression", "function", "name before glob", "name before scope"],
)
def test_each_kind_of_rename(tf: ModuleType, path: str, rename: Any) -> None:
    model = Model("resource", {"kernel": [2, 3]})
    report = model.restore(path, rename=rename)
    assert report.renamed == {"kernel": "vgg/conv/w"}
    assert_same(model.values(), {"kernel": STORED["vgg/conv/w"]})


def test_two_names_can_be_swapped(tf: ModuleType, tmp_path: Path) -> None:
    path = write(tmp_path / "m", {"a": np.float32([1]), "b": np.float32([2])})
    model = Model("resource", {"a": [1], "b": [1]})
    model.restore(path, rename={"a": "b", "b": "a"})
    assert {name: value.tolist() for name, value in model.values().items()} == {"a": [2], "b": [1]}


def test_two_tensors_cannot_become_one_variable(kind: str, path: str) -> None:
    model = Model(kind, {"w": [2, 3]})
    model.initialize()
    with pytest.raises(ValueError, match=r"'vgg/conv/w' and 'vgg/fc8/w' .* would all become 'w'"):
        model.restore(path, rename={"vgg/*/w": "w"})
    assert model.values()["w"].min() == model.values()["w"].max() == INITIAL
    report = model.restore(path, rename={"vgg/*/w": "w", "vgg/conv/w": "w"})
    assert report.renamed == {"w": "vgg/conv/w"}


def test_a_given_name_beats_the_tensor_that_has_it(tf: ModuleType, path: str) -> None:
    model = Model("resource", {"vgg/conv/w": [2, 3]})
    report = model.restore(path, rename={"vgg/conv/w/Adam": "vgg/conv/w"})
    assert_same(model.values(), {"vgg/conv/w": STORED["vgg/conv/w/Adam"]})
    assert "vgg/conv/w" in report.unexpected


def test_a_rename_of_what_is_not_there_is_an_error(tf: ModuleType, path: str) -> None:
    model = Model("resource", {"vgg/conv/w": [2, 3]})
    wrong = {"vgg/conv/ww": "kernel", "vg/": "x/", "kernel": "vgg/conv/w"}
    with pytest.raises(tf.errors.NotFoundError, match=r"rename: .*nothing of the names") as caught:
        model.restore(path, rename=wrong)
    assert isinstance(caught.value, ckptfast.NotFoundError)
    lines = str(caught.value).splitlines()
    assert lines[1].startswith("  vgg/conv/ww (nearest: vgg/conv/w")
    assert lines[2].startswith("  vg/ (nearest: vgg/")
    assert lines[3] == "  kernel"
    assert (caught.value.path, caught.value.key) == (path, "vgg/conv/ww")
    model.restore(path, rename={"vgg/conv/ww": "kernel"}, on_missing="skip")


def test_a_dropped_tensor_is_missing(tf: ModuleType, path: str) -> None:
    model = Model("resource", {"step": []})
    with pytest.raises(tf.errors.NotFoundError):
        model.restore(path, rename={"step": None})


def test_names_of_an_object_based_checkpoint_are_renamed(tf: ModuleType, tmp_path: Path) -> None:
    old = tf.Variable([1.0, 2.0], name="old/w")
    path = tf.train.Checkpoint(model=old).write(os.fspath(tmp_path / "objects"))
    model = Model("resource", {"new/w": [2]})
    report = model.restore(path, rename={"old/": "new/"})
    assert report.renamed == {"new/w": "old/w"}
    assert model.values()["new/w"].tolist() == [1, 2]


def test_partitioned_variables_are_renamed_by_their_whole_name(
    tf: ModuleType, tmp_path: Path
) -> None:
    whole = np.arange(12, dtype=np.float32).reshape(6, 2)
    path = write(tmp_path / "m", {"old/emb": whole})
    graph = graph_of(
        lambda: v1().get_variable(
            "new/emb", [6, 2], partitioner=v1().fixed_size_partitioner(3), use_resource=True
        )
    )
    sess = session(graph)
    report = ckptfast.restore(sess, path, rename={"old/": "new/"})
    assert report.renamed == {"new/emb": "old/emb"}
    parts = values_of(sess)
    assert np.array_equal(np.concatenate([parts[name] for name in sorted(parts)]), whole)
