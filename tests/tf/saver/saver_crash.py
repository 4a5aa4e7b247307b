"""Savers that die, that find no room, and that are watched: for `test_saver_crash`.

python saver_crash.py kill|full|memory FOLDER

One process imports TensorFlow; those that are killed are its forks.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.compat import v1

import ckptfast
from helpers.memory import most_during

NAMES = [f"v{number}" for number in range(8)]
KILLS = 4
TWO_DEVICES = v1.ConfigProto(device_count={"CPU": 2})
# Options of the saver, and whether every save has a prefix of its own.
MODES: dict[str, tuple[dict[str, Any], bool]] = {
    "one prefix": ({}, False),
    "one prefix, sharded": ({"sharded": True}, False),
    "steps, two kept": ({"max_to_keep": 2}, True),
}


@contextlib.contextmanager
def model(elements: int, start: float) -> Iterator[tuple[Any, Any]]:
    """A session in which all variables hold `start`, and the operation that adds one to all."""
    with tf.Graph().as_default():
        variables = []
        for number, name in enumerate(NAMES):
            with tf.device(f"/cpu:{number % 2}"):
                initial = v1.constant_initializer(start)
                variables.append(
                    v1.get_variable(name, [elements], initializer=initial, use_resource=True)
                )
        step = tf.group(*[variable.assign_add(tf.ones([elements])) for variable in variables])
        with v1.Session(config=TWO_DEVICES) as session:
            session.run(v1.global_variables_initializer())
            yield session, step


def value_of(prefix: str) -> float:
    """What all variables hold in a checkpoint, as TensorFlow reads it."""
    reader = tf.train.load_checkpoint(prefix)
    (value,) = {float(value) for name in NAMES for value in np.unique(reader.get_tensor(name))}
    return value


def save_until_killed(folder: Path, mode: str, start: float, answers: int) -> None:
    options, steps = MODES[mode]
    with model(1 << 18, start) as (session, step):
        saver = ckptfast.Saver(durability="none", **options)
        for number in range(int(start) + 1, int(start) + 10_000):
            session.run(step)
            saver.save(
                session,
                str(folder / "m"),
                global_step=number if steps else None,
                write_meta_graph=False,
            )
            os.write(answers, f"{number}\n".encode())


def kill(folder: Path) -> dict[str, list[list[float]]]:
    """Values of the last save that returned, and of what TensorFlow finds after the kill."""
    chance = random.Random(5)
    found: dict[str, list[list[float]]] = {}
    for number, mode in enumerate(MODES):
        place = folder / str(number)
        place.mkdir()
        start = 0.0
        found[mode] = []
        for _ in range(KILLS):
            ours, theirs = os.pipe()
            child = os.fork()
            if not child:
                os.close(ours)
                save_until_killed(place, mode, start, theirs)
                os._exit(0)
            os.close(theirs)
            with open(ours) as answers:
                for _ in range(3):
                    done = float(answers.readline())
                time.sleep(chance.random() * 0.03)
                os.kill(child, signal.SIGKILL)
                done = float((answers.read().split() or [done])[-1])
            os.waitpid(child, 0)
            latest = tf.train.latest_checkpoint(place)
            assert latest is not None
            start = value_of(latest)
            found[mode].append([done, start])
    return found


def full(folder: Path) -> dict[str, Any]:
    """Errors of saves that find no room, the files before and after, and what is in them."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    try:
        mounted = not subprocess.run(mount, capture_output=True, check=False).returncode
    except FileNotFoundError:
        mounted = False
    try:
        return _full(disk)
    finally:
        if mounted:
            subprocess.run(["umount", str(disk)], check=True)


def _full(disk: Path) -> dict[str, Any]:
    found: dict[str, Any] = {"errors": []}
    prefix = str(disk / "m")
    with model(1 << 14, 1.0) as (session, _):
        ckptfast.Saver(sharded=True).save(session, prefix, write_meta_graph=False)
    found["before"] = sorted(os.listdir(disk))
    with model(1 << 17, 2.0) as (session, _):
        for sharded in (False, True):
            for limit in (None, 1 << 18):
                limits = resource.getrlimit(resource.RLIMIT_FSIZE)
                saver = ckptfast.Saver(sharded=sharded)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit or 1 << 19, limits[1]))
                try:
                    saver.save(session, prefix, write_meta_graph=False)
                except tf.errors.OpError as error:
                    assert isinstance(error, OSError)
                    found["errors"].append(str(error))
                finally:
                    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    found["after"] = sorted(os.listdir(disk))
    found["value"] = value_of(prefix)
    return found


def memory(folder: Path) -> dict[str, int]:
    """MiB of anonymous memory that a save and a restore of 256 MiB take at most."""
    found = {}
    with model(8 << 20, 1.0) as (session, step):
        saver = ckptfast.Saver(durability="none")
        prefix = str(folder / "m")
        # A first time for each: TensorFlow prepares the graph, and allocators take what they keep.
        for number in range(2):
            session.run(step)
            save = most_during(lambda: saver.save(session, prefix, write_meta_graph=False))
            restore = most_during(lambda: saver.restore(session, prefix))
            found |= {f"save {number}": save, f"restore {number}": restore}
    assert value_of(prefix) == 3.0
    return found


if __name__ == "__main__":
    job = {"kill": kill, "full": full, "memory": memory}[sys.argv[1]]
    print(json.dumps(job(Path(sys.argv[2]))))
