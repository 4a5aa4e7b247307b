"""Damages a file in every way of a kind, and loads the checkpoint after each; see test_corruption.

A process of its own, whose address space is limited: an allocation that a damaged length asks for
would fail. Takes a JSON object on standard input:

- `path`: the file to damage; it is put back in the end.
- `load`: what to load.
- `kinds`: of damage: "flips", "cuts", "drops", "inserts".
- `forms`: more damaged forms of the file, in hexadecimal.
- `verify`: whether data is checked.
- `allowed`: names of exceptions besides `DataLossError` that are good ends; "other values" is one.

Prints a JSON object: how many damaged forms were `lost` (a `DataLossError`), which of them left
all values the `same` (label and byte), how often it came to an `allowed` end, and what else
happened (`wrong`).
"""

from __future__ import annotations

import itertools
import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ckptfast

SLACK = 256 << 20
"""Bytes of address space beyond what the process has when it starts."""


def damages(content: bytes, kinds: list[str]) -> Iterator[tuple[str, int, bytes]]:
    """Every damaged form of `content`: a label, the byte it is about, the form."""
    if "flips" in kinds:
        for at in range(len(content)):
            for bit in range(8):
                flipped = bytes([content[at] ^ 1 << bit])
                yield f"bit {bit} of byte {at}", at, content[:at] + flipped + content[at + 1 :]
    if "cuts" in kinds:
        for at in range(len(content)):
            yield f"cut at {at}", at, content[:at]
    if "drops" in kinds:
        for at in range(len(content)):
            yield f"without byte {at}", at, content[:at] + content[at + 1 :]
    if "inserts" in kinds:
        for at in range(len(content)):
            for byte in (b"\0", b"\xff"):
                yield f"{byte!r} before byte {at}", at, content[:at] + byte + content[at:]


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    def plain(value: Any) -> Any:
        return (
            value.dtype,
            value.shape,
            value.tolist() if value.dtype == object else value.tobytes(),
        )

    return list(one) == list(other) and all(plain(one[name]) == plain(other[name]) for name in one)


def limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + SLACK
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    task = json.load(sys.stdin)
    path, verify = Path(task["path"]), task["verify"]
    content = path.read_bytes()
    expected = ckptfast.load(task["load"], copy=True)
    limit_memory()
    report: dict[str, Any] = {"lost": 0, "same": [], "allowed": 0, "wrong": []}

    def other_end(end: str, message: str) -> None:
        if end in task["allowed"] and "panic" not in message:
            report["allowed"] += 1
        else:
            report["wrong"].append(message)

    given = ((f"form {n}", n, bytes.fromhex(form)) for n, form in enumerate(task["forms"]))
    for label, at, damaged in itertools.chain(damages(content, task["kinds"]), given):
        if damaged == content:
            continue
        path.unlink()  # never in place: arrays of the last turn may still be mapped
        path.write_bytes(damaged)
        try:
            loaded = ckptfast.load(task["load"], verify=verify)
        except ckptfast.DataLossError as error:
            report["lost"] += 1
            if "panic" in str(error) or str(path.parent) not in str(error):
                report["wrong"].append(f"{label}: {error}")
        except BaseException as error:
            name = type(error).__name__
            other_end(name, f"{label}: {name}: {error}")
        else:
            if same(loaded, expected):
                report["same"].append([label, at])
            else:
                other_end("other values", f"{label}: other values")
    path.unlink()
    path.write_bytes(content)
    assert same(ckptfast.load(task["load"]), expected)
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
