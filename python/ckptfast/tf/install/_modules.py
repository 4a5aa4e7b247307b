"""Replacing objects in every module that holds them."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

_OURS = __name__.partition(".")[0]


def rebind(replacements: Mapping[int, Any]) -> None:
    """Let names of modules that lead to an object lead to its replacement.

    `replacements` goes from the `id` of an object to what replaces it. Only names are changed that
    are bound to that very object, in any module but ours: also those of modules that imported it
    under another name.
    """
    for module, name, value in list(_bindings(replacements)):
        setattr(module, name, replacements[id(value)])


def _bindings(wanted: Mapping[int, Any]) -> Iterator[tuple[types.ModuleType, str, Any]]:
    for full_name, module in list(sys.modules.items()):
        if not isinstance(module, types.ModuleType) or full_name.partition(".")[0] == _OURS:
            continue
        # `vars`, for reading an attribute of a lazy module would load it.
        for name, value in list(vars(module).items()):
            if id(value) in wanted:
                yield module, name, value
