"""Making `tf.compat.v1.train.Saver(...)` return a `ckptfast.Saver`.

The class itself stays where it is: whatever holds it, also a closure or a default argument, makes
our savers, and every `isinstance` keeps its answer, for savers made before as well. A class derived
from it before is left alone; one derived from it while we are installed is derived from ours.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from tensorflow.python.training import saver as stock

from ..saver import Saver

_active = False
_initialize: Callable[..., None] | None = None
"""TensorFlow's constructor, once ours has taken its place."""


def install() -> None:
    """Make our savers from now on."""
    global _active, _initialize
    _active = True
    if _initialize is None:
        _initialize = stock.Saver.__init__
        stock.Saver.__init__ = functools.wraps(_initialize)(_constructor(_initialize))
    stock.Saver.__init_subclass__ = classmethod(_derived)


def uninstall() -> None:
    """Make TensorFlow's savers again. Those that exist stay what they are.

    The constructor stays ours, for classes that were derived meanwhile may call it by its name.
    """
    global _active
    if _active:
        _active = False
        del stock.Saver.__init_subclass__


def _constructor(theirs: Callable[..., None]) -> Callable[..., None]:
    def __init__(self: Any, *arguments: Any, **keywords: Any) -> None:
        if _active and type(self) is stock.Saver:
            self.__class__ = Saver
        # `tf.train.Saver.__init__(self, …)` in a class derived from ours begins with ours too.
        begins = isinstance(self, Saver) and not self._is_in_constructor()
        (Saver.__init__ if begins else theirs)(self, *arguments, **keywords)

    return __init__


def _derived(cls: type[Any], /, **keywords: Any) -> None:
    super(stock.Saver, cls).__init_subclass__(**keywords)
    if _active and stock.Saver in cls.__bases__ and not issubclass(cls, Saver):
        cls.__bases__ = tuple(Saver if base is stock.Saver else base for base in cls.__bases__)
