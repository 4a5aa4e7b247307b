"""The values of a checkpoint as arrays to feed, thousands of them quickly."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
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
    indices = [find(match.sources[0].key) for match in matches]
    return whole(reader, indices, verify=verify)(range(len(indices)))


def whole(
    reader: Reader, indices: Sequence[int], *, verify: bool
) -> Callable[[Sequence[int]], list[Any]]:
    """The tensors of those numbers, as `read` gives them: a function that makes arrays of some.

    Everything has been read, and checked, when this returns; arrays alone are made later.
    """
    places = reader._native.read(indices, verify=verify, copy=reader._copy, align=_values.ALIGNMENT)
    signatures = reader._signatures
    dtypes = functools.cache(lambda number: numpy.dtype(tf.as_dtype(number).as_numpy_dtype))

    def arrays(some: Sequence[int]) -> list[Any]:
        # NumPy takes the buffer of a view more quickly than that of a region.
        views: dict[int, memoryview] = {}
        found = []
        for at in some:
            place = places[at]
            number, shape = signatures[indices[at]]
            if isinstance(place, list):
                found.append(_strings(place, shape))
                continue
            region, offset = place
            view = views.get(id(region))
            if view is None:
                view = views[id(region)] = memoryview(region)
            found.append(numpy.ndarray(shape, dtypes(number), view, offset))
        return found

    return arrays


def _strings(elements: list[bytes], shape: tuple[int, ...]) -> Any:
    strings = numpy.empty(len(elements), object)
    strings[:] = elements
    return strings.reshape(shape)
