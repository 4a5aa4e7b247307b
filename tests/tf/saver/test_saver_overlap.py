"""Values of many variables, which are assigned by two runs at a time."""

from __future__ import annotations

import operator
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest

MANY = 700  # three rounds
DTYPES = ("float32", "int64", "bool", "string")

AT_EXIT = """
import atexit, sys
import tensorflow as tf
from ckptfast.tf.saver import Saver

v1 = tf.compat.v1
v1.disable_eager_execution()
for at in range(700):
    v1.get_variable(f"v{at}", [], tf.float32, use_resource=True)

def last() -> None:
    with v1.Session() as session:
        Saver().restore(session, sys.argv[1])
        print("restored", session.run("v699/Read/ReadVariableOp:0"))

atexit.register(last)
"""


def value(at: int, *, negative: bool = False) -> Any:
    number = numpy.full(at % 5, -at if negative else at)
    dtype = DTYPES[at % len(DTYPES)]
    return number.astype("S").astype(object) if dtype == "string" else number.astype(dtype)


def test_every_variable_gets_its_own_value(Saver: Any, v1: Any, here: Path) -> None:
    variables = [
        v1.get_variable(f"v{at}", initializer=value(at), use_resource=True) for at in range(MANY)
    ]
    again = [v1.assign(item, value(at, negative=True)) for at, item in enumerate(variables)]
    saver = Saver()
    v1.get_default_graph().finalize()
    with v1.Session() as session:
        session.run([item.initializer for item in variables])
        saver.save(session, "m", write_meta_graph=False)
        for _ in range(3):
            session.run(again)
            saver.restore(session, "m")
            for at, found in enumerate(session.run(variables)):
                expected = value(at)
                assert found.dtype == expected.dtype
                assert found.tolist() == expected.tolist(), at


def test_a_damaged_tensor_of_the_last_round_leaves_all_variables_unchanged(
    FastSaver: Any, v1: Any, tf: ModuleType, here: Path
) -> None:
    variables = [
        v1.get_variable(f"v{at:03}", initializer=float(at), use_resource=True) for at in range(MANY)
    ]
    saver = FastSaver(align=1)
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        saver.save(session, "m", write_meta_graph=False)
        session.run([v1.assign(item, -1.0) for item in variables])
        data = here / "m.data-00000-of-00001"
        data.write_bytes(data.read_bytes()[:-1] + b"\xff")
        with pytest.raises(tf.errors.DataLossError, match="v699"):
            saver.restore(session, "m")
        assert set(session.run(variables)) == {-1.0}


def test_a_restore_when_the_interpreter_exits(tf: ModuleType, v1: Any, here: Path) -> None:
    from ckptfast import save

    save("m", {f"v{at}": numpy.float32(at) for at in range(MANY)})
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT, "m"], capture_output=True, text=True, check=False
    )
    assert done.stdout == "restored 699.0\n", done.stderr


def for_each(items: Iterator[Any], run: Any) -> None:
    pytest.importorskip("tensorflow")
    from ckptfast.tf.saver import _overlap

    _overlap.for_each(items, run)


def test_two_items_at_a_time() -> None:
    both = threading.Barrier(2)
    done: list[int] = []

    def run(item: int) -> None:
        if item < 2:
            both.wait(timeout=60)  # broken where the second never comes
        done.append(item)

    for_each(iter(range(50)), run)
    assert sorted(done) == list(range(50))


@pytest.mark.parametrize("in_second", [False, True])
def test_an_error_of_either_thread_ends_both(in_second: bool) -> None:
    both = threading.Barrier(2)
    caller = threading.current_thread()
    items = iter(range(1000))
    begun: list[int] = []

    def run(item: int) -> None:
        begun.append(item)
        both.wait(timeout=60)
        if (threading.current_thread() is not caller) is in_second:
            raise LookupError(item)
        while operator.length_hint(items):  # until the other thread has ended
            time.sleep(0.001)

    with pytest.raises(LookupError):
        for_each(items, run)
    assert sorted(begun) == [0, 1]
