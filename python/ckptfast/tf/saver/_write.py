"""From values to files: which tensor goes into which data file, and under what names.

Without `sharded` there is one data file, as TensorFlow writes it, or two where one would overwrite
that of the checkpoint being replaced. With it there is one for each device, and where their names
are those of the checkpoint being replaced, two for the device with the most bytes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Final

from ... import _dtypes, _fingerprint, _native, _paths, _remote, _threads
from ..._cached import cached_property
from ..._writer import _USED_BITS
from .._targets import Part, Target
from ._config import Options
from ._snapshot import Messages, Taken
from ._wanted import by_device

_PLAIN: Final = frozenset(
    _dtypes.number(name)
    for name in (
        *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "complex64", "complex128"),
    )
)
"""Numbers of NumPy's own types. It offers no buffer of bfloat16 and the like."""


_SMALL: Final = 16 << 20
"""Bytes below which one thread is faster: two wait for each other at the file. 10 MB in 10,000
tensors take 12 to 14 ms with one, and 15 to 17 with two."""


class Form:
    """How the values of some targets are stored: all that does not change from save to save."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self._targets = targets
        self._parts = [part for target in targets for part in target.parts]
        self._names = [part.name for part in self._parts]
        self._dtypes = [part.dtype for part in self._parts]
        self._special = [at for at, part in enumerate(self._parts) if _is_special(part)]

    @cached_property
    def is_small(self) -> bool:
        """Whether the graph says that all values together are too little for two threads."""
        sizes = [_size(part) for part in self._parts]
        return None not in sizes and sum(filter(None, sizes)) < _SMALL

    @cached_property
    def groups(self) -> list[int]:
        """For every part the number of its device, of those that `sharded=True` tells apart."""
        number_of = {
            id(target): number
            for number, (_, members) in enumerate(by_device(self._targets))
            for target in members
        }
        return [number_of[id(target)] for target in self._targets for _ in target.parts]

    def rows(self, values: Sequence[Taken]) -> list[Any]:
        """What `_native.write` takes. There may be thousands, so most are made by `zip` alone.

        What the graph says to have dimensions is taken to have some: see `looked_at`.
        """
        nothing = itertools.repeat(None)
        zero = itertools.repeat(0)
        rows: list[Any] = list(
            zip(self._names, self._dtypes, nothing, nothing, values, zero, zero, strict=False)
        )
        for at in self._special:
            rows[at] = _row(self._parts[at], values[at])
        return rows

    def looked_at(self, values: Sequence[Taken]) -> list[Any]:
        """The same, for values of any shape: resource variables take what they are assigned."""
        return [_row(part, value) for part, value in zip(self._parts, values, strict=True)]


def write(
    prefix: str, form: Form, values: Sequence[Taken], options: Options, *, sharded: bool
) -> None:
    """Write the bundle at `prefix`. Raises the core's errors, and leaves what was there."""
    if _remote.is_remote(prefix):
        with _remote.staging(prefix) as (local, finish):
            write(local, form, values, options, sharded=sharded)
            finish()
        return
    groups = form.groups if sharded else None
    threads = 1 if form.is_small else None
    path = _paths.local(prefix)
    try:
        write_rows(path, form.rows(values), groups, options, threads)
    except BufferError:  # before anything was written
        write_rows(path, form.looked_at(values), groups, options, threads)


def write_rows(
    prefix: str,
    rows: Sequence[Any],
    groups: Sequence[int] | None,
    options: Options,
    threads: int | None = None,
) -> None:
    """Write what `_native.write` takes; rows of one group share a data file."""
    shards = None
    if options.strict:
        shards = 1 if groups is None else len(set(groups))
    with _fingerprint.kept_right(prefix, options.durability):
        _native.write(
            prefix,
            rows,
            shards=shards,
            align=options.align,
            durability=options.durability,
            threads=_threads.checked(threads),
            groups=groups,
        )


def _size(part: Part) -> int | None:
    """Bytes of a value, where the graph says it."""
    width = _dtypes.itemsize(part.dtype)
    if not width or part.shape is None or None in part.shape:
        return None
    return width * math.prod(size or 0 for size in part.shape)


def _is_special(part: Part) -> bool:
    """Whether the value may be anything but an array that has dimensions and a buffer."""
    return part.dtype not in _PLAIN or not part.shape or part.box is not None


def _row(part: Part, value: Taken) -> tuple[Any, ...]:
    name, number, _, box = part
    spec = None if box is None else box.spec
    if isinstance(value, Messages):
        return name, number, value.shape, spec, value.elements, 0, 0
    if number == _dtypes.STRING:
        if isinstance(value, bytes):  # a scalar; an array of it would forget zero bytes at its end
            return name, number, (), spec, [value], 0, 0
        return name, number, value.shape, spec, value.ravel().tolist(), 0, 0
    shape = value.shape
    if number not in _PLAIN:
        value = value.view(f"u{value.dtype.itemsize}")
    if not shape:
        value = value.reshape(1)  # the core takes no buffer without dimensions
    return name, number, shape, spec, value, 0, _USED_BITS.get(number, 0)
