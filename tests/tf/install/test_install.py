"""What `install()` replaces, what it leaves, and that `uninstall()` undoes it."""

from __future__ import annotations

from pathlib import Path

import pytest
from install_cases import run, write_with_tensorflow


def test_a_name_that_was_imported_before_is_missed(tf: object, tmp_path: Path) -> None:
    (tmp_path / "library.py").write_text(
        "from tensorflow.compat.v1.train import Saver, latest_checkpoint as newest\n"
        "from tensorflow.python.training import saver as saver_lib\n"
        "from tensorflow.python.checkpoint import checkpoint_management\n"
        "def made(kind=Saver, **options):\n"
        "    return kind(**options)\n"
    )
    run(
        """
        import library
        before, = kept = [library.newest]  # the list keeps it; the name would be changed
        from ckptfast.tf.install import install, uninstall
        install()
        import ckptfast
        v = v1.get_variable("v", [2])
        for saver in (
            v1.train.Saver(max_to_keep=3), library.made(), library.saver_lib.Saver([v]),
            tf.compat.v1.train.Saver({"other": v}),
        ):
            assert ours(saver), saver
            assert isinstance(saver, v1.train.Saver)
        assert v1.train.Saver(max_to_keep=3).as_saver_def().max_to_keep == 3
        replaced = tf.train.latest_checkpoint
        assert replaced is not kept[0]
        assert before is replaced, "this module has a name for it too"
        assert library.newest is replaced
        assert library.checkpoint_management.latest_checkpoint is replaced
        assert library.saver_lib.latest_checkpoint is replaced
        assert v1.train.latest_checkpoint is replaced
        assert replaced.__name__ == "latest_checkpoint"

        uninstall()
        assert library.newest is tf.train.latest_checkpoint is kept[0]
        assert library.checkpoint_management.latest_checkpoint is kept[0]
        assert not ours(library.made())
        """,
        tmp_path,
    )


def test_a_class_or_saver_from_before_changes(tf: object, tmp_path: Path) -> None:
    run(
        """
        from ckptfast.tf.install import install, uninstall
        v = v1.get_variable("v", initializer=[1.0, 2.0])
        class Older(v1.train.Saver):
            def save(self, *arguments, **options):
                self.calls = getattr(self, "calls", 0) + 1
                return super().save(*arguments, **options)
        old_saver, older = v1.train.Saver(), Older()
        with install():
            assert isinstance(old_saver, v1.train.Saver) and isinstance(older, v1.train.Saver)
            assert not ours(Older()) and not ours(old_saver)
            assert Older.__mro__[1] is v1.train.Saver
            class Newer(v1.train.Saver):
                pass
            import ckptfast
            from ckptfast.tf.saver import Saver
            assert issubclass(Newer, Saver) and issubclass(Newer, v1.train.Saver)
            with v1.Session() as sess:
                sess.run(v.initializer)
                for number, saver in enumerate([old_saver, older, Older(), Newer()]):
                    path = saver.save(sess, f"./model{number}")
                    sess.run(v.assign([0.0, 0.0]))
                    saver.restore(sess, path)
                    assert sess.run(v).tolist() == [1.0, 2.0]
            assert older.calls == 1
        assert not ours(v1.train.Saver())
        assert isinstance(Newer(), v1.train.Saver)
        """,
        tmp_path,
    )


def test_installing_twice_or_leaving_the_inner_one_uninstalls(tf: object, tmp_path: Path) -> None:
    run(
        """
        from ckptfast.tf.install import install, uninstall
        v = v1.get_variable("v", [2])
        original = [tf.train.load_checkpoint]  # a name would be changed
        uninstall()  # nothing to undo
        for _ in range(2):
            with install():
                with install():
                    assert ours(v1.train.Saver())
                assert ours(v1.train.Saver())
                assert tf.train.load_checkpoint is not original[0]
            assert not ours(v1.train.Saver())
            assert tf.train.load_checkpoint is original[0]
        try:
            with install():
                raise KeyError
        except KeyError:
            pass
        assert tf.train.load_checkpoint is original[0]

        one, other = install(), install()  # in two threads, say
        with other:
            with one:
                pass
            assert ours(v1.train.Saver())
        assert not ours(v1.train.Saver())
        with install():
            uninstall()
            kept = install()
        assert ours(v1.train.Saver()), "this call was left by nobody"
        uninstall()
        """,
        tmp_path,
    )


def test_a_constructor_that_is_called_by_its_name_fails(tf: object, tmp_path: Path) -> None:
    run(
        """
        import copy, inspect
        from ckptfast.tf.install import install, uninstall
        v = v1.get_variable("v", initializer=[1.0, 2.0])
        session = v1.Session()
        session.run(v.initializer)
        stock = v1.train.Saver()
        signature = inspect.signature(v1.train.Saver)

        def derived():
            class Derived(v1.train.Saver):
                def __init__(self, *arguments, **options):
                    v1.train.Saver.__init__(self, *arguments, **options)
                def build(self):
                    v1.train.Saver.build(self)
                    self.saver_def.max_to_keep = 3
                def save(self, *arguments, **options):
                    return v1.train.Saver.save(self, *arguments, **options)
            return Derived

        def works(saver):
            saver.restore(session, saver.save(session, "./m"))
            return saver

        Older = derived()
        with install():
            Newer = derived()
            class Both(Older, v1.train.Saver):
                pass
            assert ours(works(v1.train.Saver()))
            for kind in (Older, Newer, Both):
                assert works(kind(max_to_keep=2)).saver_def.max_to_keep == 3
            import ckptfast
            assert isinstance(Newer(), ckptfast.Saver) and isinstance(Both(), ckptfast.Saver)
            assert not ours(works(copy.copy(stock))), "a copy of TensorFlow's is TensorFlow's"
            assert inspect.signature(v1.train.Saver) == signature
        works(Newer())
        assert not ours(works(v1.train.Saver()))
        assert inspect.signature(v1.train.Saver) == signature
        """,
        tmp_path,
    )


def test_a_module_imported_meanwhile_keeps_our_functions(tf: object, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text("from tensorflow.compat.v1.train import list_variables\n")
    run(
        """
        from ckptfast.tf.install import install
        with install():
            import late
            assert late.list_variables is tf.train.list_variables
        assert late.list_variables is tf.train.list_variables
        import ckptfast
        assert ckptfast.list_variables is not tf.train.list_variables, "ours stays ours"
        """,
        tmp_path,
    )


@pytest.mark.parametrize("version", ["2.20.1", "2.22.0", "3.0.0", "1.15.5"])
def test_another_version_is_patched(tf: object, tmp_path: Path, version: str) -> None:
    run(
        f"""
        import ckptfast
        from ckptfast.tf.install import install
        original = tf.train.load_checkpoint
        tf.__version__ = "{version}"
        try:
            install()
        except ckptfast.UnsupportedError as error:
            assert "2.21.x" in str(error) and "{version}" in str(error), error
        else:
            raise AssertionError("it installed")
        assert tf.train.load_checkpoint is original
        """,
        tmp_path,
    )


def test_results_are_not_tensorflows(tf: object, tmp_path: Path) -> None:
    write_with_tensorflow(tmp_path)
    run(
        """
        from google.protobuf import message
        from ckptfast.tf.install import install
        theirs, results = {}, {}
        def everything():
            state = v1.train.get_checkpoint_state(".")
            assert isinstance(state, message.Message)
            reader = tf.train.load_checkpoint("model-7")
            return {
                "latest": tf.train.latest_checkpoint("."),
                "state": state.SerializeToString(),
                "none": v1.train.get_checkpoint_state("/nowhere"),
                "exists": v1.train.checkpoint_exists("model-7"),
                "times": v1.train.get_checkpoint_mtimes(["model-7"]),
                "list": tf.train.list_variables("."),
                "value": tf.train.load_variable(".", "w").tolist(),
                "dtype": reader.get_variable_to_dtype_map(),
                "reader": v1.train.NewCheckpointReader("model-7").get_tensor("w").tolist(),
                "iterated": next(tf.train.checkpoints_iterator(".")),
            }
        theirs = everything()
        with install():
            assert everything() == theirs
            v1.train.update_checkpoint_state(".", "model-7", ["model-7"])
            assert tf.train.latest_checkpoint(".") == theirs["latest"]
            try:
                tf.train.load_checkpoint("model-8")
            except (tf.errors.NotFoundError, ValueError):
                pass
            tf.compat.v1.train.remove_checkpoint("model-7")
        import os
        assert not os.path.exists("model-7.index") and not os.path.exists("model-7.meta")
        """,
        tmp_path,
    )


def test_another_file_system_goes_in_circles(tf: object, tmp_path: Path) -> None:
    run(
        """
        from ckptfast.tf.install import install
        v = v1.get_variable("v", initializer=[1.0, 2.0])
        tf.io.gfile.makedirs("ram://folder")
        with install(), v1.Session() as sess:
            sess.run(v.initializer)
            saver = v1.train.Saver()
            path = saver.save(sess, "ram://folder/model", global_step=3)
            assert tf.train.latest_checkpoint("ram://folder") == path
            state = v1.train.get_checkpoint_state(checkpoint_dir="ram://folder")
            assert state.model_checkpoint_path == path
            assert v1.train.checkpoint_exists(path)
            assert len(v1.train.get_checkpoint_mtimes([path])) == 1
            assert v1.train.NewCheckpointReader(path).get_tensor("v").tolist() == [1.0, 2.0]
            sess.run(v.assign([0.0, 0.0]))
            saver.restore(sess, path)
            assert sess.run(v).tolist() == [1.0, 2.0]
        """,
        tmp_path,
    )
