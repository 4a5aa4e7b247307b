"""What `test_checkpoint_callbacks` looks at, done by one kind of classes in a process of its own.

python callback_cases.py tensorflow|ckptfast LIBRARY FOLDER

A library stays loaded, so no other test may share the process. Prints a JSON object: by case, what
the callbacks wrote to the log, all files, and more.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy
import tensorflow as tf
from tensorflow.compat import v1

import ckptfast

KIND, LIBRARY, FOLDER = sys.argv[1:]
OURS = KIND == "ckptfast"
Saver = ckptfast.Saver if OURS else v1.train.Saver
Checkpoint = ckptfast.Checkpoint if OURS else tf.train.Checkpoint
Manager = ckptfast.CheckpointManager if OURS else tf.train.CheckpointManager
TWO_DEVICES = v1.ConfigProto(device_count={"CPU": 2})

early = v1.Graph()
with early.as_default():
    v1.get_variable("v", initializer=[0.0])
    early_saver = Saver()
library = tf.load_op_library(LIBRARY)

cases: dict[str, Callable[[str], Any]] = {}
outcomes: dict[str, Any] = {}


def case(function: Callable[[str], Any]) -> Callable[[str], Any]:
    cases[function.__name__] = function
    return function


def register(folder: str, extension: str = "cb", content: str = "kept") -> Any:
    """Register callbacks now, or the operation that does so in the graph."""
    return library.register_checkpoint_callbacks(
        extension=extension, content=content, log=f"{FOLDER}/log", folder=folder
    )


def log(*, ordered: bool = True) -> list[str]:
    """What callbacks have done since this was asked last.

    `ordered` leaves out what ckptfast does at another time: see docs/compatibility.md.
    """
    try:
        with open(f"{FOLDER}/log") as file:
            found = file.read().splitlines()
        os.unlink(f"{FOLDER}/log")
    except FileNotFoundError:
        return []
    return found if ordered else [line.removesuffix(" after index") for line in found]


def files(folder: str) -> list[str]:
    """All files and empty folders; data files without their numbers, which may differ."""
    return sorted(
        {
            os.path.relpath(os.path.join(parent, name), folder).partition("-000")[0]
            for parent, folders, names in os.walk(folder)
            for name in (names if names or folders else ["."])
        }
    )


def fallbacks() -> dict[str, int]:
    return dict(ckptfast.stats().fallbacks)


class Session:
    """A graph with two variables on two devices, a saver, and callbacks."""

    def __init__(self, folder: str, **options: Any) -> None:
        self.graph = v1.Graph()
        with self.graph.as_default():
            for number in (0, 1):
                with tf.device(f"/cpu:{number}"):
                    v1.get_variable(f"v{number}", initializer=[1.0 + number, 2.0])
            self.saver = Saver(**options)
            registering = register(folder)
            failing = register(folder, "bad", "")
            initializer = v1.global_variables_initializer()
            self.session = v1.Session(config=TWO_DEVICES)
            self.session.run([initializer, registering])
            self.fail = lambda: self.session.run(failing)

    def save(self, *arguments: Any, **keywords: Any) -> Any:
        with self.graph.as_default():
            return self.saver.save(self.session, *arguments, **keywords)

    def restore(self, prefix: Any) -> None:
        with self.graph.as_default():
            self.saver.restore(self.session, prefix)


def walked(folder: str, name: str, **options: Any) -> Any:
    """The log and files of a save without a step, one with, the same again, and two restores."""
    prefix = f"{folder}/{name}"
    run = Session(os.path.dirname(prefix), **options)
    os.makedirs(os.path.dirname(prefix))
    found: dict[str, Any] = {}
    steps = {"plain": None, "step": 5, "again": 5}
    sharded = "sharded" in options
    for title, step in steps.items():
        saved = run.save(prefix, global_step=step)
        found[title] = log(ordered=not sharded)
        if sharded and not OURS:
            # TensorFlow runs a kernel for each device at once. Both may see that the callback's
            # file is not there yet, and no lock is held from that look until the file is written.
            found[title] = [line for line, _ in itertools.groupby(found[title])]
    for title in ("restore", "restore again"):
        run.restore(saved)
        found[title] = log()
    return found | {"files": files(folder)}


@case
def unsharded(folder: str) -> Any:
    return walked(folder, "a/m")


@case
def sharded(folder: str) -> Any:
    return walked(folder, "a/m", sharded=True)


@case
def folder_like_a_checkpoint(folder: str) -> Any:
    return walked(folder, "run-3/m")


@case
def name_like_a_temporary_one(folder: str) -> Any:
    return walked(folder, "a/x-1_temp"), walked(f"{folder}/2", "y-1/part-0-of-2")


@case
def sharded_name_like_a_temporary_one(folder: str) -> Any:
    return walked(folder, "a/x-1_temp", sharded=True), walked(
        f"{folder}/2", "y-1/part-0-of-2", sharded=True
    )


@case
def relative(folder: str) -> Any:
    os.makedirs(folder)
    os.chdir(folder)
    run = Session(folder)
    saved = run.save("m", global_step=1)
    run.restore(saved)
    os.chdir("/")
    return log(), files(folder)


@case
def errors(folder: str) -> Any:
    """Of callbacks: no more than a line in the log of TensorFlow."""
    run = Session(folder)
    run.fail()
    os.makedirs(folder)
    saved = run.save(f"{folder}/m", global_step=1)
    with open(f"{saved}.bad", "w") as file:
        file.write("text")
    run.restore(saved)
    return sorted(log()), files(folder)


@case
def failed_save(folder: str) -> Any:
    run = Session(folder)
    try:
        run.save(f"{folder}/no/such/m", global_step=1)
    except (ValueError, tf.errors.OpError) as error:
        return type(error).__name__, log(), files(folder)
    return "saved"


@case
def failed_restore(folder: str) -> Any:
    os.makedirs(folder)
    ckptfast.save(f"{folder}/m-1", {"v0": [1.0, 2.0]})
    with open(f"{folder}/m-1.cb", "w") as file:
        file.write("text")
    run = Session(folder)
    try:
        run.restore(f"{folder}/m-1")
    except tf.errors.NotFoundError:
        return log(), files(folder)
    return "restored"


@case
def differences(folder: str) -> Any:
    """Some that docs/compatibility.md lists: a failing callback and two devices, a wrong shape."""
    run = Session(folder, sharded=True)
    run.fail()
    os.makedirs(folder)
    saved = run.save(f"{folder}/m", global_step=1)
    found = {"sharded": sorted(log())}
    with v1.Graph().as_default(), v1.Session() as session:
        wrong = [v1.get_variable(f"v{n}", [3], use_resource=False) for n in (0, 1)]
        session.run(register(folder))
        try:
            Saver(wrong).restore(session, saved)
        except tf.errors.InvalidArgumentError:
            found["wrong shape"] = log()
    return found


@case
def v1_format(folder: str) -> Any:
    run = Session(folder, write_version=v1.train.SaverDef.V1)
    os.makedirs(folder)
    saved = run.save(f"{folder}/m", global_step=1, write_meta_graph=False)
    with open(f"{saved}.cb", "w") as file:
        file.write("text")
    run.restore(saved)
    return log()


@case
def finalized(folder: str) -> Any:
    """A hundred saves: nodes that were added, lines that are missing, nodes of ours in `.meta`."""
    os.makedirs(folder)
    run = Session(folder)
    run.graph.finalize()
    nodes = len(run.graph.get_operations())
    for step in range(100):
        saved = run.save(f"{folder}/m", global_step=step)
        run.restore(saved)
    found = log()
    added = len(run.graph.get_operations()) - nodes
    meta = v1.MetaGraphDef()
    with open(f"{saved}.meta", "rb") as file:
        meta.ParseFromString(file.read())
    ours = [node.name for node in meta.graph_def.node if "ckptfast" in node.name]
    wanted = [
        line for n in range(100) for line in (f"save m-{n} after index", f"restore m-{n}: kept")
    ]
    kept = [name for name in files(folder) if not name.endswith(".cb")]
    return added, [line for line in wanted if line not in found], ours, kept


@case
def registered_after_the_save(folder: str) -> Any:
    """The manager tells who comes late of the last checkpoint."""
    run = Session(folder)
    os.makedirs(folder)
    with run.graph.as_default():
        late = register(folder, "late")
    saved = run.save(f"{folder}/m", global_step=1)
    run.restore(saved)
    log()
    run.session.run(late)
    return log()


@case
def eager_saver(folder: str) -> Any:
    register(folder, "eager")
    os.makedirs(folder)
    saver = Saver({"v": tf.Variable([1.0, 2.0])})
    saved = saver.save(None, f"{folder}/m", global_step=1)
    saver.restore(None, saved)
    return log(), files(folder)


@case
def checkpoint(folder: str) -> Any:
    """With callbacks that `eager_saver` registered: there is one manager in eager mode."""
    os.makedirs(folder)
    root = Checkpoint(v=tf.Variable([1.0, 2.0]))
    found = {}
    saved = root.save(f"{folder}/m")
    found["save"] = log(ordered=False)
    root.restore(saved)
    found["restore"] = log(ordered=False)
    written = root.write(f"{folder}/w-7")
    root.read(written)
    found["write and read"] = log(ordered=False)
    manager = Manager(root, f"{folder}/managed", max_to_keep=1)
    manager.save()
    manager.save()
    manager.restore_or_initialize()
    found["manager"] = log(ordered=False)
    root.save(f"{folder}/async", options=tf.train.CheckpointOptions(enable_async=True))
    root.sync()
    found["async"] = [line.rstrip("0123456789") for line in log(ordered=False)]
    os.system(f"rm {folder}/async*")  # TensorFlow counts anew
    return found | {"files": files(folder)}


@case
def checkpoint_in_a_graph(folder: str) -> Any:
    os.makedirs(folder)
    with v1.Graph().as_default(), v1.Session() as session:
        root = Checkpoint(v=v1.get_variable("v", initializer=[1.0], use_resource=True))
        root._maybe_create_save_counter()
        session.run([v1.global_variables_initializer(), register(folder)])
        saved = root.save(f"{folder}/m")
        root.restore(saved).run_restore_ops(session)
    return log(ordered=False)


@case
def name_based_checkpoint(folder: str) -> Any:
    """A name-based checkpoint in an object graph."""
    run = Session(folder)
    os.makedirs(folder)
    saved = run.save(f"{folder}/m", global_step=1)
    os.rename(f"{saved}.cb", f"{saved}.eager")
    log()
    root = Checkpoint(v=tf.Variable([0.0, 0.0], name="v0"))
    root.restore(saved)
    return root.v.numpy().tolist(), log(ordered=False)


@case
def object_made_later(folder: str) -> Any:
    os.makedirs(folder)
    source = Checkpoint(module=tf.Module())
    source.module.v = tf.Variable(1.0)
    saved = source.write(f"{folder}/m-1")
    log()
    root = Checkpoint(module=tf.Module())
    root.read(saved)
    found = [log()]
    root.module.v = tf.Variable(0.0)
    return [*found, log()]


if OURS:

    @case
    def restore_function(folder: str) -> Any:
        """`ckptfast.restore`, also of a path that TensorFlow takes for a pattern."""
        run = Session(folder)
        os.makedirs(f"{folder}/[1]")
        saved = run.save(f"{folder}/m", global_step=1)
        odd = run.save(f"{folder}/[1]/m", global_step=1)
        log()
        session = Session(folder).session
        restored = [ckptfast.restore(session, saved).restored for _ in range(2)]
        found = log()
        with warnings.catch_warnings(record=True) as caught:
            ckptfast.restore(session, odd)
        return restored[0], found, log(), [str(warning.message) for warning in caught]

    @case
    def finalized_too_early(folder: str) -> Any:
        """A graph that was finalized when the library was not loaded yet, or no saver was made."""
        os.makedirs(folder)
        ckptfast.save(f"{folder}/m-1", {"v": numpy.ones(1, numpy.float32)})
        messages = []
        with early.as_default(), v1.Session() as session:
            session.run(v1.global_variables_initializer())
            early.finalize()
            variable = v1.global_variables()[0]
            for action in (
                lambda: ckptfast.restore(session, f"{folder}/m-1", {"v": variable}),
                lambda: early_saver.restore(session, f"{folder}/m-1"),
                lambda: early_saver.save(session, f"{folder}/m", global_step=2),
            ):
                try:
                    action()
                except RuntimeError as error:
                    messages.append(str(error))
            return session.run(variable).tolist(), messages, files(folder)

    @case
    def folder_in_the_way(folder: str) -> Any:
        """A file has the name of the folder that SaveV2 needs; then another file is in it."""
        run = Session(folder)
        os.makedirs(folder)
        with open(f"{folder}/m-1_temp", "w"):
            pass
        try:
            run.save(f"{folder}/m", global_step=1)
        except tf.errors.OpError as error:
            message = error.message.replace(folder, "")
        run.restore(f"{folder}/m-1")
        os.unlink(f"{folder}/m-1_temp")
        os.mkdir(f"{folder}/m-1_temp")
        with open(f"{folder}/m-1_temp/other", "w"):
            pass
        run.save(f"{folder}/m", global_step=1)
        return message, log(), files(folder)

    @case
    def keras_weights(folder: str) -> Any:
        import keras

        os.makedirs(folder)
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        saved = Checkpoint(model=model).write(f"{folder}/m-1")
        log()
        ckptfast.keras.load_weights(model, saved)
        return log()


for name, function in cases.items():
    before = fallbacks()
    outcome = function(f"{FOLDER}/{name}")
    assert not log(), name
    counted = {
        reason: count - before.get(reason, 0)
        for reason, count in fallbacks().items()
        if count > before.get(reason, 0)
    }
    outcomes[name] = {"outcome": outcome, "counted": counted}
print(json.dumps(outcomes))
