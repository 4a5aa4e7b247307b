"""From arguments to a command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from . import _run


def main(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` ask for; returns the status to exit with.

    Wrong arguments end the process with the usage and status 2, as `argparse` does it.
    """
    parser = argparse.ArgumentParser(
        prog="python -m ckptfast",
        description="Fast, safe reading and writing of TensorFlow checkpoints.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _run.add_to(commands)
    chosen = parser.parse_args(arguments)
    status: int = chosen.command(chosen)
    return status
