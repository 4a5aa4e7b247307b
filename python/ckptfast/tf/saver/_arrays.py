"""The values of a checkpoint as arrays to feed, thousands of them quickly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy
import tensorflow as tf

from ..._bundle import Reader
from .. import _session, _values
from .._plan import Match


def read(reader: Reader, matches: Sequence[Match], *, verify: bool) -> list[Any]:
    """One array for each match, which has one source; aligned so that TensorFlow keeps it.

    With `verify`, every byte has been checked.
    """
    if any(match.sources[0].box is not None for match in matches):
        values = _values.read(reader, [match.sources[0] for match in matches], verify=verify)
        return [
            _session.feedable(match.target.parts[0].dtype, value.array)
            for match, value in zip(matches, values, strict=True)
        ]
    find = reader._native.find
    return whole(reader, [find(match.sources[0].key) for match in matches], verify=verify)


def whole(reader: Reader, indices: Sequence[int], *, verify: bool) -> list[Any]:
    """The tensors of those numbers, as `read` gives them."""
    places = reader._native.read(indices, verify=verify, copy=reader._copy, align=_values.ALIGNMENT)
    # A region's bytes become an array once, and the tensors views of it: to ask a region for its
    # buffer takes 15 µs.
    memory: dict[int, Any] = {}
    region: Any = None
    everything: Any = None
    dtypes: dict[int, Any] = {}
    arrays = []
    signatures = reader._signatures
    for index, place in zip(indices, places, strict=True):
        number, shape = signatures[index]
        if isinstance(place, list):
            arrays.append(_strings(place, shape))
            continue
        this, offset = place
        if this is not region:
            region = this
            everything = memory.get(id(region))
            if everything is None:
                everything = numpy.frombuffer(memoryview(region), numpy.uint8)
                memory[id(region)] = everything
        dtype = dtypes.get(number)
        if dtype is None:
            dtype = dtypes[number] = numpy.dtype(tf.as_dtype(number).as_numpy_dtype)
        arrays.append(numpy.ndarray(shape, dtype, everything, offset))
    return arrays


def _strings(elements: list[bytes], shape: tuple[int, ...]) -> Any:
    strings = numpy.empty(len(elements), object)
    strings[:] = elements
    return strings.reshape(shape)
