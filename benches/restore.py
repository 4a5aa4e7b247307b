"""Scenario ``restore``: a large model into a live session, the main job.

Every contender has a session of its own, so that nobody pays for freeing what somebody else has
restored, and alternates between two checkpoints of different values, so that a restore that does
nothing is noticed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import ckptfast
from benches import ceilings, checksum, tfside
from benches.bench import Bench
from benches.measure import Contender, Measure, interleave
from benches.model import ODD_NAME, FloatArray, Model
from benches.pages import bundle_files, resident_share, sync
from benches.results import at_least
from benches.tfside import Program, Session

How = Callable[[Session, str], object]
Files = tuple[Path, Path]


class Restoring:
    """One way of restoring, into its own session or (`fresh`) as the first thing in a new one."""

    def __init__(
        self, program: Program, files: Files, how: How, *, fresh: bool = False, touch: bool = False
    ) -> None:
        self._program = program
        self._files = files
        self._how = how
        self._fresh = fresh
        self._touch = touch
        self._version = 1
        self._session: Session = None

    def before(self) -> None:
        self._version = 1 - self._version
        if self._session is None:
            self._session = self._program.session()
        if self._fresh:
            ckptfast.release_memory()

    def run(self) -> None:
        self._how(self._session, os.fspath(self._files[self._version]))
        if self._touch:
            self._program.touch(self._session)

    def check(self, _result: object, whole: bool) -> None:
        self._program.check(self._session, self._version, whole=whole)
        if self._fresh:
            self.close()

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None


def run(bench: Bench) -> None:
    """Adds the rows of the three layouts, and those of reference variables."""
    _packed_by_luck(bench)
    model = Model(bench.size.large, seed=1, odd_first=True)
    resource, reference = Program(model, resource=True), Program(model, resource=False)
    with bench.scratch() as scratch:
        files = _files(scratch, model, "tf", misaligned=True, write=tfside.write)
        _misaligned(bench, resource, files)
        _reference(bench, "TF-written, misaligned", reference, files, ceilings.READ_FRESH)
    with bench.scratch() as scratch:
        files = _files(scratch, model, "ckptfast", misaligned=False, write=_write_aligned)
        _aligned(bench, resource, files)
        _reference(bench, "ckptfast-written", reference, files, checksum.ALL_CORES)


def verified(session: Session, path: str) -> object:
    """``ckptfast.restore`` as it comes."""
    return ckptfast.restore(session, path)


def _copied(session: Session, path: str) -> object:
    return ckptfast.restore(session, path, copy=True)


def _unverified(session: Session, path: str) -> object:
    return ckptfast.restore(session, path, verify=False)


def _write_aligned(prefix: Path, tensors: dict[str, FloatArray]) -> object:
    return ckptfast.save(prefix, tensors, durability="none")


def _files(
    scratch: Path,
    model: Model,
    name: str,
    *,
    misaligned: bool,
    write: Callable[[Path, dict[str, FloatArray]], object],
) -> Files:
    """Both versions of a model as checkpoints, in the page cache and with clean pages."""
    prefixes = (scratch / f"{name}-0", scratch / f"{name}-1")
    for version, prefix in enumerate(prefixes):
        write(prefix, model.tensors(version))
        with ckptfast.open(prefix) as reader:
            offsets = [reader.info(key).offset for key in reader if key != ODD_NAME]
        if any(offset is None or (offset % 64 != 0) != misaligned for offset in offsets):
            raise AssertionError(f"{prefix.name} does not have the offsets it is meant to have")
        paths = bundle_files(prefix)
        sync(paths)
        if min(resident_share(path) for path in paths) < 0.99:
            raise RuntimeError("the page cache is too small for the warm measurements")
    return prefixes


def _race(bench: Bench, ways: dict[str, Restoring]) -> dict[str, Measure]:
    contenders = [
        Contender(name=name, run=way.run, before=way.before, check=way.check)
        for name, way in ways.items()
    ]
    try:
        return interleave(contenders, bench.size.repeats, fresh_bytes=bench.size.fresh_bytes)
    finally:
        for way in ways.values():
            way.close()


def _misaligned(bench: Bench, program: Program, files: Files) -> None:
    restore = program.restore
    times = _race(
        bench,
        {
            "TF": Restoring(program, files, restore),
            "restore": Restoring(program, files, verified),
            "TF first": Restoring(program, files, restore, fresh=True),
            "first": Restoring(program, files, verified, fresh=True),
        },
    )
    nbytes, beside = program.model.nbytes, bench.results.beside(ceilings.READ_FRESH)
    name = "restore L, TF-written, misaligned"
    for label, theirs, ours, target in (
        (f"{name}, verified", "TF", "restore", 2),
        (f"{name}, verified, first in a session", "TF first", "first", None),
    ):
        bench.results.rows.append(
            at_least(label, times, theirs, ours, target=target, nbytes=nbytes, beside=beside)
        )


def _packed_by_luck(bench: Bench) -> None:
    """The row of a file in which TensorFlow's packing happens to align every tensor."""
    model = Model(bench.size.large, seed=1)
    program = Program(model, resource=True)
    with bench.scratch() as scratch:
        files = _files(scratch, model, "tf", misaligned=False, write=tfside.write)
        times = _race(
            bench,
            {
                "TF": Restoring(program, files, program.restore),
                "restore": Restoring(program, files, verified),
            },
        )
    bench.results.rows.append(
        at_least(
            "restore L, TF-written, happens to align, verified",
            times,
            "TF",
            "restore",
            target=5,
            nbytes=model.nbytes,
            beside=bench.results.beside(checksum.ALL_CORES),
        )
    )


def _aligned(bench: Bench, program: Program, files: Files) -> None:
    restore = program.restore
    # Two races: with all these sessions alive at once, memory would limit the model.
    times = _race(
        bench,
        {
            "TF": Restoring(program, files, restore),
            "verified": Restoring(program, files, verified),
            "copied": Restoring(program, files, _copied),
            "unverified": Restoring(program, files, _unverified),
        },
    )
    touching = {
        "TF touched": Restoring(program, files, restore, touch=True),
        "touched": Restoring(program, files, verified, touch=True),
        "lazily touched": Restoring(program, files, _unverified, touch=True),
        "TF first": Restoring(program, files, restore, fresh=True),
        "first": Restoring(program, files, verified, fresh=True),
        "unverified first": Restoring(program, files, _unverified, fresh=True),
    }
    times |= _race(bench, touching)
    checksummed = bench.results.beside(checksum.ALL_CORES)
    fresh = bench.results.beside(ceilings.READ_FRESH)
    name = "restore L, ckptfast-written"
    for label, theirs, ours, target, beside in (
        (f"{name}, verified", "TF", "verified", 5, checksummed),
        (f"{name}, verified, copy=True", "TF", "copied", 2, fresh),
        (f"{name}, verify=False", "TF", "unverified", 100, ""),
        (f"{name}, verified, then every byte read", "TF touched", "touched", None, checksummed),
        (f"{name}, verify=False, then every byte read", "TF touched", "lazily touched", None, ""),
        (f"{name}, verified, first in a session", "TF first", "first", None, checksummed),
        (f"{name}, verify=False, first in a session", "TF first", "unverified first", None, ""),
    ):
        # Without a checksum no byte moves, so that a speed would say nothing.
        nbytes = 0 if ours in ("unverified", "unverified first") else program.model.nbytes
        bench.results.rows.append(
            at_least(label, times, theirs, ours, target=target, nbytes=nbytes, beside=beside)
        )


def _reference(bench: Bench, layout: str, program: Program, files: Files, ceiling: str) -> None:
    times = _race(
        bench,
        {
            "TF": Restoring(program, files, program.restore),
            "restore": Restoring(program, files, verified),
        },
    )
    bench.results.rows.append(
        at_least(
            f"restore L, {layout}, reference variables, verified",
            times,
            "TF",
            "restore",
            target=None,
            nbytes=program.model.nbytes,
            beside=bench.results.beside(ceiling),
        )
    )
