"""Scenario ``tools``: small questions about checkpoints, each answered by a whole process.

What a user waits for at the prompt: the interpreter, the import, the work. The programs print what
they found, and the answers are compared.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import textwrap
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy

import ckptfast
from benches import tfside
from benches.bench import Bench
from benches.measure import Contender, Measure, interleave
from benches.model import DifferentValuesError, Model
from benches.pages import bundle_files, sync
from benches.results import at_least
from benches.sizes import Shape

REPEATS = 5
"""Fewer than elsewhere: TensorFlow's import alone takes seconds."""

BEST_BY_TENSORFLOW = """
    import glob, math, sys
    import tensorflow as tf
    folder = sys.argv[1]
    state = tf.train.get_checkpoint_state(folder)
    paths = {int(path.rpartition("-")[2]): path for path in state.all_model_checkpoint_paths}
    losses = {}
    for file in sorted(glob.glob(f"{folder}/eval/events.out.tfevents.*")):
        for event in tf.compat.v1.train.summary_iterator(file):
            for value in event.summary.value:
                if value.tag == "loss":
                    losses[event.step] = value.simple_value
    best = min((losses[step], -step) for step in paths.keys() & losses.keys())
    print(paths[-best[1]])
"""
BEST_BY_CKPTFAST = """
    import sys
    import ckptfast
    print(ckptfast.best_checkpoint(sys.argv[1]).path)
"""

LIST_BY_TENSORFLOW = """
    import sys
    import tensorflow as tf
    for name, shape in tf.train.list_variables(sys.argv[1]):
        print(name, shape)
"""
LIST_BY_CKPTFAST = """
    import sys
    import ckptfast
    for name, shape in ckptfast.list_variables(sys.argv[1]):
        print(name, shape)
"""
LOAD_BY_TENSORFLOW = """
    import sys, zlib
    import tensorflow as tf
    reader = tf.train.load_checkpoint(sys.argv[1])
    for name in sys.argv[2:]:
        print(name, zlib.crc32(reader.get_tensor(name)))
"""
LOAD_BY_CKPTFAST = """
    import sys, zlib
    import ckptfast
    for name, value in ckptfast.load(sys.argv[1], sys.argv[2:]).items():
        print(name, zlib.crc32(value))
"""


def run(bench: Bench) -> None:
    """Adds a row for each question."""
    _best(bench)
    _listing(bench)
    _partial_load(bench)


def _best(bench: Bench) -> None:
    repeats = min(REPEATS, bench.size.repeats)
    with bench.scratch() as scratch:
        events = 10_000 if bench.size.judged else 100
        wanted = training(scratch, events)
        times = beside(BEST_BY_TENSORFLOW, BEST_BY_CKPTFAST, [scratch], f"{wanted}\n", repeats)
    name = f"best_checkpoint among 5, {events:,} events of 10 scalars (whole process)"
    bench.results.rows.append(at_least(name, times, "TF", "ckptfast", target=10))


def _listing(bench: Bench) -> None:
    repeats = min(REPEATS, bench.size.repeats)
    model = Model(Shape(bench.size.keys, 1), seed=3)
    answer = "".join(f"{name} [1]\n" for name in sorted(model.arrays))
    with bench.scratch() as scratch:
        prefix = tfside.write(scratch / "keys", model.tensors(0))
        times = beside(LIST_BY_TENSORFLOW, LIST_BY_CKPTFAST, [prefix], answer, repeats)
    name = f"list {bench.size.keys:,} variables (whole process)"
    bench.results.rows.append(at_least(name, times, "TF", "ckptfast", target=10))


def _partial_load(bench: Bench) -> None:
    repeats = min(REPEATS, bench.size.repeats)
    model = Model(bench.size.medium, seed=1)
    names = sorted(model.arrays)[:: max(1, len(model.arrays) // 10)]
    answer = "".join(f"{name} {zlib.crc32(model.arrays[name])}\n" for name in names)
    with bench.scratch() as scratch:
        prefix = tfside.write(scratch / "M", model.tensors(0))
        sync(bundle_files(prefix))
        times = beside(LOAD_BY_TENSORFLOW, LOAD_BY_CKPTFAST, [prefix, *names], answer, repeats)
    name = f"load {len(names)} of {len(model.arrays):,} tensors (whole process)"
    bench.results.rows.append(at_least(name, times, "TF", "ckptfast", target=10))


def beside(
    tensorflow: str, ckptfast: str, arguments: Sequence[Path | str], answer: str, repeats: int
) -> dict[str, Measure]:
    """Times of two programs that print the same answer."""

    def contender(name: str, program: str) -> Contender:
        command = [sys.executable, "-c", textwrap.dedent(program), *map(os.fspath, arguments)]

        def process() -> str:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
            )
            return done.stdout

        return Contender(name=name, run=process, check=check)

    def check(found: str, _whole: bool) -> None:
        if found != answer:
            raise DifferentValuesError(f"a program answered {found!r}, not {answer!r}")

    return interleave([contender("TF", tensorflow), contender("ckptfast", ckptfast)], repeats)


def training(folder: Path, events: int) -> str:
    """What a training leaves: checkpoints, and the events of an evaluation; the best of them."""
    v1 = tfside.tensorflow().compat.v1
    steps = [events * part // 5 for part in range(1, 6)]
    prefixes = [os.fspath(folder / f"model.ckpt-{step}") for step in steps]
    for prefix, step in zip(prefixes, steps, strict=True):
        ckptfast.save(prefix, {"global_step": numpy.int64(step)}, durability="none")
    ckptfast.update_checkpoint_state(folder, prefixes[-1], prefixes)
    with tfside.tensorflow().Graph().as_default():
        writer = v1.summary.FileWriter(os.fspath(folder / "eval"))
        for step in range(1, events + 1):
            loss = math.cos(step / events * 6)  # lowest at the third checkpoint
            values = [v1.Summary.Value(tag=f"metric/{n}", simple_value=n) for n in range(9)]
            values.append(v1.Summary.Value(tag="loss", simple_value=loss))
            writer.add_summary(v1.Summary(value=values), step)
        writer.close()
    return prefixes[2]
