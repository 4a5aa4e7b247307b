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

# Figures of the process are in MiB.
PRELUDE = """
import os, re, sys, time
import numpy as np
import ckptfast

def memory():
    '''What is of no file, and what of that the system may take.'''
    text = open("/proc/self/smaps_rollup").read()
    found = (re.search(field + r":\\s+(\\d+)", text) for field in ("Anonymous", "LazyFree"))
    return [int(match[1]) >> 10 for match in found]

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
before, _ = memory()

def until(condition):
    while not condition(*memory()):
        time.sleep(0.1)

def kept():
    # What was seen, and whether it was seen before the memory could be offered and given back.
    loaded = ckptfast.load(prefixes[0], copy=True)
    left = time.monotonic()
    del loaded
    stays = memory()[0] - before >= 120
    in_time = time.monotonic() - left < 0.9
    until(lambda anonymous, offered: anonymous - offered - before < 8)
    given_back = ckptfast.release_memory() >> 20, ckptfast.release_memory()
    return (stays, *given_back), in_time and time.monotonic() - left < 9.9

in_time = False
while not in_time:
    seen, in_time = kept()
print(*seen, memory()[0] - before < 8)
loaded = ckptfast.load(prefixes[0], copy=True)
del loaded
until(lambda anonymous, _: anonymous - before < 8)
""",
        *prefixes,
    )
    assert output.split() == ["True", "128", "0", "True"]


def test_a_forked_process_holds_nothing_of_what_its_parent_keeps(prefixes: list[str]) -> None:
    """Whether it uses ckptfast or not; and arrays that are alive stay as they are in both."""
    output = run(
        """
in_time = False
while not in_time:  # the fork takes place while memory is kept
    kept = ckptfast.load(prefixes[0], copy=True)
    left = time.monotonic()
    del kept["a"]
    before, _ = memory()
    in_time = time.monotonic() - left < 0.9
child = os.fork()
if child == 0:
    fine = before - memory()[0] >= 60
    loaded = ckptfast.load(prefixes[1], copy=True)
    fine = fine and all((array == 2).all() for array in loaded.values())
    fine = fine and (kept["b"] == 1).all()
    del loaded
    fine = fine and ckptfast.release_memory() == 128 << 20
    os._exit(0 if fine else 1)
print(os.waitpid(child, 0)[1], ckptfast.release_memory())
again = ckptfast.load(prefixes[1], copy=True)
print((again["a"] == 2).all(), (kept["b"] == 1).all())
del again
print(ckptfast.release_memory() >> 20)
""",
        *prefixes,
    )
    assert output.split() == ["0", "0", "True", "True", "128"]


FORKS = """
import threading
stop = False
def work():
    while not stop:
        ckptfast.load(prefixes[0], ["a"], copy=True)
        ckptfast.release_memory()
threads = [threading.Thread(target=work) for _ in range(3)]
[thread.start() for thread in threads]
for _ in range(40):
    child = os.fork()
    if child == 0:
        # Nothing of Python's that a thread may hold: the core alone.
        native.release_memory()
        os._exit(0)
    print(os.waitpid(child, 0)[1])
stop = True
"""


def test_a_fork_beside_threads_that_use_kept_memory_ends(prefixes: list[str]) -> None:
    output = run("from ckptfast import _native as native\n" + FORKS, *prefixes)
    assert output.split() == ["0"] * 40


def test_small_values_do_not_cost_what_is_kept_for_large_ones(prefixes: list[str]) -> None:
    output = run(
        """
with ckptfast.open(prefixes[0], copy=True) as reader:
    for _ in range(2):
        for name in reader:
            assert (reader[name] == 1).all()
print(ckptfast.release_memory() >> 20)
""",
        *prefixes,
    )
    assert output.split() == ["64"]


def test_a_damaged_tensor_is_an_error_also_where_its_memory_held_the_right_one(
    prefixes: list[str],
) -> None:
    whole = ckptfast.load(prefixes[1], copy=True)
    ckptfast.release_memory()
    del whole
    with bundle.data_path(prefixes[1]).open("r+b") as file:
        file.seek(MIB)
        file.write(b"\0")
    with pytest.raises(DataLossError, match="checksum"):
        ckptfast.load(prefixes[1], copy=True)
    # The memory was taken, and is kept once more.
    assert ckptfast.release_memory() == 128 * MIB
