"""Warnings that point at the caller's line, however deep in the package they arise."""

from __future__ import annotations

import os
import sys
import warnings
from types import FrameType
from typing import Final

_PACKAGE: Final = os.path.dirname(__file__) + os.sep


def warn(message: str) -> None:
    """Issue a `RuntimeWarning` at the innermost frame outside this package."""
    level = 1
    frame: FrameType | None = sys._getframe(0)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
        level += 1
    warnings.warn(message, RuntimeWarning, stacklevel=level)
