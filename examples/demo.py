"""Restores a model of about 1 GiB with TensorFlow and with ckptfast, side by side.

    make demo                              (or: python examples/demo.py --mib 256 --directory /data)

First from a checkpoint that `tf.compat.v1.train.Saver` wrote, then from one that ckptfast wrote.
Every value is compared with what was saved. Times are medians, taken in turns, in sessions that
have restored before. Peak memory is by how much a restore into empty variables raises the anonymous
memory (RssAnon) of a fresh process, so it contains the variables themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROUNDS = 5
MIB = 1 << 20


def main() -> None:
    """Parse the arguments, make room, and run both parts."""
    parser = argparse.ArgumentParser(description="Restore a model with TensorFlow and ckptfast")
    parser.add_argument("--mib", type=int, default=1024, help="size of the model (default: 1024)")
    parser.add_argument("--directory", help="where to write (default: a temporary folder)")
    # How the demo starts itself to measure memory, which needs a fresh process.
    parser.add_argument("--peak", nargs=2, metavar=("WAY", "PREFIX"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peak:
        way, prefix = arguments.peak
        print(peak_memory(Model(load_tensorflow(), arguments.mib), WAYS[way], prefix))
    else:
        run(arguments.mib, arguments.directory)


def run(mib: int, directory: str | None) -> None:
    """Write both checkpoints and restore each of them in both ways."""
    print("Restoring a model, with TensorFlow and with ckptfast\n")
    if mib >= 512:
        warm_memory()
    tf = load_tensorflow()
    import ckptfast

    print(f"TensorFlow {tf.__version__}, {os.cpu_count()} cores")
    model = Model(tf, mib)
    print(f"The model: {len(model.variables)} variables of float32, {model.nbytes / MIB:.0f} MiB,")
    print("with the two scalars of the Adam optimizer, as in many real checkpoints.\n")
    with tempfile.TemporaryDirectory(prefix="ckptfast-demo-", dir=directory) as folder:
        prefix = f"{folder}/by_tensorflow"
        expected, seconds = save_with_tensorflow(model, prefix)
        print(f"1. A checkpoint that TensorFlow wrote (Saver.save took {seconds:.2f} s)\n")
        compare(model, prefix, expected)

        start = time.perf_counter()
        prefix = ckptfast.save(f"{folder}/by_ckptfast", expected)
        seconds = time.perf_counter() - start
        print(f"2. A checkpoint that ckptfast wrote (ckptfast.save took {seconds:.2f} s,")
        print("   until everything was safe on the disk)\n")
        compare(model, prefix, expected)


def save_with_tensorflow(model: Model, prefix: str) -> tuple[dict[str, Any], float]:
    """Fill the variables with random numbers and save them; returns the numbers and the seconds."""
    with model.session() as session:
        session.run(model.initialize)
        expected = dict(zip(model.names, session.run(model.variables), strict=True))
        start = time.perf_counter()
        model.saver.save(session, prefix, write_meta_graph=False, write_state=False)
        return expected, time.perf_counter() - start


class Model:
    """A graph of variables that looks like a small transformer, filled with random numbers."""

    def __init__(self, tf: Any, mib: int) -> None:
        self._tf = tf
        self.mib = mib
        self.graph = tf.Graph()
        width = 1024 if mib >= 512 else 256
        # Square matrices per block: 3 for the attention's inputs, 1 for its output, 8 for the MLP.
        block = [("attention/in", 3), ("attention/out", 1), ("mlp/in", 4), ("mlp/out", 4)]
        blocks = max(1, mib * MIB // (4 * width * width * 12))
        with self.graph.as_default():
            self.variables = [self._variable("beta1_power", []), self._variable("beta2_power", [])]
            for number in range(blocks):
                for name, height in block:
                    shape = [width * height, width]
                    self.variables.append(self._variable(f"block_{number:02}/{name}", shape))
            self.initialize = tf.compat.v1.global_variables_initializer()
            self.saver = tf.compat.v1.train.Saver(self.variables)
        self.graph.finalize()
        self.names = [variable.op.name for variable in self.variables]
        self.nbytes = sum(4 * variable.shape.num_elements() for variable in self.variables)

    def _variable(self, name: str, shape: list[int]) -> Any:
        initial = self._tf.compat.v1.random_uniform_initializer(-1.0, 1.0)
        return self._tf.compat.v1.get_variable(name, shape, initializer=initial)

    def session(self) -> Any:
        """A new session: its variables hold nothing."""
        return self._tf.compat.v1.Session(graph=self.graph)


def restore_with_tensorflow(model: Model, session: Any, prefix: str) -> None:
    """What everybody does today."""
    model.saver.restore(session, prefix)


def restore_with_ckptfast(_model: Model, session: Any, prefix: str) -> None:
    """The same in one call. The model's graph is finalized: nothing is added to it."""
    import ckptfast

    ckptfast.restore(session, prefix)


Restore = Callable[["Model", Any, str], None]
WAYS: dict[str, Restore] = {
    "Saver.restore": restore_with_tensorflow,
    "ckptfast.restore": restore_with_ckptfast,
}


def compare(model: Model, prefix: str, expected: dict[str, Any]) -> None:
    """Restore `prefix` in both ways, in turns, and print what came of it."""
    times: dict[str, list[float]] = {way: [] for way in WAYS}
    wrong = dict.fromkeys(WAYS, 0)
    with contextlib.ExitStack() as stack:
        sessions = {way: stack.enter_context(model.session()) for way in WAYS}
        for way, restore in WAYS.items():
            restore(model, sessions[way], prefix)
        for _ in range(ROUNDS):
            for way, restore in WAYS.items():
                sessions[way].run(model.initialize)  # other random numbers
                start = time.perf_counter()
                restore(model, sessions[way], prefix)
                times[way].append(time.perf_counter() - start)
        for way, session in sessions.items():
            wrong[way] = differences(model, session, expected)

    print(f"   {'':<18}{'time':>10}{'rate':>14}{'peak memory':>15}   values")
    for way in WAYS:
        seconds = statistics.median(times[way])
        time_, rate = f"{seconds * 1000:.1f} ms", f"{model.nbytes / seconds / 1e9:.1f} GB/s"
        peak = f"+{peak_in_a_fresh_process(way, model, prefix) / MIB:.0f} MiB"
        values = f"{wrong[way]} DIFFER" if wrong[way] else "all equal"
        print(f"   {way:<18}{time_:>10}{rate:>14}{peak:>15}   {values}", flush=True)
    theirs, ours = map(statistics.median, times.values())
    print(f"\n   ckptfast is {theirs / ours:.1f} times as fast.\n")
    if any(wrong.values()):
        sys.exit("Some values are not what was saved.")


def differences(model: Model, session: Any, expected: dict[str, Any]) -> int:
    """The number of variables that do not hold exactly what was saved."""
    import numpy

    return sum(
        not numpy.array_equal(session.run(variable), expected[name])
        for name, variable in zip(model.names, model.variables, strict=True)
    )


def peak_in_a_fresh_process(way: str, model: Model, prefix: str) -> int:
    """Peak memory of one restore, in bytes. Old sessions leave memory behind that is reused."""
    command = [sys.executable, __file__, "--mib", str(model.mib), "--peak", way, prefix]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return int(done.stdout.splitlines()[-1])


def peak_memory(model: Model, restore: Restore, prefix: str) -> int:
    """By how many bytes one restore raises the anonymous memory of this process, at its highest."""
    done = threading.Event()
    with model.session() as session:
        before = highest = anonymous_memory()

        def watch() -> None:
            nonlocal highest
            while not done.wait(0.001):
                highest = max(highest, anonymous_memory())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            restore(model, session, prefix)
        finally:
            done.set()
            watcher.join()
        return max(highest, anonymous_memory()) - before


def anonymous_memory() -> int:
    """RssAnon of this process, in bytes: memory that is not a cached file."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def warm_memory() -> None:
    """Touch most of the memory once, in a process of its own, as the benchmarks do.

    On a virtual machine the first touch of a page may wait for the host, up to seconds per GiB.
    Whoever runs first would pay for that.
    """
    print("Warming up the memory, which takes a while on a fresh virtual machine ...", flush=True)
    start = time.perf_counter()
    code = "from benches.machine import warm_memory; warm_memory()"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
    print(f"... done in {time.perf_counter() - start:.1f} s\n", flush=True)


def load_tensorflow() -> Any:
    """Import TensorFlow and let it look for devices, without the log lines that both cause."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    standard_error = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import tensorflow

        tensorflow.compat.v1.Session(graph=tensorflow.Graph()).close()
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)
    tensorflow.compat.v1.logging.set_verbosity(tensorflow.compat.v1.logging.ERROR)
    return tensorflow


if __name__ == "__main__":
    main()
