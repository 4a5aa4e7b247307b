"""Event files, as summary writers leave them: scalars and graphs, without TensorFlow.

The native core reads and checks the records; here is which files, and in what shape.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import re
from collections.abc import Iterator
from typing import Final, Literal

from . import _native, _paths
from ._paths import AnyPath

# `events.out.tfevents.SECONDS.HOST…`, with whatever prefix and suffix the writer was given.
_NAME: Final = re.compile(r"tfevents\.\d+")

Row = tuple[float, int, str, "float | bytes"]
"""Wall time, step, tag (or kind of graph) and value, as the core gives them."""


@dataclasses.dataclass(frozen=True, slots=True)
class ScalarEvent:
    """One number that a summary writer wrote.

    - `wall_time`: when, in seconds since the epoch.
    - `step`: the step that it belongs to.
    - `tag`: its name, such as "loss".
    - `value`: the number. Integers of 64 bits are rounded to the nearest float.
    """

    wall_time: float
    step: int
    tag: str
    value: float


@dataclasses.dataclass(frozen=True, slots=True)
class GraphEvent:
    """A graph that a summary writer wrote.

    - `wall_time`: when, in seconds since the epoch.
    - `step`: the step that it belongs to.
    - `kind`: which message `data` is.
    - `data`: the serialized message.
    """

    wall_time: float
    step: int
    kind: Literal["graph_def", "meta_graph_def"]
    data: bytes


def events(path: AnyPath) -> Iterator[ScalarEvent | GraphEvent]:
    """Read the scalars and graphs of an event file, or of all event files of a folder.

    In the order of the records; the files of a folder in the order of their names, which begin with
    the second of their creation. Folders in the folder are not looked into. Files are read as they
    are consumed, a few MiB at a time; what is appended to a file after it was opened is not seen.

    Scalars are those of `tf.compat.v1.summary.scalar` (`simple_value`) and of `tf.summary.scalar`
    (a tensor of one real number, of the plugin "scalars" or without one and without dimensions, of
    any type from bool to float64; not float8 or narrower). Images, histograms and the like are
    checked and skipped.

    A file that ends in the middle of a record is being written: its whole records are read, and
    that is no error. Raises `DataLossError`, with file, `offset` and `nbytes` of the record, where
    a checksum does not match, after the events before it; `FileNotFoundError` where there is no
    file, or none of such a name in the folder; `UnsupportedError` for `gs://` and the like.

    The format is that of TensorFlow's `record_writer.cc`, `event.proto` and `summary.proto`.
    """
    files = files_of(_paths.local(path))
    return (_event(row) for file in files for row in rows(file))


def _event(row: Row) -> ScalarEvent | GraphEvent:
    wall_time, step, name, value = row
    if isinstance(value, bytes):
        kind: Literal["graph_def", "meta_graph_def"]
        kind = "meta_graph_def" if name == "meta_graph_def" else "graph_def"
        return GraphEvent(wall_time, step, kind, value)
    return ScalarEvent(wall_time, step, name, value)


def rows(file: str) -> Iterator[Row]:
    """The same of one file, without an object for each."""
    reader = _native.EventReader(file)
    while batch := reader.batch():
        yield from batch


def files_of(path: str) -> list[str]:
    """The event files that a path means, oldest first."""
    if not os.path.isdir(path):
        if os.path.exists(path):
            return [path]
        raise FileNotFoundError(errno.ENOENT, "there is no such event file or folder", path)
    found = in_folder(path)
    if not found:
        raise FileNotFoundError(errno.ENOENT, "there is no event file in this folder", path)
    return found


def in_folder(folder: str) -> list[str]:
    """The event files that lie in a folder, oldest first; none if there are none."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _NAME.search(entry.name) and entry.is_file()]
    return sorted((os.path.join(folder, name) for name in names), key=_order)


def _order(file: str) -> tuple[int, str]:
    """Old writers pad the seconds with zeros, new ones do not."""
    match = _NAME.search(os.path.basename(file))
    return (int(match[0].partition(".")[2]) if match else 0, file)
