"""Which names are most like one that is not there, for messages.

`difflib` alone takes 0.1 ms for every name there is, so two seconds in a checkpoint of 20,000. What
people mistype shares its beginning or its end with what they mean: a letter or a layer is wrong, a
scope too much or too little. So `difflib` only sees those with the longest ones.
"""

from __future__ import annotations

import bisect
import difflib
import itertools
import operator
import string
from collections.abc import Iterable
from typing import Final

_AROUND: Final = 16
"""Names that are looked at on either side of the place where the missing one would be."""

_COMPARED: Final = 8
"""Names that `difflib` compares."""

_PLAIN: Final = bytes.maketrans(
    (string.ascii_uppercase + string.punctuation).encode(),
    (string.ascii_lowercase + "/" * len(string.punctuation)).encode(),
)


class Nearest:
    """Some names, in order: made once, and asked for any number of missing ones."""

    def __init__(self, names: Iterable[str]) -> None:
        self._by_beginning = sorted(names, key=_plain)
        self._by_end = sorted(self._by_beginning, key=_backwards)

    def to(self, name: str) -> list[str]:
        """At most three names that are like `name` and not it, the nearest first."""
        plain, backwards = _plain(name), _backwards(name)
        first = bisect.bisect(self._by_beginning, plain, key=_plain)
        last = bisect.bisect(self._by_end, backwards, key=_backwards)
        found = dict.fromkeys(
            self._by_beginning[max(0, first - _AROUND) : first + _AROUND]
            + self._by_end[max(0, last - _AROUND) : last + _AROUND]
        )
        found.pop(name, None)
        likest = sorted(found, key=lambda other: _likeness(plain, _plain(other)), reverse=True)
        return difflib.get_close_matches(name, likest[:_COMPARED], n=3, cutoff=0.6)


def _plain(name: str) -> bytes:
    """Without what differs between ways to write a name: "Dense.kernel" is "dense/kernel"."""
    return name.encode("utf-8", "surrogatepass").translate(_PLAIN)


def _backwards(name: str) -> bytes:
    return _plain(name)[::-1]


def _likeness(one: bytes, other: bytes) -> float:
    """How much of two names is their common beginning and end; what `difflib` finds at least."""
    shared = _common(one, other) + _common(one[::-1], other[::-1])
    return 2 * min(shared, len(one), len(other)) / ((len(one) + len(other)) or 1)


def _common(one: bytes, other: bytes) -> int:
    """Length of the common beginning."""
    return sum(itertools.takewhile(bool, map(operator.eq, one, other)))
