"""Memory that values have left: who gets it, and when the system does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ckptfast
from ckptfast import DataLossError
from helpers import bundle

MIB = 1 << 20

# `resident("RssAnon")` and `lazy()` in MiB, and two checkpoints of the same lengths.
PRELUDE = """
import os, re, sys, time
import numpy as np
import ckptfast

def figure(file, field):
    return int(re.search(field + r":\\s+(\\d+)", open("/proc/self/" + file).read())[1]) >> 10

def until(condition):
    end = time.monotonic() + 100
    while not condition() and time.monotonic() < end:
        time.sleep(0.2)
    return condition()

prefixes = sys.argv[1:]
"""


def run(program: str, *prefixes: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", PRELUDE + program, *prefixes],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.fixture
def prefixes(tmp_path: Path) -> list[str]:
    """Two checkpoints of two tensors of 64 MiB and one of 100 bytes, of ones and of twos."""
    paths = []
    for value in (1, 2):
        paths.append(str(tmp_path / f"m-{value}"))
        large = np.full(64 * MIB, value, np.uint8)
        tensors = {"a": large, "b": large, "small": large[:100]}
        ckptfast.save(paths[-1], tensors, durability="none")
    return paths


def test_values_in_memory_of_earlier_ones_are_their_own(prefixes: list[str]) -> None:
    output = run(
        """
addresses = []
for turn in range(4):
    value = turn % 2 + 1
    loaded = ckptfast.load(prefixes[turn % 2], copy=True)
    assert all((array == value).all() for array in loaded.values())
    addresses.append({loaded[name].ctypes.data for name in "ab"})
    del loaded
print(all(found == addresses[0] for found in addresses))
""",
        *prefixes,
    )
    assert output.split() == ["True"]


def test_memory_is_kept_for_seconds_offered_to_the_system_and_given_back(
    prefixes: list[str],
) -> None:
    """Also when asked to, at once."""
    output = run(
        """
before = figure("status", "RssAnon")
for ending in ("asked", "itself"):
    loaded = ckptfast.load(prefixes[0], copy=True)
    del loaded
    print(figure("status", "RssAnon") - before >= 120)
    print(until(lambda: figure("smaps_rollup", "LazyFree") >= 120))
    if ending == "asked":
        print(ckptfast.release_memory() >> 20, ckptfast.release_memory())
    print(until(lambda: figure("status", "RssAnon") - before < 8))
""",
        *prefixes,
    )
    assert output.split() == ["True", "True", "128", "0", "True", "True", "True", "True"]


def test_a_forked_process_neither_writes_to_nor_keeps_its_parents_memory(
    prefixes: list[str],
) -> None:
    output = run(
        """
kept = ckptfast.load(prefixes[0], copy=True)
first = kept.pop("a")
address = first.ctypes.data
del first
child = os.fork()
if child == 0:
    loaded = ckptfast.load(prefixes[1], copy=True)
    fine = all((array == 2).all() for array in loaded.values())
    fine = fine and (kept["b"] == 1).all()
    del loaded
    fine = fine and ckptfast.release_memory() == 128 << 20
    os._exit(0 if fine else 1)
print(os.waitpid(child, 0)[1])
again = ckptfast.load(prefixes[1], ["a"], copy=True)["a"]
print(again.ctypes.data == address, (again == 2).all(), (kept["b"] == 1).all())
""",
        *prefixes,
    )
    assert output.split() == ["0", "True", "True", "True"]


def test_a_damaged_tensor_does_not_return_what_was_in_its_memory_before(
    prefixes: list[str],
) -> None:
    loaded = ckptfast.load(prefixes[0], copy=True)
    del loaded
    path = bundle.data_path(prefixes[1])
    with path.open("r+b") as file:
        file.seek(MIB)
        file.write(b"\0")
    with pytest.raises(DataLossError, match="checksum"):
        ckptfast.load(prefixes[1], copy=True)
    ckptfast.release_memory()
