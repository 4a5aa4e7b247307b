"""`python -m ckptfast run script.py args…`: an unchanged script, with ckptfast installed."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from typing import Any

from . import _after_import


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "run",
        help="run a Python script that saves and restores with TensorFlow, through ckptfast",
        description="Run a Python script as `python SCRIPT ARGS…` would, with ckptfast.install() "
        "called as soon as the script has imported TensorFlow.",
        allow_abbrev=False,
    )
    parser.add_argument("script", metavar="SCRIPT", help="a .py file, or a folder with __main__.py")
    more = parser.add_argument(
        "args", metavar="ARGS", nargs=argparse.REMAINDER, help="for the script"
    )
    more.required = False  # before 3.13 argparse says otherwise, where SCRIPT is missing
    parser.set_defaults(command=run, parser=parser)


def run(chosen: argparse.Namespace) -> int:
    """Run the script in this process. What it raises comes through, `SystemExit` included."""
    script: str = chosen.script
    if not os.path.exists(script):
        chosen.parser.error(f"no such file: {script}")
    sys.argv = [script, *chosen.args]
    if not sys.flags.safe_path:
        # What `python script.py` finds there. For a folder runpy puts it in front itself.
        sys.path[0] = os.path.dirname(os.path.abspath(script))
    # Not before: a script may set environment variables that TensorFlow reads when it is imported.
    _after_import.call("tensorflow", _install)
    runpy.run_path(script, run_name="__main__")
    return 0


def _install() -> None:
    from ..tf.install import install

    install()
