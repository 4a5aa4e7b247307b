"""Graphs in files, binary and text."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from google.protobuf import text_format
from google.protobuf.message import DecodeError
from tensorflow.python.framework import graph_io
from tensorflow.python.lib.io import file_io

from ... import _paths, _remote
from ..._files import replacing
from .._errors import combined
from . import _size


def write_graph(
    graph_or_graph_def: Any, logdir: str | os.PathLike[str], name: str, as_text: bool = True
) -> str:
    """Write a `tf.Graph` or a `GraphDef` to the file `name` in `logdir`; returns its path.

    As `tf.io.write_graph` does it: folders are made, the file is there whole or not at all, and its
    bytes depend on nothing but the graph. Raises `ValueError` for a graph of 2 GiB or more.
    """
    path = os.path.join(os.fspath(logdir), name)
    with _size.limited(path):
        graph = graph_or_graph_def
        graph_def = graph.as_graph_def() if isinstance(graph, tf.Graph) else graph
        write(graph_def, path, as_text=as_text)
    return path


def write(message: Any, path: str, *, as_text: bool) -> None:
    """Write a message as TensorFlow's `write_graph` does, which leaves a file where it fails.

    Raises TensorFlow's errors, which are `OSError`s too where the file is a local one.
    """
    directory = _paths.parent(path)
    if _remote.is_remote(path) or path[:7].lower() == "file://":
        graph_io.write_graph(message, directory, os.path.basename(path), as_text=as_text)
        return
    file_io.recursive_create_dir(directory)
    if as_text:
        content = text_format.MessageToString(message).encode()
    else:
        content = message.SerializeToString(deterministic=True)
    try:
        with replacing(path, durability="none") as file:
            file.write(content)
    except OSError as error:
        raise combined(error) from None


def import_graph_def(
    graph_def: Any,
    input_map: Mapping[str, Any] | None = None,
    return_elements: Sequence[str] | None = None,
    name: str | None = None,
    op_dict: Any = None,
    producer_op_list: Any = None,
) -> Any:
    """Add a graph to the default graph: a `GraphDef`, or a file of one, binary or text.

    The other arguments (`op_dict`, which TensorFlow deprecates, does nothing there either), the
    result and the errors are those of `tf.import_graph_def`. A file that is neither form raises
    `ValueError`.
    """
    if isinstance(graph_def, str | os.PathLike):
        graph_def = _read(os.fspath(graph_def))
    return tf.import_graph_def(
        graph_def,
        input_map=input_map,
        return_elements=return_elements,
        name=name,
        producer_op_list=producer_op_list,
        **({} if op_dict is None else {"op_dict": op_dict}),
    )


def _read(path: str) -> Any:
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    graph_def = tf.compat.v1.GraphDef()
    try:
        graph_def.ParseFromString(content)
    except DecodeError:
        graph_def.Clear()
        try:
            text_format.Parse(content.decode(), graph_def)
        except (text_format.ParseError, UnicodeDecodeError) as error:
            raise ValueError(
                f"{path} is not a GraphDef, neither binary nor text: {error}"
            ) from error
    return graph_def
