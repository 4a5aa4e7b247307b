"""Scenario ``saver``: ``ckptfast.Saver`` beside TensorFlow's, from construction to repeated use.

Each class has a graph of its own, with nothing but the variables and that saver. Many small
variables are all about what happens the first time in a session, so every round begins a new one
of each class, in which the two then take turns.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ckptfast
from benches import ceilings, rawio, tfside
from benches.bench import Bench
from benches.measure import Contender, Measure, clock, interleave
from benches.model import Model
from benches.results import at_least
from benches.save import best_of, raw_ways, remove, row
from benches.tfside import Session

FIRST_ROUNDS = 3
"""Rounds of what happens once per session or graph; TensorFlow takes ten seconds for each."""

AGAIN = 15
"""Rounds, in each of those, of what a session does again and again; both classes take turns."""


class Saving:
    """A graph of a model's variables, and a saver of one class for them."""

    def __init__(self, model: Model, saver_class: Any, **options: Any) -> None:
        tf = tfside.tensorflow()
        v1 = tf.compat.v1
        self.model = model
        self.graph = tf.Graph()
        with self.graph.as_default():
            self.variables = {
                name: v1.get_variable(name, array.shape, tf.float32, use_resource=True)
                for name, array in model.arrays.items()
            }
            self.construction, self.saver = clock(lambda: saver_class(**options))
        self.session: Session = None

    def begin(self) -> None:
        """A new session, in which no variable has a value."""
        self.close()
        self.session = tfside.tensorflow().compat.v1.Session(graph=self.graph)

    def close(self) -> None:
        if self.session is not None:
            self.session.close()
            self.session = None

    def save(self, prefix: Path) -> object:
        with self.graph.as_default():
            return self.saver.save(
                self.session, os.fspath(prefix), write_meta_graph=False, write_state=False
            )

    def restore(self, prefix: Path) -> None:
        with self.graph.as_default():
            self.saver.restore(self.session, os.fspath(prefix))

    def check(self, prefix: Path, *, whole: bool) -> None:
        """Compare what was saved with the model."""
        if whole:
            self.model.check(tfside.load(prefix), 0, whole=True)


def run(bench: Bench) -> None:
    """Adds the rows of many small variables, and of few large ones."""
    _small(bench)
    for name, shape, target in (("L", bench.size.large, 5), ("M", bench.size.medium, 3)):
        _large(bench, name, Model(shape, seed=1, odd_first=True), target)


def _classes() -> dict[str, Callable[[Model], Saving]]:
    stock = tfside.tensorflow().compat.v1.train.Saver
    return {
        "TF": lambda model: Saving(model, stock),
        "ckptfast": lambda model: Saving(model, ckptfast.Saver, durability="none"),
    }


def _small(bench: Bench) -> None:
    model = Model(bench.size.small, seed=1)
    times: dict[str, list[float]] = {}
    with bench.scratch() as scratch:
        start = tfside.write(scratch / "start", model.tensors(0))
        for _ in range(FIRST_ROUNDS if bench.size.judged else 1):
            savings = {name: make(model) for name, make in _classes().items()}
            for name, saving in savings.items():
                for what, seconds in _beginning(saving, start, scratch / name):
                    times.setdefault(f"{name} {what}", []).append(seconds)
            again = [
                Contender(name=f"{name} {what} again", run=run)
                for name, saving in savings.items()
                for what, run in _again(saving, scratch / name)
            ]
            for name, measure in interleave(again, AGAIN if bench.size.judged else 1).items():
                times.setdefault(name, []).extend(measure.values)
            for name, saving in savings.items():
                saving.check(scratch / name, whole=True)
                saving.close()
    measures = {name: Measure(tuple(values)) for name, values in times.items()}
    for what, target in (
        ("construction", 10.0),
        ("first save", 2.5),
        ("first restore", 1.5),
        ("save again", 1.0),
        ("restore again", 1.0),
    ):
        bench.results.rows.append(
            at_least(f"Saver S, {what}", measures, f"TF {what}", f"ckptfast {what}", target=target)
        )


def _beginning(saving: Saving, start: Path, prefix: Path) -> list[tuple[str, float]]:
    """What the first things in a session take, in the order of a program that goes on training."""
    saving.begin()
    found = [
        ("construction", saving.construction),
        ("first restore", clock(lambda: saving.restore(start))[0]),
        ("first save", clock(lambda: saving.save(prefix))[0]),
    ]
    saving.check(prefix, whole=True)
    return found


def _again(saving: Saving, prefix: Path) -> list[tuple[str, Callable[[], object]]]:
    return [
        ("restore", lambda: saving.restore(prefix)),
        ("save", lambda: saving.save(prefix)),
    ]


def _large(bench: Bench, name: str, model: Model, aligned_target: float) -> None:
    classes = _classes()
    savers = {
        "TF": classes["TF"](model),
        "none": classes["ckptfast"](model),
        "full": Saving(model, ckptfast.Saver, durability="full"),
    }
    with bench.scratch() as scratch:
        packed = tfside.write(scratch / "packed", model.tensors(0))
        aligned = scratch / "aligned"
        ckptfast.save(aligned, model.tensors(0), durability="none")
        for saving in savers.values():
            saving.begin()
            saving.restore(packed)
        _time_saves(bench, name, savers, scratch)
        savers["full"].close()
        theirs, ours = savers["TF"], savers["none"]
        times = interleave(
            [
                Contender(name="TF restore", run=lambda: theirs.restore(packed)),
                Contender(name="aligned", run=lambda: ours.restore(aligned)),
                Contender(name="packed", run=lambda: ours.restore(packed)),
            ],
            bench.size.repeats,
        )
    theirs.close()
    ours.close()
    rows: tuple[tuple[str, str, float | None], ...] = (
        ("restore, ckptfast-written", "aligned", aligned_target),
        ("restore, TF-written", "packed", 2.0 if name == "L" else None),
    )
    fresh = bench.results.beside(ceilings.READ_FRESH)
    bench.results.rows += [
        at_least(
            f"Saver {name}, {what}",
            times,
            "TF restore",
            fast,
            target=target,
            nbytes=model.nbytes,
            beside=fresh,
        )
        for what, fast, target in rows
    ]


def _time_saves(bench: Bench, name: str, savers: dict[str, Saving], scratch: Path) -> None:
    """Adds the rows of saves by each of `savers`, and by raw writes, in turn."""
    model = savers["TF"].model

    def contender(key: str) -> Contender:
        def check(_result: object, whole: bool) -> None:
            savers[key].check(scratch / "saved", whole=whole)
            remove(scratch / "saved")

        return Contender(name=key, run=lambda: savers[key].save(scratch / "saved"), check=check)

    source = rawio.warm_buffer(model.nbytes)
    with memoryview(source) as view:
        raw = view[: model.nbytes // mmap.PAGESIZE * mmap.PAGESIZE]
        buffered = raw_ways(scratch / "raw", raw, durable=False)
        durable = raw_ways(scratch / "raw", raw, durable=True)
        times = interleave(
            [contender("TF"), contender("none"), *buffered, contender("full"), *durable],
            bench.size.repeats,
            fresh_bytes=bench.size.fresh_bytes,
        )
        raw.release()
    bench.results.rows += [
        row(f"Saver {name}, save", "none", times, model.nbytes, best_of(buffered, times), 3.0),
        row(f"Saver {name}, save", "full", times, model.nbytes, best_of(durable, times), 1.0),
    ]
