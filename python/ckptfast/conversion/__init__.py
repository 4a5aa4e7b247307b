"""Checkpoints to and from the files of other libraries: safetensors and NumPy's .npz."""

from __future__ import annotations

from ._convert import convert
from ._report import ConvertReport

__all__ = ["ConvertReport", "convert"]
