"""Loads checkpoints that mean harm, one after the other, in a process with little memory.

Takes a JSON list of paths on standard input, and prints one of what came of each: the name of the
exception and its message, or the number of tensors and "".
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401 - loaded before memory is limited
import numpy as np

import ckptfast

SLACK = 256 << 20
"""Bytes of address space beyond what the process has when it starts."""


def outcome(path: str) -> tuple[Any, str]:
    try:
        report = ckptfast.verify(path)
        with ckptfast.open(path, verify=False) as reader:
            for name in reader:
                np.asarray(reader.info(name).shape)
            loaded = ckptfast.load(path)
    except BaseException as error:
        return type(error).__name__, str(error)
    assert report, "load finds nothing wrong, verify does"
    return len(loaded), ""


def main() -> None:
    paths = json.load(sys.stdin)
    with ckptfast.open(paths.pop(0)) as reader:  # code and threads take memory of their own
        assert all(value.size for value in reader.values())
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + SLACK
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    json.dump([outcome(path) for path in paths], sys.stdout)


if __name__ == "__main__":
    main()
