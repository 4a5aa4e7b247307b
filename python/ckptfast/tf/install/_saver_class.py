"""Making `tf.compat.v1.train.Saver(...)` return a `ckptfast.Saver`.

The class itself stays where it is: whatever holds it, also a closure or a default argument, makes
our savers, and every `isinstance` keeps its answer, for savers made before as well. A class derived
from it before is left alone; one derived from it while we are installed is derived from ours.
"""

from __future__ import annotations

from typing import Any

from tensorflow.python.training import saver as stock

from ..saver import Saver

_active = False


def install() -> None:
    """Make our savers from now on."""
    global _active
    _active = True
    # Once set, `__new__` cannot be taken away: without it `object` would refuse the arguments.
    stock.Saver.__new__ = _new
    stock.Saver.__init_subclass__ = classmethod(_derived)


def uninstall() -> None:
    """Make TensorFlow's savers again. Those that exist stay what they are."""
    global _active
    if _active:
        _active = False
        del stock.Saver.__init_subclass__


def _new(cls: type[Any], *_: Any, **__: Any) -> Any:
    # Python calls the constructor of what is returned, for it is an instance of `cls`.
    return object.__new__(Saver if _active and cls is stock.Saver else cls)


def _derived(cls: type[Any], /, **keywords: Any) -> None:
    super(stock.Saver, cls).__init_subclass__(**keywords)
    if _active and stock.Saver in cls.__bases__ and not issubclass(cls, Saver):
        cls.__bases__ = tuple(Saver if base is stock.Saver else base for base in cls.__bases__)
