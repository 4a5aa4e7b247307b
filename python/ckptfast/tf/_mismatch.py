"""The error for variables and tensors that do not go together."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ..errors import CheckpointError


class InvalidArgumentError(CheckpointError, tf.errors.InvalidArgumentError):  # type: ignore[misc]
    """A tensor of the checkpoint is not of the variable's type or shape.

    TensorFlow's class, because that is what `Saver.restore` raises for it.
    """

    def __init__(self, message: str) -> None:
        CheckpointError.__init__(self, message)
        tf.errors.InvalidArgumentError.__init__(self, None, None, message)
        self.args = (message,)  # TensorFlow's class clears them

    def __str__(self) -> str:
        return CheckpointError.__str__(self)

    def __reduce__(self) -> tuple[Any, ...]:
        where = {name: self.__dict__[name] for name in ("path", "key") if name in self.__dict__}
        return InvalidArgumentError, self.args, where
