"""Checkpoints in TensorFlow's format and the models of Keras 3, which reads none of them itself.

Neither Keras nor TensorFlow is imported: the model brings what it needs.
"""

from __future__ import annotations

from .._report import Mismatch
from ..errors import MismatchError
from ._load import load_weights
from ._report import WeightsReport

__all__ = ["Mismatch", "MismatchError", "WeightsReport", "load_weights"]
