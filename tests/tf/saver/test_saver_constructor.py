"""What the constructor accepts, refuses, and makes (C1, C2 of the inventory)."""

from __future__ import annotations

import copy
import inspect
import pickle
from types import ModuleType
from typing import Any

import pytest


def test_is_a_saver_of_tensorflow(FastSaver: Any, v1: Any) -> None:
    v1.get_variable("a", [2])
    assert isinstance(FastSaver(), v1.train.Saver)


def test_arguments_come_in_the_same_order(FastSaver: Any, v1: Any) -> None:
    theirs = list(inspect.signature(v1.train.Saver.__init__).parameters)
    ours = list(inspect.signature(FastSaver.__init__).parameters)
    assert ours[: len(theirs)] == theirs
    for name in ("save", "restore", "build", "export_meta_graph"):
        theirs_of = inspect.signature(getattr(v1.train.Saver, name))
        ours_of = inspect.signature(getattr(FastSaver, name))
        assert list(ours_of.parameters) == list(theirs_of.parameters)
        assert [p.default for p in ours_of.parameters.values()] == [
            p.default for p in theirs_of.parameters.values()
        ]


def test_no_variables(Saver: Any, v1: Any) -> None:
    with pytest.raises(ValueError, match="No variables to save"):
        Saver()


def test_an_empty_saver_saves_only_the_graph(Saver: Any, v1: Any, here: Any) -> None:
    saver = Saver(allow_empty=True)
    with v1.Session() as session:
        assert saver.save(session, "./m") is None
        saver.restore(session, "no such checkpoint")
    assert [path.name for path in here.iterdir()] == ["m.meta"]


def test_var_list_of_a_wrong_type(Saver: Any, v1: Any) -> None:
    with pytest.raises(TypeError, match="Variables to save should be passed in a dict or a list"):
        Saver("a")


def test_two_variables_of_one_name(Saver: Any, v1: Any, tf: ModuleType) -> None:
    a = v1.get_variable("a", [2])
    with pytest.raises(ValueError, match="At least two variables have the same name: a"):
        Saver([a, a])


def test_one_variable_under_two_names(Saver: Any, v1: Any) -> None:
    a = v1.get_variable("a", [2])
    with pytest.raises(ValueError, match="The same saveable will be restored with two names: "):
        Saver({"x": a, "y": a})


def test_a_tensor_is_no_variable(Saver: Any, v1: Any, tf: ModuleType) -> None:
    with pytest.raises(TypeError, match="Variable to save is not a Variable"):
        Saver([tf.constant(1.0)])


def test_a_name_that_is_no_string(Saver: Any, v1: Any) -> None:
    with pytest.raises(TypeError, match="Name is not a string"):
        Saver({1: v1.get_variable("a", [2])})


def test_slices_of_two_variables_in_one_list(Saver: Any, v1: Any) -> None:
    first, second = (
        v1.get_variable(name, [4], partitioner=v1.fixed_size_partitioner(2)) for name in "ab"
    )
    with pytest.raises(ValueError, match="Slices must all be from the same tensor"):
        Saver({"x": [next(iter(first)), next(iter(second))]})


def test_deferred_building_takes_no_list(Saver: Any, v1: Any) -> None:
    with pytest.raises(ValueError, match="build cannot be deferred"):
        Saver([v1.get_variable("a", [2])], defer_build=True)


def test_deferred_building_takes_the_variables_of_that_moment(
    Saver: Any, v1: Any, here: Any, tf: ModuleType
) -> None:
    saver = Saver(defer_build=True)
    v1.get_variable("late", [2])
    assert saver.as_saver_def() is None
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        with pytest.raises(RuntimeError, match=r"`build\(\)` should be called before save"):
            saver.save(session, "./m")
        saver.build()
        saver.build()
        prefix = saver.save(session, "./m", write_meta_graph=False)
    assert tf.train.list_variables(prefix) == [("late", [2])]


def test_the_saver_def(Saver: Any, v1: Any) -> None:
    v1.get_variable("a", [2])
    definition = Saver(
        max_to_keep=None, keep_checkpoint_every_n_hours=0.1, sharded=True
    ).as_saver_def()
    assert definition.filename_tensor_name == "save/Const:0"
    assert definition.save_tensor_name == "save/Identity:0"
    assert definition.restore_op_name == "save/restore_all"
    assert definition.max_to_keep == 0
    assert definition.sharded
    assert definition.version == v1.train.SaverDef.V2
    assert definition.keep_checkpoint_every_n_hours == pytest.approx(0.1, abs=1e-7)
    for name in (definition.filename_tensor_name, definition.save_tensor_name):
        v1.get_default_graph().get_tensor_by_name(name)


def test_scopes_of_several_savers(Saver: Any, v1: Any) -> None:
    v1.get_variable("a", [2])
    savers = [Saver(), Saver(), Saver(name="mine")]
    # Asked for in another order than they were made in.
    names = [saver.saver_def.restore_op_name for saver in reversed(savers)]
    assert names == ["mine/restore_all", "save_1/restore_all", "save/restore_all"]


def test_the_saver_def_is_live(Saver: Any, v1: Any, here: Any) -> None:
    v1.get_variable("a", [2])
    saver = Saver()
    saver.as_saver_def().max_to_keep = 1
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        for step in range(3):
            saver.save(session, "./m", global_step=step)
    assert saver.last_checkpoints == ["./m-2"]


def test_to_proto_strips_a_scope(Saver: Any, v1: Any) -> None:
    v1.get_variable("a", [2])
    with v1.get_default_graph().name_scope("outer"):
        saver = Saver()
    assert saver.to_proto().restore_op_name == "outer/save/restore_all"
    assert saver.to_proto("outer").restore_op_name == "save/restore_all"
    assert saver.to_proto("other") is None


def test_a_saver_from_a_saver_def(Saver: Any, v1: Any, here: Any) -> None:
    a = v1.get_variable("a", initializer=[1.0, 2.0])
    definition = Saver().as_saver_def()
    again = Saver(saver_def=definition)
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        prefix = again.save(session, "./m")
        session.run(a.assign([0.0, 0.0]))
        Saver.from_proto(definition).restore(session, prefix)
        assert session.run(a).tolist() == [1.0, 2.0]


def test_a_saver_def_that_says_too_little(Saver: Any, v1: Any) -> None:
    with pytest.raises(ValueError, match="saver_def must specify the save_tensor_name"):
        Saver(saver_def=v1.train.SaverDef())


def test_a_subclass_keeps_its_meaning(Saver: Any, v1: Any, here: Any) -> None:
    class Mine(Saver):  # type: ignore[misc]
        def save(self, *args: Any, **kwargs: Any) -> Any:
            return (super().save(*args, **kwargs), "mine")

        def _CheckpointFilename(self, p: Any) -> Any:
            return super()._CheckpointFilename(p)

    v1.get_variable("a", [2])
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        assert Mine().save(session, "./m", write_meta_graph=False) == ("./m", "mine")


def test_a_custom_builder_saves(Saver: Any, v1: Any, here: Any, tf: ModuleType) -> None:
    from tensorflow.python.training import saver as saver_module

    class Doubling(saver_module.BulkSaverBuilder):  # type: ignore[misc]
        def save_op(self, filename_tensor: Any, saveables: Any) -> Any:
            return tf.raw_ops.SaveV2(
                prefix=filename_tensor,
                tensor_names=[spec.name for item in saveables for spec in item.specs],
                shape_and_slices=["" for item in saveables for spec in item.specs],
                tensors=[spec.tensor * 2 for item in saveables for spec in item.specs],
            )

    a = v1.get_variable("a", initializer=[1.0, 2.0])
    saver = Saver(builder=Doubling())
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        prefix = saver.save(session, "./m")
        saver.restore(session, prefix)
        assert session.run(a).tolist() == [2.0, 4.0]


def test_a_scope_to_go_on_with(Saver: Any, v1: Any) -> None:
    v1.get_variable("a", [2])
    with v1.name_scope("outer"):
        savers = [Saver(name="mine/"), Saver(name="mine")]
    names = [saver.saver_def.restore_op_name for saver in savers]
    assert names == ["mine/restore_all", "outer/mine/restore_all"]
    with pytest.raises(ValueError, match="'a b' is not a valid"):
        Saver(name="a b")


def test_a_subclass_overwrites_what_we_keep(Saver: Any, v1: Any, here: Any) -> None:
    class Mine(Saver):  # type: ignore[misc]
        def __init__(self, folder: str) -> None:
            super().__init__()
            self._graph = self._options = self._scope = self._path = self._prefix = folder
            self._file = self._form = self._session = self._state = self._targets = folder

    a = v1.get_variable("a", initializer=[1.0, 2.0])
    saver = Mine("mine")
    with v1.Session() as session:
        session.run(a.initializer)
        prefix = saver.save(session, "./m")
        session.run(a.assign([0.0, 0.0]))
        saver.restore(session, prefix)
        assert session.run(a).tolist() == [1.0, 2.0]
    assert saver.saver_def.restore_op_name == "save/restore_all"


@pytest.mark.parametrize("mapping", [False, True])
def test_a_list_that_changes_later_changes_the_nodes(Saver: Any, v1: Any, mapping: bool) -> None:
    a, b = v1.get_variable("a", [2]), v1.get_variable("b", [2])
    var_list: Any = {"a": a} if mapping else [a]
    saver = Saver(var_list)
    if mapping:
        var_list["b"] = b
    else:
        var_list.append(b)
    operations = saver.as_saver_def().restore_op_name, "save/SaveV2", "save/RestoreV2"
    found = [v1.get_default_graph().get_operation_by_name(name) for name in operations]
    assert len(found[0].control_inputs) == 1
    assert len(found[1].inputs) == 4
    assert len(found[2].outputs) == 1


def test_a_used_saver_from_a_saver_def_cannot_be_copied(Saver: Any, v1: Any, here: Any) -> None:
    a = v1.get_variable("a", initializer=[1.0, 2.0])
    saver = Saver(saver_def=Saver().as_saver_def())
    with v1.Session() as session:
        session.run(a.initializer)
        prefix = saver.save(session, "./m")
        saver.restore(session, prefix)
        for other in [copy.copy(saver), copy.deepcopy(saver), pickle.loads(pickle.dumps(saver))]:
            assert other.last_checkpoints == ["./m"]
            session.run(a.assign([0.0, 0.0]))
            other.restore(session, other.save(session, "./n") and prefix)
            assert session.run(a).tolist() == [1.0, 2.0]


def test_a_subclass_cannot_look_at_its_saver_def_while_it_is_built(Saver: Any, v1: Any) -> None:
    class Keeper(Saver):  # type: ignore[misc]
        def build(self) -> None:
            super().build()
            self.saver_def.max_to_keep = 2

    v1.get_variable("a", [2])
    assert Keeper().as_saver_def().max_to_keep == 2


def test_nodes_of_the_v1_format_have_no_scope(Saver: Any, v1: Any, tf: ModuleType) -> None:
    """Where every restore looks for the shape of a variable anew."""
    v1.get_variable("a", initializer=v1.placeholder(tf.float32), validate_shape=False)
    saver = Saver(reshape=True, write_version=v1.train.SaverDef.V1)
    assert saver.saver_def.restore_op_name == "save/restore_all"
    names = {op.name.partition("/")[0] for op in v1.get_default_graph().get_operations()}
    assert names - {"a", "Placeholder", "ckptfast"} == {"save"}


def test_a_path_is_not_looked_at_before_the_saver_is_built(Saver: Any, v1: Any, here: Any) -> None:
    saver = Saver(defer_build=True)
    with v1.Session() as session, pytest.raises(ValueError, match="not a valid checkpoint: m"):
        saver.restore(session, "m")
