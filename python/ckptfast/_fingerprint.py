"""`fingerprint.pb` of a SavedModel, which must not lie about the variables beside it.

It is the message `FingerprintDef` (fingerprint.proto). Its field 5, `checkpoint_hash`, is
FarmHash's Fingerprint64 of the bytes of `variables/variables.index`; the other fields are about
`saved_model.pb` alone. Whoever writes the variables anew changes that index. TensorFlow loads a
SavedModel without a fingerprint; a wrong one would be taken for that of another model.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Final

from . import _files, _native, _shards, _wire
from ._files import Durability
from ._warnings import warn

_NAME: Final = "fingerprint.pb"
_CHECKPOINT_HASH: Final = 5
# Some hundred bytes; whatever is longer is not a fingerprint.
_MAX_BYTES: Final = 1 << 20


@contextlib.contextmanager
def kept_right(prefix: str, durability: Durability) -> Iterator[None]:
    """While the bundle at `prefix` is written: see that a fingerprint of it holds afterwards.

    Does nothing unless the bundle is the variables of a SavedModel that has one. It is taken away
    before the index changes, so that at no moment a wrong one is there, and written again with the
    new hash; or, where it was wrong or damaged before, removed with a warning. It is put back if
    writing fails. Raises `OSError` where it cannot be read or removed, before anything is written.
    """
    path = _path(prefix)
    if path is None:
        yield
        return
    try:
        with open(path, "rb") as file:
            old = file.read(_MAX_BYTES + 1)
        old_hash = _hash_of_index(prefix)
        was_right = old_hash is not None and _checkpoint_hash(old) == old_hash
        os.unlink(path)
    except OSError as error:
        reason = f"{error.strerror}; nothing was written, because {path} could not be kept right"
        raise OSError(error.errno, reason, error.filename or path) from error
    try:
        yield
    except BaseException:
        if _hash_of_index(prefix) == old_hash:
            _replace(path, old, durability)
        raise
    new_hash = _hash_of_index(prefix)
    if was_right and new_hash is not None:
        _replace(path, _with_checkpoint_hash(old, new_hash), durability)
    else:
        warn(
            f"{path} is removed: it was not the fingerprint of the variables that were there, so "
            "it cannot be brought up to date; TensorFlow loads the model without it"
        )


def _path(prefix: str) -> str | None:
    """The fingerprint of the SavedModel whose variables are at `prefix`, if it has one."""
    folder, name = os.path.split(prefix)
    # Only the last component counts for `variables` itself, which may be relative.
    parent, inner = os.path.split(os.path.abspath(folder))
    path = os.path.join(parent, _NAME)
    return path if name == inner == "variables" and os.path.isfile(path) else None


def _hash_of_index(prefix: str) -> int | None:
    try:
        with open(_shards.index_file(prefix), "rb") as file:
            return _native.fingerprint64(file.read())
    except FileNotFoundError:
        return None


def _checkpoint_hash(message: bytes) -> int | None:
    """The hash in a fingerprint; `None` if it has none or cannot be read."""
    for number, value, _, _ in _fields(message) or ():
        if number == _CHECKPOINT_HASH:
            return value
    return None


def _with_checkpoint_hash(message: bytes, value: int) -> bytes:
    """A fingerprint with another hash; every other field, known or not, stays as it is."""
    parts = []
    for number, _, start, end in _fields(message) or ():
        is_hash = number == _CHECKPOINT_HASH
        parts.append(_varint_field(number, value) if is_hash else message[start:end])
    return b"".join(parts)


def _fields(message: bytes) -> list[tuple[int, int | None, int, int]] | None:
    """Number, value if it is a varint, start and end of every field; `None` if they are none."""
    fields = []
    end = 0
    while end < len(message):
        start = end
        tag, end = _wire.read_varint(message, end)
        if tag is None:
            return None
        value, width = None, {1: 8, 5: 4}.get(tag & 7, 0)
        if tag & 7 in (0, 2):
            value, end = _wire.read_varint(message, end)
            if value is None:
                return None
            width = value if tag & 7 == 2 else 0
        elif not width:
            return None
        end += width
        fields.append((tag >> 3, value if tag & 7 == 0 else None, start, end))
    return fields if end == len(message) and len(message) <= _MAX_BYTES else None


def _varint_field(number: int, value: int) -> bytes:
    return _wire.varint(number << 3) + _wire.varint(value)


def _replace(path: str, message: bytes, durability: Durability) -> None:
    with _files.replacing(path, durability=durability) as file:
        file.write(message)
