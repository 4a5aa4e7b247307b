"""Scenario ``memory``: how much more memory a restore or a save takes while it runs.

Each measurement has a process of its own, `benches.memory_child`, which prepares, waits for the
word, does the one thing, and says so.  This process samples its anonymous and shared memory in
``/proc/PID/status`` every millisecond meanwhile.  Pages of a mapped file are not counted: they
are page cache, which the system takes back when it needs memory.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ckptfast
from benches import tfside
from benches.bench import Bench
from benches.measure import Measure
from benches.model import Model
from benches.results import Row
from benches.sizes import MIB

INTERVAL = 0.001
COUNTED = ("RssAnon:", "RssShmem:")
"""Shared memory counts too: it is not backed by the checkpoint either."""


@dataclass(frozen=True)
class Scenario:
    """One thing whose extra memory is measured."""

    name: str
    limit: int | None
    """MiB; None for the size of the model."""

    @property
    def wanted(self) -> str:
        return "≤ 1.01× the model" if self.limit is None else f"≤ {self.limit} MiB"

    def bound(self, nbytes: int) -> float:
        """The limit in MiB; a hundredth of the model is left for stacks and code."""
        return 1.01 * nbytes / MIB if self.limit is None else self.limit


SCENARIOS = {
    "aligned": Scenario("extra memory, restore L, ckptfast-written", 64),
    "misaligned": Scenario("extra memory, restore L, misaligned, resource variables", None),
    "reference": Scenario("extra memory, restore L, misaligned, reference variables", 256),
    "save": Scenario("extra memory, save L", 64),
    "objects-aligned": Scenario("extra memory, Checkpoint.read L, ckptfast-written", 64),
    "objects-packed": Scenario("extra memory, Checkpoint.read L, TF-written", None),
    "objects-write": Scenario("extra memory, Checkpoint.write L", 64),
}


def run(bench: Bench) -> None:
    """Adds a row for every memory scenario of this size."""
    with bench.scratch() as scratch:
        model = Model(bench.size.large, seed=1, odd_first=True)
        tfside.write(scratch / "before", model.tensors(1))
        tfside.write(scratch / "misaligned", model.tensors(0))
        ckptfast.save(scratch / "aligned", model.arrays, durability="none")
        nbytes = model.nbytes
        del model
        for key in bench.size.memory_scenarios:
            scenario = SCENARIOS[key]
            theirs = None
            if bench.size.memory_beside_tensorflow:
                theirs = Measure((_extra(bench, scratch, key, "tensorflow"),), "MiB")
            ours = Measure((_extra(bench, scratch, key, "ckptfast"),), "MiB")
            bench.results.rows.append(
                Row(
                    name=scenario.name,
                    tensorflow=theirs,
                    ckptfast=ours,
                    target=scenario.wanted,
                    met=ours.median <= scenario.bound(nbytes),
                    beside=f"model {nbytes / MIB:.0f} MiB",
                )
            )


def _extra(bench: Bench, scratch: Path, scenario: str, library: str) -> float:
    """Peak memory of a child while it works, beyond what it had before, in MiB."""
    with _child(bench, scratch, scenario, library) as (child, answers):
        _expect(child, answers, "ready")
        time.sleep(0.2)  # threads that TensorFlow starts late
        before = peak = _anonymous(child.pid)
        os.write(_stdin(child), b"go\n")
        while not select.select([answers], [], [], INTERVAL)[0]:
            peak = max(peak, _anonymous(child.pid))
        peak = max(peak, _anonymous(child.pid))
        _expect(child, answers, "done")
        os.write(_stdin(child), b"check\n")
        _expect(child, answers, "right")
    return (peak - before) / MIB


@contextmanager
def _child(
    bench: Bench, scratch: Path, scenario: str, library: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that waits for words on its standard input, and a descriptor of its answers."""
    command = [sys.executable, "-m", "benches.memory_child", scenario, library]
    child = subprocess.Popen(
        [*command, os.fspath(scratch), bench.size.name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        yield child, child.stdout.fileno()
    finally:
        child.kill()  # harmless if it has ended
        child.communicate()


def _stdin(child: subprocess.Popen[bytes]) -> int:
    assert child.stdin is not None
    return child.stdin.fileno()


def _expect(child: subprocess.Popen[bytes], answers: int, word: str) -> None:
    """Reads one word, of which a pipe delivers all bytes at once."""
    answer = os.read(answers, 64).decode().strip()
    if answer != word:
        raise RuntimeError(
            f"the measured process said {answer!r} instead of {word!r}, exit {child.poll()}"
        )


def _anonymous(pid: int) -> int:
    """Bytes of anonymous and shared memory that a process holds."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(COUNTED))
