"""Handles of resource variables as data.

A graph names each variable in a node of its own, a `VarHandleOp`. But a handle is only a small
message: device, container and name of the variable, and a number for its C++ type. Fed as data to
`ParseTensor`, the handles of any variables pass through the same few nodes.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Final

import numpy
import tensorflow as tf
from tensorflow.core.framework import resource_handle_pb2, tensor_pb2

from ..._wire import varint

# What a `VarHandleOp` calls a variable that no name leads to (`ResourceHandle::ANONYMOUS_NAME`).
_ANONYMOUS: Final = b"cd2c89b7-88b7-44c8-ad83-06c2a9158347"


def place(handle: Any) -> tuple[str, str] | None:
    """Container and name of the variable of a `VarHandleOp`, `None` if it has no name."""
    op = handle.op
    name = op.get_attr("shared_name")
    if name == _ANONYMOUS:
        return None
    return op.get_attr("container").decode() or _type().container, name.decode()


def message(device: str, container: str, name: str) -> bytes:
    """The handle of a variable on a device (its full name)."""
    # Of the type, TensorFlow compares only the number; its name would be copied several times.
    text: bytes = resource_handle_pb2.ResourceHandleProto(
        device=device, container=container, name=name, hash_code=_type().hash_code
    ).SerializeToString()
    return text


def serialized(messages: Sequence[bytes]) -> Any:
    """Handles as `ParseTensor` takes a vector of them."""
    content = b"".join(varint(len(message)) for message in messages) + b"".join(messages)
    tensor = tensor_pb2.TensorProto(dtype=tf.resource.as_datatype_enum, tensor_content=content)
    tensor.tensor_shape.dim.add(size=len(messages))
    return numpy.array(tensor.SerializeToString(), dtype=object)


def unpacked(graph: Any, count: int) -> tuple[Any, Sequence[Any]]:
    """A placeholder that takes what `serialized` gives, and the handles as tensors."""
    text = tf.compat.v1.placeholder(tf.string, [], name="handles")
    handles = tf.raw_ops.ParseTensor(serialized=text, out_type=tf.resource)
    attributes = {
        "num": tf.compat.v1.AttrValue(i=count),
        "T": tf.compat.v1.AttrValue(type=tf.resource.as_datatype_enum),
    }
    # `tf.raw_ops.Unpack` takes several times as long.
    op = graph._create_op_internal(
        "Unpack", [handles], [tf.resource] * count, name="unpack", attrs=attributes
    )
    return text, op.outputs


@functools.cache
def _type() -> Any:
    """A handle of some variable; the number of the type is known to TensorFlow alone."""
    graph = tf.Graph()
    with graph.as_default(), graph.device("CPU:0"):
        handle = tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=[], shared_name="v", container="")
        text = tf.raw_ops.SerializeTensor(tensor=handle)
    # Without a GPU: a session that has one takes its memory.
    with tf.compat.v1.Session(
        graph=graph, config=tf.compat.v1.ConfigProto(device_count={"GPU": 0})
    ) as session:
        content = tensor_pb2.TensorProto.FromString(session.run(text)).tensor_content
    at = 0
    while content[at] & 0x80:  # the length, a varint
        at += 1
    return resource_handle_pb2.ResourceHandleProto.FromString(content[at + 1 :])
