"""`freeze`: a graph and a checkpoint into one graph of constants, without a session."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, overload

from .. import _files, _paths
from .._bundle import open, while_replaced
from .._files import Durability
from .._warnings import warn
from . import _prepare, _source
from ._report import FreezeReport


@overload
def freeze(
    graph: Any,
    path: _paths.AnyPath,
    outputs: Iterable[str],
    *,
    output: None = None,
    variables: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    moving_averages: bool = False,
    tags: Iterable[str] | None = None,
    durability: Durability = "full",
) -> bytes: ...


@overload
def freeze(
    graph: Any,
    path: _paths.AnyPath,
    outputs: Iterable[str],
    *,
    output: str | os.PathLike[str],
    variables: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    moving_averages: bool = False,
    tags: Iterable[str] | None = None,
    durability: Durability = "full",
) -> FreezeReport: ...


def freeze(
    graph: Any,
    path: _paths.AnyPath,
    outputs: Iterable[str],
    *,
    output: str | os.PathLike[str] | None = None,
    variables: Iterable[str] | None = None,
    exclude: Iterable[str] | None = None,
    moving_averages: bool = False,
    tags: Iterable[str] | None = None,
    durability: Durability = "full",
) -> bytes | FreezeReport:
    """Make one `GraphDef` of a graph and a checkpoint, in which variables are constants.

    Needs neither TensorFlow nor a session, only protobuf (`pip install 'ckptfast[graph]'`). The
    result holds what `outputs` depend on, and no more; `tf.import_graph_def` takes it.

    - `graph`: the path of a meta graph (`.meta`), of a `GraphDef`, both binary or text, or of a
      SavedModel; or such a message, or a `tf.Graph`.
    - `path`: of the checkpoint, as for `ckptfast.open`; the folder of a SavedModel is one.
    - `outputs`: names of nodes, or of tensors (`"add:0"`).
    - `output`: the file to write. Readers see the old file or the new one, whole. Values go from
      the mapped checkpoint to the file, so memory is needed for the graph, not for them; the same
      arguments give the same bytes. Without `output` the serialized graph is returned.
    - `variables`, `exclude`: names of nodes; only those, or all but those, become constants.
    - `moving_averages`: freeze `NAME/ExponentialMovingAverage` where a variable has it.
    - `tags`: which graph of a SavedModel that holds several; by default the one tagged "serve".
    - `durability`: as for `ckptfast.save`.

    Keys of the checkpoint are found by the saver's nodes in the graph, the collections of the meta
    graph, `shared_name`, the node's name, and the full names in an object-based checkpoint, in this
    order. Of a SavedModel, variables that its initialisation assigns the path of an asset have that
    path, in the folder where the model is; those that are not in the checkpoint have the constant
    that it assigns.

    Returns the bytes of the graph, or with `output` a `FreezeReport`.

    Raises `NotFoundError` that lists all variables without a value, `UnsupportedError` that lists
    all whose type or shape differs, `ValueError` for names that are not in the graph and, before
    anything is read or written, for a result of 2 GiB or more, and `DataLossError` for damaged
    values; `FileNotFoundError` for a graph, a checkpoint or a folder of `output` that is not there.
    Nodes that still want the handle of a variable, such as an assignment, are left as they
    are, with a warning: the graph cannot be imported with them.
    """
    wanted = _prepare.Wanted.of(outputs, variables, exclude, moving_averages=moving_averages)
    _files.check_durability(durability)
    target = None if output is None else _paths.local(output)
    if target is not None:
        _files.check_target(target)
    choice = None if tags is None else _prepare.listed("tags", tags)

    def run() -> bytes | FreezeReport:
        with open(path) as reader:
            frozen = _prepare.prepare(_source.read(graph, choice), reader, wanted)
            if target is None:
                result: bytes | FreezeReport = frozen.pieces.join(reader)
            else:
                frozen.pieces.write(reader, target, durability=durability)
                result = frozen.report(target)
        if frozen.unconverted:
            warn(_prepare.unconverted(frozen.unconverted))
        return result

    return while_replaced(run)
