"""`init_from_checkpoint` and `warm_start`: the same bodies for TensorFlow's functions and ours."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast

STORED = {
    "old/a": np.arange(6, dtype=np.float32).reshape(3, 2),
    "old/deep/b": np.float32([7, 8]),
    "top": np.float32([9]),
    "ids": np.int64([4]),
}
ROWS = np.arange(8, dtype=np.float32).reshape(4, 2)


@pytest.fixture(params=["tensorflow", "ckptfast"])
def ours(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "ckptfast")


@pytest.fixture
def v1(tf: ModuleType) -> Iterator[Any]:
    with tf.Graph().as_default():
        yield tf.compat.v1


@pytest.fixture
def init(v1: Any, ours: bool) -> Any:
    return ckptfast.init_from_checkpoint if ours else v1.train.init_from_checkpoint


@pytest.fixture
def warm(v1: Any, ours: bool) -> Any:
    return ckptfast.warm_start if ours else v1.train.warm_start


@pytest.fixture
def path(tmp_path: Path) -> str:
    return os.fspath(ckptfast.save(tmp_path / "model", STORED))


@pytest.fixture(params=[True, False], ids=["resource", "reference"])
def resource(request: pytest.FixtureRequest, v1: Any) -> Iterator[bool]:
    scope = v1.get_variable_scope()
    scope.set_use_resource(request.param)
    yield request.param


def values(v1: Any, ours: bool) -> dict[str, Any]:
    """All variables after their initializers have run, the way that is each side's own."""
    with v1.Session() as session:
        if ours:
            ckptfast.finetune.initialize_uninitialized(session)
        else:
            session.run(v1.global_variables_initializer())
        found = v1.global_variables()
        return {item.op.name: value for item, value in zip(found, session.run(found), strict=True)}


@pytest.mark.parametrize("as_pairs", [False, True])
@pytest.mark.parametrize(
    ("assignment", "names"),
    [
        ({"old/": "new/"}, {"new/a": "old/a", "new/deep/b": "old/deep/b"}),
        ({"old/a": "new/a"}, {"new/a": "old/a"}),
        ({"old/deep/": "new/deep/", "top": "top"}, {"new/deep/b": "old/deep/b", "top": "top"}),
    ],
)
def test_names_and_scopes(
    v1: Any, init: Any, ours: bool, resource: bool, path: str,
    assignment: dict[str, str], names: dict[str, str], as_pairs: bool,
) -> None:  # fmt: skip
    for name, stored in {"new/a": "old/a", "new/deep/b": "old/deep/b", "top": "top"}.items():
        v1.get_variable(name, STORED[stored].shape, initializer=v1.constant_initializer(-1.0))
    init(path, list(assignment.items()) if as_pairs else assignment)
    for name, value in values(v1, ours).items():
        expected = STORED[names[name]] if name in names else np.full(value.shape, -1)
        assert np.array_equal(value, expected), name


def test_the_root(v1: Any, init: Any, ours: bool, resource: bool, tmp_path: Path) -> None:
    path = ckptfast.save(tmp_path / "m", {"a": np.float32([1]), "b": np.float32([2])})
    v1.get_variable("scope/a", [1])
    v1.get_variable("scope/b", [1])
    init(os.fspath(path), {"/": "scope/"})
    assert values(v1, ours) == {"scope/a": [1], "scope/b": [2]}


def test_variables_and_one_tensor_for_two_of_them(
    v1: Any, init: Any, ours: bool, resource: bool, path: str
) -> None:
    first, second = v1.get_variable("x", [2]), v1.get_variable("y", [2])
    init(path, [("old/deep/b", first), ("old/deep/b", second)])
    found = values(v1, ours)
    assert found["x"].tolist() == found["y"].tolist() == [7, 8]


@pytest.mark.parametrize("by", ["name", "list"])
def test_partitioned_variables(
    v1: Any, init: Any, ours: bool, resource: bool, path: str, by: str
) -> None:
    parts = v1.get_variable("new/a", [3, 2], partitioner=v1.fixed_size_partitioner(3))
    init(path, {"old/a": "new/a" if by == "name" else parts._get_variable_list()})
    found = values(v1, ours)
    assert sorted(found) == ["new/a/part_0", "new/a/part_1", "new/a/part_2"]
    assert np.array_equal(np.concatenate([found[n] for n in sorted(found)]), STORED["old/a"])


def test_a_folder_is_its_latest_checkpoint(
    v1: Any, init: Any, ours: bool, path: str, tmp_path: Path
) -> None:
    ckptfast.update_checkpoint_state(os.fspath(tmp_path), path)
    v1.get_variable("top", [1])
    init(tmp_path, {"top": "top"})
    assert values(v1, ours) == {"top": [9]}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ({"nothing": "top"}, "Tensor nothing is not found in"),
        ({"old/a": "top"}, r"Shape of variable top:0 \(\(1,\)\) doesn't match with shape of"),
        ({"old": "none/"}, "should map to scope only"),
        ({"top/": "new/"}, r"Tensor top/x \(x in top/\) is not found in"),
    ],
)
def test_errors(v1: Any, init: Any, path: str, assignment: dict[str, str], message: str) -> None:
    v1.get_variable("top", [1])
    v1.get_variable("new/x", [1])
    with pytest.raises(ValueError, match=message):
        init(path, assignment)


def test_a_folder_without_checkpoints(v1: Any, init: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Couldn't find 'checkpoint' file or checkpoints"):
        init(tmp_path, {"a": "a"})


def test_a_damaged_tensor_stops_the_initializer(
    tf: ModuleType, v1: Any, init: Any, ours: bool, path: str
) -> None:
    from restore_cases import flip_a_byte

    v1.get_variable("top", [1])
    init(path, {"top": "top"})
    flip_a_byte(path, "top")
    with pytest.raises(tf.errors.DataLossError):
        values(v1, ours)


def test_a_tensor_of_another_type_stops_the_initializer(
    tf: ModuleType, v1: Any, init: Any, ours: bool, path: str
) -> None:
    v1.get_variable("ids", [1])
    init(path, {"ids": "ids"})
    with pytest.raises(tf.errors.InvalidArgumentError):
        values(v1, ours)


def test_no_exported_node_needs_python(v1: Any, init: Any, path: str) -> None:
    v1.get_variable("top", [1])
    init(path, {"top": "top"})
    kinds = {node.op for node in v1.get_default_graph().as_graph_def().node}
    assert "RestoreV2" in kinds
    assert not {kind for kind in kinds if "PyFunc" in kind}


def test_values_are_read_by_ckptfast_without_a_node(v1: Any, path: str) -> None:
    fallbacks = ckptfast.stats().fallbacks
    for name in ("old/a", "old/deep/b"):
        v1.get_variable(name, STORED[name].shape)
    ckptfast.init_from_checkpoint(path, {"old/": "old/"})
    before, nodes = ckptfast.stats(), len(v1.get_default_graph().get_operations())
    values(v1, True)
    after = ckptfast.stats()
    assert after.tensors_read - before.tensors_read == 2
    assert len(v1.get_default_graph().get_operations()) - nodes <= 2  # reads, to fetch
    key = "init_from_checkpoint: RestoreV2 in the graph"
    assert after.fallbacks[key] == fallbacks.get(key, 0) + 1


def test_what_tensorflow_reads_is_not_counted_when_installed(
    tf: ModuleType, v1: Any, path: str
) -> None:
    for name in ("top", "a", "deep/b"):
        v1.get_variable(name, STORED[name if name == "top" else f"old/{name}"].shape)
    before = ckptfast.stats().fallbacks
    with ckptfast.install():
        v1.train.init_from_checkpoint(path, {"top": "top", "old/a": "a"})
        assignment = {"old/deep/b": "deep/b"}
        tf.compat.v1.train.init_from_checkpoint(ckpt_dir_or_file=path, assignment_map=assignment)
        v1.train.warm_start(path, "top")
        ckptfast.warm_start(path, "top")
        found = values(v1, False)
    after = ckptfast.stats().fallbacks
    assert all(np.array_equal(found[name], STORED[key]) for name, key in [("a", "old/a")])
    assert found["top"] == [9]
    for function in ("init_from_checkpoint", "warm_start"):
        key = f"{function}: RestoreV2 in the graph"
        assert after[key] - before.get(key, 0) == 2, key
    assert v1.train.init_from_checkpoint is not ckptfast.init_from_checkpoint
    assert v1.train.warm_start.__module__ == "tensorflow.python.training.warm_starting_util"


# --------------------------------------------------------------------------------- warm_start


@pytest.mark.parametrize(
    ("chosen", "warmed"),
    [(".*", {"a", "b"}), ("a", {"a"}), (["a", "step"], {"a", "step"}), ("variables", {"b"})],
)
def test_which_variables_are_warmed(
    v1: Any, warm: Any, ours: bool, resource: bool, tmp_path: Path, chosen: Any, warmed: set[str]
) -> None:
    stored = {name: np.float32([number]) for number, name in enumerate(("a", "b", "step"), 1)}
    path = os.fspath(ckptfast.save(tmp_path / "m", stored))
    initial = v1.constant_initializer(-1.0)
    variables = {
        name: v1.get_variable(name, [1], initializer=initial, trainable=name != "step")
        for name in stored
    }
    warm(path, [variables["b"]] if chosen == "variables" else chosen)
    expected = {name: value if name in warmed else [-1] for name, value in stored.items()}
    assert values(v1, ours) == expected


def test_previous_names(v1: Any, warm: Any, ours: bool, path: str) -> None:
    v1.get_variable("new", [2])
    v1.get_variable("top", [1])
    warm(path, var_name_to_prev_var_name={"new": "old/deep/b"})
    found = values(v1, ours)
    assert found["new"].tolist() == [7, 8]
    assert found["top"].tolist() == [9]


@pytest.mark.parametrize("argument", ["var_name_to_prev_var_name", "var_name_to_vocab_info"])
def test_a_name_that_is_not_used_is_an_error(
    v1: Any, warm: Any, path: str, tmp_path: Path, argument: str
) -> None:
    v1.get_variable("top", [1])
    info = v1.train.VocabInfo("n", 1, 0, "o")
    unused = {"typo": "top" if "prev" in argument else info}
    with pytest.raises(ValueError, match=r"that were not used.*typo"):
        warm(path, "top", **{argument: unused})


def vocabulary(path: Path, *words: str) -> str:
    path.write_text("".join(f"{word}\n" for word in words))
    return os.fspath(path)


@pytest.mark.parametrize("chosen", [".*", None])
@pytest.mark.parametrize("axis", [0, 1])
def test_vocabularies_are_remapped(
    v1: Any, warm: Any, ours: bool, resource: bool, tmp_path: Path, axis: int, chosen: Any
) -> None:
    stored = ROWS if axis == 0 else np.ascontiguousarray(ROWS.T)
    path = os.fspath(ckptfast.save(tmp_path / "m", {"emb": stored}))
    old = vocabulary(tmp_path / "old", "a", "b", "c", "d")
    new = vocabulary(tmp_path / "new", "c", "x", "a")
    v1.get_variable("emb", [4, 2] if axis == 0 else [2, 4])  # three words, one bucket for others
    info = v1.train.VocabInfo(
        new_vocab=new, new_vocab_size=3, num_oov_buckets=1, old_vocab=old, axis=axis,
        backup_initializer=v1.ones_initializer(),
    )  # fmt: skip
    warm(path, chosen, var_name_to_vocab_info={"emb": info})
    expected = np.float32([ROWS[2], [1, 1], ROWS[0], [1, 1]])
    found = values(v1, ours)["emb"]
    assert np.array_equal(found, expected if axis == 0 else expected.T)


def test_a_partitioned_vocabulary_is_remapped(
    v1: Any, warm: Any, ours: bool, tmp_path: Path
) -> None:
    path = os.fspath(ckptfast.save(tmp_path / "m", {"emb": ROWS}))
    old = vocabulary(tmp_path / "old", "a", "b", "c", "d")
    new = vocabulary(tmp_path / "new", "d", "c", "b", "a")
    v1.get_variable("emb", [4, 2], partitioner=v1.fixed_size_partitioner(2))
    warm(path, var_name_to_vocab_info={"emb": v1.train.VocabInfo(new, 4, 0, old)})
    found = values(v1, ours)
    assert np.array_equal(np.concatenate([found[n] for n in sorted(found)]), ROWS[::-1])


@pytest.fixture
def object_based(tf: ModuleType, tmp_path: Path) -> str:
    saved = tf.Variable([3.0], name="a")
    return str(tf.train.Checkpoint(model=saved).write(os.fspath(tmp_path / "objects")))


def test_an_object_based_checkpoint_is_asked_by_name(
    object_based: str, v1: Any, warm: Any, ours: bool
) -> None:
    v1.get_variable("a", [1])
    warm(object_based)
    assert values(v1, ours) == {"a": [3]}
