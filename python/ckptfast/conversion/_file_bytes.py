"""The bytes of a file that is no checkpoint: pages of a mapping, or read."""

from __future__ import annotations

import contextlib
import mmap
import os
from collections.abc import Iterator

from .. import _native
from ..errors import DataLossError, _located


class FileBytes:
    """A file, open until `close`. What `view` returned stays valid after that."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.file = open(path, "rb", buffering=0)  # noqa: SIM115 (until `close`)
        try:
            self.size = os.fstat(self.file.fileno()).st_size
            self.is_mapped = self.size > 0 and not _native.on_network(path)
            self._mapping = (
                mmap.mmap(self.file.fileno(), self.size, access=mmap.ACCESS_READ)
                if self.is_mapped
                else None
            )
        except BaseException:
            self.file.close()
            raise

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()
        self._mapping = None

    def view(self, start: int, nbytes: int) -> memoryview:
        """Bytes of the file, which has to have them. Raises `DataLossError` where it has not."""
        if not 0 <= start <= start + nbytes <= self.size:
            raise self.damaged(f"it ends at byte {self.size}, and should go on to {start + nbytes}")
        if self._mapping is not None:
            # To touch pages that the file no longer has would end the process.
            size = os.fstat(self.file.fileno()).st_size
            if size < start + nbytes:
                raise self.damaged(f"it was cut to {size} bytes while it was read")
            return memoryview(self._mapping)[start : start + nbytes]
        content = memoryview(bytearray(nbytes))
        at = 0
        while at < nbytes:
            with self.named():
                count = os.preadv(self.file.fileno(), [content[at : at + (1 << 30)]], start + at)
            if not count:
                raise self.damaged(f"it was cut to {start + at} bytes while it was read")
            at += count
        return content

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Errors of reads name the file, which the system does not."""
        try:
            yield
        except OSError as error:
            error.filename = error.filename or self.path
            raise

    def damaged(self, problem: str, name: str | None = None) -> DataLossError:
        """The error for a file that is not what was written."""
        error = DataLossError(f"{self.path}: {problem}")
        _located(error, path=self.path, key=name)
        return error
