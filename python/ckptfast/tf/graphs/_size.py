"""The size that protobuf cannot exceed, and what to say where a graph does."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import tensorflow as tf
from google.protobuf.message import DecodeError, EncodeError

LIMIT: Final = (1 << 31) - 1
"""Bytes in one serialized message."""


class GraphTooLargeError(ValueError):
    """A graph or meta graph is larger than a protocol buffer can be."""


@contextlib.contextmanager
def limited(what: str) -> Iterator[None]:
    """Say so where TensorFlow or protobuf fails on a message of 2 GiB or more.

    Both report it in several ways: TensorFlow's C++ code, its Python code and protobuf check at
    different places.
    """
    try:
        yield
    except (EncodeError, DecodeError, MemoryError) as error:
        raise too_large(what) from error
    except (ValueError, tf.errors.OpError) as error:
        text = str(error)
        if isinstance(error, GraphTooLargeError) or not any(sign in text for sign in _SIGNS):
            raise
        raise too_large(what) from error


_SIGNS: Final = ("larger than 2GB", "larger than the limit", "2147483647")


def too_large(what: str, nbytes: int | None = None) -> GraphTooLargeError:
    """The error; the first words are TensorFlow's, which people search for."""
    size = "" if nbytes is None else f" Received size: {nbytes}."
    return GraphTooLargeError(
        f"GraphDef cannot be larger than 2GB.{size} {what} was not written. Constants in the graph "
        "are usually the reason: keep large arrays in variables, or feed them."
    )


@contextlib.contextmanager
def after_saving(prefix: str | None) -> Iterator[None]:
    """Add to the error that the checkpoint at `prefix`, written before, is whole."""
    try:
        yield
    except GraphTooLargeError as error:
        if prefix is None:
            raise
        raise GraphTooLargeError(
            f"{error} The weights were saved before, and the checkpoint {prefix} is valid; "
            "write_meta_graph=False saves without the graph."
        ) from error
