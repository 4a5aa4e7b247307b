"""Which versions of TensorFlow may be patched."""

from __future__ import annotations

import tensorflow as tf

from ...errors import UnsupportedError

TESTED = "2.21"
"""The series that the tests run against. Patches reach into TensorFlow's internals."""


def check() -> None:
    """Raise `UnsupportedError` on another series of TensorFlow."""
    found = tf.__version__
    if found.split(".")[:2] != TESTED.split("."):
        raise UnsupportedError(
            f"ckptfast.install() was tested with TensorFlow {TESTED}.x, and this is {found}: "
            "nothing was changed; ckptfast.Saver and the other functions do not need install()"
        )
