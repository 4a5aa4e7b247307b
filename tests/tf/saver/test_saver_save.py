"""`save`: paths, steps, order of effects, failures (C3 of the inventory)."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest


@pytest.fixture
def session(v1: Any) -> Any:
    """A session with two initialised variables."""
    v1.get_variable("a", initializer=[1.0, 2.0])
    v1.get_variable("b", initializer=3, use_resource=False)
    session = v1.Session()
    session.run(v1.global_variables_initializer())
    return session


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_files_of_a_save(Saver: Any, session: Any, here: Path) -> None:
    assert Saver().save(session, "./m", global_step=7) == "./m-7"
    assert names(here) == ["checkpoint", "m-7.data-00000-of-00001", "m-7.index", "m-7.meta"]


def test_what_is_stored(Saver: Any, session: Any, here: Path, tf: ModuleType) -> None:
    reader = tf.train.load_checkpoint(Saver().save(session, "./m", write_meta_graph=False))
    assert reader.get_variable_to_shape_map() == {"a": [2], "b": []}
    assert reader.get_tensor("a").tolist() == [1.0, 2.0]
    assert reader.get_tensor("b") == 3
    assert reader.get_tensor("b").dtype == numpy.int32


def test_latest_filename_has_no_folder(Saver: Any, session: Any, here: Path) -> None:
    with pytest.raises(ValueError, match="'latest_filename' must not contain path components"):
        Saver().save(session, "./m", latest_filename="x/y")


def test_the_state_file_has_the_name_that_was_asked_for(
    Saver: Any, session: Any, here: Path
) -> None:
    Saver().save(session, "./m", latest_filename="mine", write_meta_graph=False)
    assert "mine" in names(here)
    assert "checkpoint" not in names(here)


def test_a_checkpoint_called_as_its_state_file(Saver: Any, session: Any, here: Path) -> None:
    with pytest.raises(ValueError, match="'latest_filename' collides with 'save_path'"):
        Saver().save(session, "./checkpoint")
    assert names(here) == []


def test_a_state_file_called_as_the_checkpoint(Saver: Any, session: Any, here: Path) -> None:
    with pytest.raises(RuntimeError, match="conflicts with path used for checkpoint state"):
        Saver().save(session, str(here / "m"), global_step=1, latest_filename="m-1")


@pytest.mark.parametrize("path", [Path("m"), 5, None])
def test_a_path_is_text(Saver: Any, session: Any, here: Path, path: Any) -> None:
    with pytest.raises(TypeError, match="Expected binary or unicode string"):
        Saver().save(session, path)


def test_a_path_in_bytes(Saver: Any, session: Any, here: Path) -> None:
    assert Saver().save(session, b"./m", write_meta_graph=False) == "./m"


@pytest.mark.parametrize(
    ("step", "suffix"), [(0, "-0"), (12, "-12"), (-7, "--7"), (numpy.int64(3), "-3")]
)
def test_steps(Saver: Any, session: Any, here: Path, step: Any, suffix: str) -> None:
    found = Saver().save(session, "./m", global_step=step, write_meta_graph=False)
    assert found == f"./m{suffix}"


def test_padded_steps(Saver: Any, session: Any, here: Path) -> None:
    saver = Saver(pad_step_number=True)
    found = [
        saver.save(session, "./m", global_step=step, write_meta_graph=False)
        for step in (5, 123456789)
    ]
    assert found == ["./m-00000005", "./m-123456789"]


def test_a_step_from_the_graph(Saver: Any, v1: Any, here: Path) -> None:
    step = v1.train.get_or_create_global_step()
    saver = Saver()
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        session.run(step.assign(42))
        for form in (step, "global_step/Read/ReadVariableOp:0"):
            assert saver.save(session, "./m", global_step=form, write_meta_graph=False) == "./m-42"


def test_a_step_that_is_no_number(Saver: Any, session: Any, here: Path) -> None:
    with pytest.raises(TypeError):
        Saver().save(session, "./m", global_step=2.7)


@pytest.mark.parametrize("what", [None, "session", 3])
def test_a_session_is_a_session(Saver: Any, session: Any, here: Path, what: Any) -> None:
    with pytest.raises(TypeError, match=f"'sess' must be a Session; {what}"):
        Saver().save(what, "./m")


def test_a_closed_session(Saver: Any, session: Any, here: Path) -> None:
    saver = Saver()
    session.close()
    with pytest.raises(RuntimeError, match="Attempted to use a closed Session"):
        saver.save(session, "./m")


def test_one_level_of_folders_is_made(Saver: Any, session: Any, here: Path) -> None:
    Saver().save(session, "new/m", write_meta_graph=False)
    assert names(here / "new") == ["checkpoint", "m.data-00000-of-00001", "m.index"]


@pytest.mark.parametrize("sharded", [False, True])
def test_two_levels_of_folders_are_not(Saver: Any, session: Any, here: Path, sharded: bool) -> None:
    with pytest.raises(ValueError, match=r"Parent directory of no/such/m doesn't exist, can't sa"):
        Saver(sharded=sharded).save(session, "no/such/m")
    assert names(here) == []


@pytest.mark.parametrize("resource", [False, True])
def test_an_uninitialised_variable(
    Saver: Any, v1: Any, tf: ModuleType, here: Path, resource: bool
) -> None:
    v1.get_variable("there", [2], use_resource=resource)
    v1.get_variable("un", [2], use_resource=resource)
    saver = Saver()
    expected = "Could not find variable un" if resource else "uninitialized value un"
    with v1.Session() as session:
        session.run(v1.global_variables()[0].initializer)
        with pytest.raises(tf.errors.FailedPreconditionError, match=expected):
            saver.save(session, str(here / "m"))
    assert names(here) == []
    assert saver.last_checkpoints == []


def test_without_state(Saver: Any, session: Any, here: Path) -> None:
    saver = Saver(max_to_keep=1)
    for step in range(3):
        saver.save(session, "./m", global_step=step, write_state=False, write_meta_graph=False)
    assert saver.last_checkpoints == []
    assert len(list(here.glob("*.index"))) == 3
    assert not (here / "checkpoint").exists()


def test_the_suffix_of_the_meta_graph(Saver: Any, session: Any, here: Path) -> None:
    Saver().save(session, "./m", meta_graph_suffix="graph")
    assert "m.graph" in names(here)


def test_debug_info(Saver: Any, session: Any, here: Path) -> None:
    Saver().save(session, "./m", save_debug_info=True)
    assert "m.debug" in names(here)


def test_sharded_on_one_device(Saver: Any, session: Any, here: Path) -> None:
    assert Saver(sharded=True).save(session, str(here / "m")) == str(here / "m")
    assert names(here) == ["checkpoint", "m.data-00000-of-00001", "m.index", "m.meta"]


@pytest.mark.parametrize("resource", [False, True])
def test_sharded_on_several_devices(
    Saver: Any, v1: Any, here: Path, tf: ModuleType, resource: bool
) -> None:
    for number in range(3):
        with tf.device(f"/cpu:{number}"):
            v1.get_variable(f"v{number}", initializer=[float(number)], use_resource=resource)
    with tf.device("/cpu:1"):
        v1.get_variable("w", initializer=[9.0], use_resource=resource)
    saver = Saver(sharded=True)
    with v1.Session(config=v1.ConfigProto(device_count={"CPU": 3})) as session:
        session.run(v1.global_variables_initializer())
        prefix = saver.save(session, str(here / "m"), write_meta_graph=False)
        assert names(here) == [
            "checkpoint",
            *(f"m.data-0000{number}-of-00003" for number in range(3)),
            "m.index",
        ]
        session.run([variable.assign([7.0]) for variable in v1.global_variables()])
        saver.restore(session, prefix)
        found = session.run(v1.global_variables())
    assert [value.tolist() for value in found] == [[0.0], [1.0], [2.0], [9.0]]
    import ckptfast

    with ckptfast.open(prefix) as reader:
        assert [reader.info(name).shard for name in reader] == [0, 1, 2, 1]


def test_v1_format(Saver: Any, v1: Any, session: Any, here: Path, tf: ModuleType) -> None:
    saver = Saver(write_version=v1.train.SaverDef.V1)
    assert saver.save(session, "./m", write_meta_graph=False) == "./m"
    assert names(here) == ["checkpoint", "m"]
    saver.restore(session, "./m")
    sharded = Saver(write_version=v1.train.SaverDef.V1, sharded=True)
    found = sharded.save(session, "./s", global_step=3)
    assert found == "./s-3-?????-of-00001"
    assert {"s-3-00000-of-00001", "s-3.meta"} <= set(names(here))
    sharded.restore(session, found)


def test_the_meta_graph_comes_after_the_state_file(
    Saver: Any, session: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = Saver(max_to_keep=1)
    saver.save(session, "./m", global_step=1)
    seen: list[list[str]] = []
    monkeypatch.setattr(saver, "export_meta_graph", lambda *_, **__: seen.append(names(here)))
    saver.save(session, "./m", global_step=2)
    assert seen == [["checkpoint", "m-2.data-00000-of-00001", "m-2.index"]]
    assert (here / "checkpoint").read_text().count("m-2") == 2


def test_a_save_that_cannot_write_leaves_the_old_checkpoint(
    Saver: Any, session: Any, here: Path, tf: ModuleType
) -> None:
    saver = Saver()
    prefix = saver.save(session, str(here / "m"), write_meta_graph=False)
    with pytest.raises((ValueError, OSError, tf.errors.OpError)):
        saver.save(session, "/proc/no/m", write_meta_graph=False)
    saver.restore(session, prefix)
    assert saver.last_checkpoints == [prefix]


def test_names_of_any_language(Saver: Any, v1: Any, here: Path, tf: ModuleType) -> None:
    variable = v1.get_variable("a", initializer=[1.0])
    saver = Saver({"größe/重み": variable, "b": v1.get_variable("b", initializer=b"x\0")})
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        prefix = saver.save(session, os.fspath(here / "módel"))
        session.run(v1.global_variables()[1].assign(b"y"))
        saver.restore(session, prefix)
        assert session.run(v1.global_variables()[1]) == b"x\0"
    assert dict(tf.train.list_variables(prefix)) == {"größe/重み": [1], "b": []}


def test_a_file_where_a_folder_should_be(
    Saver: Any, session: Any, here: Path, tf: ModuleType
) -> None:
    (here / "file").touch()
    with pytest.raises(ValueError, match="Parent directory of file/m doesn't exist, can't save"):
        Saver().save(session, "file/m")
    (here / "checkpoint").mkdir()
    saver = Saver()
    with pytest.raises(tf.errors.FailedPreconditionError, match="checkpoint"):
        saver.save(session, "./m")
    assert saver.last_checkpoints == ["./m"]
    assert names(here) == ["checkpoint", "file", "m.data-00000-of-00001", "m.index"]


def test_a_graph_gets_the_nodes_of_another_graphs_saver(
    Saver: Any, session: Any, v1: Any, tf: ModuleType
) -> None:
    saver = Saver()
    with tf.Graph().as_default():
        message = saver.export_meta_graph()
    assert list(message.graph_def.node) == []
    assert message.saver_def.restore_op_name == "save/restore_all"


def test_a_variable_of_another_shape_than_its_graphs_is_refused(
    Saver: Any, v1: Any, here: Path, tf: ModuleType
) -> None:
    """`AssignVariableOp` looks at no shape, and a value without dimensions has no buffer."""
    a = v1.get_variable("a", [2], initializer=v1.zeros_initializer())
    b = v1.get_variable("b", [3], initializer=v1.ones_initializer())
    value = v1.placeholder(tf.float32)
    with v1.Session() as session:
        session.run(b.initializer)
        session.run(tf.raw_ops.AssignVariableOp(resource=a.handle, value=value), {value: 7.0})
        reader = tf.train.load_checkpoint(Saver().save(session, "./m"))
    assert reader.get_variable_to_shape_map() == {"a": [], "b": [3]}
    assert (reader.get_tensor("a"), reader.get_tensor("b").tolist()) == (7.0, [1.0] * 3)


def test_a_closed_session_of_an_empty_saver(Saver: Any, v1: Any, here: Path) -> None:
    """It only writes the graph, for which no session is needed."""
    with v1.Session() as session:
        saver = Saver(allow_empty=True)
    assert saver.save(session, "./m") is None
    assert [path.name for path in here.iterdir()] == ["m.meta"]


def test_a_session_of_another_class(Saver: Any, session: Any, here: Path) -> None:
    """Whatever can run the nodes of a saver will do, for `save` if it says that it is a session."""
    from tensorflow.python.client.session import SessionInterface

    class Runner:
        graph = session.graph

        def run(self, *arguments: Any, **keywords: Any) -> Any:
            return session.run(*arguments, **keywords)

    class Wrapped(Runner, SessionInterface):  # type: ignore[misc]
        """As a debugger's."""

    saver = Saver()
    prefix = saver.save(Wrapped(), "./m")
    for runner in (Runner(), Wrapped()):
        saver.restore(runner, prefix)
    with pytest.raises(TypeError, match="must be a Session"):
        saver.save(Runner(), "./m")
