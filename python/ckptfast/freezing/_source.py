"""Graphs in files: a meta graph, a graph definition or a SavedModel, binary or text."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from .. import _filetype, _paths, _shards
from .._filetype import FileType
from .._nearest import Nearest
from ..errors import DataLossError, UnsupportedError, _located
from . import _protos

_GIVEN: Final = "the given "
_SERVE: Final = {"serve"}
# What the text forms begin with, comments and blanks left out.
_TEXT: Final = (
    ("SavedModel", re.compile(rb"saved_model_schema_version|meta_graphs")),
    (
        "MetaGraphDef",
        re.compile(rb"meta_info_def|graph_def|saver_def|collection_def|signature_def"),
    ),
    ("GraphDef", re.compile(rb"node|library|versions?\b")),
)
_COMMENTS: Final = re.compile(rb"(?:\xef\xbb\xbf)?(?:\s+|#[^\n]*\n)*")


class Source(NamedTuple):
    """A graph, and what the file around it tells about its variables.

    - `name`: of the file, for messages.
    - `graph_def`: the message `GraphDef`; whoever gets it may change it.
    - `saver_def`, `collections`: of the meta graph; `None` and empty where there is none.
    - `outputs`: names of the tensors that the signatures return.
    - `signatures`, `assets`: of the meta graph.
    - `folder`: of the SavedModel; `None` where there is none, or where nobody knows it.
    """

    name: str
    graph_def: Any
    saver_def: Any
    collections: dict[str, Any]
    outputs: tuple[str, ...]
    signatures: dict[str, Any]
    assets: tuple[Any, ...]
    folder: str | None


def read(graph: Any, tags: Iterable[str] | None = None, *, folder: str | None = None) -> Source:
    """The graph that `graph` means: a path, or a message of protobuf or TensorFlow.

    `folder` is that of the SavedModel that a message comes from.

    Raises `FileNotFoundError`, `DataLossError` for a file that is neither of the three, and
    `ValueError` where the tags choose no graph.
    """
    _protos.message("GraphDef")  # says what to install, before anything else can fail
    if hasattr(graph, "as_graph_def"):
        graph = graph.as_graph_def()
    if hasattr(graph, "SerializeToString"):
        kind = graph.DESCRIPTOR.name
        if kind not in ("GraphDef", "MetaGraphDef", "SavedModel"):
            raise TypeError(f"a {kind} holds no graph; pass a GraphDef or a MetaGraphDef")
        message = _protos.message(kind)
        parsed = message.FromString(graph.SerializeToString())
        return _of_message(kind, parsed, _GIVEN + kind, tags, folder)
    if not isinstance(graph, str | bytes | os.PathLike):
        raise TypeError(
            f"graph is a path, a message that holds a graph or a tf.Graph, not {graph!r}"
        )
    path = _file(_paths.local(graph))
    with open(path, "rb") as file:
        content = file.read()
    kind, parsed = _parse(path, content)
    return _of_message(kind, parsed, path, tags, os.path.dirname(path))


def _file(path: str) -> str:
    """The file of a graph, also for the folder of a SavedModel."""
    if not os.path.exists(path):
        others = (os.path.splitext(path)[0] + ".meta", f"{path}.meta")
        near = [other for other in others if os.path.isfile(other)]
        hint = f"; did you mean {near[-1]}?" if near else ""
        raise FileNotFoundError(errno.ENOENT, f"there is no such graph{hint}", path)
    if not os.path.isdir(path):
        return path
    for name in _paths.SAVED_MODEL_FILES:
        if os.path.isfile(os.path.join(path, name)):
            return os.path.join(path, name)
    raise FileNotFoundError(
        f"{path}: there is no SavedModel in this folder; pass the file of a graph (.meta, .pb), "
        "or a folder that holds saved_model.pb"
    )


def _parse(path: str, content: bytes) -> tuple[str, Any]:
    """The kind of message in a file, and the message."""
    if path.endswith(".cpb"):
        raise _located(UnsupportedError(f"{path}: a chunked SavedModel; save it unchunked"))
    for kind, message in _readings(path, content):
        if _is_plausible(kind, message):
            return kind, message
    problem = f"{path} is not a GraphDef, a MetaGraphDef or a SavedModel, neither binary nor text"
    found = _filetype.recognise(
        content[: _filetype.HEAD_BYTES], content[-_shards.FOOTER_BYTES :], len(content)
    )
    if found is not FileType.UNKNOWN:
        problem += f": this is {found.value}"
    raise _located(DataLossError(problem), path=path)


def _readings(path: str, content: bytes) -> Iterator[tuple[str, Any]]:
    from google.protobuf import text_format
    from google.protobuf.message import DecodeError

    blanks = _COMMENTS.match(content)
    for kind, start in _TEXT:
        if start.match(content, blanks.end() if blanks else 0):
            message = _protos.message(kind)()
            try:
                text_format.Parse(content.decode(), message, descriptor_pool=_protos.pool())
            except (text_format.ParseError, UnicodeDecodeError) as error:
                problem = DataLossError(f"{path}: the text of a {kind} cannot be parsed: {error}")
                raise _located(problem, path=path) from error
            yield kind, message
    # The more a message demands, the earlier it is tried.
    for kind in ("SavedModel", "MetaGraphDef", "GraphDef"):
        try:
            yield kind, _protos.message(kind).FromString(content)
        except DecodeError:
            continue


def _is_plausible(kind: str, message: Any) -> bool:
    """Whether this is what the bytes mean, rather than bytes that happen to be parsed so."""
    if kind == "SavedModel":
        return len(message.meta_graphs) > 0 and all(
            _is_plausible("MetaGraphDef", meta) for meta in message.meta_graphs
        )
    graph_def = message.graph_def if kind == "MetaGraphDef" else message
    return len(graph_def.node) > 0 and all(node.op and node.name for node in graph_def.node)


def _of_message(
    kind: str, message: Any, name: str, tags: Iterable[str] | None, folder: str | None
) -> Source:
    if kind == "SavedModel":
        message = _tagged(message, name, tags)
    elif tags is not None:
        raise ValueError(f"{name}: tags= chooses a graph of a SavedModel, and this is a {kind}")
    if kind == "GraphDef":
        return Source(name, message, None, {}, (), {}, (), None)
    outputs = dict.fromkeys(
        info.name
        for signature in message.signature_def.values()
        for info in signature.outputs.values()
        if info.name
    )
    saver_def = message.saver_def if message.HasField("saver_def") else None
    collections = dict(message.collection_def)
    return Source(
        name=name,
        graph_def=message.graph_def,
        saver_def=saver_def,
        collections=collections,
        outputs=tuple(sorted(outputs)),
        signatures=dict(message.signature_def),
        assets=tuple(message.asset_file_def),
        folder=folder,
    )


def _tagged(model: Any, name: str, tags: Iterable[str] | None) -> Any:
    """The meta graph of a SavedModel that has these tags; by default the one for serving."""
    every = [set(meta.meta_info_def.tags) for meta in model.meta_graphs]
    if tags is None and len(every) == 1:
        return model.meta_graphs[0]
    wanted = _SERVE if tags is None else set(tags)
    if wanted not in every:
        listed = "; ".join(", ".join(sorted(found)) or "(none)" for found in every)
        given = "tags= is needed" if tags is None else f"no graph has the tags {sorted(wanted)}"
        raise ValueError(f"{name}: {given}; it holds graphs with the tags: {listed}")
    return model.meta_graphs[every.index(wanted)]


def missing(source: Source, name: str) -> str:
    """The message for a node that is not in the graph."""
    names = [node.name for node in source.graph_def.node]
    near = Nearest(names).to(name)
    hint = f"; nearest names: {', '.join(near)}" if near else ""
    if source.outputs:
        hint += f"; the signatures return: {', '.join(source.outputs[:8])}"
    where = source.name if source.name.startswith(_GIVEN) else f"graph {source.name}"
    return f"{name} is not in {where}{hint}"
