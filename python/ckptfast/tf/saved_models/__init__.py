"""SavedModels of TensorFlow 1: written and loaded as TensorFlow does it, their variables faster."""

from __future__ import annotations

from ._builder import SavedModelBuilder
from ._loader import saved_model_load

__all__ = ["SavedModelBuilder", "saved_model_load"]
