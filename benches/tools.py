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
from pathlib import Path

import numpy

import ckptfast
from benches import tfside
from benches.bench import Bench
from benches.measure import Contender, Measure, interleave
from benches.model import DifferentValuesError
from benches.results import at_least

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


def run(bench: Bench) -> None:
    """Adds a row for each question."""
    repeats = min(REPEATS, bench.size.repeats)
    with bench.scratch() as scratch:
        events = 10_000 if bench.size.judged else 100
        wanted = training(scratch, events)
        times = beside(BEST_BY_TENSORFLOW, BEST_BY_CKPTFAST, [scratch], f"{wanted}\n", repeats)
    name = f"best_checkpoint among 5, {events:,} events of 10 scalars (whole process)"
    bench.results.rows.append(at_least(name, times, "TF", "ckptfast", target=10))


def beside(
    tensorflow: str, ckptfast: str, arguments: list[Path], answer: str, repeats: int
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
