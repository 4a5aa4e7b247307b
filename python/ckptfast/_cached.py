"""What `functools.cached_property` is from Python 3.12 on: without a lock.

That of Python 3.11 keeps one lock for all instances of a class while a value is computed. A process
that is forked meanwhile (by a data loader, say) has the lock but not the thread that would open it,
and hangs at its first look into any reader.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

Value = TypeVar("Value")


class cached_property(Generic[Value]):
    """A property that is computed at its first use, and then an attribute of the instance.

    Two threads may both compute it; the first value is kept, and both get that.
    """

    def __init__(self, compute: Callable[[Any], Value]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type) -> Value: ...

    def __get__(self, instance: object | None, owner: type) -> Self | Value:
        if instance is None:
            return self
        value: Value = vars(instance).setdefault(self._name, self._compute(instance))
        return value
