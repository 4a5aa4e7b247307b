"""What a file is, by its bytes: the two kinds of checkpoint, or one of the usual mistakes.

Most failed restores begin with the wrong file: the data file instead of the prefix, a page of HTML
or a Git-LFS pointer instead of a download, weights of another library. `recognise` is pure;
`problem` turns what it found into the exception that says what to pass instead.
"""

from __future__ import annotations

import enum
import os
import re
import stat
from typing import Final

from . import _files, _native, _shards
from .errors import CheckpointError, DataLossError, UnsupportedError, _located

HEAD_BYTES: Final = 4096


class FileType(enum.Enum):
    """Kinds of file; the value completes the sentence "this is …"."""

    V2_INDEX = "the index of a checkpoint"
    V1_TABLE = "a V1 checkpoint"
    DAMAGED_TABLE = "an index or a V1 checkpoint whose beginning is damaged"
    EMPTY = "an empty file"
    CUT_TABLE = "the beginning of a checkpoint's index or of a V1 checkpoint, without its end"
    LFS_POINTER = "a Git-LFS pointer"
    HTML = "an HTML page"
    XML = "an XML document, as object stores send with an error"
    STATE = "a state file"
    META_GRAPH = "a meta graph"
    SAVED_MODEL = "a SavedModel's graph"
    GRAPH_DEF = "a graph definition"
    TEXT_GRAPH = "a graph in text form"
    EVENTS = "an events file of TensorBoard"
    HDF5 = "an HDF5 file"
    SAFETENSORS = "a safetensors file"
    NPY = "a NumPy array file"
    NPZ = "a NumPy .npz file"
    KERAS = "a Keras model file"
    TORCH = "a PyTorch file"
    PICKLE = "a Python pickle"
    TFLITE = "a TensorFlow Lite model"
    ZIP = "a zip file"
    TAR = "a tar file"
    COMPRESSED = "a compressed file"
    JSON = "a JSON file"
    UNKNOWN = "not a checkpoint: it does not end like one (bad magic number)"


# What to do about it. The second item says whether the bytes are damaged or merely of another kind.
_ADVICE: Final[dict[FileType, tuple[str, type[CheckpointError]]]] = {
    FileType.EMPTY: ("a save or a download was cut short", DataLossError),
    FileType.DAMAGED_TABLE: ("its first bytes are not what was written", DataLossError),
    FileType.CUT_TABLE: ("a save or a download was cut short", DataLossError),
    FileType.LFS_POINTER: ("fetch the real file with `git lfs pull`", DataLossError),
    FileType.HTML: ("the download went wrong; fetch the file itself", DataLossError),
    FileType.XML: ("the download went wrong; fetch the file itself", DataLossError),
    FileType.STATE: ("it names no checkpoint that exists", DataLossError),
    FileType.META_GRAPH: ("it holds the graph and no values; pass the prefix", UnsupportedError),
    FileType.SAVED_MODEL: ("pass its directory, which holds `variables/`", UnsupportedError),
    FileType.GRAPH_DEF: ("a frozen model holds its values as constants", UnsupportedError),
    FileType.TEXT_GRAPH: ("it holds no values; pass the prefix", UnsupportedError),
    FileType.EVENTS: ("it holds no values; pass the prefix", UnsupportedError),
    FileType.HDF5: ("if Keras wrote it, load it with Keras or h5py", UnsupportedError),
    FileType.SAFETENSORS: ("make it a checkpoint with ckptfast.convert", UnsupportedError),
    FileType.NPY: ("load it with numpy.load", UnsupportedError),
    FileType.NPZ: ("make it a checkpoint with ckptfast.convert", UnsupportedError),
    FileType.KERAS: ("load it with Keras", UnsupportedError),
    FileType.TORCH: ("load it with torch.load", UnsupportedError),
    FileType.PICKLE: ("ckptfast runs no pickled code", UnsupportedError),
    FileType.TFLITE: ("load it with TensorFlow Lite's interpreter", UnsupportedError),
    FileType.ZIP: ("unpack it and pass the prefix inside", UnsupportedError),
    FileType.TAR: ("unpack it and pass the prefix inside", UnsupportedError),
    FileType.COMPRESSED: ("decompress it and pass the prefix inside", UnsupportedError),
    FileType.JSON: ("pass the prefix of a checkpoint", UnsupportedError),
    FileType.UNKNOWN: ("pass the prefix: the path without .index or .data-…", DataLossError),
}

# By the first field of the header: a bundle's is a number, a V1 file's is a message.
_TABLES: Final = {b"\x08": FileType.V2_INDEX, b"\x0a": FileType.V1_TABLE}

_START: Final = (
    (b"version https://git-lfs.github.com/spec/", FileType.LFS_POINTER),
    (b"\x89HDF\r\n\x1a\n", FileType.HDF5),
    (b"\x93NUMPY", FileType.NPY),
    (b"\x1f\x8b", FileType.COMPRESSED),  # gzip
    (b"\x28\xb5\x2f\xfd", FileType.COMPRESSED),  # zstd
    (b"\xfd7zXZ\0", FileType.COMPRESSED),
    (b"BZh", FileType.COMPRESSED),
    # The number that torch.save pickled before its files became zips.
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", FileType.TORCH),
)
_TEXT_START: Final = (
    (re.compile(rb"<!doctype html|<html|<head|<body", re.IGNORECASE), FileType.HTML),
    (re.compile(rb"<\?xml|<Error>"), FileType.XML),
    (re.compile(rb"(?:node|meta_info_def|meta_graphs|library|versions) *\{"), FileType.TEXT_GRAPH),
    (re.compile(rb"saved_model_schema_version *:"), FileType.TEXT_GRAPH),
    (re.compile(rb'[{\[]\s*["{\[}\]]'), FileType.JSON),
    (re.compile(rb"(?:#[^\n]*\s+)*(?:all_)?model_checkpoint_path"), FileType.STATE),
)


def recognise(head: bytes, tail: bytes, size: int) -> FileType:
    """What a file of `size` bytes is that begins with `head` and whose last 48 bytes are `tail`."""
    if size == 0:
        return FileType.EMPTY
    header = _native.first_value(head)
    if tail.endswith(_shards.MAGIC) and len(tail) >= _shards.FOOTER_BYTES:
        return _TABLES.get((header or b"")[:1], FileType.DAMAGED_TABLE)
    for start, kind in _START:
        if head.startswith(start):
            return kind
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for pattern, kind in _TEXT_START:
        if pattern.match(text):
            return kind
    return _binary(head, size, header)


def _binary(head: bytes, size: int, header: bytes | None) -> FileType:
    if head.startswith(b"PK\x03\x04"):
        return _zip_member(head)
    if head[4:8] == b"TFL3":
        return FileType.TFLITE
    if b"brain.Event:" in head[:40]:
        return FileType.EVENTS
    if head[257:262] == b"ustar":
        return FileType.TAR
    if head[8:9] == b"{" and 2 <= int.from_bytes(head[:8], "little") <= size - 8:
        return FileType.SAFETENSORS
    # SavedModel: field 1 is the schema's version, 1; field 2 a MetaGraphDef.
    if head.startswith(b"\x08\x01\x12"):
        return FileType.SAVED_MODEL
    # MetaGraphDef: field 1 is a MetaInfoDef, whose first field in use is its list of operations.
    if re.match(rb"\x0a[\x80-\xff]*[\x00-\x7f]\x12", head):
        return FileType.META_GRAPH
    # GraphDef: field 1 is a NodeDef: its name, then the name of its operation.
    if re.match(rb"\x0a[\x80-\xff]*[\x00-\x7f]\x0a.[A-Za-z0-9.][!-~]*\x12.[A-Z_]", head, re.DOTALL):
        return FileType.GRAPH_DEF
    if re.match(rb"\x80[\x02-\x05][(\]}\x95cX]", head):
        return FileType.PICKLE
    begins = header is not None and (header[:1] in (b"\x08", b"\x0a"))
    return FileType.CUT_TABLE if begins else FileType.UNKNOWN


def _zip_member(head: bytes) -> FileType:
    """Which zip, by the name of the first file in it."""
    name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
    if name.endswith(b".npy"):
        return FileType.NPZ
    if name in (b"metadata.json", b"config.json", b"model.weights.h5"):
        return FileType.KERAS
    if name.endswith((b"/data.pkl", b"/byteorder", b"/version")):
        return FileType.TORCH
    return FileType.ZIP


def of_file(path: str) -> FileType:
    """What the regular file at `path` is. Raises `OSError`."""
    with (
        _files.naming(path),
        open(path, "rb", buffering=0, opener=_open_without_waiting) as file,
    ):
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            return FileType.UNKNOWN
        head = file.read(HEAD_BYTES)
        file.seek(max(0, status.st_size - _shards.FOOTER_BYTES))
        return recognise(head, file.read(_shards.FOOTER_BYTES), status.st_size)


def _open_without_waiting(path: str, flags: int) -> int:
    # Opening a FIFO would wait for a writer.
    return os.open(path, flags | os.O_NONBLOCK)


def problem(path: str, kind: FileType, more: str = "") -> CheckpointError:
    """The exception for a file that is not what was asked for; `more` replaces the advice."""
    advice, error = _ADVICE[kind]
    verb = "" if kind is FileType.UNKNOWN else "this is "
    return _located(error(f"{path}: {verb}{kind.value}; {more or advice}"), path=path)
