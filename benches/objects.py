"""Scenario ``objects``: ``ckptfast.Checkpoint`` beside ``tf.train.Checkpoint``, in eager mode."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

import ckptfast
from benches import ceilings, rawio, tfside
from benches.bench import Bench
from benches.machine import cpus
from benches.measure import Contender, Measure, interleave
from benches.model import Model
from benches.results import Row, at_least

SHARE = 0.8
"""Share of the best raw write that is as good as the ratio to TensorFlow."""
LAYERS = 100
"""Layers of the Keras model; each has a kernel, a bias and two slots of each."""


class Objects:
    """A list of variables with the values of a model, and a checkpoint object of each class."""

    def __init__(self, model: Model) -> None:
        tf = tfside.tensorflow()
        self.model = model
        self.root = tf.Module()
        self.root.variables_ = [tf.Variable(array) for array in model.arrays.values()]
        self.theirs = tf.train.Checkpoint(self.root)
        self.ours = ckptfast.Checkpoint(self.root)

    def assign(self, version: int) -> None:
        """Give the variables the values of a version, in memory of their own."""
        arrays = self.model.tensors(version).values()
        for variable, array in zip(self.root.variables_, arrays, strict=True):
            variable.assign(array)

    def check(self, version: int, *, whole: bool) -> None:
        """Compare the variables with a version: all values with `whole`, else some."""
        found = dict(zip(self.model.arrays, self.root.variables_, strict=True))
        for name, variable in found.items():
            if whole:
                self.model.check_one(name, variable.numpy(), version, whole=True)
        for name in (next(iter(found)), next(reversed(found))):
            value = found[name]
            self.model.check_ends(name, np.array([value[0], value[-1]]), version)


def run(bench: Bench) -> None:
    """Adds the rows of many small variables, of few large ones, and of a Keras model."""
    _model(bench, "S", Model(bench.size.small, seed=1, odd_first=True))
    _model(bench, "L", Model(bench.size.large, seed=1, odd_first=True))
    _keras(bench)


def _model(bench: Bench, name: str, model: Model) -> None:
    objects = Objects(model)
    with bench.scratch() as scratch:
        _reads(bench, name, objects, scratch)
        _writes(bench, name, objects, scratch)


def _reads(bench: Bench, name: str, objects: Objects, scratch: Path) -> None:
    packed, aligned, other = (os.fspath(scratch / kind) for kind in ("packed", "aligned", "other"))
    objects.theirs.write(packed)
    _write(objects.ours, aligned, "none")
    objects.assign(1)
    _write(objects.ours, other, "none")

    def read(checkpoint: Any, path: str) -> Contender:
        return Contender(
            name=f"{'TF' if checkpoint is objects.theirs else 'ckptfast'} {Path(path).name}",
            # So that a read that does nothing is seen.
            before=lambda: objects.ours.read(other).expect_partial(),
            run=lambda: checkpoint.read(path).expect_partial(),
            check=lambda _, whole: objects.check(0, whole=whole),
        )

    times = interleave(
        [
            read(objects.theirs, packed),
            read(objects.ours, aligned),
            read(objects.ours, packed),
        ],
        bench.size.repeats,
    )
    large = name == "L"
    for what, file, target in (
        ("ckptfast-written", "aligned", 5.0 if large else 15.0),
        ("TF-written", "packed", 2.0 if large else 15.0),
    ):
        bench.results.rows.append(
            at_least(
                f"Checkpoint {name}, read, {what}",
                times,
                "TF packed",
                f"ckptfast {file}",
                target=target,
                nbytes=objects.model.nbytes if large else 0,
                beside=bench.results.beside(ceilings.READ_FRESH) if large else "",
            )
        )
    for path in scratch.iterdir():
        path.unlink()


def _writes(bench: Bench, name: str, objects: Objects, scratch: Path) -> None:
    objects.assign(0)
    prefix = os.fspath(scratch / "saved")

    def check(_result: object, whole: bool) -> None:
        if whole:
            objects.assign(1)
            objects.theirs.read(prefix).assert_existing_objects_matched().expect_partial()
            objects.check(0, whole=True)
        _remove(scratch)

    full = partial(_write, objects.ours, prefix, "full")
    contenders = [
        Contender(name="TF", run=lambda: objects.theirs.write(prefix), check=check),
        Contender(name="none", run=partial(_write, objects.ours, prefix, "none"), check=check),
    ]
    if name == "S":
        times = interleave(contenders, bench.size.repeats)
        bench.results.rows.append(at_least("Checkpoint S, write", times, "TF", "none", target=15.0))
        return
    nbytes = objects.model.nbytes // rawio.BLOCK * rawio.BLOCK
    source = rawio.warm_buffer(nbytes)
    with memoryview(source) as view:
        raw = _raw_ways(scratch / "raw", view[:nbytes])
        times = interleave(
            [*contenders, Contender(name="full", run=full, check=check), *raw],
            bench.size.repeats,
            fresh_bytes=bench.size.fresh_bytes,
        )
    best = min(raw, key=lambda way: times[way.name].median).name
    bench.results.rows += [
        _beside_raw(times, objects.model.nbytes, best),
        at_least(
            'Checkpoint L, write, durability="full"',
            times,
            "TF",
            "full",
            target=1.0,
            nbytes=objects.model.nbytes,
        ),
    ]


def _raw_ways(path: Path, source: memoryview) -> list[Contender]:
    """Writing as many bytes to new files, with nothing around it."""
    many = max(2, cpus())
    ways: Mapping[str, Callable[[], None]] = {
        f"raw write, 1 file, {many} threads": partial(
            rawio.write, path, source, many, allocate=True
        ),
        f"raw write, {many} files, {many} threads": partial(
            rawio.write, path, source, many, files=many
        ),
    }
    return [
        Contender(name=name, run=way, check=lambda _result, _whole: _remove(path.parent))
        for name, way in ways.items()
    ]


def _beside_raw(times: Mapping[str, Measure], nbytes: int, best: str) -> Row:
    theirs, ours, raw = times["TF"], times["none"], times[best]
    share = raw.median / ours.median
    return Row(
        name='Checkpoint L, write, durability="none"',
        tensorflow=theirs,
        ckptfast=ours,
        target=f"≥ 3×, or ≥ {SHARE:.0%} of the best raw write",
        met=theirs.median >= 3 * ours.median or share >= SHARE,
        nbytes=nbytes,
        beside=f"{share:.0%} of {best} {raw.per_second(nbytes).median:.1f} GB/s",
    )


def _keras(bench: Bench) -> None:
    """A model and its optimizer, by `save` and `restore`."""
    keras = tfside.tensorflow().keras
    layers = LAYERS if bench.size.judged else 5
    model = keras.Sequential([keras.Input((64,)), *(keras.layers.Dense(64) for _ in range(layers))])
    optimizer = keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    values = [np.array(variable) for variable in optimizer.variables + model.variables]
    made = {
        "TF": tfside.tensorflow().train.Checkpoint(model=model, optimizer=optimizer),
        "ckptfast": ckptfast.Checkpoint(model=model, optimizer=optimizer),
    }
    variables = optimizer.variables + model.variables

    def spoil() -> None:
        for variable in variables:
            variable.assign(-np.ones(variable.shape, variable.dtype))

    def check(_result: object, _whole: bool) -> None:
        for variable, value in zip(variables, values, strict=True):
            if not np.array_equal(np.array(variable), value):
                raise AssertionError(f"{variable.path}: other values than were saved")

    with bench.scratch() as scratch:
        path = made["TF"].save(os.fspath(scratch / "start"))

        def reading(kind: str) -> Contender:
            return Contender(
                name=kind,
                before=spoil,
                run=lambda: made[kind].restore(path).assert_consumed(),
                check=check,
            )

        def saving(kind: str) -> Contender:
            return Contender(name=kind, run=lambda: _save(made[kind], os.fspath(scratch / kind)))

        restores = interleave([reading(kind) for kind in made], bench.size.repeats)
        saves = interleave([saving(kind) for kind in made], bench.size.repeats)
        spoil()
        latest = tfside.tensorflow().train.latest_checkpoint(scratch)
        made["TF"].restore(latest).assert_consumed()
        check(None, True)
    name = f"Checkpoint, Keras model of {layers} layers with Adam's slots"
    for what, times in (("save", saves), ("restore", restores)):
        bench.results.rows.append(at_least(f"{name}, {what}", times, "TF", "ckptfast", target=3.0))


def _save(checkpoint: Any, prefix: str) -> object:
    ckptfast.configure(durability="none")
    return checkpoint.save(prefix)


def _write(checkpoint: Any, prefix: str, durability: Literal["full", "none"]) -> object:
    ckptfast.configure(durability=durability)
    return checkpoint.write(prefix)


def _remove(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()
