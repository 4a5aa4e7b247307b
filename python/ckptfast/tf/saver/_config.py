"""What a `Saver` does beyond TensorFlow's arguments, and the defaults for it."""

from __future__ import annotations

import dataclasses
import threading
from typing import Any, Final, Literal

from ..._files import Durability

Compat = Literal["default", "strict-tensorflow"]

_CHOICES: Final[dict[str, tuple[Any, ...]]] = {
    "durability": ("full", "rename", "none"),
    "verify": (True, False),
    "copy": (None, True, False),
    "compat": ("default", "strict-tensorflow"),
}
_MAX_ALIGN: Final = 4096


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The keyword-only arguments of `Saver`; `ckptfast.configure` says what they mean."""

    durability: Durability = "full"
    align: int = 64
    verify: bool = True
    copy: bool | None = None
    compat: Compat = "default"

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if not any(value is choice or value == choice for choice in choices):
                raise ValueError(f"{name} is one of {', '.join(map(repr, choices))}, not {value!r}")
        if not 1 <= self.align <= _MAX_ALIGN or self.align & (self.align - 1):
            raise ValueError(f"align is a power of two up to {_MAX_ALIGN}, not {self.align}")

    @property
    def strict(self) -> bool:
        """Whether TensorFlow's behaviour is kept where ckptfast's is safer."""
        return self.compat == "strict-tensorflow"


class Unset:
    """The type of `UNSET`: an argument that was not passed, where `None` means something."""

    def __repr__(self) -> str:
        return "default"


UNSET: Final = Unset()

_lock = threading.Lock()
_defaults = Options()


def configure(
    *,
    durability: Durability | Unset = UNSET,
    align: int | Unset = UNSET,
    verify: bool | Unset = UNSET,
    copy: bool | Unset | None = UNSET,
    compat: Compat | Unset = UNSET,
) -> None:
    """Set the defaults of every `ckptfast.Saver` made from now on; what is not passed stays.

    `Checkpoint`, `CheckpointManager`, `load_tensors` and what `install()` replaces go by them too,
    at every save and restore.

    - `durability`: "full" (the default) returns when data, index and state file are on disk, in
      that order; "rename" flushes files before they are renamed, and leaves directories to the
      file system; "none" flushes nothing, as TensorFlow does. See `ckptfast.save`.
    - `align`: every tensor begins at a multiple of so many bytes (a power of two up to 4096). From
      64 (the default) on, a file can be mapped straight into variables; with 1 data files are byte
      for byte TensorFlow's.
    - `verify`: whether a restore compares all bytes with their checksums first (the default).
    - `copy`: `None` (the default) lets variables use the pages of a mapped file; `True` restores
      into memory that depends on nothing; `False` fails where it would have to copy.
    - `compat`: "strict-tensorflow" keeps what TensorFlow does where ckptfast is safer: see
      docs/compatibility.md. The default is "default".
    """
    global _defaults
    with _lock:
        _defaults = _merged(_defaults, durability, align, verify, copy, compat)


def options(
    durability: Durability | Unset = UNSET,
    align: int | Unset = UNSET,
    verify: bool | Unset = UNSET,
    copy: bool | Unset | None = UNSET,
    compat: Compat | Unset = UNSET,
) -> Options:
    """The defaults with what was passed in their place."""
    return _merged(_defaults, durability, align, verify, copy, compat)


def _merged(base: Options, *values: Any) -> Options:
    names = [field.name for field in dataclasses.fields(Options)]
    given = {
        name: value
        for name, value in zip(names, values, strict=True)
        if not isinstance(value, Unset)
    }
    return dataclasses.replace(base, **given)
