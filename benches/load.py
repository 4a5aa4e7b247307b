"""Scenario ``load``: all tensors of a checkpoint as arrays, without a session."""

from __future__ import annotations

import ckptfast
from benches import checksum, tfside
from benches.bench import Bench
from benches.measure import Contender, interleave
from benches.model import Model
from benches.pages import bundle_files, sync
from benches.results import at_least
from benches.sizes import Shape


def run(bench: Bench) -> None:
    """Adds the rows L, M and S, each a checkpoint that TensorFlow wrote."""
    size = bench.size
    _load(bench, "L", size.large, 5)
    _load(bench, "M", size.medium, 5)
    _load(bench, "S", size.small, 3)


def _load(bench: Bench, letter: str, shape: Shape, target: float) -> None:
    model = Model(shape, seed=1)

    def check(values: dict[str, object], whole: bool) -> None:
        model.check(values, 0, whole=whole)

    with bench.scratch() as scratch:
        prefix = tfside.write(scratch / letter, model.tensors(0))
        sync(bundle_files(prefix))
        times = interleave(
            [
                Contender(name="TF", run=lambda: tfside.load(prefix), check=check),
                Contender(name="load", run=lambda: ckptfast.load(prefix), check=check),
            ],
            bench.size.repeats,
            fresh_bytes=bench.size.fresh_bytes,
        )
    bench.results.rows.append(
        at_least(
            f"load {letter}, {shape.count:,} tensors, verified",
            times,
            "TF",
            "load",
            target=target,
            nbytes=model.nbytes,
            beside=bench.results.beside(checksum.ALL_CORES),
        )
    )
