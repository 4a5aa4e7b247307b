"""A save that dies, or that the system fails, at any of its steps.

After every death TensorFlow and ckptfast must restore the previous bundle or the new one, whole. A
trace of system calls shows that the failpoints miss none.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import ckptfast
from helpers.crash import CALLS, SCENARIOS, Tensors, Trial, run, succeed, tensors, write


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
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Trial:
    return Trial(SCENARIOS[request.param], tmp_path)


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
        succeed(again, trial.directory)
        assert read(tf, trial.prefix) == tensors(300, 0, 4)
        assert not [name for name in trial.files() if name.endswith(".tmp")]


@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_a_step_that_fails_leaves_the_old_bundle_and_no_temporary_file(
    tf: ModuleType, trial: Trial, error: str
) -> None:
    trial.reset()
    before = trial.files()
    failures = 0
    for number, step in enumerate(trial.steps, 1):
        result = trial.run(CKPTFAST_FAIL_AT=f"{number}:{error}")
        state = found(tf, trial)
        names = trial.files()
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
    steps, lines = trial.trace()
    calls = [match[1] for line in lines if (match := re.match(r"\d+ +(\w+)\(.*= ", line))]
    opened = [line for line in lines if " openat(" in line and "O_EXCL" not in line]
    assert not [line for line in opened if re.search(r"O_WRONLY|O_TRUNC|O_CREAT", line)]
    made = Counter(calls) - Counter({"openat": len(opened)})
    assert made == Counter(CALLS[step] for step in steps)
    assert steps == trial.steps


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
    small_disk: tuple[Path, bool],
) -> None:
    directory, mounted = small_disk
    # 100 tensors take 26 KB aligned, 400 take 330 KB.
    succeed(write("m", 100, 0, 100, 0, "full"), directory)
    before = sorted(os.listdir(directory))
    for level in ("full", "none"):
        result = run(write("m", 200, 0, 400, 0, level), directory)
        assert result.returncode == 1
        expected = "No space left on device" if mounted else "File too large"
        assert expected in result.stderr
        assert sorted(os.listdir(directory)) == before
        values = {name: plain(value) for name, value in ckptfast.load(directory / "m").items()}
        assert values == tensors(100, 0, 100)
    succeed(write("m", 300, 0, 100, 0, "full"), directory)


def test_files_have_the_mode_that_the_umask_grants(tmp_path: Path) -> None:
    for mask, mode in [(0o022, 0o644), (0o007, 0o660), (0o077, 0o600)]:
        before = os.umask(mask)
        try:
            succeed(write("m", 100, 0, 4, 2, "none"), tmp_path)
        finally:
            os.umask(before)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        assert len(modes) == 3
        assert set(modes.values()) == {mode}
