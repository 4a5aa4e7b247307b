"""Graphs and checkpoints without TensorFlow: freezing both into one `GraphDef`."""

from __future__ import annotations

from ._freeze import freeze
from ._report import FreezeReport

__all__ = ["FreezeReport", "freeze"]
