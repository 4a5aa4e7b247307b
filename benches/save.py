"""Scenario ``save``: writing a large model, beside the raw speed of new files."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Literal

import ckptfast
from benches import rawio, tfside
from benches.bench import Bench
from benches.machine import cpus
from benches.measure import Contender, Measure, interleave
from benches.model import Model
from benches.results import Row
from benches.tfside import Program

Durability = Literal["full", "rename", "none"]

SHARE = 0.8
"""Share of the best raw write that is as good as the ratio to TensorFlow."""


def run(bench: Bench) -> None:
    """Adds the rows of ``save`` with both durabilities, and the ceilings of raw writes."""
    model = Model(bench.size.large, seed=1)
    nbytes = model.nbytes
    source = rawio.warm_buffer(nbytes)
    rawio.as_bytes(source)[:nbytes].reshape(bench.size.large.count, -1)[:] = [
        array.view("u1") for array in model.arrays.values()
    ]
    program = Program(model, resource=True)
    with (
        bench.scratch() as scratch,
        closing(program.session()) as session,
        memoryview(source) as view,
    ):
        start = tfside.write(scratch / "start", model.tensors(0))
        program.restore(session, os.fspath(start))
        prefix = scratch / "saved"

        def check(_result: object, whole: bool) -> None:
            if whole:
                model.check(tfside.load(prefix), 0, whole=True)
            remove(prefix)

        def save(durability: Durability) -> Callable[[], object]:
            return lambda: ckptfast.save(prefix, model.arrays, durability=durability)

        buffered = raw_ways(prefix, view[:nbytes], durable=False)
        durable = raw_ways(prefix, view[:nbytes], durable=True)
        times = interleave(
            [
                Contender(name="TF", run=lambda: program.save(session, prefix), check=check),
                Contender(name="none", run=save("none"), check=check),
                *buffered,
                Contender(name="full", run=save("full"), check=check),
                *durable,
            ],
            bench.size.repeats,
            fresh_bytes=bench.size.fresh_bytes,
        )
    best = _best(bench, times, buffered, nbytes)
    best_durable = _best(bench, times, durable, nbytes)
    bench.results.rows += [
        row("save L", "none", times, nbytes, best, 3.0),
        row("save L", "full", times, nbytes, best_durable, 1.0),
    ]


def raw_ways(prefix: Path, source: memoryview, *, durable: bool) -> list[Contender]:
    """Ways of writing new files; `source` is a whole number of pages, as O_DIRECT needs."""
    many = max(2, cpus())
    write = partial(rawio.write, prefix, source, durable=durable)
    ways: dict[str, Callable[[], None]] = {
        f"1 file, {many} threads": partial(write, many),
        f"1 file, {many} threads, allocated first": partial(write, many, allocate=True),
        f"{many} files, {many} threads": partial(write, many, files=many),
    }
    if not durable:
        ways["1 file, 1 thread"] = partial(write, 1)
    elif _direct_works(prefix.parent):
        ways[f"1 file, {many} threads, O_DIRECT"] = partial(write, many, allocate=True, direct=True)
    kind = "durable write" if durable else "raw write"
    return [
        Contender(name=f"{kind}, {name}", run=way, check=lambda _result, _whole: remove(prefix))
        for name, way in ways.items()
    ]


def _direct_works(directory: Path) -> bool:
    """Whether the file system takes O_DIRECT (tmpfs, for one, may not)."""
    probe = directory / "probe"
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_DIRECT, 0o644))
    except OSError:
        return False
    finally:
        probe.unlink(missing_ok=True)
    return True


def remove(prefix: Path) -> None:
    """Delete the files of a checkpoint."""
    for path in prefix.parent.iterdir():
        if path.name.startswith(f"{prefix.name}."):
            path.unlink()


def _best(
    bench: Bench, times: dict[str, Measure], ways: list[Contender], nbytes: int
) -> tuple[str, Measure]:
    """Adds all ways to the ceilings and returns the fastest, by its median."""
    for way in ways:
        bench.results.ceiling(way.name, times[way.name], nbytes)
    return best_of(ways, times)


def best_of(ways: list[Contender], times: dict[str, Measure]) -> tuple[str, Measure]:
    """The fastest way by its median."""
    name = min((way.name for way in ways), key=lambda name: times[name].median)
    return name, times[name]


def row(
    what: str,
    durability: str,
    times: dict[str, Measure],
    nbytes: int,
    best: tuple[str, Measure],
    target: float,
) -> Row:
    """Save beside TensorFlow's and beside the best raw write."""
    theirs, ours = times["TF"], times[durability]
    name, raw = best
    share = raw.median / ours.median
    met = theirs.median >= target * ours.median
    wanted = f"≥ {target:g}×"
    if durability == "none":
        met = met or share >= SHARE
        wanted += f", or ≥ {SHARE:.0%} of the best raw write"
    else:
        wanted += " of TensorFlow without fsync"
    return Row(
        name=f'{what}, durability="{durability}"',
        tensorflow=theirs,
        ckptfast=ours,
        target=wanted,
        met=met,
        nbytes=nbytes,
        beside=f"{share:.0%} of {name} {raw.per_second(nbytes).median:.1f} GB/s",
    )
