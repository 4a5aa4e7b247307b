"""`convert`: tensors from one file to another, under other names and in other types."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import _arguments, _dtypes, _files, _paths, _patterns, _remote, _threads, _writer
from .._bundle import while_replaced
from .._files import Durability
from .._names import By
from . import _formats, _plan, _sources, _tensors
from ._cast import Casts
from ._formats import FileFormat, FormatName
from ._plan import Plan, Wanted
from ._report import ConvertReport


def convert(
    path: _paths.AnyPath,
    output: _paths.AnyPath,
    *,
    format: FormatName | None = None,
    include: _patterns.Patterns | None = None,
    exclude: _patterns.Patterns | None = None,
    rename: _patterns.Rename | None = None,
    moving_averages: bool = False,
    by: By | None = None,
    dtype: str | Mapping[_patterns.Pattern, str] | None = None,
    shards: int | None = None,
    align: int | None = None,
    verify: bool = True,
    durability: Durability = "full",
    threads: int | None = None,
) -> ConvertReport:
    """Write the tensors of a checkpoint, a safetensors or an .npz file to another such file.

    Needs no TensorFlow, and neither `safetensors` nor any other package.

    - `path`: what to read: anything that `ckptfast.open` takes, or a safetensors or .npz file,
      which are recognised by their bytes.
    - `output`: the file to write; with the suffix ".safetensors" or ".npz" it is one, otherwise it
      is the prefix of a bundle. `format` ("bundle", "safetensors", "npz") says so where the suffix
      does not; a bundle whose name ends like a file of other programs (".h5", ".pt", ".pb", …)
      needs `format="bundle"`. Readers see the old file or the new one, whole; the same values make
      the same bytes.
    - `include`, `exclude`: which tensors, by their names in `path`: one pattern or several, which
      are those of `ckptfast.restore` (names, scopes, globs, regular expressions, functions; an
      exact name beats any other; the word ":slots" in `exclude` stands for the variables of
      optimizers).
    - `rename`: from names in `path` to names in `output`, also as in `ckptfast.restore`: a mapping
      with scopes, globs and regular expressions, or a function; `None` drops a tensor. Two tensors
      that would get one name are a `ValueError`, because one of them would be lost.
    - `moving_averages`, `by`: as for `ckptfast.load`: a variable that was averaged is written with
      its average (`NAME/ExponentialMovingAverage`) under its plain name; tensors of an object-based
      checkpoint go by their full names, or by the way to their objects.
    - `dtype`: the name of a type (TensorFlow's, such as "bfloat16"), for all tensors of its kind
      (integer, floating-point or complex; "float16" changes no step counter); or a mapping from
      patterns to types, where an exact name comes first, then the order. Floating-point numbers are
      rounded to the nearest; a value that the type cannot hold is a `ValueError`.
    - `shards`, `align`: of a bundle, as for `ckptfast.save`.
    - `verify`: compare what is read with its checksums (CRC-32C in checkpoints, CRC-32 in .npz
      files; safetensors have none).
    - `durability`, `threads`: as for `ckptfast.save`.

    Values go from the mapped input to the output. What has to be copied or converted on the way is
    in memory 64 MiB at a time, or one larger tensor; for a bundle, all of it at once. On network
    file systems, of V1 files and compressed arrays, everything is copied.

    The object graph of a `tf.train.Checkpoint` names the keys that lie beside it. It is written
    only into a bundle that has all of them; otherwise it is left out, unless `include` names it.
    A partitioned tensor is written whole.

    Returns a `ConvertReport`. Raises, before anything is written, `ValueError` for names that match
    nothing or would be given twice, `NotFoundError` for such entries of `rename`, and
    `UnsupportedError` that lists the tensors whose types the output cannot hold; `DataLossError`
    for damaged files, `FileNotFoundError` for an input or a folder of a file that is not there.
    """
    begin = time.perf_counter()
    _arguments.flag("verify", verify)
    _arguments.flag("moving_averages", moving_averages)
    target = _output(output, format, shards, align, durability, threads)
    wanted = Wanted(
        include=include,
        exclude=exclude,
        rename=rename,
        moving_averages=moving_averages,
        by=by,
        casts=Casts(dtype),
        is_bundle=target.kind is None,
    )

    def run() -> ConvertReport:
        with contextlib.closing(
            _sources.open_source(path, verify=verify, threads=threads)
        ) as source:
            plan = _plan.plan(source, wanted)
            nbytes = target.write(plan)
            return ConvertReport(
                path=target.path,
                format="bundle" if target.kind is None else target.kind.name,
                source=source.path,
                written=tuple(plan.tensors),
                nbytes=nbytes,
                seconds=time.perf_counter() - begin,
                renamed=plan.renamed,
                averaged=plan.averaged,
                cast=plan.cast,
                skipped=plan.skipped,
            )

    return while_replaced(run)


class _Output(NamedTuple):
    """Where the tensors go; `kind` is `None` for a bundle."""

    path: str
    kind: FileFormat | None
    shards: int | None
    align: int
    durability: Durability
    threads: int | None

    def write(self, plan: Plan) -> int:
        """Write everything that is planned; the size of the values in bytes."""
        if self.kind is None:
            return self._write_bundle(plan)
        _formats.check(self.kind, self.path, plan.tensors, plan.origins)
        with _files.replacing(self.path, durability=self.durability) as file:
            self.kind.write(file, plan.tensors, plan.batches, self.threads)
        return sum(_tensors.nbytes(tensor) for tensor in plan.tensors.values())

    def _write_bundle(self, plan: Plan) -> int:
        """Save everything at once."""
        values = plan.values(list(plan.tensors))
        tensors = {
            name: _writer.Tensor(value, _dtypes.name(plan.tensors[name].number))
            for name, value in values
        }
        _writer.save(
            self.path,
            tensors,
            shards=self.shards,
            align=self.align,
            durability=self.durability,
            threads=self.threads,
        )
        return sum(_size(value) for _, value in values)


def _output(
    path: _paths.AnyPath,
    format: FormatName | None,
    shards: int | None,
    align: int | None,
    durability: Durability,
    threads: int | None,
) -> _Output:
    """Checked arguments. Raises as `convert` does before it reads anything."""
    _threads.checked(threads)
    _files.check_durability(durability)
    target = os.fsdecode(path) if _remote.is_remote(path) else _paths.local(path)
    kind = _formats.choose(target, format)
    if kind is not None:
        _files.check_target(_paths.local(path))
        if shards is not None or align is not None:
            raise ValueError(f"shards and align are of bundles; {target} is a {kind.name} file")
    return _Output(target, kind, shards, 64 if align is None else align, durability, threads)


def _size(value: Any) -> int:
    if value.dtype.kind not in "OSU":
        return int(value.nbytes)
    elements = value.ravel().tolist()
    return sum(len(item.encode() if isinstance(item, str) else item) for item in elements)
