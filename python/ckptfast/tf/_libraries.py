"""Whether a C++ library that is loaded can register checkpoint callbacks.

They are registered with `CheckpointCallbackManager` (checkpoint_callback_manager.h), whose methods
TensorFlow's library exports. Whoever registers some calls these, and so has the class's name among
its dynamic symbols, however it came here: by `tf.load_op_library`, `tf.load_library`, ctypes, as a
module of Python, by LD_PRELOAD. (`tf.load_library` leaves no trace in Python; and of the many
libraries of operations that there are, hardly any has callbacks.)
"""

from __future__ import annotations

from typing import Final

from .. import _native

_CLASS: Final = b"CheckpointCallbackManager"
_TENSORFLOWS: Final = (b"libtensorflow_cc.so", b"libtensorflow_framework.so")

_known: tuple[int, bool] = -1, False
"""How many libraries had been loaded when they were looked at, and what was found."""


def may_register_callbacks() -> bool:
    """Whether callbacks may be registered now. Asking again takes no time."""
    global _known
    loads, found = _native.library_loads(), _known[1]
    if not found and loads != _known[0]:
        found = _native.libraries_name(_CLASS, _TENSORFLOWS)
        _known = loads, found
    return found
