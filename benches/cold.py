"""Scenario ``cold``: the page cache holds nothing of the checkpoint, so that the disk is read."""

from __future__ import annotations

import os
from pathlib import Path

import ckptfast
from benches import rawio, tfside
from benches.bench import Bench
from benches.machine import filesystem
from benches.measure import Contender, Measure, interleave
from benches.model import Model
from benches.pages import StillCachedError, bundle_files, evict, sync
from benches.restore import How, verified
from benches.results import Row
from benches.tfside import Program, Session

FASTER = 1.5
SHARE = 0.8


class ColdRestore:
    """Restores into a new session, after dropping the checkpoint from the page cache."""

    def __init__(self, program: Program, prefix: Path, how: How) -> None:
        self._program = program
        self._prefix = prefix
        self._how = how
        self._session: Session = None

    def before(self) -> None:
        evict(bundle_files(self._prefix))
        self._session = self._program.session()

    def run(self) -> None:
        self._how(self._session, os.fspath(self._prefix))

    def check(self, _result: object, whole: bool) -> None:
        self._program.check(self._session, 0, whole=whole)
        self._session.close()  # unmaps the file, which could not be dropped otherwise
        self._session = None


def run(bench: Bench) -> None:
    """Adds the rows of cold restores and a cold load, and the ceilings of cold raw reads."""
    model = Model(bench.size.large, seed=1, odd_first=True)
    program = Program(model, resource=True)
    with bench.scratch() as scratch:
        prefix = tfside.write(scratch / "tf", model.tensors(0))
        aligned = scratch / "ckptfast"
        ckptfast.save(aligned, model.arrays, durability="none")
        for each in (prefix, aligned):
            sync(bundle_files(each))
        try:
            evict(bundle_files(prefix))
        except StillCachedError as error:
            bench.results.notes.append(
                f"cold: left out, {filesystem(scratch)} keeps files in memory ({error})"
            )
            return
        _measure(bench, program, prefix, aligned)


def _measure(bench: Bench, program: Program, prefix: Path, aligned: Path) -> None:
    model = program.model

    def check(values: dict[str, object], whole: bool) -> None:
        model.check(values, 0, whole=whole)

    def drop() -> None:
        evict(bundle_files(prefix))

    restores = {
        "TF restore": ColdRestore(program, prefix, program.restore),
        "restore": ColdRestore(program, prefix, verified),
        "restore aligned": ColdRestore(program, aligned, verified),
    }
    raw = _raw_ways(prefix)
    times = interleave(
        [
            *(
                Contender(name=name, run=way.run, before=way.before, check=way.check)
                for name, way in restores.items()
            ),
            *raw,
            Contender(name="TF load", run=lambda: tfside.load(prefix), before=drop, check=check),
            Contender(name="load", run=lambda: ckptfast.load(prefix), before=drop, check=check),
        ],
        bench.size.cold_repeats,
        fresh_bytes=bench.size.fresh_bytes,
    )
    for way in raw:
        bench.results.ceiling(way.name, times[way.name], model.nbytes)
    best = min((way.name for way in raw), key=lambda name: times[name].median)
    for name, theirs, ours, target in (
        ("restore L, cold, TF-written, misaligned", "TF restore", "restore", True),
        ("restore L, cold, ckptfast-written", "TF restore", "restore aligned", True),
        ("load L, cold, TF-written, misaligned", "TF load", "load", False),
    ):
        row = _row(name, times[theirs], times[ours], best, times[best], model.nbytes, target)
        bench.results.rows.append(row)


def _raw_ways(prefix: Path) -> list[Contender]:
    """Ways of reading the largest file of a bundle into memory that is already there."""
    path = max(bundle_files(prefix), key=lambda path: path.stat().st_size)
    target = rawio.warm_buffer(path.stat().st_size)

    def way(threads: int, direct: bool) -> Contender:
        return Contender(
            name=f"cold read, {'O_DIRECT' if direct else 'buffered'}, "
            f"{threads} thread{'s' if threads > 1 else ''}",
            run=lambda: rawio.read(path, target, threads, direct=direct),
            before=lambda: evict([path]),
        )

    ways = [way(1, False), way(2, False), way(8, False)]
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_DIRECT))
    except OSError:
        return ways  # a file system without O_DIRECT
    return [*ways, way(8, True)]


def _row(
    name: str,
    theirs: Measure,
    ours: Measure,
    best: str,
    raw: Measure,
    nbytes: int,
    target: bool,
) -> Row:
    share = raw.median / ours.median
    met = theirs.median >= FASTER * ours.median and share >= SHARE
    return Row(
        name=name,
        tensorflow=theirs,
        ckptfast=ours,
        target=f"≥ {FASTER:g}×, and ≥ {SHARE:.0%} of the best raw read" if target else "",
        met=met if target else None,
        nbytes=nbytes,
        beside=f"{share:.0%} of {best} {raw.per_second(nbytes).median:.1f} GB/s",
    )
