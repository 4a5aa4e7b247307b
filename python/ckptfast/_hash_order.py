"""The order in which TensorFlow's `debug_string` lists the tensors of a V1 checkpoint.

TensorFlow keeps them in a `std::unordered_map` by name, and prints them as that map iterates. With
libstdc++, which its Linux wheels use, the order follows from the names alone: MurmurHash64A of each
name picks a bucket, new buckets go to the front of one linked list, and the number of buckets grows
through a fixed row of primes. Nothing else depends on this order; it is reproduced so that the
string is the same to the byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

_MASK: Final = (1 << 64) - 1
_MULTIPLIER: Final = 0xC6A4A7935BD1E995
_SEED: Final = 0xC70F6907
# The numbers of buckets that growing one element at a time passes through.
_BUCKETS: Final = (
    1, 13, 29, 59, 127, 257, 541, 1109, 2357, 5087, 10273, 20753, 42043, 85229, 172933,
)  # fmt: skip


def hash_order(names: Iterable[bytes]) -> list[bytes]:
    """`names`, in the order of their insertion, in the order of the map's iteration.

    Beyond the largest number of buckets known here (172,933) the order is that of insertion.
    """
    hashes = {name: _hash(name) for name in names}
    if len(hashes) > _BUCKETS[-1]:
        return list(hashes)
    chain = _Chain(1)
    size = iter(_BUCKETS[1:])
    for count, (name, value) in enumerate(hashes.items()):
        if count == 0 or count == chain.buckets:
            chain = chain.grown(next(size))
        chain.insert(name, value)
    return list(chain)


class _Chain:
    """The map's one list of elements; those of a bucket stand together."""

    def __init__(self, buckets: int) -> None:
        self.buckets = buckets
        self.after: dict[bytes | None, bytes | None] = {None: None}  # None: before the first
        self.before: dict[int, bytes | None] = {}  # bucket → the element before its first one
        self.hashes: dict[bytes, int] = {}

    def insert(self, name: bytes, value: int) -> None:
        """At the front of its bucket; a new bucket goes to the front of the list."""
        bucket = value % self.buckets
        self.hashes[name] = value
        front = self.before.setdefault(bucket, None)
        following = self.after[front]
        self.after[front], self.after[name] = name, following
        if following is not None:
            neighbour = self.hashes[following] % self.buckets
            if neighbour != bucket:
                self.before[neighbour] = name

    def grown(self, buckets: int) -> _Chain:
        """The same elements, moved one by one, from the first, into more buckets."""
        larger = _Chain(buckets)
        for name in self:
            larger.insert(name, self.hashes[name])
        return larger

    def __iter__(self) -> Iterator[bytes]:
        name = self.after[None]
        while name is not None:
            yield name
            name = self.after[name]


def _hash(name: bytes) -> int:
    """`std::hash<std::string>` of libstdc++ on 64-bit machines."""
    value = _SEED ^ (len(name) * _MULTIPLIER & _MASK)
    whole = len(name) & ~7
    for at in range(0, whole, 8):
        block = int.from_bytes(name[at : at + 8], "little") * _MULTIPLIER & _MASK
        block = (block ^ (block >> 47)) * _MULTIPLIER & _MASK
        value = (value ^ block) * _MULTIPLIER & _MASK
    if whole < len(name):
        value = (value ^ int.from_bytes(name[whole:], "little")) * _MULTIPLIER & _MASK
    value = (value ^ (value >> 47)) * _MULTIPLIER & _MASK
    return value ^ (value >> 47)
