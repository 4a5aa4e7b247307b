"""Restoring parts of a checkpoint, under other names, into variables of another size."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from restore_cases import assert_same, flip_a_byte, graph_of, session, v1, values_of, write

import ckptfast

BOTH = pytest.mark.parametrize("resource", [True, False], ids=["resource", "reference"])
INITIAL = -1

STORED = {
    "vgg/conv/w": np.full([2, 3], 1, np.float32),
    "vgg/conv/b": np.full([3], 2, np.float32),
    "vgg/fc8/w": np.full([3, 4], 3, np.float32),
    "vgg/conv/w/Adam": np.full([2, 3], 4, np.float32),
    "step": np.int64(5),
}


class Model:
    """Variables in a session, or eager ones: the same restores work for both."""

    def __init__(self, kind: str, shapes: Mapping[str, list[int]]) -> None:
        import tensorflow as tf

        self.session: Any = None
        self.eager: dict[str, Any] | None = None
        if kind == "eager":
            self.eager = {
                name: tf.Variable(np.full(shape, INITIAL, _dtype(name)), name=name)
                for name, shape in shapes.items()
            }
            return
        initial = v1().constant_initializer(INITIAL)

        def build() -> None:
            for name, shape in shapes.items():
                v1().get_variable(
                    name, shape, _dtype(name), initial, use_resource=kind == "resource"
                )

        self.session = session(graph_of(build))

    def restore(self, path: Any, **options: Any) -> Any:
        return ckptfast.restore(self.session, path, self.eager, **options)

    def initialize(self) -> None:
        if self.session is not None:
            with self.session.graph.as_default():
                self.session.run(v1().global_variables_initializer())

    def values(self, *names: str) -> dict[str, Any]:
        if self.eager is not None:
            return {name: self.eager[name].numpy() for name in names or self.eager}
        with self.session.graph.as_default():
            chosen = [
                item for item in v1().global_variables() if not names or item.op.name in names
            ]
        return values_of(self.session, chosen)


def _dtype(name: str) -> Any:
    return np.int64 if name == "step" else np.float32


@pytest.fixture(params=["resource", "reference", "eager"])
def kind(request: pytest.FixtureRequest, tf: ModuleType) -> Iterator[str]:
    yield request.param


@pytest.fixture
def path(tmp_path: Path) -> str:
    return write(tmp_path / "model", STORED)


SHAPES = {name: list(np.shape(value)) for name, value in STORED.items()}


def some(*names: str) -> dict[str, Any]:
    return {name: STORED[name] for name in names}


# ------------------------------------------------------------------------- include and exclude


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"include": "vgg/conv/w"}, {"vgg/conv/w"}),
        ({"include": "vgg/conv/"}, {"vgg/conv/w", "vgg/conv/b", "vgg/conv/w/Adam"}),
        ({"include": ["*/b", re.compile("^step$")]}, {"vgg/conv/b", "step"}),
        ({"include": lambda name: name.endswith("b")}, {"vgg/conv/b"}),
        ({"exclude": "vgg/"}, {"step"}),
        ({"exclude": ["*/w", "step"]}, {"vgg/conv/b", "vgg/conv/w/Adam"}),
        ({"exclude": ":slots"}, set(STORED) - {"vgg/conv/w/Adam"}),
        ({"include": "vgg/conv/*", "exclude": ":slots"}, {"vgg/conv/w", "vgg/conv/b"}),
        ({"include": "vgg/", "exclude": "*/w"}, {"vgg/conv/b", "vgg/conv/w/Adam"}),
        # An exact name beats a glob, on either side; of two equals, exclude wins.
        ({"include": ["vgg/conv/w"], "exclude": "vgg/*"}, {"vgg/conv/w"}),
        ({"include": "vgg/*", "exclude": "vgg/conv/w"}, {*STORED} - {"vgg/conv/w", "step"}),
        ({"include": ["step", "vgg/conv/b"], "exclude": "step"}, {"vgg/conv/b"}),
        ({"include": "vgg/conv/w/Adam", "exclude": ":slots"}, {"vgg/conv/w/Adam"}),
    ],
)  # fmt: skip
def test_what_was_not_chosen_keeps_its_value(
    tf: ModuleType, path: str, options: dict[str, Any], expected: set[str]
) -> None:
    model = Model("resource", SHAPES)
    model.initialize()
    before = model.values()
    report = model.restore(path, **options)
    assert set(report.restored) == expected
    assert set(report.skipped) == set(STORED) - expected
    assert_same(model.values(), {**before, **some(*expected)})
    assert report.uninitialized == ()


def test_the_choice_is_the_same_for_all_kinds_of_variables(kind: str, path: str) -> None:
    model = Model(kind, SHAPES)
    report = model.restore(path, include=["vgg/"], exclude=[":slots", "*/fc8/*"])
    assert sorted(report.restored) == ["vgg/conv/b", "vgg/conv/w"]
    assert report.skipped == {
        "step": "not included",
        "vgg/fc8/w": "excluded",
        "vgg/conv/w/Adam": "excluded as an optimizer's",
    }
    assert_same(model.values("vgg/conv/w"), some("vgg/conv/w"))
    empty = () if kind == "eager" else ("step", "vgg/conv/w/Adam", "vgg/fc8/w")
    assert tuple(sorted(report.uninitialized)) == empty


def test_an_include_that_matches_nothing_is_no_empty_restore(tf: ModuleType, path: str) -> None:
    model = Model("resource", SHAPES)
    with pytest.raises(ValueError, match=r"vgg/conv/ww.*nearest: vgg/conv/w"):
        model.restore(path, include=["step", "vgg/conv/ww"])
    with pytest.raises(ValueError, match="leave none"):
        model.restore(path, exclude="*")
    with pytest.raises(ValueError, match="word for exclude"):
        model.restore(path, include=":slots")


def test_a_mistyped_word_excludes_nothing(tf: ModuleType, path: str) -> None:
    with pytest.raises(ValueError, match="the word ':slots', and not ':slot'"):
        Model("resource", SHAPES).restore(path, exclude=["step", ":slot"])


# ------------------------------------------------------------------------------------- rename


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


# --------------------------------------------------------------------------------- on_missing


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


# -------------------------------------------------------------------------------- on_mismatch


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


# ----------------------------------------------------------------------------- moving averages

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
