"""What a saver adds to a graph, and when."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BOTH = pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])


def model(v1: Any, resource: bool, number: int = 20) -> list[Any]:
    return [
        v1.get_variable(f"v{at}", initializer=[float(at)] * 3, use_resource=resource)
        for at in range(number)
    ]


@BOTH
def test_a_hundred_saves_add_no_node(Saver: Any, v1: Any, here: Path, resource: bool) -> None:
    model(v1, resource)
    graph = v1.get_default_graph()
    saver = Saver()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        before = len(graph.get_operations())
        for step in range(100):
            prefix = saver.save(session, "./m", global_step=step, write_meta_graph=step < 2)
            saver.restore(session, prefix)
    assert len(graph.get_operations()) == before


@BOTH
def test_a_finalized_graph(Saver: Any, v1: Any, here: Path, resource: bool) -> None:
    variables = model(v1, resource)
    double = [variable.assign(variable * 2) for variable in variables]
    initializer = v1.global_variables_initializer()
    saver = Saver()
    v1.get_default_graph().finalize()
    with v1.Session() as session:
        session.run(initializer)
        prefix = saver.save(session, "./m")
        session.run(double)
        saver.restore(session, prefix)
        assert session.run(variables[5]).tolist() == [5.0] * 3


@BOTH
def test_a_saver_of_a_finalized_graph(FastSaver: Any, v1: Any, here: Path, resource: bool) -> None:
    """TensorFlow's cannot be made there."""
    variables = model(v1, resource)
    double = [variable.assign(variable * 2) for variable in variables]
    initializer = v1.global_variables_initializer()
    v1.get_default_graph().finalize()
    saver = FastSaver()
    with v1.Session() as session:
        session.run(initializer)
        prefix = saver.save(session, "./m")
        session.run(double)
        saver.restore(session, prefix)
        assert session.run(variables[5]).tolist() == [5.0] * 3


def test_hardly_a_node_for_a_variable_and_none_for_a_saver(
    FastSaver: Any, v1: Any, tf: Any
) -> None:
    def added(number: int, savers: int = 1) -> int:
        with tf.Graph().as_default() as graph:
            model(v1, True, number)
            before = len(graph.get_operations())
            for _ in range(savers):
                FastSaver()
            return len(graph.get_operations()) - before

    assert added(512) == added(512, savers=3)
    assert added(1024) == added(512) + 4  # what one block of reads is made of


def test_all_values_are_read_in_one_run(
    FastSaver: Any, v1: Any, tf: ModuleType, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a step of a training thread may fall between what is saved of one model."""
    for at in range(1100):  # more than pass through one node
        v1.get_variable(f"v{at}", initializer=[float(at)], use_resource=True)
    v1.get_variable("reference", initializer=[1.0], use_resource=False)
    with tf.device("/cpu:1"):
        v1.get_variable("elsewhere", initializer=[2.0], use_resource=True)
    tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    with v1.Session(config=v1.ConfigProto(device_count={"CPU": 2})) as session:
        # Where every variable has a device, and where TensorFlow chose one for some.
        for scope in ("/cpu:0", ""):
            with tf.device(scope):
                v1.get_variable(f"more{scope[1:4]}", initializer=[3.0], use_resource=True)
            session.run(v1.global_variables_initializer())
            saver = FastSaver()
            runs = _runs_of(session, monkeypatch)
            prefix = saver.save(session, "./m", write_meta_graph=False)
            assert len(runs) == 1
            reader = tf.train.load_checkpoint(prefix)
            assert [reader.get_tensor(f"v{at}")[0] for at in range(1100)] == list(range(1100))
            assert reader.get_tensor("reference") == [1.0]
            assert reader.get_tensor("elsewhere") == [2.0]


def _runs_of(session: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A list that grows with every run of the session."""
    runs: list[Any] = []
    run = session._call_tf_sessionrun

    def counted(*arguments: Any) -> Any:
        runs.append(arguments)
        return run(*arguments)

    monkeypatch.setattr(session, "_call_tf_sessionrun", counted)
    return runs


def test_the_standard_nodes_come_when_asked_for(FastSaver: Any, v1: Any) -> None:
    model(v1, True)
    graph = v1.get_default_graph()
    saver = FastSaver()
    types = {op.type for op in graph.get_operations()}
    assert not types & {"SaveV2", "RestoreV2"}
    saver.build()
    types = {op.type for op in graph.get_operations()}
    assert types >= {"SaveV2", "RestoreV2"}
    count = len(graph.get_operations())
    assert saver.as_saver_def() is saver.saver_def
    saver.build()
    assert len(graph.get_operations()) == count


def test_our_nodes_stay_out_of_graph_defs(FastSaver: Any, v1: Any, here: Path) -> None:
    from ckptfast.tf.saver._graph_nodes import is_ours

    model(v1, True)
    model_nodes = len(v1.get_default_graph().as_graph_def().node)
    with v1.get_default_graph().name_scope("scope"):
        FastSaver()
    ours = [op for op in v1.get_default_graph().get_operations() if is_ours(op)]
    assert ours
    graph_def = v1.get_default_graph().as_graph_def()
    assert len(graph_def.node) == model_nodes
    assert not any(is_ours(node) or node.op == "PyFunc" for node in graph_def.node)


def test_our_nodes_depend_on_nothing_of_the_caller(
    FastSaver: Any, v1: Any, tf: ModuleType, here: Path
) -> None:
    variable = v1.get_variable("a", initializer=[1.0])
    failing = v1.Assert(False, ["ran"])
    with tf.control_dependencies([failing]), tf.device("/device:GPU:7"):
        saver = FastSaver()
    with v1.Session() as session:
        session.run(variable.initializer)
        saver.restore(session, saver.save(session, "./m", write_meta_graph=False))


def test_sparsely_updated_variables_are_not_copied(
    FastSaver: Any, v1: Any, tf: ModuleType, here: Path
) -> None:
    """A copy of a large embedding for every save may be all of the memory there is."""
    rows = v1.get_variable("e", initializer=tf.ones([1024, 4]), use_resource=True)
    update = v1.scatter_update(rows, [1], [[5.0] * 4])
    saver = FastSaver()
    with v1.Session() as session:
        session.run(rows.initializer)
        addresses = []
        for _ in range(2):
            session.run(update)
            (view,) = saver._snapshots.take(session)
            addresses.append(view.ctypes.data)
            del view
        assert addresses[0] == addresses[1]
        first = saver._snapshots.take(session)[0]
        second = saver._snapshots.take(session)[0]
        assert first.ctypes.data == second.ctypes.data
        # And yet what was taken is a snapshot.
        session.run(v1.scatter_update(rows, [0], [[9.0] * 4]))
        assert first[0].tolist() == [1.0] * 4


def test_a_snapshot_keeps_its_values(FastSaver: Any, v1: Any, here: Path) -> None:
    for resource in (True, False):
        v1.get_variable(f"r{resource}", initializer=[1.0] * 1000, use_resource=resource)
    variables = v1.global_variables()
    update = [v1.assign_add(variable, [1.0] * 1000) for variable in variables]
    saver = FastSaver()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        taken = saver._snapshots.take(session)
        for _ in range(3):
            session.run(update)
        assert [set(values.tolist()) for values in taken] == [{1.0}, {1.0}]


def test_variables_of_several_devices_and_containers(
    Saver: Any, v1: Any, tf: ModuleType, here: Path
) -> None:
    variables = []
    for number in range(6):
        with tf.device(f"/cpu:{number % 2}"), v1.get_default_graph().container(f"c{number % 3}"):
            variables.append(v1.get_variable(f"v{number}", initializer=[number, number]))
    saver = Saver()
    with v1.Session(config=v1.ConfigProto(device_count={"CPU": 2})) as session:
        session.run(v1.global_variables_initializer())
        prefix = saver.save(session, "./m")
        session.run([variable.assign([0, 0]) for variable in variables])
        saver.restore(session, prefix)
        assert [value.tolist() for value in session.run(variables)] == [[n, n] for n in range(6)]


def test_devices_that_tensorflow_chooses(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    """Without a device in the graph, and several in the session."""
    variables = model(v1, True, 5)
    saver = Saver()
    with v1.Session(config=v1.ConfigProto(device_count={"CPU": 2})) as session:
        session.run(v1.global_variables_initializer())
        prefix = saver.save(session, "./m")
        session.run([variable.assign([9.0] * 3) for variable in variables])
        saver.restore(session, prefix)
        assert [value.tolist() for value in session.run(variables)] == [[n] * 3 for n in range(5)]


def test_sessions_take_turns(Saver: Any, v1: Any, here: Path) -> None:
    (variable,) = model(v1, True, 1)
    saver = Saver()
    with v1.Session() as one, v1.Session() as other:
        one.run(variable.assign([1.0] * 3))
        other.run(variable.assign([2.0] * 3))
        first = saver.save(one, "./one", write_meta_graph=False)
        second = saver.save(other, "./other", write_meta_graph=False)
        saver.restore(one, second)
        saver.restore(other, first)
        assert one.run(variable).tolist() == [2.0] * 3
        assert other.run(variable).tolist() == [1.0] * 3


def test_threads_save_at_once(Saver: Any, v1: Any, here: Path, tf: ModuleType) -> None:
    from concurrent.futures import ThreadPoolExecutor

    variables = model(v1, True, 30)
    saver = Saver(max_to_keep=None)
    with v1.Session() as session, ThreadPoolExecutor(4) as pool:
        session.run(v1.global_variables_initializer())

        def save(number: int) -> str:
            with session.graph.as_default():  # threads begin in eager mode
                path: str = saver.save(
                    session, f"./m{number}", write_meta_graph=False, write_state=False
                )
            return path

        for prefix in pool.map(save, range(12)):
            reader = tf.train.load_checkpoint(prefix)
            assert [reader.get_tensor(f"v{at}")[0] for at in range(30)] == list(range(30))
    assert len(variables) == 30


def test_a_graph_of_the_same_names(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    """TensorFlow's saver goes by names, so it serves any graph that has them."""
    a = v1.get_variable("a", initializer=[1.0])
    saver = Saver()
    saver.as_saver_def()
    with tf.Graph().as_default():
        twin = v1.get_variable("a", initializer=[2.0])
        v1.train.Saver()
        with v1.Session() as session:
            session.run(twin.initializer)
            saver.restore(session, saver.save(session, "./m", write_meta_graph=False))
    assert tf.train.load_variable("./m", a.op.name).tolist() == [2.0]


@pytest.mark.parametrize("finalized", [False, True])
@BOTH
def test_a_session_on_a_server(
    FastSaver: Any, v1: Any, tf: ModuleType, here: Path, resource: bool, finalized: bool
) -> None:
    import ckptfast

    server = v1.train.Server.create_local_server()
    variables = model(v1, resource, 3)
    double = [v1.assign(variable, variable * 2) for variable in variables]
    initializer = v1.global_variables_initializer()
    saver = FastSaver()
    if finalized:
        v1.get_default_graph().finalize()
    reason = "remote session, finalized graph" if finalized else "remote session"
    before = ckptfast.stats().fallbacks.get(reason, 0)
    with v1.Session(server.target) as session:
        session.run(initializer)
        prefix = saver.save(session, str(here / "m"), write_meta_graph=False)
        session.run(double)
        saver.restore(session, prefix)
        assert [value.tolist() for value in session.run(variables)] == [[n] * 3 for n in range(3)]
    assert ckptfast.stats().fallbacks[reason] == before + 2
