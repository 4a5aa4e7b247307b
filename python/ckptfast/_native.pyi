"""The native core. See `rust/ckptfast-python`."""

from collections.abc import Mapping, Sequence
from typing import Literal, final

from typing_extensions import Buffer, CapsuleType

__all__ = [
    "EventReader",
    "Reader",
    "Region",
    "counters",
    "crc32c",
    "default_threads",
    "enter",
    "fingerprint64",
    "first_value",
    "libraries_name",
    "library_loads",
    "merge",
    "object_graph",
    "object_values",
    "on_network",
    "release_memory",
    "shard_count",
    "write",
]

@final
class Region:
    """Memory of a mapped data file, or of copied tensors; supports the buffer protocol."""

    @property
    def nbytes(self) -> int: ...
    @property
    def address(self) -> int: ...
    @property
    def aliases_file(self) -> bool: ...
    @property
    def readonly(self) -> bool: ...
    def dlpack(self, offset: int, shape: Sequence[int], code: int, bits: int) -> object: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class EventReader:
    """The scalars and graphs of an event file, in the order of its records."""

    def __new__(cls, path: str) -> EventReader: ...
    def batch(self) -> list[tuple[float, int, str, float | bytes]]: ...

@final
class Reader:
    """An open checkpoint. Tensors go by their number in the order of `names()`."""

    def __new__(
        cls,
        prefix: str,
        files: Sequence[str],
        *,
        backend: str,
        private: bool,
        threads: int | None,
    ) -> Reader: ...
    @property
    def format(self) -> Literal["V1", "V2"]: ...
    @property
    def prefix(self) -> str: ...
    @property
    def num_shards(self) -> int: ...
    def names(self) -> list[str]: ...
    def find(self, name: str) -> int: ...
    def find_all(self, names: Sequence[str]) -> list[int]: ...
    def signatures(self) -> list[tuple[int, tuple[int, ...]]]: ...
    def entry(
        self, index: int
    ) -> tuple[int | None, int | None, int | None, int | None, list[str]]: ...
    def raw_keys(self) -> list[bytes]: ...
    def raw_signature(self, key: bytes) -> tuple[int, tuple[int, ...]] | None: ...
    def read(
        self,
        indices: Sequence[int],
        *,
        verify: bool,
        copy: bool | None,
        writable: bool = False,
        align: int = 1,
    ) -> list[tuple[Region, int] | list[bytes]]: ...
    def capsules(
        self,
        indices: Sequence[int],
        *,
        verify: bool,
        copy: bool | None,
        align: int,
        elements: Mapping[int, tuple[int, int]],
    ) -> list[CapsuleType | tuple[Region, int] | list[bytes]]: ...
    def read_box(
        self,
        index: int,
        start: Sequence[int],
        length: Sequence[int],
        *,
        verify: bool,
        copy: bool | None,
        writable: bool = False,
        align: int = 1,
    ) -> tuple[Region, int] | list[bytes]: ...
    def verify(self, indices: Sequence[int]) -> list[tuple[int, Exception]]: ...
    def close(self) -> None: ...

def write(
    prefix: str,
    tensors: Sequence[
        tuple[str, int, Sequence[int] | None, str | None, Buffer | list[bytes], int, int]
    ],
    *,
    shards: int | None,
    align: int,
    durability: str,
    threads: int | None,
    groups: Sequence[int] | None = None,
    mapped: set[int] | None = None,
) -> int: ...
def merge(
    prefixes: Sequence[str],
    prefix: str,
    *,
    durability: str,
    delete_old: bool,
    allow_missing: bool,
) -> int: ...
def object_graph(
    message: bytes, limit: int
) -> list[
    tuple[
        tuple[tuple[str, ...], tuple[int, ...]],
        tuple[tuple[str, str, str], ...],
        tuple[tuple[str, int, int], ...],
        tuple[str, str] | None,
    ]
]: ...
def object_values(
    message: bytes, limit: int
) -> tuple[
    list[tuple[tuple[str, ...], tuple[int, ...]]],
    list[str | None],
    list[int],
    list[tuple[int, str, int, int]],
]: ...
def counters() -> dict[str, int]: ...
def default_threads() -> int: ...
def crc32c(data: Buffer, crc: int = 0) -> int: ...
def enter(data: Buffer) -> bool: ...
def fingerprint64(data: Buffer) -> int: ...
def libraries_name(text: bytes, excepted: Sequence[bytes]) -> bool: ...
def library_loads() -> int: ...
def on_network(path: str) -> bool: ...
def release_memory() -> int: ...
def first_value(head: bytes) -> bytes | None: ...
def shard_count(head: bytes) -> int | None: ...
