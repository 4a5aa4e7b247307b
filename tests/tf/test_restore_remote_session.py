"""Sessions on a remote master: TensorFlow's own operations restore, and it is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from restore_cases import assert_same, flip_a_byte, graph_of, saved, v1, values_of, write

import ckptfast

REASON = "remote session"
SENT = "remote session, values sent"


@pytest.fixture(scope="module")
def target(tf: ModuleType) -> Iterator[str]:
    server = v1().train.Server({"local": ["localhost:0"]}, protocol="grpc", start=True)
    yield server.target
    # A server cannot be stopped; it goes with the process.


def build() -> None:
    for number, resource in enumerate([True, False, True]):
        value = np.full([number + 1, 3], number, np.float32)
        v1().get_variable(f"v{number}", initializer=value, use_resource=resource)
    v1().get_variable(
        "p", [10, 2], initializer=v1().ones_initializer(), use_resource=True,
        partitioner=lambda shape, dtype: [3, 1],
    )  # fmt: skip
    v1().get_variable("text", initializer=v1().constant(["a", "b"]), use_resource=True)


def counted(reason: str) -> int:
    return ckptfast.stats().fallbacks.get(reason, 0)


def remote(target: str, graph: Any) -> Any:
    return v1().Session(target, graph=graph)


def test_values_are_those_of_the_saver(target: str, tmp_path: Path) -> None:
    path, expected = saved(graph_of(build), tmp_path / "model")
    graph = graph_of(build)
    before = counted(REASON)
    with remote(target, graph) as sess:
        report = ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)
    assert counted(REASON) == before + 1
    assert report.restored == ("v0", "v1", "v2", "p", "text")
    assert report.nbytes >= 4 * 3 * (1 + 2 + 3) + 4 * 10 * 2


def test_operations_are_added_once(target: str, tmp_path: Path) -> None:
    first, _ = saved(graph_of(build), tmp_path / "first")
    second, expected = saved(graph_of(build), tmp_path / "second")
    graph = graph_of(build)
    with remote(target, graph) as sess:
        ckptfast.restore(sess, first)
        size = len(graph.get_operations())
        ckptfast.restore(sess, second)
        assert len(graph.get_operations()) == size
        graph.finalize()
        ckptfast.restore(sess, first)
        assert_same(values_of(sess), expected)


def test_a_relative_path_means_the_same_to_the_server(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, expected = saved(graph_of(build), tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    with remote(target, graph_of(build)) as sess:
        ckptfast.restore(sess, "model")
        assert_same(values_of(sess), expected)


@pytest.mark.parametrize("what", ["prefix", "folder"])
def test_a_checkpoint_on_another_file_system(
    tf: ModuleType, target: str, tmp_path: Path, what: str
) -> None:
    """The workers are told its URL. Of a folder they are not: they get the values."""
    _, expected = saved(graph_of(build), tmp_path / "model")
    url = f"ram://{tmp_path.name}-{what}"
    tf.io.gfile.makedirs(url)
    for file in tmp_path.iterdir():
        tf.io.gfile.copy(str(file), f"{url}/{file.name}")
    before = counted(REASON), counted(SENT)
    with remote(target, graph_of(build)) as sess:
        ckptfast.restore(sess, f"{url}/model" if what == "prefix" else url)
        assert_same(values_of(sess), expected)
    after = counted(REASON), counted(SENT)
    assert [b - a for a, b in zip(before, after, strict=True)] == (
        [1, 0] if what == "prefix" else [0, 1]
    )


@pytest.mark.parametrize("sharded", [False, True])
def test_a_v1_file(target: str, tmp_path: Path, sharded: bool) -> None:
    version = v1().train.SaverDef.V1
    path, expected = saved(
        graph_of(build), tmp_path / "model.ckpt", write_version=version, sharded=sharded
    )
    with remote(target, graph_of(build)) as sess:
        ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)


def test_a_finalized_graph_is_sent_its_values(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ckptfast.tf import _assign

    path, expected = saved(graph_of(build), tmp_path / "model")
    graph = graph_of(build)
    size = len(graph.get_operations())
    graph.finalize()
    before = counted(SENT)
    with remote(target, graph) as sess:
        ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)
        monkeypatch.setattr(_assign, "_MESSAGE", 30)
        with pytest.raises(RuntimeError, match="too many to send"):
            ckptfast.restore(sess, path)
    assert len(graph.get_operations()) == size
    assert counted(SENT) == before + 2


def test_what_does_not_fit_is_found_first(tf: ModuleType, target: str, tmp_path: Path) -> None:
    """TensorFlow's operations would give a resource variable any shape."""
    path = write(tmp_path / "model", {"a": np.ones(3, np.float32), "b": np.ones(4, np.float32)})

    def two() -> None:
        for name in "ab":
            v1().get_variable(name, [3], initializer=v1().zeros_initializer(), use_resource=True)

    graph = graph_of(two)
    with graph.as_default(), remote(target, graph) as sess:
        sess.run(v1().global_variables_initializer())
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"b: \(3,\) here"):
            ckptfast.restore(sess, path)
        assert not values_of(sess)["a"].any()
        report = ckptfast.restore(sess, path, strict=False)
        assert report.restored == ("a",)
        assert values_of(sess)["a"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("finalized", [False, True])
def test_damage_leaves_every_variable_as_it_was(
    tf: ModuleType, target: str, tmp_path: Path, finalized: bool
) -> None:
    tensors = {name: np.ones(3, np.float32) for name in "abc"}
    path = write(tmp_path / "model", tensors)
    flip_a_byte(path, "c")

    def three() -> None:
        for name in tensors:
            v1().get_variable(name, [3], initializer=v1().zeros_initializer(), use_resource=True)

    graph = graph_of(three)
    with graph.as_default():
        start = v1().global_variables_initializer()
    if finalized:
        graph.finalize()
    with remote(target, graph) as sess:
        sess.run(start)
        with pytest.raises(tf.errors.DataLossError):
            ckptfast.restore(sess, path)
        assert not any(value.any() for value in values_of(sess).values())
