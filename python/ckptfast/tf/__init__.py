"""What needs TensorFlow. `ckptfast.restore` and its kin load this on first use."""

from __future__ import annotations

from .._report import Mismatch
from . import finetune
from ._report import RestoreReport
from ._restore import restore

__all__ = ["Mismatch", "RestoreReport", "finetune", "restore"]
