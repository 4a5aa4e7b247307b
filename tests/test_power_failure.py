"""What a power failure leaves of a save, replayed from its system calls.

Until a directory is flushed, any of the changes to its names may or may not be on disk; until a
file is flushed, its content is not. The trace of a save is replayed into this model, and after
every call everything that could then be on disk is looked at: it must be the previous bundle or the
new one, whole. Where the file system keeps the order of changes (`durability="rename"` asks for
such a one), what is on disk is what some earlier moment looked like.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from helpers.crash import SCENARIOS, Trial

DIRECTORY = -1

# Name by name: the number of the file that has it, or None where it is taken away.
Change = dict[Path, int | None]
Names = dict[Path, int]


@dataclasses.dataclass
class Disk:
    """What is on disk, and what may be."""

    durable: Names
    current: Names
    pending: list[Change]
    dirty: set[int]

    def change(self, change: Change) -> None:
        self.pending.append(change)
        apply(self.current, change)

    def flush_directory(self, directory: Path) -> None:
        """Everything said about names in one directory is on disk from now on."""
        flushed = [change for change in self.pending if directory in parents(change)]
        self.pending = [change for change in self.pending if directory not in parents(change)]
        for change in flushed:
            apply(self.durable, change)

    def after_power_failure(self, *, ordered: bool) -> Iterator[Names]:
        """All that could be found."""
        for number in range(len(self.pending) + 1):
            subsets: Iterable[tuple[Change, ...]] = [tuple(self.pending[:number])]
            if not ordered:
                subsets = itertools.combinations(self.pending, number)
            for changes in subsets:
                names = dict(self.durable)
                for change in changes:
                    apply(names, change)
                yield {
                    path: file
                    for path, file in names.items()
                    if all(names.get(up) == DIRECTORY for up in path.parents if up != path.anchor)
                }


def apply(names: Names, change: Change) -> None:
    for path, file in change.items():
        if file is None:
            names.pop(path, None)
        else:
            names[path] = file


def parents(change: Change) -> set[Path]:
    return {path.parent for path in change}


class Replay:
    """Takes the lines of a trace to a disk."""

    def __init__(self, trial: Trial) -> None:
        root = trial.directory.resolve()
        self.root = root
        self.numbers = itertools.count()
        names: Names = dict.fromkeys([root, *root.parents], DIRECTORY)
        for path in sorted(root.rglob("*")):
            names[path] = DIRECTORY if path.is_dir() else next(self.numbers)
        # What is to be merged was written without flushing anything.
        dirty = {file for path, file in names.items() if "m_temp" in path.parts}
        self.disk = Disk(dict(names), names, [], dirty)

    def play(self, line: str) -> None:
        match = re.match(r"\d+ +(\w+)\((.*)\) += (\d+)", line)
        if match is None:
            # A call that failed has changed nothing.
            assert re.search(r"\) += -1 E\w+", line), line
            return
        call, arguments, _ = match.groups()
        paths = [self.root / text for text in re.findall(r'"([^"]*)"', arguments)]
        opened = [Path(text) for text in re.findall(r"^\d+<([^>]*)>", arguments)]
        getattr(self, f"play_{call}")(*opened, *paths[: 0 if call == "pwrite64" else None])

    def play_openat(self, path: Path) -> None:
        if path not in self.disk.current:
            self.disk.change({path: next(self.numbers)})

    def play_mkdir(self, path: Path) -> None:
        self.disk.change({path: DIRECTORY})

    def play_rename(self, old: Path, new: Path) -> None:
        self.disk.change({old: None, new: self.disk.current[old]})

    def play_linkat(self, old: Path, new: Path) -> None:
        self.disk.change({new: self.disk.current[old]})

    def play_unlink(self, path: Path) -> None:
        self.disk.change({path: None})

    play_rmdir = play_unlink

    def play_pwrite64(self, path: Path) -> None:
        self.disk.dirty.add(self.disk.current[path])

    play_fallocate = play_ftruncate = play_pwrite64

    def play_fdatasync(self, path: Path) -> None:
        self.disk.dirty.discard(self.disk.current[path])

    def play_fsync(self, directory: Path) -> None:
        assert self.disk.current[directory] == DIRECTORY
        self.disk.flush_directory(directory)


def bundle(names: Names, prefix: Path) -> Names:
    """The files of a prefix."""
    stem = re.compile(re.escape(str(prefix)) + r"\.(index|data-\d{5}-of-\d{5})")
    return {path: file for path, file in names.items() if stem.fullmatch(str(path))}


def whole(names: Names, expected: Names) -> bool:
    return expected.items() <= names.items()


@pytest.mark.parametrize(
    "name", [name for name, scenario in SCENARIOS.items() if "none" not in scenario.save]
)
def test_a_power_failure_at_any_call_leaves_the_old_bundle_or_the_new_one(
    name: str, tmp_path: Path
) -> None:
    trial = Trial(SCENARIOS[name], tmp_path)
    steps, lines = trial.trace()
    trial.reset()
    prefix = trial.prefix.resolve()
    index = Path(f"{prefix}.index")
    parts = [(trial.directory / part).resolve() for part in trial.scenario.save[3:]]
    parts = parts if trial.scenario.save[0] == "merge" else []
    ordered = "rename" in trial.scenario.save

    last = Replay(trial)
    for line in lines:
        last.play(line)
    new = bundle(last.disk.current, prefix)

    replay = Replay(trial)
    old = bundle(replay.disk.current, prefix)
    sources = [bundle(replay.disk.current, part) for part in parts]
    looked_at = 0
    for line in lines:
        replay.play(line)
        for names in replay.disk.after_power_failure(ordered=ordered):
            looked_at += 1
            if names.get(index) == new[index]:
                assert whole(names, new), line
                assert not replay.disk.dirty & set(new.values()), line
            else:
                assert names.get(index) == old.get(index), line
                assert whole(names, old), line
                assert all(whole(names, source) for source in sources), line
    assert looked_at > len(steps)
    if not ordered:
        # The save has returned: the new bundle is there to stay.
        for names in replay.disk.after_power_failure(ordered=False):
            assert whole(names, new)
    assert os.path.exists(index) == bool(old)
