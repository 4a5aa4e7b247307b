"""Whether a C++ library that is loaded can register checkpoint callbacks.

They are registered with `CheckpointCallbackManager` (checkpoint_callback_manager.h), whose methods
TensorFlow's library exports. Whoever registers some calls these, and so has the class's name in its
table of dynamic symbols, however it came here: by `tf.load_op_library`, `tf.load_library`, ctypes,
as a module of Python, by LD_PRELOAD. (`tf.load_library` leaves no trace in Python, and of the many
libraries of operations that there are, hardly any has callbacks.)

The dynamic linker says what is loaded (`dl_iterate_phdr`), and how often it ever loaded something:
asking that again takes a microsecond. Tables are read once, from memory; all of those in a process
with TensorFlow are 3 MB.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from collections.abc import Callable
from typing import Any, Final

_CLASS: Final = b"CheckpointCallbackManager"
_TENSORFLOWS: Final = (b"libtensorflow_cc.so", b"libtensorflow_framework.so")
# elf.h: a program header of the dynamic section, and the tags of the string table in that.
_PT_DYNAMIC: Final = 2
_DT_STRTAB: Final = 5
_DT_STRSZ: Final = 10


class _ProgramHeader(ctypes.Structure):
    """`Elf64_Phdr`. TensorFlow is there for 64 bits only."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("offset", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("physical", ctypes.c_uint64),
        ("in_file", ctypes.c_uint64),
        ("in_memory", ctypes.c_uint64),
        ("align", ctypes.c_uint64),
    )


class _Library(ctypes.Structure):
    """`dl_phdr_info`."""

    _fields_ = (
        ("base", ctypes.c_size_t),
        ("name", ctypes.c_char_p),
        ("headers", ctypes.POINTER(_ProgramHeader)),
        ("count", ctypes.c_uint16),
        ("loads", ctypes.c_ulonglong),
        ("unloads", ctypes.c_ulonglong),
    )


_VISITOR: Final = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(_Library), ctypes.c_size_t, ctypes.c_void_p
)


class _Search:
    """What was found among the libraries that have been loaded so far."""

    def __init__(self) -> None:
        # PyDLL keeps the interpreter's lock. Without it we would wait for that lock with the
        # linker's, and a thread that imports a module does the reverse.
        self._iterate = ctypes.PyDLL(None).dl_iterate_phdr
        self._count_loads = _VISITOR(self._see_loads)
        self._read_tables = _VISITOR(self._see_table)
        self._lock = threading.Lock()
        self._loads = 0
        self._loads_seen = -1
        self._read: set[tuple[int, bytes]] = set()
        self._found = False

    def ask(self) -> bool:
        """Whether any library names the class."""
        if self._found:
            return True
        with self._lock:
            self._iterate(self._count_loads, None)
            loads = self._loads
            if loads != self._loads_seen:
                self._iterate(self._read_tables, None)
                self._loads_seen = loads
        return self._found

    def _see_loads(self, library: Any, size: int, data: Any) -> int:
        self._loads = library.contents.loads
        return 1  # every library has the same count

    def _see_table(self, library: Any, size: int, data: Any) -> int:
        found = library.contents
        key = found.base, found.name or b""
        if key not in self._read:
            is_tensorflow = key[1].rpartition(b"/")[2].startswith(_TENSORFLOWS)
            self._found |= not is_tensorflow and _CLASS in _strings(found)
            self._read.add(key)
        return 0


def _strings(library: Any) -> bytes:
    """The string table of a library's dynamic symbols."""
    for header in library.headers[: library.count]:
        if header.type != _PT_DYNAMIC:
            continue
        words = (ctypes.c_uint64 * (header.in_memory // 8)).from_address(
            library.base + header.address
        )
        tags = dict(zip(words[::2], words[1::2], strict=False))
        start, size = tags.get(_DT_STRTAB, 0), tags.get(_DT_STRSZ, 0)
        # glibc makes an address of the offset when it loads a library; others leave it.
        return ctypes.string_at(start if start >= library.base else library.base + start, size)
    return b""


_search: Final[Callable[[], _Search]] = functools.cache(_Search)


def may_register_callbacks() -> bool:
    """Whether callbacks may be registered now; it stays true once it was."""
    return _search().ask()
