"""Many threads, forks, signals, and files larger than 4 GiB."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast
from ckptfast import _native
from helpers import bundle, tf_io, values
from helpers.table import crc32c
from helpers.values import assert_same

FLOAT, UINT8 = 1, 4
GIB = 1 << 30


# ---------------------------------------------------------------------------------------- threads


@pytest.mark.parametrize("options", [{}, {"backend": "pread"}, {"copy": True}], ids=str)
def test_one_reader_in_many_threads(tmp_path: Path, options: Any) -> None:
    tensors: dict[str, Any] = {
        f"{index:03}": values.sample(values.PLAIN[index % 14], (index * 37 % 400, 3), index)
        for index in range(60)
    }
    tensors["strings"] = values.strings((500,))
    whole = np.arange(3000, dtype=np.int64).reshape(30, 100)
    slices = [ckptfast.Tensor(whole[i : i + 10], slice=f"30 100 {i},10:-") for i in (0, 10, 20)]
    prefix = ckptfast.save(tmp_path / "m", {**tensors, "whole": slices}, shards=5)
    tensors["whole"] = whole
    start = threading.Barrier(8)
    with ckptfast.open(prefix, **options) as reader:

        def work(seed: int) -> None:
            names = [*tensors, *tensors]
            random.Random(seed).shuffle(names)
            start.wait()
            for name in names:
                assert_same(reader[name], tensors[name], name)
                assert reader.info(name).shape == tensors[name].shape
                assert_same(reader.read(name, np.s_[1:9]), tensors[name][1:9], name)

        with ThreadPoolExecutor(8) as pool:
            for future in [pool.submit(work, seed) for seed in range(8)]:
                future.result()


def test_loads_and_saves_at_the_same_time(tmp_path: Path) -> None:
    """At every instant there is a whole checkpoint, so every load finds one."""
    prefix = tmp_path / "m"

    def tensors(step: int) -> dict[str, values.Array]:
        return {f"v{index}": np.full(50 + step % 7, step, np.float32) for index in range(20)}

    ckptfast.save(prefix, tensors(0), durability="none")
    done = threading.Event()

    def read() -> int:
        loads = 0
        while not (done.is_set() and loads):
            loaded = ckptfast.load(prefix)
            steps = {float(value[0]) for value in loaded.values()}
            assert len(steps) == 1
            assert len(loaded) == 20
            loads += 1
        return loads

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        try:
            for step in range(1, 150):
                ckptfast.save(prefix, tensors(step), durability="none")
        finally:
            done.set()
        assert all(reader.result() for reader in readers)
    assert ckptfast.load(prefix)["v7"][0] == 149


def test_two_writers_of_one_prefix_take_each_others_files(tmp_path: Path) -> None:
    prefix = tmp_path / "m"
    rounds = 60
    start = threading.Barrier(2)

    def write(first: int) -> None:
        for step in range(first, 2 * rounds, 2):
            start.wait()
            tensors = {f"v{index}": np.full(500, step, np.float32) for index in range(20)}
            ckptfast.save(prefix, tensors, durability="none")
            start.wait()
            loaded = ckptfast.load(prefix, copy=True)
            assert {float(value[0]) for value in loaded.values()} <= {
                step - first,
                step - first + 1,
            }
            assert len({float(value[0]) for value in loaded.values()}) == 1

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(write, first) for first in range(2)]:
            future.result()
    left = sorted(path.suffix for path in tmp_path.iterdir())
    assert left.count(".index") == 1
    assert ".tmp" not in left


def test_closing_while_others_read(tmp_path: Path) -> None:
    prefix = ckptfast.save(tmp_path / "m", {f"{i}": np.full(1000, i) for i in range(50)})
    for _ in range(10):
        reader = ckptfast.open(prefix)
        start = threading.Barrier(4)

        def read(reader: ckptfast.Reader = reader, start: threading.Barrier = start) -> None:
            start.wait()
            try:
                for index in range(50):
                    assert (reader[f"{index}"] == index).all()
            except ValueError as error:
                assert "closed" in str(error)

        with ThreadPoolExecutor(3) as pool:
            futures = [pool.submit(read) for _ in range(3)]
            start.wait()
            reader.close()
            for future in futures:
                future.result()


# ------------------------------------------------------------------------------------------ forks

FORK = """
import os, sys
import numpy as np
import ckptfast

folder = sys.argv[1]
tensors = {f"{i}": np.full(8 << 20, i, np.uint8) for i in range(12)}  # enough for several threads
prefix = ckptfast.save(f"{folder}/m", tensors, durability="none", threads=4)
reader = ckptfast.open(prefix, threads=4, copy=True)
before = {name: reader[name] for name in ["0", "1"]}
assert ckptfast.load(prefix, threads=4, copy=True).keys() == tensors.keys()

child = os.fork()
if child == 0:
    try:
        for name, value in tensors.items():
            assert np.array_equal(reader[name], value)
        for options in [{}, {"copy": True}, {"backend": "pread"}]:
            assert np.array_equal(ckptfast.load(prefix, threads=4, **options)["7"], tensors["7"])
        assert ckptfast.verify(prefix)
        ckptfast.save(f"{folder}/child", tensors, durability="none", threads=4)
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)
_, status = os.waitpid(child, 0)
assert status == 0, status
for name, value in before.items():
    assert np.array_equal(value, tensors[name])
assert ckptfast.load(f"{folder}/child")["11"][0] == 11
print("both went on")
"""


def test_parallel_use_before_and_after_a_fork(tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", FORK, tmp_path], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "both went on\n"), result.stderr


FORK_BESIDE_READS = """
import os, signal, sys, threading
import numpy as np
import ckptfast

prefix = ckptfast.save(f"{sys.argv[1]}/m", {f"{i}": np.zeros(3) for i in range(3000)},
                       durability="none")
reader = ckptfast.open(prefix)
names = list(reader)
ended = threading.Event()

def read():
    while not ended.is_set():
        reader._places(names)

threads = [threading.Thread(target=read) for _ in range(3)]
for thread in threads:
    thread.start()
failed = 0
for _ in range(600):
    child = os.fork()
    if child == 0:
        signal.alarm(300)  # it would hang for ever; this takes a thousandth of a second
        reader._places(names[:3])
        os._exit(0)
    failed = os.waitpid(child, 0)[1]
    if failed:
        break
ended.set()
for thread in threads:
    thread.join()
sys.exit(failed != 0)
"""


def test_a_fork_while_other_threads_read_leaves_the_child_a_reader_that_works(
    tmp_path: Path,
) -> None:
    """The child has no other threads, so a lock that one of them held would stay locked."""
    command = [sys.executable, "-W", "ignore", "-c", FORK_BESIDE_READS, tmp_path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"a child hung\n{result.stderr}"


FORK_BESIDE_A_FIRST_LOOK = """
import os, signal, sys, threading
import numpy as np
import ckptfast

prefix = ckptfast.save(f"{sys.argv[1]}/m", {"a": np.arange(3)}, durability="none")
reader, other = ckptfast.open(prefix), ckptfast.open(prefix)
parent, native = os.getpid(), reader._native
looking, forked = threading.Event(), threading.Event()

class Slow:
    def __getattr__(self, name):
        if os.getpid() == parent:
            looking.set()
            forked.wait()
        return getattr(native, name)

reader._native = Slow()
thread = threading.Thread(target=len, args=[reader])
thread.start()
looking.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)  # a child that hangs is killed
    os._exit(list(reader) != ["a"] or list(other) != ["a"] or reader["a"].tolist() != [0, 1, 2])
status = os.waitpid(child, 0)[1]
forked.set()
thread.join()
assert list(reader) == ["a"]
sys.exit(status != 0)
"""


def test_a_fork_while_another_thread_looks_into_a_reader_first_hangs_the_child(
    tmp_path: Path,
) -> None:
    """Names are read at the first look; Python 3.11 has one lock for that in all readers."""
    command = [sys.executable, "-W", "ignore", "-c", FORK_BESIDE_A_FIRST_LOOK, tmp_path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"a child hung\n{result.stderr}"


def test_two_threads_that_look_first_get_two_lists(tmp_path: Path) -> None:
    reader = ckptfast.open(ckptfast.save(tmp_path / "m", {"a": np.arange(3)}))
    native, both = reader._native, threading.Barrier(2)

    class Slow:
        def names(self) -> list[str]:
            both.wait(60)  # a thread that waits for the other one is told so
            return native.names()

    reader._native = Slow()  # type: ignore[assignment]
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: reader._names, range(2))
    assert first == ["a"]
    assert first is second is reader._names


# ---------------------------------------------------------------------------------------- signals


def sparse(path: Path, size: int, parts: dict[int, bytes]) -> None:
    """A file of `size` bytes, zeros that take no room, and `parts` at their offsets."""
    with open(path, "wb") as file:
        file.truncate(size)
        for offset, content in parts.items():
            file.seek(offset)
            file.write(content)


INTERRUPTED = """
import os, signal, sys, threading
import numpy as np
import ckptfast

# A shell starts what it runs in the background with the signal ignored, tests too.
signal.signal(signal.SIGINT, signal.default_int_handler)
action, prefix, backend = sys.argv[1:]
reader = ckptfast.open(prefix, backend=backend, threads=2)
try:
    # A thread of Python's: the signal comes only if the call leaves it the interpreter.
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    if action == "verify":
        ckptfast.verify(prefix, backend=backend, threads=2)
    elif action == "read":
        reader.read("huge", np.s_[:10])
    else:
        ckptfast.load(prefix, "huge", backend=backend, threads=2)
except KeyboardInterrupt:
    print("interrupted")
    assert reader["small"][0] == 7
"""


@pytest.mark.parametrize(
    ("action", "backend"),
    [("verify", "mmap"), ("verify", "pread"), ("read", "mmap"), ("load", "mmap")],
)
def test_ctrl_c_ends_a_long_call(tmp_path: Path, action: str, backend: str) -> None:
    """Left alone, the check of a tebibyte would take minutes at least."""
    size = 1 << 40
    items = {
        b"huge": bundle.entry(UINT8, (size,), size=size, crc=1),
        b"small": bundle.plain_entry(UINT8, (1,), b"\7", size),
    }
    prefix = bundle.write_bundle(tmp_path / "m", items, [b""])
    sparse(bundle.data_path(prefix), size, {size: b"\7"})
    result = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, action, prefix, backend],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "interrupted\n"), result.stderr


# ------------------------------------------------------------------------------------ large files


def crc_of_zeros(size: int, crc: int = 0) -> int:
    """The checksum of what `crc` is that of, and `size` zeros."""
    block = bytes(64 << 20)
    while size:
        crc = _native.crc32c(block[:size] if size < len(block) else block, crc)
        size -= min(size, len(block))
    return crc


def test_the_fast_checksum_is_the_slow_one() -> None:
    """`crc_of_zeros` is only as good as the function that is tested with it."""
    for size in [0, 1, 15, 64, 1000, 70_001]:
        data = np.random.default_rng(size).bytes(size)
        assert _native.crc32c(data) == crc32c(data)
        assert _native.crc32c(data[7:], _native.crc32c(data[:7])) == crc32c(data)
    assert crc_of_zeros(100_000) == crc32c(bytes(100_000))


def test_offsets_and_sizes_beyond_32_bits(tf: ModuleType, tmp_path: Path) -> None:
    """A sparse file of 5 GiB, whose largest tensor is 4.5 GiB."""
    low, high = (values.sample(values.BY_NAME["float32"], (4,), seed) for seed in (1, 2))
    rows, columns = 1152, 4 << 20
    start, last = 64, b"the end"
    size = rows * columns
    crc = _native.crc32c(last, crc_of_zeros(size - len(last)))
    items = {
        b"high": bundle.plain_entry(FLOAT, (4,), high.tobytes(), 5 * GIB),
        b"huge": bundle.entry(UINT8, (rows, columns), offset=start, size=size, crc=crc),
        b"low": bundle.plain_entry(FLOAT, (4,), low.tobytes(), 0),
    }
    prefix = bundle.write_bundle(tmp_path / "m", items, [b""])
    parts = {0: low.tobytes(), start + size - len(last): last, 5 * GIB: high.tobytes()}
    sparse(bundle.data_path(prefix), 5 * GIB, parts)
    for backend in ["mmap", "pread"]:
        with ckptfast.open(prefix, backend=backend, verify=backend == "mmap") as reader:
            assert_same(reader["low"], low)
            assert_same(reader["high"], high)
            assert reader.info("huge").nbytes == size
            if backend == "mmap":  # the other would copy all of it
                assert reader.read("huge", np.s_[-1, -7:]).tobytes() == last
                assert reader.read("huge", np.s_[-2:, -1]).tolist() == [0, ord("d")]
                assert reader["huge"].shape == (rows, columns)
    found = tf_io.restore(tf, prefix, ["low", "high"], ["float32"] * 2)
    assert_same(found[0], low)
    assert_same(found[1], high)


def test_a_box_across_slices_beyond_32_bits(tmp_path: Path) -> None:
    """A partitioned tensor of 6 GiB, of which a few rows are read."""
    columns = 3 << 20
    specs = {"0,10:-": 0, "10,20:-": 1, "30,34:-": 2}
    items, files = {}, []
    rows = {spec: int(spec.split(":")[0].split(",")[1]) for spec in specs}
    # Keys with two-byte numbers sort behind those with one.
    for spec, shard in specs.items():
        shape = (rows[spec], columns)
        size = rows[spec] * columns * 32
        items[bundle.slice_key(b"w", spec + ":-")] = bundle.entry(
            8, (*shape, 4), shard=shard, size=size, crc=0
        )
        files.append(size)
    items[b"w"] = bundle.entry(8, (64, columns, 4), slices=[spec + ":-" for spec in specs])
    prefix = bundle.write_bundle(tmp_path / "m", dict(sorted(items.items())), [b""] * 3)
    for shard, size in enumerate(files):
        sparse(bundle.data_path(prefix, shard, 3), size, {size - 8: np.complex64(shard).tobytes()})
    with ckptfast.open(prefix, verify=False) as reader:
        box = reader.read("w", np.s_[8:31, -1, -1])
        assert box.tolist() == [0] * 21 + [1, 0]
        assert reader.read("w", np.s_[63, -1, 2:]).tolist() == [0, 2]


MEMORY = """
import re, sys
import numpy as np
import ckptfast

def anonymous():
    return int(re.search(r"Anonymous:\\s+(\\d+)", open("/proc/self/smaps_rollup").read())[1]) << 10

prefix, options = sys.argv[1], eval(sys.argv[2])
ckptfast.load(prefix, "small")
before = anonymous()
loaded = ckptfast.load(prefix, **options)
print(anonymous() - before)
"""


@pytest.mark.usefixtures("two_processors")
@pytest.mark.parametrize(
    ("options", "least", "most"),
    [({}, 0, 0.05), ({"verify": False}, 0, 0.05), ({"copy": True}, 0.95, 1.1)],
    ids=str,
)
def test_memory_that_a_load_takes(
    tmp_path: Path, options: dict[str, Any], least: float, most: float
) -> None:
    """Pages of the file are not memory of the process; copies are, once."""
    size = 512 << 20
    items = {
        b"large": bundle.entry(UINT8, (size,), size=size, crc=crc_of_zeros(size)),
        b"small": bundle.plain_entry(UINT8, (1,), b"\7", size),
    }
    prefix = bundle.write_bundle(tmp_path / "m", items, [b""])
    sparse(bundle.data_path(prefix), size, {size: b"\7"})
    result = subprocess.run(
        [sys.executable, "-c", MEMORY, prefix, repr(options)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert least * size <= int(result.stdout) <= most * size
