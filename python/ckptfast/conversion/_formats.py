"""The formats of the output, and what each can hold."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, Literal, NamedTuple

from .. import _dtypes
from ..errors import UnsupportedError, _located
from . import _npz, _safetensors
from ._tensors import Signature

FormatName = Literal["bundle", "safetensors", "npz"]

_SHOWN: Final = 10
# Suffixes of other formats for weights. Whoever passes one expects such a file.
_FOREIGN: Final = (
    ".h5",
    ".hdf5",
    ".keras",
    ".npy",
    ".onnx",
    ".pb",
    ".pkl",
    ".pt",
    ".pth",
    ".tflite",
)


class FileFormat(NamedTuple):
    """A kind of file: its types, and how it is written."""

    name: FormatName
    types: Collection[int]
    reserved: Callable[[str], str | None]
    """What is wrong with a name, if anything is."""
    write: Callable[..., None]


def _of_safetensors(name: str) -> str | None:
    return "it stands for remarks there" if name == _safetensors.METADATA else None


def _of_npz(name: str) -> str | None:
    if "\0" in name:
        return "names in a zip file end at a zero byte"
    if len(name.encode("utf-8", "surrogateescape")) > _npz.LONGEST_NAME:
        return "names in a zip file have at most 65,535 bytes"
    return None


SAFETENSORS: Final = FileFormat(
    "safetensors", _safetensors.TYPES, _of_safetensors, _safetensors.write
)
NPZ: Final = FileFormat("npz", _npz.TYPES, _of_npz, _npz.write)


def choose(output: str, format: FormatName | None) -> FileFormat | None:
    """The format of the file, by its suffix if nothing else says it; `None` for a bundle.

    Raises `ValueError` for a suffix that means a format that is not written.
    """
    if format not in (None, "bundle", "safetensors", "npz"):
        raise ValueError(f"format is 'bundle', 'safetensors' or 'npz', not {format!r}")
    for kind in (SAFETENSORS, NPZ):
        if format == kind.name or (format is None and output.endswith(f".{kind.name}")):
            return kind
    suffix = os.path.splitext(output)[1]
    if format is None and suffix in _FOREIGN:
        raise ValueError(
            f"{output}: no {suffix} file can be written; "
            "pass format='bundle' if this is the prefix of a checkpoint"
        )
    return None


def check(
    kind: FileFormat, output: str, tensors: Mapping[str, Signature], origins: Mapping[str, str]
) -> None:
    """Raise `UnsupportedError` or `ValueError` for what the format cannot hold.

    `origins` says what the tensors are called in the input, where `exclude` and `dtype` find them.
    """
    for name in tensors:
        problem = _not_text(name) or kind.reserved(name)
        if problem is not None:
            raise ValueError(f"{output}: a tensor cannot be called {name!r}: {problem}; rename it")
    wrong = {
        origins[name]: found.number
        for name, found in tensors.items()
        if found.number not in kind.types
    }
    if not wrong:
        return
    lines = "".join(
        f"\n  {name}: {_dtypes.name(number)}" for name, number in list(wrong.items())[:_SHOWN]
    )
    more = f"\n  and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
    several = f"these {len(wrong):,} tensors" if len(wrong) > 1 else "this tensor"
    error = UnsupportedError(
        f"{output}: a file of the format {kind.name} cannot hold the type of {several}:"
        f"{lines}{more}\nNothing was written. {_advice(kind, wrong)}"
    )
    raise _located(error, path=output, key=next(iter(wrong)))


def _not_text(name: str) -> str | None:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "it is not valid UTF-8"
    return None


def _advice(kind: FileFormat, wrong: Mapping[str, int]) -> str:
    """What to do about the first tensor of each type."""
    first = {number: name for name, number in reversed(list(wrong.items()))}
    others = {name: other for number, name in first.items() if (other := _other(kind, number))}
    excluded = [name for name in first.values() if name not in others]
    ways = [f"dtype={others!r}"] if others else []
    ways += [f"exclude={excluded!r}"] if excluded else []
    instead = ", or leave out with exclude= what you do not need" if others else ""
    return f"Pass {' and '.join(ways)}{instead}."


def _other(kind: FileFormat, number: int) -> str | None:
    """A type that the format has, and that values of this one can be converted to."""
    name = _dtypes.name(number)
    if name == "complex128":
        return "complex64"
    wider: dict[str, Any] = {"int4": "int8", "int2": "int8", "uint4": "uint8", "uint2": "uint8"}
    plain = wider.get(name) or _dtypes.row(number).numpy_name
    if plain == "object":
        return None
    return plain if _dtypes.number(plain) in kind.types else "float32"
