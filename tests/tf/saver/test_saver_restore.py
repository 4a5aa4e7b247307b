"""`restore`: what it accepts, and how it fails (C4 of the inventory)."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest

BOTH = pytest.mark.parametrize("resource", [False, True], ids=["reference", "resource"])


def saved(v1: Any, tf: ModuleType, prefix: Path, **values: Any) -> str:
    """A checkpoint of these values, by TensorFlow."""
    with tf.Graph().as_default(), v1.Session() as session:
        for name, value in values.items():
            v1.get_variable(name, initializer=value)
        session.run(v1.global_variables_initializer())
        path: str = v1.train.Saver().save(session, str(prefix), write_meta_graph=False)
        return path


@BOTH
def test_values_come_back_uninitialised_or_not(
    Saver: Any, v1: Any, tf: ModuleType, here: Path, resource: bool
) -> None:
    prefix = saved(v1, tf, here / "m", a=[1.0, 2.0], b=[[3]], unused=5.0, s=[b"x", b"y\0"])
    a = v1.get_variable("a", [2], use_resource=resource)
    b = v1.get_variable("b", [1, 1], tf.int32, use_resource=resource)
    s = v1.get_variable("s", initializer=[b"", b""], use_resource=resource)
    saver = Saver()
    with v1.Session() as session:
        saver.restore(session, prefix)
        assert session.run(a).tolist() == [1.0, 2.0]
        session.run([v1.assign(a, [0.0, 0.0]), v1.assign(b, [[0]])])
        saver.restore(session, prefix)
        values = session.run([a, b, s])
    assert [value.tolist() for value in values] == [[1.0, 2.0], [[3]], [b"x", b"y\0"]]


def test_no_path(Saver: Any, v1: Any) -> None:
    v1.get_variable("a", [2])
    with v1.Session() as session, pytest.raises(ValueError, match="Can't load save_path when it i"):
        Saver().restore(session, None)


@pytest.mark.parametrize("path", ["", "no/such/m", "m.ckpt"])
def test_no_checkpoint(Saver: Any, v1: Any, here: Path, path: str) -> None:
    v1.get_variable("a", [2])
    with (
        v1.Session() as session,
        pytest.raises(ValueError, match=f"The passed save_path is not a valid checkpoint: {path}$"),
    ):
        Saver().restore(session, path)


def test_a_missing_variable(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    prefix = saved(v1, tf, here / "m", weights=[1.0])
    there = v1.get_variable("weights", initializer=[5.0])
    v1.get_variable("weight", [1])
    saver = Saver()
    with v1.Session() as session:
        session.run(there.initializer)
        with pytest.raises(
            tf.errors.NotFoundError,
            match=r"(?s)Restoring from checkpoint failed. This is most likely due to a Variable "
            r"name or other graph key that is missing from the checkpoint. .*"
            r"Original error:\n\n.*Key weight not found in checkpoint",
        ):
            saver.restore(session, prefix)
        assert session.run(there).tolist() == [5.0]


def test_another_type(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    prefix = saved(v1, tf, here / "m", a=[1.0], b=[1.0])
    a = v1.get_variable("a", initializer=[5.0])
    v1.get_variable("b", [1], tf.int32, initializer=v1.zeros_initializer())
    saver = Saver()
    with v1.Session() as session:
        session.run(a.initializer)
        with pytest.raises(
            tf.errors.InvalidArgumentError,
            match=r"(?s)a mismatch between the current graph and the graph from the checkpoint.*"
            "tensor_name = b; expected dtype int32 does not equal original dtype float",
        ):
            saver.restore(session, prefix)
        assert session.run(a).tolist() == [5.0]


@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("first", ["gone", "other"])
def test_another_type_hides_a_missing_variable(
    Saver: Any, v1: Any, tf: ModuleType, here: Path, sharded: bool, first: str
) -> None:
    prefix = saved(v1, tf, here / "m", other=[1.0], third=[1.0, 2.0])
    types = {"gone": tf.float32, "other": tf.int32}
    for name in sorted(types, reverse=first == "other"):
        v1.get_variable(name, [1], types[name], initializer=v1.zeros_initializer())
    v1.get_variable("third", [1], use_resource=False)  # of another shape
    saver = Saver(sharded=sharded)
    with v1.Session() as session, pytest.raises(tf.errors.NotFoundError, match="Key gone not"):
        saver.restore(session, prefix)


def test_another_shape_of_a_reference_variable(
    Saver: Any, v1: Any, tf: ModuleType, here: Path
) -> None:
    prefix = saved(v1, tf, here / "m", a=[1.0, 2.0, 3.0])
    v1.get_variable("a", [2], use_resource=False)
    with (
        v1.Session() as session,
        pytest.raises(
            tf.errors.InvalidArgumentError,
            match=r"(?s)a mismatch between.*Assign requires shapes of both tensors to match. "
            r"lhs shape= ?\[2\] rhs shape= ?\[3\]",
        ),
    ):
        Saver().restore(session, prefix)


@pytest.mark.parametrize("resource", [True, False])
def test_reshaping(Saver: Any, v1: Any, tf: ModuleType, here: Path, resource: bool) -> None:
    prefix = saved(v1, tf, here / "m", a=[[1.0, 2.0], [3.0, 4.0]])
    a = v1.get_variable("a", [4], use_resource=resource)
    saver = Saver(reshape=True)
    with v1.Session() as session:
        saver.restore(session, prefix)
        assert session.run(a).tolist() == [1.0, 2.0, 3.0, 4.0]


def test_reshaping_needs_the_same_number(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    prefix = saved(v1, tf, here / "m", a=[1.0, 2.0, 3.0])
    v1.get_variable("a", [2, 2])
    with (
        v1.Session() as session,
        pytest.raises(
            tf.errors.InvalidArgumentError,
            match=r"(?s)a mismatch.*Input to reshape is a tensor with 3",
        ),
    ):
        Saver(reshape=True).restore(session, prefix)


def test_renaming(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    prefix = saved(v1, tf, here / "m", old=[1.0])
    new = v1.get_variable("new", [1])
    other = v1.get_variable("other", initializer=[7.0])
    with v1.Session() as session:
        session.run(other.initializer)
        Saver({"old": new}).restore(session, prefix)
        assert session.run([new, other])[0].tolist() == [1.0]


def test_a_damaged_file(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    prefix = saved(v1, tf, here / "m", a=[1.0, 2.0])
    data = here / "m.data-00000-of-00001"
    data.write_bytes(bytes(8))
    a = v1.get_variable("a", initializer=[5.0, 5.0])
    saver = Saver()
    with v1.Session() as session:
        session.run(a.initializer)
        with pytest.raises(tf.errors.DataLossError, match=r"Checksum does not match|checksum"):
            saver.restore(session, prefix)
        assert session.run(a).tolist() == [5.0, 5.0]


def test_v1_files_and_patterns(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    a = v1.get_variable("a", initializer=[1.0])
    options = {"write_version": v1.train.SaverDef.V1}
    with v1.Session() as session:
        session.run(a.initializer)
        single = v1.train.Saver(**options).save(session, "./one", write_meta_graph=False)
        pattern = v1.train.Saver(sharded=True, **options).save(session, "./many")
        saver = Saver()
        for path in (single, pattern):
            session.run(a.assign([0.0]))
            saver.restore(session, path)
            assert session.run(a).tolist() == [1.0]


def test_partitioned_variables(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    value = [[float(row * 3 + column) for column in range(3)] for row in range(5)]
    prefix = saved(v1, tf, here / "m", p=value)
    p = v1.get_variable("p", [5, 3], partitioner=v1.fixed_size_partitioner(2))
    saver = Saver()
    with v1.Session() as session:
        saver.restore(session, prefix)
        assert session.run(p.as_tensor()).tolist() == value
        again = saver.save(session, "./again")
    assert tf.train.load_checkpoint(again).get_tensor("p").tolist() == value
    import ckptfast

    with ckptfast.open(again) as reader:
        assert reader.info("p").slices == ("0,3:0,3", "3,2:0,3")


def test_object_based_checkpoints(Saver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    from tensorflow.python.eager import context

    with context.eager_mode():
        variable = tf.Variable([1.0, 2.0], name="a")
        prefix = tf.train.Checkpoint(model=variable).write(str(here / "m"))
    a = v1.get_variable("a", [2])
    saver = Saver([a])
    with v1.Session() as session:
        saver.restore(session, prefix)
        assert session.run(a).tolist() == [1.0, 2.0]
        v1.get_variable("b", [2])
        with pytest.raises(
            tf.errors.NotFoundError,
            match=r"(?s)Existing variables not in the checkpoint: b\n.*"
            r"\(1 variable name\(s\) did match\)",
        ):
            Saver().restore(session, prefix)


def test_saving_over_what_was_restored(Saver: Any, v1: Any, here: Path) -> None:
    """The restored values may be pages of the very files that are replaced."""
    a = v1.get_variable("a", initializer=[float(number) for number in range(4096)])
    saver = Saver()
    with v1.Session() as session:
        session.run(a.initializer)
        prefix = saver.save(session, "./m", write_meta_graph=False)
        for _ in range(3):
            saver.restore(session, prefix)
            session.run(v1.assign_add(a, [1.0] * 4096))
            before = session.run(a)
            saver.save(session, "./m", write_meta_graph=False)
            assert (session.run(a) == before).all()
        saver.restore(session, prefix)
        shutil.rmtree(here)
        here.mkdir()
        assert (session.run(a) == before).all()


def test_a_monitored_session_is_refused(Saver: Any, v1: Any, here: Path) -> None:
    a = v1.get_variable("a", initializer=[1.0, 2.0])
    zero = a.assign([0.0, 0.0])
    saver = Saver()
    with v1.train.SingularMonitoredSession() as session:
        prefix = saver.save(session.raw_session(), "./m")
        session.run(zero)
        saver.restore(session, prefix)
        assert session.run(a).tolist() == [1.0, 2.0]
        with pytest.raises(TypeError, match="'sess' must be a Session; "):
            saver.save(session, "./n")


def test_another_saver_def_is_ignored(Saver: Any, v1: Any, here: Path, tf: ModuleType) -> None:
    variables = [v1.get_variable(name, initializer=[1.0]) for name in "ab"]
    saver, other = Saver(), Saver(variables[:1])
    saver.saver_def = other.saver_def
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        prefix = saver.save(session, "./m", write_meta_graph=False)
        assert tf.train.list_variables(prefix) == [("a", [1])]
        saver.restore(session, prefix)


def test_a_save_over_what_is_being_restored_ends_in_an_error(
    FastSaver: Any, v1: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ckptfast.tf.saver import _restore

    a = v1.get_variable("a", initializer=[1.0, 2.0])
    saver = FastSaver()
    restore, calls = _restore.restore, []

    def interrupted(session: Any, *arguments: Any, **keywords: Any) -> None:
        calls.append(len(calls))
        if len(calls) == 1:
            session.run(a.assign([3.0, 4.0]))
            saver.save(session, "./m")
            session.run(a.assign([0.0, 0.0]))
        restore(session, *arguments, **keywords)

    with v1.Session() as session:
        session.run(a.initializer)
        saver.save(session, "./m")
        monkeypatch.setattr(_restore, "restore", interrupted)
        saver.restore(session, "./m")
        assert session.run(a).tolist() == [3.0, 4.0]
    assert calls == [0, 1]


@pytest.mark.parametrize("known", [True, False])
def test_reshaping_needs_nodes_that_a_finalized_graph_lacks(
    Saver: Any, v1: Any, here: Path, known: bool
) -> None:
    a = v1.get_variable("a", initializer=numpy.arange(6.0).reshape(2, 3))
    with v1.Session() as session:
        session.run(a.initializer)
        prefix = Saver().save(session, "./m", write_meta_graph=False)
    with v1.Graph().as_default() as graph:
        start = v1.zeros([6], v1.float64)
        if not known:
            start = v1.placeholder_with_default(start, [None])
        a = v1.get_variable("a", initializer=start, use_resource=False, validate_shape=known)
        b = v1.get_variable("b", [3], v1.float64)
        saver, other = Saver([a], reshape=True), Saver({"a": b}, reshape=True)
        graph.finalize()
        with v1.Session() as session:
            session.run([a.initializer, b.initializer])
            saver.restore(session, prefix)
            assert session.run(a).tolist() == [0, 1, 2, 3, 4, 5]
            with pytest.raises(v1.errors.InvalidArgumentError, match=r"6 values.* shape has 3"):
                other.restore(session, prefix)
