"""Scenario ``others``: the same work in other formats, to see where ckptfast stands."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import numpy as np

import ckptfast
from benches import tfside
from benches.bench import Bench
from benches.measure import Contender, interleave
from benches.model import FloatArray, Model
from benches.pages import sync
from benches.results import Other
from benches.sizes import Shape
from benches.tfside import Program

UNREAD = "ckptfast.load(verify=False)"
"""Maps the file and reads none of its values, so that a speed would say nothing."""


def run(bench: Bench) -> None:
    """Adds loads of L, M and S and saves of L and M, each in every format at hand."""
    size = bench.size
    try:
        import safetensors  # noqa: F401
    except ImportError:
        bench.results.notes.append("others: safetensors is not installed and was left out")
    for letter, shape in (("L", size.large), ("M", size.medium), ("S", size.small)):
        model = Model(shape, seed=1)
        if letter != "S":  # creating 10,000 variables takes longer than all of this
            _saves(bench, letter, model)
        _loads(bench, letter, model, shape)


def _loads(bench: Bench, letter: str, model: Model, shape: Shape) -> None:
    def check(values: dict[str, object], whole: bool) -> None:
        model.check(values, 0, whole=whole)

    with bench.scratch() as scratch:
        prefix = tfside.write(scratch / "tf", model.tensors(0))
        zipped = scratch / "model.npz"
        np.savez(zipped, allow_pickle=False, **model.arrays)
        ways = {
            "ckptfast.load": lambda: ckptfast.load(prefix),
            "ckptfast.load(copy=True)": lambda: ckptfast.load(prefix, copy=True),
            UNREAD: lambda: ckptfast.load(prefix, verify=False),
            "TensorFlow, load_checkpoint + get_tensor": lambda: tfside.load(prefix),
            "np.load of an .npz": lambda: _load_npz(zipped),
        }
        try:
            from safetensors.numpy import load_file, save_file
        except ImportError:
            pass
        else:
            tensors = scratch / "model.safetensors"
            save_file(model.arrays, tensors)
            ways["safetensors.numpy.load_file (no checksum)"] = lambda: load_file(tensors)
        sync(path for path in scratch.iterdir())
        times = interleave(
            [Contender(name=name, run=way, check=check) for name, way in ways.items()],
            bench.size.cold_repeats,
            fresh_bytes=bench.size.fresh_bytes,
        )
    task = f"load {letter}, {shape.count:,} tensors"
    bench.results.others += [
        Other(task, name, seconds, 0 if name == UNREAD else model.nbytes)
        for name, seconds in times.items()
    ]


def _load_npz(path: Path) -> dict[str, FloatArray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _saves(bench: Bench, letter: str, model: Model) -> None:
    program = Program(model, resource=True)
    with bench.scratch() as scratch, closing(program.session()) as session:
        start = tfside.write(scratch / "start", model.tensors(0))
        program.restore(session, os.fspath(start))
        target = scratch / "saved"

        def check(_result: object, _whole: bool) -> None:
            for path in scratch.iterdir():
                if path.name.startswith("saved"):
                    path.unlink()

        ways = {
            'ckptfast.save(durability="none")': lambda: ckptfast.save(
                target, model.arrays, durability="none"
            ),
            'ckptfast.save(durability="full")': lambda: ckptfast.save(target, model.arrays),
            "TensorFlow, Saver.save": lambda: program.save(session, target),
            "np.savez": lambda: np.savez(target, allow_pickle=False, **model.arrays),
        }
        try:
            from safetensors.numpy import save_file
        except ImportError:
            pass
        else:
            ways["safetensors.numpy.save_file (no checksum)"] = lambda: save_file(
                model.arrays, target.with_suffix(".safetensors")
            )
        times = interleave(
            [Contender(name=name, run=way, check=check) for name, way in ways.items()],
            bench.size.cold_repeats,
            fresh_bytes=bench.size.fresh_bytes,
        )
    task = f"save {letter}, {len(model.arrays):,} tensors"
    bench.results.others += [Other(task, name, times[name], model.nbytes) for name in times]
