"""Keeping the garbage collector out of the way for a moment."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def paused() -> Iterator[None]:
    """No collection meanwhile, unless another thread asks for one.

    Thousands of new tensors would start several, and each looks at all that TensorFlow has loaded:
    a million objects, none of them garbage.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
