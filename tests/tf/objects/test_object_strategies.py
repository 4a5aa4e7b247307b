"""Object-based checkpoints inside functions, and under strategies with several devices or workers.

Strategies are made in processes of their own: they want their devices before TensorFlow starts.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from object_cases import checkpoint_class, contents, run

import ckptfast

HERE = str(Path(__file__).parent)
WRITERS = ("tensorflow", "ckptfast")


@pytest.mark.parametrize("who", WRITERS)
def test_a_function_saves_other_values(tf: ModuleType, tmp_path: Path, who: str) -> None:
    v = tf.Variable([1.0, 2.0])
    checkpoint = checkpoint_class(who)(v=v)
    path = str(tmp_path / "c")
    before = dict(ckptfast.stats().fallbacks)

    @tf.function  # type: ignore[untyped-decorator]
    def write_and_change() -> Any:
        checkpoint.write(path)
        v.assign([0.0, 0.0])
        return v.read_value()

    @tf.function  # type: ignore[untyped-decorator]
    def read() -> Any:
        checkpoint.read(path)
        return v.read_value()

    assert write_and_change().numpy().tolist() == [0.0, 0.0]
    assert contents(path)["v/.ATTRIBUTES/VARIABLE_VALUE"] == [1.0, 2.0]
    with pytest.raises(TypeError, match="unhashable"):  # TensorFlow cannot do it
        read()
    checkpoint.read(path)
    assert v.numpy().tolist() == [1.0, 2.0]
    after = ckptfast.stats().fallbacks
    for what in ("save", "restore"):
        reason = f"object-based {what}: tf.function"
        assert after.get(reason, 0) - before.get(reason, 0) == (who == "ckptfast")


def test_two_replicas_differ_after_a_restore(tf: ModuleType, tmp_path: Path) -> None:
    run(
        """
        import sys
        sys.path.insert(0, sys.argv[1])
        import tensorflow as tf
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(2)])
        import ckptfast
        from object_cases import checkpoint_class, contents
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        with strategy.scope():
            v = tf.Variable([1.0, 2.0])
            total = tf.Variable(
                0.0, synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM)
            optimizer = tf.keras.optimizers.Adam(0.1)
            optimizer.build([v])
        plain = tf.Variable(5)

        @tf.function
        def step():
            def replica():
                gradient = v * tf.cast(
                    tf.distribute.get_replica_context().replica_id_in_sync_group + 1, tf.float32)
                total.assign_add(1.0)
                optimizer.apply_gradients([(gradient, v)])
            strategy.run(replica)

        def state():
            return [[tuple(item.numpy().ravel().tolist())
                     for item in strategy.experimental_local_results(variable)]
                    for variable in (v, *optimizer.variables) if hasattr(variable, "values")] + [
                total.numpy().tolist(), plain.numpy().tolist(), v.numpy().tolist()]

        objects = dict(v=v, total=total, optimizer=optimizer, plain=plain)
        for _ in range(3):
            step()
        saved = state()
        assert saved[-3] == 6.0
        files = {}
        for writer in ("tensorflow", "ckptfast"):
            before = ckptfast.stats().fallbacks
            path = checkpoint_class(writer)(**objects).save(f"{sys.argv[2]}/{writer}")
            assert (ckptfast.stats().fallbacks == before) == (writer == "tensorflow")
            files[writer] = contents(path)
            for reader in ("tensorflow", "ckptfast"):
                step()
                plain.assign(0)
                assert state() != saved
                checkpoint_class(reader)(**objects).restore(path).assert_consumed()
                assert state() == saved, (writer, reader)
                replicas = strategy.experimental_local_results(v)
                assert replicas[0].numpy().tolist() == replicas[1].numpy().tolist()
                for component in v.values:
                    assert component.numpy().tolist() == saved[-1]
        del files["tensorflow"]["_CHECKPOINTABLE_OBJECT_GRAPH"]
        del files["ckptfast"]["_CHECKPOINTABLE_OBJECT_GRAPH"]
        assert files["tensorflow"] == files["ckptfast"]

        # What is saved under a strategy is restored without one, and the other way round.
        alone = tf.Variable([0.0, 0.0])
        checkpoint_class("ckptfast")(v=alone).restore(path).expect_partial()
        assert alone.numpy().tolist() == saved[-1]
        alone.assign([7.0, 8.0])
        path = checkpoint_class("ckptfast")(v=alone).save(f"{sys.argv[2]}/alone")
        checkpoint_class("ckptfast")(v=v).restore(path).assert_consumed()
        assert [item.numpy().tolist() for item in v.values] == [[7.0, 8.0]] * 2

        # A variable that is made later takes its value then, on every replica.
        later = tf.Module()
        checkpoint = checkpoint_class("ckptfast")(later)
        status = checkpoint.restore(path)
        with strategy.scope():
            later.v = tf.Variable([0.0, 0.0])
        assert [item.numpy().tolist() for item in later.v.values] == [[7.0, 8.0]] * 2
        with ckptfast.install():
            path = tf.train.Checkpoint(v=v).save(f"{sys.argv[2]}/installed")
            v.assign([0.0, 0.0])
            tf.train.Checkpoint(v=v).restore(path).assert_consumed()
        assert [item.numpy().tolist() for item in v.values] == [[7.0, 8.0]] * 2
        """,
        HERE,
        str(tmp_path),
    )


WORKER = """
import json, os, sys
sys.path.insert(0, sys.argv[1])
folder = sys.argv[2]
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
import tensorflow as tf
strategy = tf.distribute.MultiWorkerMirroredStrategy()
import ckptfast
from object_cases import checkpoint_class, manager_class
assert strategy.num_replicas_in_sync == 2
with strategy.scope():
    v = tf.Variable([1.0, 2.0])
    total = tf.Variable(
        0.0, synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.SUM)

@tf.function
def step():
    def replica():
        number = tf.distribute.get_replica_context().replica_id_in_sync_group
        v.assign_add([tf.cast(number + 1, tf.float32)] * 2)
        total.assign_add(1.0)
    strategy.run(replica)

with strategy.scope():
    v = tf.Variable([1.0, 2.0], aggregation=tf.VariableAggregation.SUM)
step()
saved = v.numpy().tolist()
assert saved == [4.0, 5.0], saved
# All workers save, as TensorFlow has it: reading `total` takes all. The first one's file counts.
paths = {}
for writer in ("tensorflow", "ckptfast"):
    own = folder if index == 0 else f"{folder}/worker{index}"
    manager = manager_class(writer)(
        checkpoint_class(writer)(v=v, total=total), f"{own}/{writer}", max_to_keep=2)
    manager.save()
    paths[writer] = f"{folder}/{writer}/ckpt-1"
    print("saved by", writer, flush=True)
    # Nobody reads before the first one has written.
    strategy.run(lambda: tf.distribute.get_replica_context().all_reduce("sum", tf.constant(1.0)))
for writer, path in paths.items():
    for reader in ("tensorflow", "ckptfast"):
        step()
        assert v.numpy().tolist() != saved
        checkpoint_class(reader)(v=v, total=total).restore(path).assert_consumed()
        assert v.numpy().tolist() == saved, (writer, reader, v)
        assert total.numpy() == 2.0, total
        step()
        assert v.numpy().tolist() == [7.0, 8.0]
        checkpoint_class(reader)(v=v, total=total).restore(path)
fallbacks = ckptfast.stats().fallbacks
assert fallbacks["object-based save: distribution strategy"] == 1, fallbacks
print("right", flush=True)
sys.stdin.read()  # until the other one is: it takes the end of this process for a failure
os._exit(0)
"""


@pytest.mark.xdist_group("alone")
def test_two_workers_disagree_after_a_restore(tf: ModuleType, tmp_path: Path) -> None:
    # Held until the end, so that nobody else is given these ports; only the workers listen.
    sockets = [socket.socket() for _ in range(2)]
    for item in sockets:
        item.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        item.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{item.getsockname()[1]}" for item in sockets]
    logs = [tmp_path / f"errors{index}" for index in range(2)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WORKER), HERE, str(tmp_path)],
            env={
                **os.environ,
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "TF_GRPC_REUSE_PORT": "1",
                "CUDA_VISIBLE_DEVICES": "-1",
                "TF_CONFIG": json.dumps(
                    {
                        "cluster": {"worker": addresses},
                        "task": {"type": "worker", "index": index},
                    }
                ),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=logs[index].open("w"),
            text=True,
        )
        for index in range(2)
    ]
    try:
        for worker, log in zip(workers, logs, strict=True):
            assert worker.stdout is not None
            assert "right\n" in worker.stdout, log.read_text()[-3000:]
        for worker, log in zip(workers, logs, strict=True):
            worker.communicate()
            assert worker.returncode == 0, log.read_text()[-3000:]
    finally:
        for worker in workers:
            worker.kill()  # the other one would wait for it for ever
        for item in sockets:
            item.close()
    assert set(contents(str(tmp_path / "ckptfast" / "ckpt-1"))) == set(
        contents(str(tmp_path / "tensorflow" / "ckpt-1"))
    )
