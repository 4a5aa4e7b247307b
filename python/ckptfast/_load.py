"""Whole checkpoints at once: load values, verify bytes."""

from __future__ import annotations

import dataclasses
import fnmatch
import time
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from . import _moving_averages, _names
from ._bundle import Backend, Reader, is_replaced, open, while_replaced
from ._names import By
from ._paths import AnyPath

if TYPE_CHECKING:
    import numpy

    Array = numpy.ndarray[Any, Any]


def load(
    path: AnyPath,
    names: str | Iterable[str] | None = None,
    *,
    by: By | None = None,
    moving_averages: bool = False,
    verify: bool = True,
    copy: bool | None = None,
    backend: Backend = "auto",
    threads: int | None = None,
) -> dict[str, Array]:
    """Read tensors into a dict of read-only arrays, checked against their checksums.

    `names` are names or globs (`*`, `?`, `[…]`; `*` also matches `/`), one or several; an exact
    name wins over a glob, and one that matches nothing raises `NotFoundError`. Without `names` all
    tensors are read. `path`, `verify`, `copy`, `backend` and `threads` are those of
    `ckptfast.open`, which also says what it means that arrays may be pages of the file.

    `by` says what the tensors of an object-based checkpoint (`tf.train.Checkpoint`, Keras) are
    called, in the result and in `names`:

    - `None`: by their keys ("model/_operations/1/_kernel/.ATTRIBUTES/VARIABLE_VALUE").
    - "name": by full names, which TensorFlow stores beside the keys ("dense/kernel", of slots
      "Adam/m/dense/kernel" or "adam/dense_kernel_momentum"). They are what a name-based checkpoint
      of the same variables has. Of a Keras 3 model they are the variables' paths
      (`keras.Variable.path`) where each layer was built by itself, as in functional and sequential
      models; a subclassed model may give many variables one name. What has no full name (a table,
      say) has its object path. A name-based checkpoint has nothing but names.
    - "object": by the way from the root through the program's attributes
      ("model/layer_with_weights-0/kernel"); a slot variable by its optimizer's, its own name, and
      its variable's ("optimizer/m/dense/kernel"). Of several ways it is the shortest that avoids
      Keras' own lists of layers and variables. A name-based checkpoint has no objects, which is a
      `ValueError`.

    With either, the object graph itself is left out. Full names need not be unique: a name of
    several tensors is a `ValueError` with their keys, unless `names` leaves it out or type, shape
    and checksum of all of them are the same.

    With `moving_averages`, a variable that `tf.train.ExponentialMovingAverage` averaged has its
    average in place of its value: what is stored as `NAME/ExponentialMovingAverage` is returned as
    `NAME`, and `names` are such plain names. The shadow variables are not returned beside it.

    Raises `DataLossError`, naming tensor, file and bytes, when anything does not match; then
    nothing is returned.
    """

    def read() -> dict[str, Array]:
        with open(path, verify=verify, copy=copy, backend=backend, threads=threads) as reader:
            patterns = [names] if isinstance(names, str | bytes) else names
            if by is None and not moving_averages:
                if patterns is None:
                    return reader._all_arrays()
                return reader._arrays(_select(reader, patterns))
            stored = None if by is None else _names.of(reader, by)
            plain = {name: name for name in (reader if stored is None else stored)}
            if moving_averages:
                plain = _moving_averages.plain_names(plain)
            chosen = list(plain) if patterns is None else _select(reader, patterns, plain)
            if stored is not None:
                plain = {name: stored[plain[name]] for name in chosen}
            arrays = reader._arrays(dict.fromkeys(plain[name] for name in chosen))
            return {name: arrays[plain[name]] for name in chosen}

    return while_replaced(read)


def _select(
    reader: Reader, patterns: Iterable[str], names: Collection[str] | None = None
) -> list[str]:
    """Those of `names`, by default of the reader's, that the patterns mean."""
    names = reader if names is None else names
    if not isinstance(patterns, Iterable):
        raise TypeError(f"names are names or globs, one or a list of them, not {patterns!r}")
    chosen: dict[str, None] = {}
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise TypeError(f"names are names or globs, of type str, not {pattern!r}")
        if pattern in names:
            chosen[pattern] = None
            continue
        matches = fnmatch.filter(names, pattern)
        if not matches:
            raise reader._missing(pattern, names)
        chosen.update(dict.fromkeys(matches))
    return list(chosen)


@dataclasses.dataclass(frozen=True)
class VerifyReport:
    """What `ckptfast.verify` found. True in a condition when everything matches."""

    prefix: str
    """Path stem of the checkpoint."""
    tensors: int
    """Number of tensors checked."""
    nbytes: int
    """Their size in bytes."""
    seconds: float
    """How long it took."""
    bad: dict[str, Exception]
    """Every tensor that does not match, with the error that reading it raises."""

    def __bool__(self) -> bool:
        return not self.bad

    def __str__(self) -> str:
        rate = self.nbytes / max(self.seconds, 1e-9) / 1e9
        size = f"{self.tensors} tensors, {self.nbytes} bytes in {self.seconds:.3f} s"
        if not self.bad:
            return f"{self.prefix}: all bytes match: {size} ({rate:.1f} GB/s)"
        lines = [f"{self.prefix}: {len(self.bad)} of {size} do not match:"]
        lines += [f"  {name}: {error}" for name, error in self.bad.items()]
        return "\n".join(lines)


def verify(
    path: AnyPath,
    *,
    backend: Backend = "auto",
    threads: int | None = None,
) -> VerifyReport:
    """Compare every byte of a checkpoint with its checksum, and list all that do not match.

    Goes on after errors. Raises only where there is no checkpoint to look at: no file, or an index
    that is itself damaged.
    """

    def check() -> VerifyReport:
        started = time.perf_counter()
        with open(path, backend=backend, threads=threads) as reader:
            bad = dict(reader._verify(list(reader)))
            for error in bad.values():
                if is_replaced(error):
                    raise error
            sizes = [reader.info(name).nbytes or 0 for name in reader]
            seconds = time.perf_counter() - started
            return VerifyReport(reader.prefix, len(sizes), sum(sizes), seconds, bad)

    return while_replaced(check)
