"""Scenario ``freeze``: a meta graph and a checkpoint into a frozen graph, by whole processes.

What a user waits for at the prompt: the interpreter, the imports, the work. The files that both
write are compared, byte for byte.
"""

from __future__ import annotations

import filecmp
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from benches import ceilings, tfside
from benches.bench import Bench
from benches.measure import Contender, interleave
from benches.model import DifferentValuesError, Model
from benches.results import at_least
from benches.sizes import Shape

REPEATS = 3
"""Fewer than elsewhere: TensorFlow needs more than ten seconds."""

MODEL = Shape(47, 2_500_000)
"""470 MB of kernels."""

TENSORFLOW = """
    import sys
    from tensorflow.python.tools import freeze_graph
    prefix, output = sys.argv[1:]
    freeze_graph.freeze_graph(
        input_graph=None, input_saver="", input_binary=True, input_checkpoint=prefix,
        output_node_names="out", restore_op_name=None, filename_tensor_name=None,
        output_graph=output, clear_devices=True, initializer_nodes="",
        input_meta_graph=prefix + ".meta",
    )
"""
CKPTFAST = """
    import sys
    import ckptfast
    prefix, output = sys.argv[1:]
    ckptfast.freeze(prefix + ".meta", prefix, ["out"], output=output, durability="{durability}")
"""


def run(bench: Bench) -> None:
    """Adds a row for each durability."""
    shape = MODEL if bench.size.judged else bench.size.large
    model = Model(shape, seed=5)
    with bench.scratch() as scratch:
        prefix = _save(model, scratch / "model")
        wanted = scratch / "wanted.pb"
        programs = {
            "TF": TENSORFLOW,
            "none": CKPTFAST.format(durability="none"),
            "full": CKPTFAST.format(durability="full"),
        }
        _process(TENSORFLOW, prefix, wanted)()
        contenders = [
            Contender(
                name=name,
                run=_process(program, prefix, scratch / "frozen.pb"),
                check=_compare(wanted, scratch / "frozen.pb"),
            )
            for name, program in programs.items()
        ]
        times = interleave(contenders, min(REPEATS, bench.size.repeats))
    for durability, target in (("none", 15.0), ("full", None)):
        bench.results.rows.append(
            at_least(
                f'freeze a model of {shape.nbytes / 1e6:.0f} MB, durability="{durability}" '
                "(whole process)",
                times,
                "TF",
                durability,
                target=target,
                nbytes=model.nbytes,
                beside=bench.results.beside(ceilings.READ_FRESH),
            )
        )


def _save(model: Model, prefix: Path) -> Path:
    """A graph whose output needs every variable, and its checkpoint, by TensorFlow."""
    tf = tfside.tensorflow()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        variables = {
            name: v1.get_variable(name, array.shape, tf.float32, use_resource=True)
            for name, array in model.arrays.items()
        }
        sums = [tf.reduce_sum(variable) for variable in variables.values()]
        tf.add_n(sums, name="out")
        for name, variable in variables.items():
            variable.load(model.arrays[name], session)
        v1.train.Saver().save(session, os.fspath(prefix), write_state=False)
    return prefix


def _process(program: str, prefix: Path, output: Path) -> Callable[[], object]:
    command = [sys.executable, "-c", textwrap.dedent(program), os.fspath(prefix), os.fspath(output)]
    return lambda: subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
    )


def _compare(wanted: Path, output: Path) -> Callable[[object, bool], None]:
    def check(_result: object, _whole: bool) -> None:
        if not filecmp.cmp(wanted, output, shallow=False):
            raise DifferentValuesError("the frozen graph is not the one that TensorFlow writes")
        output.unlink()

    return check
