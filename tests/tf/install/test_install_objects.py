"""`install()` and object graphs: `tf.train.Checkpoint`, managers, SavedModels and Keras."""

from __future__ import annotations

from pathlib import Path

from install_cases import run

COUNTED = """
import ckptfast
def written():
    return ckptfast.stats().tensors_written
def read():
    return ckptfast.stats().tensors_read
class Ours:
    # What happens within `with` is written and read by us, and nothing by TensorFlow.
    def __init__(self, saves=True, restores=True):
        self.wanted = saves, restores
    def __enter__(self):
        self.before = written(), read(), fallbacks()
    def __exit__(self, kind, *_):
        if kind is None:
            saved, restored = written() > self.before[0], read() > self.before[1]
            assert (saved, restored) == self.wanted, (saved, restored)
            assert fallbacks() == self.before[2], fallbacks()
"""


def test_a_checkpoint_is_missed(tf: object, tmp_path: Path) -> None:
    (tmp_path / "library.py").write_text(
        "from tensorflow.train import Checkpoint, CheckpointManager\n"
        "from tensorflow.compat.v2.train import Checkpoint as V2\n"
        "from tensorflow.compat.v1.train import Checkpoint as V1\n"
        "from tensorflow.python.checkpoint import checkpoint as lib, checkpoint_management\n"
        "from tensorflow.python.checkpoint.checkpoint import TrackableSaver\n"
        "class Derived(Checkpoint):\n"
        "    def save(self, *arguments, **options):\n"
        "        self.calls = getattr(self, 'calls', 0) + 1\n"
        "        return super().save(*arguments, **options)\n"
    )
    run(
        COUNTED
        + """
        import library
        v = tf.Variable([1.0, 2.0])
        before = library.Checkpoint(v=v)
        derived = library.Derived(v=v)
        manager = library.CheckpointManager(before, "./old", max_to_keep=1)
        stock = {
            (kind, name): vars(kind)[name]
            for kind in (library.Checkpoint, library.TrackableSaver, library.CheckpointManager)
            for name in vars(kind)
        }
        def everything(where, checker):
            made = [before, derived, library.Derived(v=v), tf.train.Checkpoint(v=v),
                    library.V2(v=v), library.V1(v=v), v1.train.Checkpoint(v=v),
                    library.lib.Checkpoint(v=v), tf.train.Checkpoint(tf.Module(), v=v)]
            for number, checkpoint in enumerate(made):
                for save, restore in (("save", "restore"), ("write", "read")):
                    with checker():
                        path = getattr(checkpoint, save)(f"./{where}/{number}")
                        v.assign([0.0, 0.0])
                        restore = getattr(checkpoint, restore, checkpoint.restore)
                        restore(path).assert_consumed()
                        assert v.numpy().tolist() == [1.0, 2.0], number
            for keeper in (manager, tf.train.CheckpointManager(before, f"./{where}m", 1)):
                for _ in range(2):
                    with checker(restores=False):
                        path = keeper.save()
                assert keeper.checkpoints == [path] and tf.train.latest_checkpoint(
                    keeper.directory) == path
                v.assign([0.0, 0.0])
                with checker(saves=False):
                    assert keeper.restore_or_initialize() == path
                assert v.numpy().tolist() == [1.0, 2.0]
            saver = library.TrackableSaver(library.lib.graph_view_lib.ObjectGraphView(before))
            with checker():
                saver.restore(saver.save(f"./{where}/raw")).assert_existing_objects_matched()
            options = tf.train.CheckpointOptions(enable_async=True)
            late = tf.train.Checkpoint(v=v)
            with checker(restores=False):
                paths = [late.save(f"./{where}/late", options=options) for _ in range(3)]
                late.sync()
            assert tf.train.latest_checkpoint(where) == paths[-1]
            with checker(saves=False):
                late.restore(paths[0]).assert_consumed()

        class Stock:
            def __init__(self, **_): pass
            def __enter__(self): self.before = written(), read()
            def __exit__(self, *_): assert (written(), read()) == self.before

        everything("a", Stock)
        ckptfast.install()
        everything("b", Ours)
        assert derived.calls == 2
        fast = ckptfast.Checkpoint(v=v)
        with Ours():
            fast.restore(fast.save("./fast")).assert_consumed()
        assert isinstance(fast, tf.train.Checkpoint) and not isinstance(before, type(fast))
        options = tf.train.CheckpointOptions(enable_async=True)
        between = tf.train.Checkpoint(v=v)
        between.save("./between/c", options=options)
        ckptfast.uninstall()
        between.save("./between/c", options=options)
        between.sync()
        assert tf.train.latest_checkpoint("./between") == "./between/c-2"
        for (kind, name), value in stock.items():
            assert vars(kind)[name] is value, (kind, name)
        everything("c", Stock)
        with ckptfast.install():
            everything("d", Ours)
        everything("e", Stock)
        """,
        tmp_path,
        graph_mode=False,
    )


def test_tf_keras_does_not_use_us(tf: object, tmp_path: Path) -> None:
    run(
        COUNTED
        + """
        import os
        import tf_keras
        random = np.random.default_rng(0)
        x, y = random.random((8, 4)), random.random((8, 2))
        def model():
            made = tf_keras.Sequential([
                tf_keras.layers.Dense(3, input_shape=(4,)), tf_keras.layers.Dense(2)])
            made.compile(tf_keras.optimizers.Adam(0.1), "mse")
            return made
        old = model()
        old.fit(x, y, verbose=0)
        old.save_weights("./stock/w")
        ckptfast.install()
        with Ours():
            old.save_weights("./fast/w")
            new = model()
            new.load_weights("./fast/w").assert_existing_objects_matched()
        for ours, theirs in zip(new.get_weights(), old.get_weights(), strict=True):
            assert (ours == theirs).all()
        with open("./stock/checkpoint") as stock, open("./fast/checkpoint") as fast:
            assert stock.read() == fast.read()
        for name, value in ckptfast.load("./stock/w").items():
            if name != "_CHECKPOINTABLE_OBJECT_GRAPH":
                assert (ckptfast.load("./fast/w")[name] == value).all(), name
        try:
            model().load_weights("./nothing")
        except tf.errors.NotFoundError:
            pass
        else:
            raise AssertionError("weights from nowhere")

        class Stop(tf_keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 2:
                    raise KeyboardInterrupt
        backup = lambda: tf_keras.callbacks.BackupAndRestore("./backup")
        first = model()
        with Ours():
            try:
                first.fit(x, y, epochs=4, verbose=0, callbacks=[backup(), Stop()])
            except KeyboardInterrupt:
                pass
            again = model()
            history = again.fit(x, y, epochs=4, verbose=0, callbacks=[backup()])
        assert history.epoch == [2, 3], history.epoch
        assert again.optimizer.iterations.numpy() == 4

        best = tf_keras.callbacks.ModelCheckpoint(
            "./best/{epoch}", save_weights_only=True, save_best_only=True)
        with Ours(restores=False):
            again.fit(x, y, validation_data=(x, y), epochs=2, verbose=0, callbacks=[best])
        with Ours(saves=False):
            model().load_weights(tf.train.latest_checkpoint("./best")).expect_partial()

        with Ours():
            again.save("./saved", save_format="tf")
            loaded = tf_keras.models.load_model("./saved")
        assert np.allclose(loaded.predict(x, verbose=0), again.predict(x, verbose=0))
        with Ours(saves=False):
            other = model()
            other.load_weights("./saved").expect_partial()  # a SavedModel's folder
        assert np.allclose(other.predict(x, verbose=0), again.predict(x, verbose=0))
        """,
        tmp_path,
        graph_mode=False,
    )


def test_a_saved_model_or_keras_3_goes_wrong(tf: object, tmp_path: Path) -> None:
    run(
        COUNTED
        + """
        import os
        import keras
        class Part(tf.Module):
            def __init__(self):
                super().__init__()
                self.w = tf.Variable([[1.0, 2.0]], name="w")
                self.items = [self.w, tf.Variable(3), tf.constant(5.0), tf.constant(5.0)]
                self.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
                self.optimizer = keras.optimizers.Adam()
                self.optimizer.build([self.w])
                self.up = self
            @tf.function(input_signature=[tf.TensorSpec([None, 1])])
            def __call__(self, x):
                return x @ self.w + self.items[2] + self.items[3]
        part = Part()
        part.table.insert(["a"], tf.constant([7], tf.int64))
        tf.saved_model.save(part, "./stock")
        def tensors(folder):
            found = ckptfast.load(f"{folder}/variables/variables")
            del found["_CHECKPOINTABLE_OBJECT_GRAPH"]
            return {name: value.tolist() for name, value in found.items()}
        def graph(folder):
            return ckptfast.open(f"{folder}/variables/variables").objects
        with ckptfast.install():
            with Ours():
                tf.saved_model.save(part, "./fast")
                loaded = tf.saved_model.load("./fast")
            assert loaded(tf.constant([[2.0]])).numpy().tolist() == [[12.0, 14.0]]
            assert loaded.table.lookup(tf.constant(["a"])).numpy() == [7]
            written_print = tf.saved_model.experimental.read_fingerprint("./fast")
            policy = tf.train.experimental.MaxShardSizePolicy(max_shard_size=200)
            with Ours(restores=False):
                tf.saved_model.save(part, "./cut", options=tf.saved_model.SaveOptions(
                    experimental_sharding_callback=policy))
            with Ours(saves=False):
                tf.saved_model.load("./stock")
            assert ckptfast.open("./cut/variables/variables").num_shards > 1
        assert tensors("./fast") == tensors("./stock") == tensors("./cut")
        assert graph("./fast").tree() == graph("./stock").tree()
        from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting
        from tensorflow.core.protobuf import fingerprint_pb2
        made = fingerprint_pb2.FingerprintDef.FromString(
            fingerprinting.CreateFingerprintDef("./fast"))
        assert made.checkpoint_hash == written_print.checkpoint_hash != 0
        for folder in ("./fast", "./cut"):
            again = tf.saved_model.load(folder)
            assert again(tf.constant([[2.0]])).numpy().tolist() == [[12.0, 14.0]]

        # Keras 3 has files of its own, in which we have no part.
        random = np.random.default_rng(0)
        x, y = random.random((8, 4)), random.random((8, 2))
        def model():
            made = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
            made.compile("adam", "mse")
            return made
        class Stop(keras.callbacks.Callback):
            def on_epoch_begin(self, epoch, logs=None):
                if epoch == 2:
                    raise KeyboardInterrupt
        with ckptfast.install():
            backup = lambda: keras.callbacks.BackupAndRestore("./backup")
            try:
                model().fit(x, y, epochs=4, verbose=0, callbacks=[backup(), Stop()])
            except KeyboardInterrupt:
                pass
            again = model()
            assert again.fit(x, y, epochs=4, verbose=0, callbacks=[backup()]).epoch == [2, 3]
            best = keras.callbacks.ModelCheckpoint("./best.weights.h5", save_weights_only=True)
            again.fit(x, y, verbose=0, callbacks=[best])
            other = model()
            other.load_weights("./best.weights.h5")
            assert (other.get_weights()[0] == again.get_weights()[0]).all()
            checkpoint = tf.train.Checkpoint(model=again, optimizer=again.optimizer)
            with Ours():
                path = checkpoint.save("./keras3/c")
                fresh = model()
                fresh.optimizer.build(fresh.trainable_variables)
                tf.train.Checkpoint(model=fresh, optimizer=fresh.optimizer).restore(
                    path).assert_consumed()
            assert (fresh.get_weights()[0] == again.get_weights()[0]).all()
            with Ours():
                again.export("./exported", verbose=False)
                tf.saved_model.load("./exported")
        """,
        tmp_path,
        graph_mode=False,
    )
