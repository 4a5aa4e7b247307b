"""Parts of TensorFlow that make savers of their own, under `install()`."""

from __future__ import annotations

from pathlib import Path

from install_cases import run, write_with_tensorflow

STOCK_RESTORES = """
saver = v1.train.import_meta_graph(sys.argv[1])
assert not ours(saver)
graph = tf.compat.v1.get_default_graph()
for op in graph.get_operations():
    assert "ckptfast" not in op.name and "PyFunc" not in op.type, op.name
with v1.Session() as sess:
    saver.restore(sess, sys.argv[2])
    print(sess.run(v1.global_variables()[0]).tolist())
"""


def test_import_meta_graph_makes_a_slow_saver(tf: object, tmp_path: Path) -> None:
    write_with_tensorflow(tmp_path)
    run(
        """
        from ckptfast.tf.install import install
        install()
        saver = v1.train.import_meta_graph("model-7.meta")
        assert ours(saver)
        with v1.Session() as sess:
            saver.restore(sess, tf.train.latest_checkpoint("."))
            y = v1.get_collection("predict")[0]
            assert sess.run(y, {"x:0": [[1.0, 1.0]]}).tolist() == [[3.0, 5.0, 7.0]]
            saver.save(sess, "./again")
        assert fallbacks() == {}
        """,
        tmp_path,
    )
    assert run(STOCK_RESTORES, tmp_path, "again.meta", "again") == (
        "[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]\n"
    )


def test_a_monitored_session_does_not_save_through_us(tf: object, tmp_path: Path) -> None:
    run(
        """
        from ckptfast.tf.install import install
        install()
        import ckptfast
        def train(expected):
            with tf.Graph().as_default() as graph:
                step = v1.train.get_or_create_global_step()
                w = v1.get_variable("w", initializer=[0.0, 0.0])
                op = v1.group(w.assign_add([1.0, 2.0]), v1.assign_add(step, 1))
                hooks = [v1.train.CheckpointSaverHook("./logs", save_steps=2)]
                with v1.train.MonitoredTrainingSession(
                    checkpoint_dir="./logs", hooks=hooks, save_checkpoint_secs=None
                ) as sess:
                    assert sess.run(step) == expected, sess.run(step)
                    for _ in range(5):
                        sess.run(op)
                    assert graph.finalized
                (saver,) = v1.get_collection(v1.GraphKeys.SAVERS)
                assert ours(saver)
        train(0)
        train(5)
        assert tf.train.latest_checkpoint("./logs") == "./logs/model.ckpt-10"
        assert tf.train.load_variable("./logs", "w").tolist() == [10.0, 20.0]
        assert ckptfast.stats().tensors_written > 0 and fallbacks() == {}
        text = open("./logs/graph.pbtxt").read()
        assert "PyFunc" not in text and "ckptfast" not in text
        for event in v1.train.summary_iterator(__import__("glob").glob("./logs/events*")[0]):
            assert b"PyFunc" not in event.graph_def and b"ckptfast/" not in event.graph_def
        """,
        tmp_path,
    )
    prefix = str(tmp_path / "logs" / "model.ckpt-10")
    program = STOCK_RESTORES.replace("global_variables()[0]", 'global_variables("w")[0]')
    assert run(program, tmp_path, prefix + ".meta", prefix) == "[10.0, 20.0]\n"


def test_a_supervisor_does_not_save_through_us(tf: object, tmp_path: Path) -> None:
    run(
        """
        from ckptfast.tf.install import install
        install()
        import ckptfast
        step = v1.train.get_or_create_global_step()
        w = v1.get_variable("w", initializer=[1.0, 2.0])
        supervisor = v1.train.Supervisor(logdir="./logs", save_model_secs=0)
        assert ours(supervisor.saver)
        with supervisor.managed_session() as sess:
            supervisor.saver.save(sess, supervisor.save_path, global_step=supervisor.global_step)
        assert tf.train.load_variable("./logs", "w").tolist() == [1.0, 2.0]
        assert fallbacks() == {}
        assert "PyFunc" not in open("./logs/graph.pbtxt").read()
        """,
        tmp_path,
    )
    prefix = str(tmp_path / "logs" / "model.ckpt-0")
    program = STOCK_RESTORES.replace("global_variables()[0]", 'global_variables("w")[0]')
    assert run(program, tmp_path, prefix + ".meta", prefix) == "[1.0, 2.0]\n"


def test_a_scaffold_or_a_hook_with_our_saver_fails(tf: object, tmp_path: Path) -> None:
    run(
        """
        import ckptfast
        from ckptfast.tf.saver import Saver
        w = v1.get_variable("w", initializer=[1.0])
        step = v1.train.get_or_create_global_step()
        bump = v1.assign_add(step, 1)
        scaffold = v1.train.Scaffold(saver=Saver(max_to_keep=2))
        with v1.train.MonitoredTrainingSession(
            checkpoint_dir="./logs", scaffold=scaffold, save_checkpoint_steps=1
        ) as sess:
            for _ in range(4):
                sess.run(bump)
        state = v1.train.get_checkpoint_state("./logs")
        assert len(state.all_model_checkpoint_paths) == 2
        assert fallbacks() == {}
        """,
        tmp_path,
    )


def test_a_saved_model_leaks_our_nodes(tf: object, tmp_path: Path) -> None:
    run(
        """
        from ckptfast.tf.install import install
        install()
        import ckptfast, os
        w = v1.get_variable("w", initializer=[1.0, 2.0])
        x = v1.placeholder(tf.float32, [2], name="x")
        y = tf.add(w, x, name="y")
        with v1.Session() as sess:
            sess.run(v1.global_variables_initializer())
            builder = v1.saved_model.builder.SavedModelBuilder("./model")
            signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
            builder.add_meta_graph_and_variables(
                sess, ["serve"], signature_def_map={"serving_default": signature})
            builder.save()
            frozen = tf.compat.v1.graph_util.convert_variables_to_constants(
                sess, sess.graph_def, ["y"])
        assert b"PyFunc" not in frozen.SerializeToString()
        content = open("./model/saved_model.pb", "rb").read()
        assert b"PyFunc" not in content and b"_ckptfast" not in content and b"SaveV2" in content
        assert not os.path.exists("./model/variables/checkpoint")
        assert ckptfast.stats().tensors_written == 1
        before = ckptfast.stats().tensors_read
        with tf.Graph().as_default(), v1.Session() as sess:
            v1.saved_model.load(sess, ["serve"], "./model")
            assert sess.run("y:0", {"x:0": [1.0, 1.0]}).tolist() == [2.0, 3.0]
        assert ckptfast.stats().tensors_read > before and fallbacks() == {}
        """,
        tmp_path,
    )
    run(
        """
        v1.enable_eager_execution()
        loaded = tf.saved_model.load("./model")
        y = loaded.signatures["serving_default"](x=tf.constant([1.0, 1.0]))["y"]
        assert y.numpy().tolist() == [2.0, 3.0]
        """.replace("v1.enable_eager_execution()", "v1.enable_v2_behavior()"),
        tmp_path,
    )


def test_warm_starting_reads_other_values(tf: object, tmp_path: Path) -> None:
    write_with_tensorflow(tmp_path)
    run(
        """
        from ckptfast.tf.install import install
        install()
        expected = [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
        a = v1.get_variable("scope/w", [2, 3])
        tf.compat.v1.train.init_from_checkpoint("model-7", {"w": "scope/w"})
        b = v1.get_variable("w", [2, 3])
        v1.train.warm_start(".", vars_to_warm_start="^w")
        with v1.Session() as sess:
            sess.run(v1.global_variables_initializer())
            assert sess.run(a).tolist() == expected and sess.run(b).tolist() == expected
        try:
            c = v1.get_variable("c", [5])
            tf.compat.v1.train.init_from_checkpoint("model-7", {"w": c})
        except ValueError as error:
            assert "doesn't match with shape of tensor w" in str(error), error
        else:
            raise AssertionError("a wrong shape was accepted")
        """,
        tmp_path,
    )
