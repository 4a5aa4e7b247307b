"""`ckptfast.install()`: existing TensorFlow code uses ckptfast, without a change to it."""

from __future__ import annotations

from ._install import Installation, install, uninstall

__all__ = ["Installation", "install", "uninstall"]
