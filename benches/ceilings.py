"""Scenario ``ceilings``: memory copies and page-cache reads with nothing around them."""

from __future__ import annotations

import mmap
from pathlib import Path

from benches import rawio
from benches.bench import Bench
from benches.machine import cpus
from benches.measure import Contender, interleave

READ_FRESH = "page-cache read into fresh huge pages"
"""Name of the ceiling of everything that ends in a copy of the file in new memory."""


def run(bench: Bench) -> None:
    """Measures the ceilings that need no file on a disk: one thread, and all CPUs."""
    nbytes = bench.size.large.nbytes
    threads = sorted({1, 2, cpus()})
    with bench.scratch() as scratch:
        source, target = rawio.warm_buffer(nbytes), rawio.warm_buffer(nbytes)
        rawio.write(scratch / "cached", memoryview(source)[:nbytes], 1)
        path = rawio.raw_file(scratch / "cached", 0)
        contenders = [
            *(_memcpy(source, target, nbytes, count) for count in threads),
            *(_read(path, target, count) for count in threads),
            Contender(
                name=READ_FRESH,
                run=lambda: rawio.read(path, rawio.huge_buffer(nbytes), cpus()),
            ),
        ]
        for name, seconds in interleave(
            contenders, bench.size.repeats, fresh_bytes=bench.size.fresh_bytes
        ).items():
            bench.results.ceiling(name, seconds, nbytes)


def _memcpy(source: mmap.mmap, target: mmap.mmap, nbytes: int, threads: int) -> Contender:
    there, here = rawio.as_bytes(source)[:nbytes], rawio.as_bytes(target)[:nbytes]
    return Contender(name=_named("memcpy", threads), run=lambda: rawio.copy(there, here, threads))


def _read(path: Path, target: mmap.mmap, threads: int) -> Contender:
    return Contender(
        name=_named("page-cache read into a warm buffer", threads),
        run=lambda: rawio.read(path, target, threads),
    )


def _named(what: str, threads: int) -> str:
    return f"{what}, {threads} thread{'s' if threads > 1 else ''}"
