"""The command line: ``python -m benches``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

from benches import machine, table
from benches.bench import Bench
from benches.results import Results
from benches.sizes import SIZES

SCENARIOS = {
    "checksum": "benches.checksum",
    "list": "benches.listing",
    "load": "benches.load",
    "restore": "benches.restore",
    "save": "benches.save",
    "cold": "benches.cold",
    "memory": "benches.memory",
    "saver": "benches.saver",
    "objects": "benches.objects",
    "tools": "benches.tools",
    "freeze": "benches.freeze",
    "others": "benches.others",
}
"""Modules with a ``run(bench)``, imported only when they run."""

ALWAYS = {"ceilings": "benches.ceilings", "checksum": SCENARIOS["checksum"]}
"""Run first and in every run: the others print these ceilings beside their rows."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the scenarios and prints the table; returns the exit code.

    0: everything ran and every value was right, whether or not a target was met.  1: something
    failed, or produced wrong values.
    """
    options = _parser().parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")  # disks and memory are measured, not GPUs
    size = SIZES[options.size]
    if options.rounds is not None:
        size = replace(size, repeats=options.rounds, cold_repeats=options.rounds)
    bench = Bench(size, options.dir, Results(judged=size.judged))
    about = machine.describe(options.dir)
    started = time.monotonic()
    if size.warm_memory:
        _progress(started, "touching memory")
        about["memory touched first"] = f"{machine.warm_memory() / machine.GIB:.0f} GiB"
    chosen = SCENARIOS if options.only is None else {n: SCENARIOS[n] for n in options.only}
    for name, module in {**ALWAYS, **chosen}.items():
        _progress(started, name)
        try:
            importlib.import_module(module).run(bench)
        except Exception as error:
            traceback.print_exc()
            bench.results.failures.append(f"{name}: {type(error).__name__}: {error}")
    about["run"] = f"--size {size.name}, {size.repeats} rounds, {time.monotonic() - started:.0f} s"
    print(table.text(about, bench.results), end="")
    if options.json:
        options.json.write_text(table.as_json(about, bench.results))
    if options.markdown:
        options.markdown.write_text(table.markdown(about, bench.results))
    return 1 if bench.results.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benches", description="ckptfast beside TensorFlow and the raw machine"
    )
    parser.add_argument("--size", choices=list(SIZES), default="full")
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="timed rounds of every comparison, instead of seven (five where the disk is read)",
    )
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), metavar="NAME")
    parser.add_argument(
        "--dir",
        type=Path,
        default=Path(tempfile.gettempdir()),
        help="directory on the disk to measure (default: %(default)s)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every value as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table as Markdown")
    return parser


def _progress(started: float, name: str) -> None:
    print(f"[{time.monotonic() - started:4.0f} s] {name}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
