"""`ckptfast.Saver`: TensorFlow's `Saver` for sessions, with fast saves and restores."""

from __future__ import annotations

from ._config import configure
from ._saver import Saver

__all__ = ["Saver", "configure"]
