"""`dtype=`: which tensors get another type, and their values in it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from .. import _dtypes, _pages, _patterns

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]

# Values of these types are converted to one another; all others are what they are.
_INTEGER: Final = "integer"
_FLOATING: Final = "floating-point"
_COMPLEX: Final = "complex"

# Elements at a time, so that what is needed beside the result stays small.
_STEP: Final = 1 << 20


def kind_of(number: int) -> str:
    """What kind of number a type holds; the type's own name where it holds none."""
    name = _dtypes.name(number)
    for start, kind in (("q?u?int", _INTEGER), ("b?float", _FLOATING), ("complex", _COMPLEX)):
        if re.match(start, name):
            return kind
    return name


class Casts:
    """The types that `dtype=` asks for: one for all tensors of its kind, or by names."""

    def __init__(self, dtype: str | Mapping[_patterns.Pattern, str] | None) -> None:
        entries = dtype if isinstance(dtype, Mapping) else {} if dtype is None else {"*": dtype}
        if not isinstance(dtype, str | Mapping | None):
            raise TypeError(f"dtype is the name of a type, or names to types, not {dtype!r}")
        _patterns.listed(list(entries))
        self._entries = [(pattern, _wanted(name)) for pattern, name in entries.items()]
        self._is_mapping = isinstance(dtype, Mapping)

    def types(self, tensors: Mapping[str, int]) -> dict[str, int]:
        """The number of the type that each tensor gets, given those that they have.

        Raises `ValueError` for an entry that names nothing, or names exactly a tensor of another
        kind.
        """
        for pattern, _ in self._entries if self._is_mapping else ():
            if not any(_patterns.match([pattern], name) for name in tensors):
                text = pattern if isinstance(pattern, str) else repr(pattern)
                raise ValueError(f"dtype: no tensor matches {text}{_patterns.near(text, tensors)}")
        return {name: self._type(name, number) for name, number in tensors.items()}

    def _type(self, name: str, number: int) -> int:
        found = [(_patterns.match([pattern], name), wanted) for pattern, wanted in self._entries]
        for how in (_patterns.EXACT, _patterns.LOOSE):
            for matched, wanted in found:
                if matched != how:
                    continue
                if kind_of(wanted) == kind_of(number):
                    return wanted
                if how == _patterns.EXACT:
                    raise ValueError(
                        f"dtype: {name} is {_dtypes.name(number)}, which is not converted to "
                        f"{_dtypes.name(wanted)}: both have to be integers, both floating-point "
                        "or both complex"
                    )
        return number


def _wanted(name: object) -> int:
    if not isinstance(name, str):
        raise TypeError(f"dtype: a type is given by its name, not {name!r}")
    number = _dtypes.number(name)
    # The one type without NaN or infinity in which too large a value becomes another one unseen.
    if kind_of(number) not in (_INTEGER, _FLOATING, _COMPLEX) or name == "float4_e2m1fn":
        raise ValueError(f"dtype: nothing is converted to {name}")
    return number


def cast(array: Array, number: int, name: str) -> Array:
    """The values in another type of their kind.

    Floating-point numbers are rounded as NumPy rounds them. Raises `ValueError` for one that the
    type cannot hold: an integer out of its range, a finite number beyond its largest, an infinity
    where it has none.
    """
    import numpy

    target = _dtypes.numpy_dtype(number)
    result = numpy.empty(array.shape, target)
    old, new = array.reshape(-1), result.reshape(-1)
    for start in range(0, old.size, _STEP):
        part = old[start : start + _STEP]
        _pages.enter_array(part, name)
        with numpy.errstate(over="ignore", invalid="ignore"):
            converted = part.astype(target)
        lost = _lost(part, converted, number)
        if lost.any():
            raise ValueError(
                f"dtype: {name} has {part[lost.argmax()]}, which {_dtypes.name(number)} cannot "
                "hold; exclude it, or give it another type"
            )
        new[start : start + _STEP] = converted
    return result


def _lost(old: Array, new: Array, number: int) -> Array:
    """Where the new values are no rounding of the old ones."""
    import numpy

    lost: Array
    if kind_of(number) == _INTEGER:
        before, after = _plain(old), _plain(new)
        lost = (after.astype(before.dtype) != before) | ((after < 0) != (before < 0))
    else:
        lost = numpy.isfinite(old) != numpy.isfinite(new)
        lost |= numpy.isnan(old) != numpy.isnan(new)
    return lost


def _plain(array: Array) -> Array:
    """Integers of NumPy's own, because ml_dtypes' narrow ones compare with nothing else."""
    return array.astype("int8") if array.dtype.kind == "V" else array
