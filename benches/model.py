"""The tensors that are written and read, and the comparison that catches wrong values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from benches.sizes import Shape

FloatArray = NDArray[np.float32]

ODD_NAME = "a"
"""Sorts before every other name, so that its 12 bytes come first in the data file."""


class DifferentValuesError(AssertionError):
    """Something measured did not produce the values it should have."""


class Model:
    """Named random float32 arrays in two versions; version 1 is version 0 negated.

    Two versions make a restore that does nothing visible: whoever alternates between them must
    find other values every time.  `odd_first` adds a tensor of three elements that sorts first;
    in a file packed as TensorFlow packs it, every later tensor then starts at an offset that is
    12 modulo 64.
    """

    def __init__(self, shape: Shape, *, seed: int, odd_first: bool = False) -> None:
        generator = np.random.default_rng(seed)
        self.arrays: dict[str, FloatArray] = {}
        if odd_first:
            self.arrays[ODD_NAME] = _random(generator, 3)
        for index in range(shape.count):
            self.arrays[f"model/layer_{index:05d}/kernel"] = _random(generator, shape.elements)

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays.values())

    def tensors(self, version: int) -> dict[str, FloatArray]:
        """All arrays of a version; version 0 without a copy."""
        if version == 0:
            return dict(self.arrays)
        return {name: np.negative(array) for name, array in self.arrays.items()}

    def check(self, values: Mapping[str, object], version: int, *, whole: bool) -> None:
        """Raises `DifferentValuesError` unless `values` are those of `version`.

        Names and shapes are always compared; of the values all with `whole`, else the first and
        the last of each tensor.
        """
        if set(values) != set(self.arrays):
            odd = sorted(set(values) ^ set(self.arrays))
            raise DifferentValuesError(f"{len(odd)} names too many or too few, such as {odd[0]!r}")
        for name, value in values.items():
            self.check_one(name, value, version, whole=whole)

    def check_one(self, name: str, value: object, version: int, *, whole: bool) -> None:
        """`check` of a single tensor."""
        expected = self.arrays[name]
        found = np.asarray(value)
        if found.dtype != expected.dtype or found.shape != expected.shape:
            raise DifferentValuesError(
                f"{name}: {found.dtype}{list(found.shape)} instead of "
                f"{expected.dtype}{list(expected.shape)}"
            )
        if not whole:
            self.check_ends(name, found[[0, -1]], version)
        elif not np.array_equal(found, np.negative(expected) if version else expected):
            raise DifferentValuesError(f"{name}: values differ from those that were written")

    def check_ends(self, name: str, ends: object, version: int) -> None:
        """The same for the first and the last element alone."""
        expected = self.arrays[name][[0, -1]]
        if not np.array_equal(np.asarray(ends), np.negative(expected) if version else expected):
            raise DifferentValuesError(f"{name}: first or last value differs from what was written")


def _random(generator: np.random.Generator, elements: int) -> FloatArray:
    return generator.random(elements, dtype=np.float32)
