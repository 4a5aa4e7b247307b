"""The process whose memory `benches.memory` watches: one restore or one save.

``python -m benches.memory_child SCENARIO LIBRARY DIRECTORY SIZE``; speaks one word a line.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

from benches import tfside
from benches.model import Model
from benches.objects import Objects
from benches.sizes import SIZES
from benches.tfside import Program, Session

Work = Callable[[], object]
Parts = tuple[Work, Work]
"""What is measured, and what checks it afterwards."""


def main(scenario: str, library: str, directory: str, size: str) -> None:
    """Prepares, then does one thing at a time as the parent says."""
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whoever prints does not disturb
    model = Model(SIZES[size].large, seed=1, odd_first=True)
    prepare = _saving if scenario == "save" else _restoring
    if scenario.startswith("objects"):
        prepare = _objects
    work, check = prepare(model, scenario, library, Path(directory))
    gc.collect()
    # Free heap that the C library keeps could hide what the measured work allocates.
    ctypes.CDLL(None).malloc_trim(0)
    os.write(answers, b"ready\n")
    sys.stdin.readline()
    work()
    os.write(answers, b"done\n")
    sys.stdin.readline()
    check()
    os.write(answers, b"right\n")


def _restoring(model: Model, scenario: str, library: str, directory: Path) -> Parts:
    """A restore over variables that have values already, as in a program that runs."""
    program, session = _program(model, directory, resource=scenario != "reference")
    prefix = os.fspath(directory / ("aligned" if scenario == "aligned" else "misaligned"))

    def restore() -> None:
        if library == "tensorflow":
            program.restore(session, prefix)
            return
        import ckptfast

        ckptfast.restore(session, prefix)

    return restore, lambda: program.check(session, 0, whole=True)


def _saving(model: Model, _scenario: str, library: str, directory: Path) -> Parts:
    """A save of arrays, or of a session's variables by ``Saver.save``."""
    prefix = directory / f"saved-{library}"
    if library == "ckptfast":
        import ckptfast

        return (
            lambda: ckptfast.save(prefix, model.arrays),
            lambda: model.check(tfside.load(prefix), 0, whole=True),
        )
    program, session = _program(model, directory, resource=True)
    return (
        lambda: program.save(session, prefix),
        lambda: model.check(tfside.load(prefix), 1, whole=True),
    )


def _objects(model: Model, scenario: str, library: str, directory: Path) -> Parts:
    """A read or a write of an object-based checkpoint, over variables that have values already."""
    objects = Objects(model)
    checkpoint = objects.theirs if library == "tensorflow" else objects.ours
    path = os.fspath(directory / f"{scenario}-{library}")
    if scenario != "objects-write":
        # TensorFlow reads what TensorFlow wrote, in both rows.
        aligned = scenario == "objects-aligned" and library == "ckptfast"
        (objects.ours if aligned else objects.theirs).write(path)
        objects.assign(1)
        return (
            lambda: checkpoint.read(path).expect_partial(),
            lambda: objects.check(0, whole=True),
        )

    def check() -> None:
        objects.assign(1)
        objects.theirs.read(path).expect_partial()
        objects.check(0, whole=True)

    return lambda: checkpoint.write(path), check


def _program(model: Model, directory: Path, *, resource: bool) -> tuple[Program, Session]:
    """A program whose variables hold other values than those that the check expects.

    TensorFlow restores them, once.  Initializers of zeros would not do: the optimizer lets all
    variables share one buffer, and what its allocator keeps of the others hides what comes next.
    """
    program = Program(model, resource=resource)
    session = program.session()
    program.restore(session, os.fspath(directory / "before"))
    return program, session


if __name__ == "__main__":
    main(*sys.argv[1:])
