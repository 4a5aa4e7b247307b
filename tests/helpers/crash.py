"""A save that is going to die, and the program that does it.

`crash_save`, an example of the Rust core built with failpoints, writes and merges bundles; the
environment tells it at which step to die or to fail.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

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
OTHER_CALLS = [
    *("copy_file_range", "creat", "fsetxattr", "link", "mkdirat", "mknod", "mknodat", "msync"),
    *("pwritev", "pwritev2", "renameat", "renameat2", "sendfile", "setxattr", "splice", "symlink"),
    *("symlinkat", "sync", "sync_file_range", "syncfs", "truncate", "unlinkat", "writev"),
]

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


@functools.cache
def program() -> str:
    """Path of `crash_save`, built when it is first asked for."""
    command = "cargo build --package ckptfast --features failpoints --example crash_save"
    build = subprocess.run(
        [*command.split(), "--quiet", "--locked", "--message-format=json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    messages = [json.loads(line) for line in build.stdout.splitlines()]
    (path,) = {
        message["executable"]
        for message in messages
        if message["reason"] == "compiler-artifact" and message["target"]["name"] == "crash_save"
    }
    return str(path)


def run(
    arguments: tuple[str, ...],
    directory: Path,
    *,
    under: tuple[str, ...] = (),
    **environment: str,
) -> subprocess.CompletedProcess[str]:
    """Run `crash_save` in a directory, perhaps under another program."""
    return subprocess.run(
        [*under, program(), *arguments],
        cwd=directory,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        # Python ignores SIGXFSZ, so that a file that is too large is an error. So does the child.
        restore_signals=False,
    )


def succeed(arguments: tuple[str, ...], directory: Path) -> list[str]:
    """Run to the end; the steps that were passed."""
    result = run(arguments, directory)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


class Trial:
    """A scenario, again and again from the same beginning."""

    def __init__(self, scenario: Scenario, home: Path) -> None:
        self.scenario = scenario
        self.start = home / "start"
        self.start.mkdir(parents=True)
        self.directory = home / "trial"
        for arguments in scenario.before:
            succeed(arguments, self.start)
        self.reset()
        self.steps = succeed(scenario.save, self.directory)

    @property
    def prefix(self) -> Path:
        return self.directory / self.scenario.save[1]

    def reset(self) -> None:
        """Go back to the beginning."""
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.copytree(self.start, self.directory)

    def run(self, **environment: str) -> subprocess.CompletedProcess[str]:
        """Save, from the beginning."""
        self.reset()
        return run(self.scenario.save, self.directory, **environment)

    def trace(self) -> tuple[list[str], list[str]]:
        """Save, from the beginning: the steps that were passed, and the trace of system calls.

        File descriptors are shown with their paths. Skips where strace is not installed.
        """
        strace = shutil.which("strace")
        if strace is None:
            pytest.skip("strace is not installed")
        log = self.directory.parent / "trace"
        calls = ",".join([*CALLS.values(), *OTHER_CALLS])
        self.reset()
        under = (strace, "-f", "-qq", "-y", "-e", f"trace={calls}", "-o", str(log))
        result = run(self.scenario.save, self.directory, under=under)
        assert result.returncode == 0, result.stderr
        return result.stdout.split(), log.read_text().splitlines()

    def files(self) -> list[str]:
        """Every file, relative to the directory."""
        paths = self.directory.rglob("*")
        return sorted(str(path.relative_to(self.directory)) for path in paths if path.is_file())
