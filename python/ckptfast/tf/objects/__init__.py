"""Object-based checkpoints: TensorFlow's object graphs, our files."""

from __future__ import annotations

from ._checkpoint import Checkpoint
from ._load_tensors import load_tensors
from ._manager import CheckpointManager

__all__ = ["Checkpoint", "CheckpointManager", "load_tensors"]
