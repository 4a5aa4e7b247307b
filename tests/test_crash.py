"""A save that dies, or that the system fails, at any of its steps.

`crash_save`, an example of the Rust core built with failpoints, writes and merges bundles; the
environment tells it at which step to die. After every death TensorFlow and ckptfast must restore
the previous bundle or the new one, whole. A trace of its system calls shows that the failpoints
miss none.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import resource
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ckptfast

ROOT = Path(__file__).resolve().parent.parent

# The system call behind every kind of step. Creating is an `openat`, and only that of `O_EXCL`.
CALLS = {
    "create": "openat",
    "fallocate": "fallocate",
    "fdatasync": "fdatasync",
    "fsync": "fsync",
    "ftruncate": "ftruncate",
    "link": "linkat",
    "mkdir": "mkdir",
    "rename": "rename",
    "rmdir": "rmdir",
    "unlink": "unlink",
    "write": "pwrite64",
}
# Whatever else changes a file system: there must be none of these.
OTHER_CALLS = (
    "creat,fsetxattr,link,mkdirat,mknod,mknodat,msync,pwritev,pwritev2,rename2,renameat,renameat2,"
    "sendfile,setxattr,splice,symlink,symlinkat,sync,sync_file_range,syncfs,truncate,unlinkat,"
    "writev,copy_file_range"
)

Tensors = dict[str, object]


@dataclasses.dataclass(frozen=True)
class Scenario:
    """What is at the prefix `m` before, the save that is going to die, and what it would leave."""

    save: tuple[str, ...]
    new: Callable[[], Tensors]
    before: tuple[tuple[str, ...], ...] = ()
    old: Callable[[], Tensors] | None = None


def tensors(seed: int, first: int, count: int) -> Tensors:
    """What `crash_save write PREFIX SEED FIRST COUNT …` saves."""
    values: Tensors = {
        f"t{number}": [float(seed + number)] * (number + 1)
        for number in range(first, first + count)
    }
    return values | ({f"s{first}": str(seed).encode()} if count > 1 else {})


def write(name: str, seed: int, first: int, count: int, shards: int, level: str) -> tuple[str, ...]:
    return ("write", name, str(seed), str(first), str(count), str(shards), level, "1")


def merge(level: str) -> tuple[str, ...]:
    return ("merge", "m", level, "m_temp/part-0", "m_temp/part-1")


def parts(seed: int) -> tuple[tuple[str, ...], ...]:
    return (
        write("m_temp/part-0", seed, 0, 2, 0, "none"),
        write("m_temp/part-1", seed, 2, 3, 2, "none"),
    )


def merged(seed: int) -> Tensors:
    return tensors(seed, 0, 2) | tensors(seed, 2, 3)


SCENARIOS = {
    "fresh": Scenario(write("m", 200, 0, 4, 0, "full"), lambda: tensors(200, 0, 4)),
    "fresh directories": Scenario(write("a/b/m", 200, 0, 4, 0, "full"), lambda: tensors(200, 0, 4)),
    "fresh sharded": Scenario(write("m", 200, 0, 5, 3, "full"), lambda: tensors(200, 0, 5)),
    "overwrite": Scenario(
        write("m", 200, 0, 4, 0, "full"),
        lambda: tensors(200, 0, 4),
        (write("m", 100, 0, 4, 0, "none"),),
        lambda: tensors(100, 0, 4),
    ),
    "overwrite two shards by one": Scenario(
        write("m", 200, 1, 3, 0, "rename"),
        lambda: tensors(200, 1, 3),
        (write("m", 90, 0, 4, 0, "none"), write("m", 100, 0, 4, 0, "none")),
        lambda: tensors(100, 0, 4),
    ),
    "overwrite a single tensor": Scenario(
        write("m", 200, 0, 1, 0, "full"),
        lambda: tensors(200, 0, 1),
        (write("m", 100, 0, 1, 0, "none"),),
        lambda: tensors(100, 0, 1),
    ),
    "overwrite sharded": Scenario(
        write("m", 200, 0, 5, 4, "none"),
        lambda: tensors(200, 0, 5),
        (write("m", 100, 0, 5, 3, "none"),),
        lambda: tensors(100, 0, 5),
    ),
    "merge": Scenario(merge("full"), lambda: merged(200), parts(200)),
    "merge over a bundle": Scenario(
        merge("full"),
        lambda: merged(200),
        (write("m", 100, 0, 4, 3, "none"), *parts(200)),
        lambda: tensors(100, 0, 4),
    ),
}


@pytest.fixture(scope="session")
def crash_save() -> Path:
    """The program, built with failpoints."""
    command = "cargo build --package ckptfast --features failpoints --example crash_save"
    build = subprocess.run(
        [*command.split(), "--quiet", "--offline", "--message-format=json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    messages = [json.loads(line) for line in build.stdout.splitlines()]
    (program,) = {
        message["executable"]
        for message in messages
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == "crash_save"
    }
    return Path(program)


def run(
    program: Path | tuple[str, ...],
    arguments: tuple[str, ...],
    directory: Path,
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    command = program if isinstance(program, tuple) else (str(program),)
    return subprocess.run(
        [*command, *arguments],
        cwd=directory,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        # Python ignores this signal, so that a file that is too large is an error; so do we.
        restore_signals=False,
    )


def succeed(program: Path, arguments: tuple[str, ...], directory: Path) -> list[str]:
    """Run to the end; the steps that were passed."""
    result = run(program, arguments, directory)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


class Trial:
    """A scenario, again and again from the same beginning."""

    def __init__(self, program: Path, scenario: Scenario, home: Path) -> None:
        self.program = program
        self.scenario = scenario
        self.start = home / "start"
        self.start.mkdir(parents=True)
        self.directory = home / "trial"
        for arguments in scenario.before:
            succeed(program, arguments, self.start)
        self.reset()
        self.steps = succeed(program, scenario.save, self.directory)

    def reset(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.copytree(self.start, self.directory)

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        self.reset()
        return run(self.program, self.scenario.save, self.directory, **environment)

    @property
    def prefix(self) -> Path:
        return self.directory / self.scenario.save[1]

    def names(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.directory))
            for path in self.directory.rglob("*")
            if path.is_file()
        )


def plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def read_by_tensorflow(tf: ModuleType, prefix: Path) -> Tensors:
    reader = tf.train.load_checkpoint(str(prefix))
    names = sorted(reader.get_variable_to_shape_map())
    types = [reader.get_variable_to_dtype_map()[name] for name in names]
    restored = tf.raw_ops.RestoreV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), dtypes=types
    )
    values = {name: plain(value.numpy()) for name, value in zip(names, restored, strict=True)}
    assert values == {name: plain(reader.get_tensor(name)) for name in names}
    return values


def read(tf: ModuleType, prefix: Path) -> Tensors | None:
    """What is at a prefix, by both readers; `None` where there is no bundle at all."""
    if not Path(f"{prefix}.index").exists():
        with pytest.raises(FileNotFoundError):
            ckptfast.load(prefix)
        with pytest.raises(tf.errors.NotFoundError):
            read_by_tensorflow(tf, prefix)
        return None
    values = {name: plain(value) for name, value in ckptfast.load(prefix).items()}
    assert values == read_by_tensorflow(tf, prefix)
    return values


def found(tf: ModuleType, trial: Trial) -> str:
    """Whether the old or the new bundle is there, whole."""
    scenario = trial.scenario
    values = read(tf, trial.prefix)
    if values == scenario.new():
        return "new"
    assert values == (scenario.old and scenario.old())
    if scenario.save[0] == "merge":
        # Nothing of what was to be merged may be lost before the merge is there.
        there: Tensors = {}
        for part in scenario.save[3:]:
            there |= read(tf, trial.directory / part) or {}
        assert there == scenario.new()
    return "old"


@pytest.fixture(params=list(SCENARIOS))
def trial(request: pytest.FixtureRequest, crash_save: Path, tmp_path: Path) -> Trial:
    return Trial(crash_save, SCENARIOS[request.param], tmp_path)


def test_a_kill_at_any_step_leaves_the_old_bundle_or_the_new_one(
    tf: ModuleType, trial: Trial
) -> None:
    seen = []
    for number in range(1, len(trial.steps) + 1):
        for after in ("", "+"):
            killed = trial.run(CKPTFAST_KILL_AT=f"{number}{after}")
            assert killed.returncode == -signal.SIGKILL, (number, killed.stderr)
            seen.append(found(tf, trial))
    # Old up to one step, new from there on: there is one commit.
    assert seen == sorted(seen, reverse=True)
    assert set(seen) == {"old", "new"}


def test_the_save_after_a_kill_succeeds_and_tidies_up(tf: ModuleType, trial: Trial) -> None:
    if trial.scenario.save[0] == "merge":
        # What a dead merge leaves is merged again, unless it had come to the commit.
        again = ("write", "m", "300", "0", "4", "0", "none", "1")
    else:
        again = (*trial.scenario.save[:2], "300", "0", "4", "0", "none", "1")
    for number in range(1, len(trial.steps) + 1):
        trial.run(CKPTFAST_KILL_AT=str(number))
        succeed(trial.program, again, trial.directory)
        assert read(tf, trial.prefix) == tensors(300, 0, 4)
        assert not [name for name in trial.names() if name.endswith(".tmp")]


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_step_that_fails_leaves_the_old_bundle_and_no_temporary_file(
    tf: ModuleType, trial: Trial, error: str
) -> None:
    trial.reset()
    before = trial.names()
    failures = 0
    for number, step in enumerate(trial.steps, 1):
        result = trial.run(CKPTFAST_FAIL_AT=f"{number}:{error}")
        state = found(tf, trial)
        names = trial.names()
        assert not [name for name in names if name.endswith(".tmp")], (number, step)
        if result.returncode == 0 or "the checkpoint is in place" in result.stderr:
            assert state == "new", (number, step)
        else:
            failures += 1
            assert (state, names) == ("old", before), (number, step, result.stderr)
            # Says where and why.
            assert re.search(r"^\S+: .*\(os error (28|5)\)", result.stderr), result.stderr
    # All but the removal of what has been replaced, the last flush, and links, which can be
    # renames instead.
    optional = sum(step in ("unlink", "rmdir", "link") for step in trial.steps)
    assert failures >= len(trial.steps) - optional - 1


def test_failpoints_miss_no_system_call(trial: Trial) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed")
    log = trial.directory.parent / "trace"
    watch = f"trace={','.join(CALLS.values())},{OTHER_CALLS}".replace("rename2,", "")
    command = (strace, "-f", "-qq", "-e", watch, "-o", str(log), str(trial.program))
    trial.reset()
    result = run(command, trial.scenario.save, trial.directory)
    assert result.returncode == 0, result.stderr
    lines = log.read_text().splitlines()
    calls = [match[1] for line in lines if (match := re.match(r"\d+ +(\w+)\(.*= ", line))]
    opened = [line for line in lines if " openat(" in line and "O_EXCL" not in line]
    assert not [line for line in opened if re.search(r"O_WRONLY|O_TRUNC|O_CREAT", line)]
    made = Counter(calls) - Counter({"openat": len(opened)})
    assert made == Counter(CALLS[step] for step in result.stdout.split())
    assert result.stdout.split() == trial.steps


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[tuple[Path, bool]]:
    """A directory with room for little more than 64 KiB, and whether it is a disk of its own.

    Where mounting is not allowed, files cannot grow beyond 64 KiB instead, which the system
    reports at the same calls.
    """
    directory = tmp_path / "disk"
    directory.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(directory)]
    mounted = shutil.which("mount") is not None and (
        subprocess.run(mount, capture_output=True, check=False).returncode == 0
    )
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    if not mounted:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, limits[1]))
    try:
        yield directory, mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(directory)], check=True)
        else:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_disk_that_is_really_full_keeps_the_old_bundle(
    small_disk: tuple[Path, bool], crash_save: Path
) -> None:
    directory, mounted = small_disk
    # 100 tensors take 26 KB aligned, 400 take 330 KB.
    succeed(crash_save, write("m", 100, 0, 100, 0, "full"), directory)
    before = sorted(os.listdir(directory))
    for level in ("full", "none"):
        result = run(crash_save, write("m", 200, 0, 400, 0, level), directory)
        assert result.returncode == 1
        expected = "No space left on device" if mounted else "File too large"
        assert expected in result.stderr
        assert sorted(os.listdir(directory)) == before
        values = {name: plain(value) for name, value in ckptfast.load(directory / "m").items()}
        assert values == tensors(100, 0, 100)
    succeed(crash_save, write("m", 300, 0, 100, 0, "full"), directory)
