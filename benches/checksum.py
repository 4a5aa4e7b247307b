"""Scenario ``checksum``: CRC-32C as the core computes it, on one core and on all."""

from __future__ import annotations

import time

from benches import rawio
from benches.bench import Bench
from benches.machine import cpus
from benches.measure import Contender, Measure, interleave
from benches.results import Row

ALL_CORES = "checksum kernel, all cores"
TARGET = 20.0
IN_CACHE = 128 << 10
"""Bytes that stay in the second-level cache of a core."""


def run(bench: Bench) -> None:
    """Adds the row of the checksum kernel, and the ceiling of everything that is verified."""
    from ckptfast._native import crc32c

    if crc32c(b"123456789") != 0xE3069283:  # the check value of CRC-32C
        raise AssertionError("crc32c(b'123456789') is wrong")
    size = bench.size
    nbytes = size.large.nbytes
    data = memoryview(rawio.warm_buffer(nbytes))[:nbytes]

    def all_cores() -> None:
        rawio.in_threads(cpus(), nbytes, lambda start, stop: _discard(crc32c(data[start:stop])))

    times = interleave([Contender(name=ALL_CORES, run=all_cores)], size.repeats)
    bench.results.ceiling(ALL_CORES, times[ALL_CORES], nbytes)
    memory = Measure(tuple(_one_core(data, 1) for _ in range(size.repeats)), "GB/s")
    cached = Measure(
        tuple(_one_core(data[:IN_CACHE], nbytes // IN_CACHE) for _ in range(size.repeats)), "GB/s"
    )
    bench.results.rows += [
        Row(
            name="checksum kernel, one core, data in memory",
            tensorflow=None,
            ckptfast=memory,
            target=f"≥ {TARGET:g} GB/s",
            met=memory.median >= TARGET,
        ),
        Row(name="checksum kernel, one core, data in cache", tensorflow=None, ckptfast=cached),
    ]


def _one_core(data: memoryview, passes: int) -> float:
    """GB/s of `passes` calls, by CPU time if that is longer: never the work of two cores."""
    from ckptfast._native import crc32c

    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(passes):
        crc32c(data)
    seconds = max(time.perf_counter() - wall, time.process_time() - cpu)
    return data.nbytes * passes / seconds / 1e9


def _discard(_value: int) -> None:
    pass
