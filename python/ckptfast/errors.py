"""The exceptions of ckptfast.

Missing files, permissions and wrong arguments raise Python's own exceptions
(`FileNotFoundError`, `PermissionError`, `ValueError`); the classes here are for what only a
checkpoint can get wrong. The native core raises them through `_located`, so this module imports
nothing.
"""

from __future__ import annotations


class CheckpointError(Exception):
    """Something is wrong with a checkpoint, or with what was asked of it.

    Attributes say where, and are `None` where the place is not known:

    - `path`: the file (`str`).
    - `key`: the name of the tensor (`str`).
    - `shard`: number of the data file, from 0.
    - `offset`, `nbytes`: the byte range in `path`.
    - `stored_crc32c`, `calculated_crc32c`: both checksums (unmasked CRC-32C) where they differ.
    """

    path: str | None = None
    key: str | None = None
    shard: int | None = None
    offset: int | None = None
    nbytes: int | None = None
    stored_crc32c: int | None = None
    calculated_crc32c: int | None = None

    def __str__(self) -> str:
        # KeyError, a base of NotFoundError, would show the repr of the message.
        return Exception.__str__(self)


class NotFoundError(CheckpointError, KeyError):
    """The checkpoint has no tensor of that name."""


class DataLossError(CheckpointError):
    """The bytes on disk are not what was written: a failed checksum, a short or foreign file."""


class MismatchError(CheckpointError, ValueError):
    """A tensor of the checkpoint is not of the variable's type or shape."""


class AmbiguousError(CheckpointError, ValueError):
    """A path means several checkpoints."""


class UnsupportedError(CheckpointError, NotImplementedError):
    """The file is whole, but holds something that ckptfast (or this call) cannot handle."""


def _located(error: CheckpointError, **where: object) -> CheckpointError:
    """Attach the place of `error`; the instance dictionary is what pickle carries along."""
    error.__dict__.update({name: value for name, value in where.items() if value is not None})
    return error
