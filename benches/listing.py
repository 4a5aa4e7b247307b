"""Scenario ``list``: opening a checkpoint and listing its keys; no tensor is read."""

from __future__ import annotations

import os

import ckptfast
from benches import tfside
from benches.bench import Bench
from benches.measure import Contender, interleave
from benches.model import DifferentValuesError, Model
from benches.results import at_least
from benches.sizes import Shape


def run(bench: Bench) -> None:
    """Adds the rows of an index with many keys."""
    tf = tfside.tensorflow()
    keys = bench.size.keys
    model = Model(Shape(keys, 1), seed=3)
    names = sorted(model.arrays)

    def check(found: object, _whole: bool) -> None:
        if found != names:
            raise DifferentValuesError("the keys that were listed are not those written")

    def check_shapes(found: list[tuple[str, list[int]]], _whole: bool) -> None:
        if found != [(name, [1]) for name in names]:
            raise DifferentValuesError("the variables that were listed are not those written")

    def keys_of_tensorflow() -> list[str]:
        return sorted(tf.train.load_checkpoint(path).get_variable_to_shape_map())

    def keys_of_ckptfast() -> list[str]:
        with ckptfast.open(path) as reader:
            return list(reader)

    with bench.scratch() as scratch:
        path = os.fspath(tfside.write(scratch / "keys", model.tensors(0)))
        times = interleave(
            [
                Contender(name="TF keys", run=keys_of_tensorflow, check=check),
                Contender(name="keys", run=keys_of_ckptfast, check=check),
                Contender(
                    name="TF list_variables",
                    run=lambda: tf.train.list_variables(path),
                    check=check_shapes,
                ),
                Contender(
                    name="list_variables",
                    run=lambda: ckptfast.list_variables(path),
                    check=check_shapes,
                ),
            ],
            bench.size.repeats,
        )
    bench.results.rows += [
        at_least(f"open and list {keys:,} keys", times, "TF keys", "keys", target=5),
        at_least(
            f"list_variables, {keys:,} keys with shapes",
            times,
            "TF list_variables",
            "list_variables",
            target=None,
        ),
    ]
