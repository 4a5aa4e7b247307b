"""`ckptfast.restore` into a local session: which variables, from where, beside what."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from restore_cases import assert_same, graph_of, saved, session, v1, values_of, write
from restore_models import BOTH, small_model, variable

import ckptfast


@BOTH
def test_values_are_those_of_the_saver(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    graph = graph_of(lambda: small_model(resource))
    path, expected = saved(graph, tmp_path / "model")
    with session(graph) as sess:  # nothing is initialized
        report = ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)
    assert report.restored == tuple(expected)
    assert report.nbytes == sum(np.asarray(value).nbytes for value in expected.values())
    assert (report.missing, report.unexpected, report.mismatched) == ((), (), ())


@BOTH
def test_values_replace_initialized_ones(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    graph = graph_of(lambda: small_model(resource))
    path, expected = saved(graph, tmp_path / "model")
    with graph.as_default(), session(graph) as sess:
        sess.run(v1().global_variables_initializer())
        sess.run([v1().assign_add(item, item + 1) for item in v1().trainable_variables()])
        ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)


@BOTH
def test_a_graph_does_not_grow_and_may_be_finalized(
    tf: ModuleType, tmp_path: Path, resource: bool
) -> None:
    graph = graph_of(lambda: small_model(resource))
    path, expected = saved(graph, tmp_path / "model")
    graph = graph_of(lambda: small_model(resource))  # one without a Saver
    before = len(graph.get_operations())
    graph.finalize()
    with session(graph) as sess:
        for _ in range(3):
            ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)
    assert len(graph.get_operations()) == before


def test_no_fallback_is_counted(tf: ModuleType, tmp_path: Path) -> None:
    graph = graph_of(lambda: small_model(True))
    path, _ = saved(graph, tmp_path / "model")
    before = ckptfast.stats()
    with session(graph) as sess:
        ckptfast.restore(sess, path)
    assert ckptfast.stats().fallbacks == before.fallbacks


@BOTH
def test_a_v1_file_restores(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    graph = graph_of(lambda: small_model(resource))
    version = v1().train.SaverDef.V1
    path, expected = saved(graph, tmp_path / "model.ckpt", write_version=version)
    with session(graph) as sess:
        ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)


def test_a_sharded_save_restores(tf: ModuleType, tmp_path: Path) -> None:
    def build() -> None:
        for number in range(4):
            with tf.device(f"/cpu:{number % 2}"):
                variable(f"v{number}", np.full(9, number, np.float32))

    graph = graph_of(build)
    config = v1().ConfigProto(device_count={"CPU": 2})
    with graph.as_default(), v1().Session(graph=graph, config=config) as sess:
        sess.run(v1().global_variables_initializer())
        path = v1().train.Saver(sharded=True).save(sess, str(tmp_path / "model"))
        expected = values_of(sess)
    with v1().Session(graph=graph, config=config) as sess:
        ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)


def test_a_folder_means_its_latest_checkpoint(tf: ModuleType, tmp_path: Path) -> None:
    graph = graph_of(lambda: small_model(True))
    saved(graph, tmp_path / "model-1")
    path, expected = saved(graph, tmp_path / "model-2")
    with session(graph) as sess:
        report = ckptfast.restore(sess, tmp_path)
        assert_same(values_of(sess), expected)
    assert report.path == path


def test_a_variable_keeps_its_device(tf: ModuleType, tmp_path: Path) -> None:
    """A variable on CPU:1 that came to life on CPU:0 would be uninitialized where it is read."""

    def build() -> None:
        for resource in (True, False):
            with tf.device("/cpu:1"):
                variable(f"on_1_{resource}", np.arange(4.0), resource=resource)

    graph = graph_of(build)
    config = v1().ConfigProto(device_count={"CPU": 2})
    path = write(tmp_path / "model", {f"on_1_{kind}": np.full(4, 5.0) for kind in (True, False)})
    with graph.as_default(), v1().Session(graph=graph, config=config) as sess:
        ckptfast.restore(sess, path)
        with tf.device("/cpu:1"):
            sums = [tf.reduce_sum(item) for item in v1().global_variables()]
        metadata = v1().RunMetadata()
        options = v1().RunOptions(output_partition_graphs=True)
        assert sess.run(sums, options=options, run_metadata=metadata) == [20.0, 20.0]
    nodes = [node for part in metadata.partition_graphs for node in part.node]
    devices = {node.device[-5:] for node in nodes if node.name.startswith("on_1")}
    assert devices == {"CPU:1"}


def test_by_default_exactly_what_a_saver_takes(tf: ModuleType, tmp_path: Path) -> None:
    """Slots and the step belong to it, local variables do not."""

    def build() -> None:
        weight = variable("weight", np.ones([3, 2], np.float32))
        step = v1().train.get_or_create_global_step()
        v1().train.AdamOptimizer(0.1).minimize(tf.reduce_sum(weight**2), global_step=step)
        variable("count", np.float32(0), collections=[v1().GraphKeys.LOCAL_VARIABLES])

    graph = graph_of(build)
    path, expected = saved(graph, tmp_path / "model")
    with session(graph) as sess:
        report = ckptfast.restore(sess, path)
        assert_same(values_of(sess), expected)
    assert sorted(report.restored) == sorted(name for name, _ in tf.train.list_variables(path))
    assert "count" not in report.restored


def test_a_list_restores_nothing_else(tf: ModuleType, tmp_path: Path) -> None:
    graph = graph_of(lambda: small_model(True))
    path = write(
        tmp_path / "model", {"v0": np.full(3, 8, np.float32), "v1": np.zeros([2, 5], np.float32)}
    )
    with graph.as_default(), session(graph) as sess:
        sess.run(v1().global_variables_initializer())
        before = values_of(sess)
        chosen = next(item for item in v1().global_variables() if item.op.name == "v0")
        report = ckptfast.restore(sess, path, [chosen])
        after = values_of(sess)
    assert report.restored == ("v0",)
    assert report.unexpected == ("v1",)
    assert_same(after, before | {"v0": np.full(3, 8, np.float32)})


def test_a_mapping_renames(tf: ModuleType, tmp_path: Path) -> None:
    made: list[Any] = []
    graph = graph_of(lambda: made.append(variable("new/name", np.zeros(2, np.float32))))
    path = write(tmp_path / "model", {"old": np.float32([1, 2])})
    with session(graph) as sess:
        assert ckptfast.restore(sess, path, {"old": made[0]}).restored == ("old",)
        assert sess.run(made[0]).tolist() == [1, 2]


@pytest.mark.parametrize("container", [list, tuple, set, lambda items: [items[:1], [items[1:]]]])
def test_every_kind_of_list_a_saver_takes(tf: ModuleType, tmp_path: Path, container: Any) -> None:
    graph = graph_of(lambda: small_model(True))
    path, expected = saved(graph, tmp_path / "model")
    with graph.as_default(), session(graph) as sess:
        report = ckptfast.restore(sess, path, container(v1().global_variables()))
        assert sorted(report.restored) == sorted(expected)
        assert_same(values_of(sess), expected)


@BOTH
def test_tensors_stand_for_their_variables(tf: ModuleType, tmp_path: Path, resource: bool) -> None:
    made: list[Any] = []
    graph = graph_of(lambda: made.append(variable("w", np.zeros(2, np.float32), resource=resource)))
    path = write(tmp_path / "model", {"w": np.float32([3, 4])})
    tensors = [made[0]._graph_element, made[0].handle] if resource else [made[0]._ref()]
    for tensor in tensors:
        with session(graph) as sess:
            assert ckptfast.restore(sess, path, [tensor]).restored == ("w",)
            assert sess.run(made[0]).tolist() == [3, 4]


def test_hooks_of_a_monitored_session_do_not_run(tf: ModuleType, tmp_path: Path) -> None:
    runs: list[object] = []

    class Hook(v1().train.SessionRunHook):  # type: ignore[misc]
        def before_run(self, context: Any) -> None:
            runs.append(context)

    graph = graph_of(lambda: (small_model(True), v1().train.get_or_create_global_step()))
    path, expected = saved(graph, tmp_path / "model")
    graph = graph_of(lambda: (small_model(True), v1().train.get_or_create_global_step()))
    with graph.as_default(), v1().train.MonitoredSession(hooks=[Hook()]) as sess:
        runs.clear()
        ckptfast.restore(sess, path)
        assert runs == []
        assert_same(values_of(sess), expected)


def test_two_sessions_of_one_graph_hold_their_own_values(tf: ModuleType, tmp_path: Path) -> None:
    graph = graph_of(lambda: variable("w", np.zeros(64, np.float32)))
    paths = [write(tmp_path / f"m{n}", {"w": np.full(64, n, np.float32)}) for n in (1, 2)]
    with session(graph) as one, session(graph) as two:
        ckptfast.restore(one, paths[0])
        ckptfast.restore(two, paths[1])
        assert values_of(one)["w"][0] == 1
        assert values_of(two)["w"][0] == 2


def test_the_report_prints_as_a_table(tf: ModuleType, tmp_path: Path) -> None:
    graph = graph_of(lambda: variable("w", np.zeros(64, np.float32)))
    tensors = {"w": np.zeros(64, np.float32)} | {f"x{n}": np.float32(n) for n in range(7)}
    path = write(tmp_path / "model", tensors)
    with session(graph) as sess:
        lines = str(ckptfast.restore(sess, path)).splitlines()
    assert lines[0] == path
    assert lines[1].split()[:2] == ["restored", "1"]
    assert lines[-1].split(maxsplit=2) == ["unexpected", "7", "x0, x1, x2, x3, x4 and 2 more"]
