"""Programs made at random, run with both classes: whatever can be seen has to be the same.

Several thousand such programs found what now has tests of its own; these few stay, for what comes.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest

import ckptfast

PROGRAMS = 12
DTYPES = ("float32", "float64", "int32", "int64", "bool", "float16", "bfloat16", "uint8", "string")


@pytest.fixture(autouse=True)
def _as_tensorflow(tf: ModuleType) -> Iterator[None]:
    """Files byte for byte as TensorFlow's, and nothing safer than its Saver."""
    ckptfast.configure(align=1, compat="strict-tensorflow", durability="none")
    yield
    ckptfast.configure(align=64, compat="default", durability="full")


@pytest.mark.parametrize("block", range(8))
def test_a_program_sees_a_difference(tf: ModuleType, here: Path, block: int) -> None:
    from conftest import fast_saver

    for seed in range(block * PROGRAMS, (block + 1) * PROGRAMS):
        seen = []
        for kind in (tf.compat.v1.train.Saver, fast_saver()):
            folder = here / f"{seed}{kind.__module__}"
            (folder / "d").mkdir(parents=True)
            os.chdir(folder)
            with tf.Graph().as_default():
                seen.append(list(Program(tf, random.Random(seed)).run(kind)))
        for number, (theirs, ours) in enumerate(zip(*seen, strict=True)):
            assert ours == theirs, f"seed {seed}, observation {number}"


class Program:
    """A model, a saver of it and what is done with them, all of them up to a generator."""

    def __init__(self, tf: ModuleType, choices: random.Random) -> None:
        self.tf, self.v1, self.choices = tf, tf.compat.v1, choices
        self.variables = [self.variable(number) for number in range(choices.randint(1, 4))]
        self.step = self.v1.get_variable("step", initializer=7)
        self.updates = [self.update(variable) for variable in self.v1.global_variables()]
        self.initializer = self.v1.global_variables_initializer()
        self.paths: list[str] = []

    def variable(self, number: int) -> Any:
        pick = self.choices.choice
        dtype, shape = pick(DTYPES), pick([[], [2], [3, 2], [0]])
        initial: Any = value(dtype, shape, number)
        if shape == [3, 2] and dtype != "string":
            return self.v1.get_variable(
                f"p{number}",
                shape,
                dtype,
                lambda shape, **_: self.tf.cast(self.tf.ones(shape), dtype),
                partitioner=pick([None, self.v1.fixed_size_partitioner(2)]),
                use_resource=pick([True, False]),
            )
        if pick([True, False, False]):
            initial = self.v1.placeholder_with_default(self.tf.constant(initial, dtype), None)
        with self.tf.device(pick([None, None, "/cpu:0", "/cpu:1"])):
            return self.v1.Variable(
                initial,
                name=f"s/v{number}",
                dtype=dtype,
                use_resource=pick([True, False]),
                validate_shape=not self.tf.is_tensor(initial),
            )

    def update(self, variable: Any) -> tuple[Any, Any, Any]:
        fed = self.v1.placeholder(variable.dtype.base_dtype, None)
        return variable, fed, self.v1.assign(variable, fed, validate_shape=False).op

    def saver(self, kind: Any) -> Any:
        pick = self.choices.choice
        named = {f"k{9 - number}": variable for number, variable in enumerate(self.variables)}
        return kind(
            pick([None, None, self.variables, tuple(self.variables), named, [self.variables]]),
            sharded=pick([False, False, not self.is_partitioned()]),
            reshape=pick([False, False, False, True]),
            max_to_keep=pick([5, 1, 2, 0, None]),
            keep_checkpoint_every_n_hours=pick([10000.0, 10000.0, 0, 1e-9]),
            name=pick([None, None, "keeper", "x/y"]),
            write_version=pick([2, 2, 2, 1]),
            pad_step_number=pick([False, True]),
            save_relative_paths=pick([False, True]),
        )

    def is_partitioned(self) -> bool:
        """Whether slices may be on several devices; the index then says less than TensorFlow's."""
        return len(self.v1.global_variables()) > len(self.variables) + 1

    def run(self, kind: Any) -> Iterator[Any]:
        """Everything that can be seen, one after the other."""
        saver = self.saver(kind)
        with self.v1.Session(config=self.v1.ConfigProto(device_count={"CPU": 2})) as session:
            session.run(self.initializer)
            for _ in range(self.choices.randint(2, 7)):
                do = self.choices.choice(
                    [self.save, self.save, self.restore, self.change, self.look]
                )
                yield do.__name__, outcome(self.tf, lambda do=do: do(saver, session))
                yield saver.last_checkpoints
                yield [repr(session.run(variable)) for variable in self.v1.global_variables()]
                yield {str(path): path.read_bytes() for path in files()}

    def save(self, saver: Any, session: Any) -> Any:
        pick = self.choices.choice
        path = saver.save(
            session,
            pick(["m", "./m", "d/m", "no/such/m", "m-1", "checkpoint"]),
            global_step=pick([None, 0, 3, -2, numpy.int64(5), self.step, "step:0", 2.5]),
            latest_filename=pick([None, None, None, "other", "d/other"]),
            meta_graph_suffix=pick(["meta", "meta", "graph"]),
            write_meta_graph=pick([True, False]),
            write_state=pick([True, True, True, False]),
        )
        self.paths.append(path)
        return path

    def restore(self, saver: Any, session: Any) -> Any:
        return saver.restore(session, self.choices.choice([*self.paths, "nowhere"]))

    def change(self, saver: Any, session: Any) -> None:
        for variable, fed, assign in self.updates:
            shape = variable.shape.as_list() if variable.shape.rank is not None else [2]
            name = variable.dtype.base_dtype.name
            session.run(assign, {fed: value(name, shape, self.choices.randrange(99))})

    def look(self, saver: Any, session: Any) -> str:
        return str(saver.as_saver_def())


def value(dtype: str, shape: list[int], salt: int) -> Any:
    import ml_dtypes

    numbers = numpy.random.RandomState(salt).randint(0, 100, shape)
    if dtype == "string":
        return numpy.array(numbers).astype(str).astype(object)
    return numpy.array(numbers).astype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)


def outcome(tf: ModuleType, action: Callable[[], Any]) -> Any:
    """What a call returns, or TensorFlow's or Python's class for what it raises."""
    try:
        return action()
    except Exception as error:
        kinds = (tf.errors.OpError, ValueError, TypeError, RuntimeError, AttributeError)
        return next(kind for kind in kinds if isinstance(error, kind)), getattr(error, "code", None)


def files() -> list[Path]:
    return sorted(path for path in Path().rglob("*") if path.is_file())
