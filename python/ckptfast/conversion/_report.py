"""What a conversion did."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .._report import some


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertReport(os.PathLike[str]):
    """What `ckptfast.convert` wrote; `print` it for a table, or pass it as a path.

    - `path`: the file that was written, or the prefix of the bundle.
    - `format`: what it is: "bundle", "safetensors" or "npz".
    - `source`: the file or prefix that was read.
    - `written`: names of the tensors in it.
    - `nbytes`: size of their values in bytes.
    - `seconds`: how long it took, opening and checking included.
    - `renamed`: names in the output, with the name before that `rename` found for each.
    - `averaged`: names of the variables that were written with their moving averages.
    - `cast`: names of the tensors that were converted, each with its old and its new type.
    - `skipped`: names of the tensors that were left out, with the reason for each.
    """

    path: str
    format: str
    source: str
    written: tuple[str, ...]
    nbytes: int
    seconds: float
    renamed: Mapping[str, str]
    averaged: tuple[str, ...]
    cast: Mapping[str, tuple[str, str]]
    skipped: Mapping[str, str]

    def __fspath__(self) -> str:
        return self.path

    def __str__(self) -> str:
        lines = [f"{name:<13} {count:>7,}  {note}".rstrip() for name, count, note in self._rows()]
        return "\n".join([f"{self.path} ({self.format}) from {self.source}", *lines])

    def _rows(self) -> Iterator[tuple[str, int, str]]:
        size = f"{self.nbytes / 2**20:,.1f} MiB in {self.seconds:.3f} s"
        yield "written", len(self.written), size
        if self.renamed:
            renamed = [f"{old} as {new}" for new, old in self.renamed.items()]
            yield "renamed", len(renamed), some(renamed)
        if self.averaged:
            yield "averaged", len(self.averaged), some(self.averaged)
        for note, names in _grouped({k: f"{a} to {b}" for k, (a, b) in self.cast.items()}):
            yield "cast", len(names), f"{note}: {some(names)}"
        for note, names in _grouped(self.skipped):
            yield "skipped", len(names), f"{note}: {some(names)}"


def _grouped(notes: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    groups: dict[str, list[str]] = {}
    for name, note in notes.items():
        groups.setdefault(note, []).append(name)
    yield from groups.items()
