"""Exceptions that are both ckptfast's and TensorFlow's, so that either `except` catches them."""

from __future__ import annotations

import errno
import os
from typing import Any, Final

import tensorflow

from ..errors import (
    CheckpointError,
    DataLossError,
    MismatchError,
    NotFoundError,
    UnsupportedError,
)

# What TensorFlow raises for the same trouble. A subclass comes before its base.
_COUNTERPARTS: tuple[tuple[type[Exception], type[Exception]], ...] = (
    (NotFoundError, tensorflow.errors.NotFoundError),
    (DataLossError, tensorflow.errors.DataLossError),
    (MismatchError, tensorflow.errors.InvalidArgumentError),
    (UnsupportedError, tensorflow.errors.UnimplementedError),
    (CheckpointError, tensorflow.errors.UnknownError),
    (FileNotFoundError, tensorflow.errors.NotFoundError),
    (PermissionError, tensorflow.errors.PermissionDeniedError),
    (OSError, tensorflow.errors.UnknownError),
)
# The same for `OSError`s by their number, as TensorFlow's file systems translate them.
_BY_NUMBER: Final = {
    **dict.fromkeys(
        (errno.EISDIR, errno.ENOTDIR, errno.ENOTEMPTY, errno.EBUSY, errno.EBADF),
        tensorflow.errors.FailedPreconditionError,
    ),
    **dict.fromkeys(
        (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EMLINK, errno.ENOMEM),
        tensorflow.errors.ResourceExhaustedError,
    ),
    errno.ENAMETOOLONG: tensorflow.errors.InvalidArgumentError,
    errno.EEXIST: tensorflow.errors.AlreadyExistsError,
    errno.EFBIG: tensorflow.errors.OutOfRangeError,
    errno.EROFS: tensorflow.errors.PermissionDeniedError,
}


class _ShortFileError(tensorflow.errors.DataLossError, tensorflow.errors.OutOfRangeError):  # type: ignore[misc]
    """A file ends before a tensor does: TensorFlow's kernels say `OutOfRangeError` there."""


_combinations: Final[dict[tuple[type[Exception], type[Exception]], type[Exception]]] = {}


def combined(error: Exception, *, data_loss: bool = False) -> Exception:
    """`error` as an instance of its own class and of TensorFlow's class for the same trouble.

    With `data_loss` that class is `tf.errors.DataLossError`, which TensorFlow raises for everything
    that is there and that it cannot open as a checkpoint. Errors that TensorFlow raises as Python's
    own (`ValueError`) come back as they are.
    """
    for ours, theirs in _COUNTERPARTS:
        if isinstance(error, ours):
            if data_loss:
                theirs = tensorflow.errors.DataLossError
            elif theirs is tensorflow.errors.DataLossError and _is_short(error):
                theirs = _ShortFileError
            elif isinstance(error, OSError):
                theirs = _BY_NUMBER.get(error.errno or 0, theirs)
            pair = (type(error), theirs)
            if pair not in _combinations:
                _combinations[pair] = _combination(*pair)
            result = _combinations[pair](*_arguments(error))
            vars(result).update(_place(error))
            return result.with_traceback(error.__traceback__)
    return error


def _is_short(error: Exception) -> bool:
    """Whether the file is shorter than what should have been read of it."""
    if not isinstance(error, CheckpointError) or error.path is None or error.offset is None:
        return False
    try:
        return os.stat(error.path).st_size < error.offset + (error.nbytes or 0)
    except (OSError, ValueError):  # gone, or not here
        return False


def _arguments(error: Exception) -> tuple[Any, ...]:
    """What the constructor took: `args` of an `OSError` leaves the name of the file out."""
    if isinstance(error, OSError) and error.filename is not None and len(error.args) == 2:
        return (*error.args, error.filename)
    return error.args


def _place(error: Exception) -> dict[str, Any]:
    """The attributes that say where; those with an underscore are TensorFlow's."""
    return {name: value for name, value in vars(error).items() if not name.startswith("_")}


def _combination(ours: type[Exception], theirs: type[Exception]) -> type[Exception]:
    def __init__(self: Any, *arguments: Any) -> None:
        ours.__init__(self, *arguments)
        kept = self.args
        theirs.__init__(self, None, None, ours.__str__(self))
        self.args = kept  # TensorFlow's class clears them

    def __reduce__(self: Any) -> tuple[Any, ...]:
        from .._checkpoint_reader import _unpickled_error

        loss = theirs is tensorflow.errors.DataLossError
        return _unpickled_error, (ours, _arguments(self), _place(self), loss)

    body = {
        "__init__": __init__,
        "__str__": ours.__str__,
        "__reduce__": __reduce__,
        "__module__": __name__,
        "__doc__": theirs.__doc__,
    }
    name = "DataLossError" if theirs is _ShortFileError else theirs.__name__
    return type(name, (ours, theirs), body)
