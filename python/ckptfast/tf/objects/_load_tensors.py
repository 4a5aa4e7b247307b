"""Tensors of a checkpoint on the devices where they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.eager import context

from ... import _arguments
from ..._bundle import while_replaced
from ..._checkpoint_reader import _reading
from ..._load import _select
from ..._paths import AnyPath
from .. import _values
from .._plan import Source as Place
from ._source import Source

Device = Any
"""A name, or what `tf.device` takes in its place; a function from names of tensors to these."""
_HOST = ("", "CPU:0")


def load_tensors(
    path: AnyPath,
    names: str | Iterable[str] | None = None,
    *,
    device: Device = None,
    max_inflight_bytes: int = 1 << 30,
) -> dict[str, Any]:
    """Read tensors into a dict of eager `tf.Tensor`s, checked against their checksums.

    - `names`: names or globs, as in `ckptfast.load`; by default every tensor.
    - `device`: where they shall be ("/GPU:0", a `tf.DeviceSpec` or a logical device), or a function
      that says so for each name. `None` is the first CPU: there, tensors are the pages of the
      mapped file where they lie at multiples of 64 bytes, and copies otherwise.
    - `max_inflight_bytes`: for other devices, tensors are read ahead while earlier ones are being
      copied; what is read and not yet copied is never more than this number, unless a single tensor
      is: that one is alone then.

    `path` is anything that `ckptfast.open` takes. Raises `ckptfast.NotFoundError` for a name that
    is not there, `ckptfast.DataLossError` for damage (both are TensorFlow's too), and
    `tf.errors.InvalidArgumentError` for a device that is not there.
    """
    if _arguments.number("max_inflight_bytes", max_inflight_bytes) < 1:
        raise ValueError(f"max_inflight_bytes is at least 1, not {max_inflight_bytes}")
    wanted = device if callable(device) else lambda _: device

    def read() -> dict[str, Any]:
        source = Source(path)
        with source.held():
            return _from(source, names, wanted, max_inflight_bytes)

    return while_replaced(read)


def _from(
    source: Source,
    names: str | Iterable[str] | None,
    wanted: Callable[[str], Device],
    max_inflight_bytes: int,
) -> dict[str, Any]:
    reader = source._reader
    with _reading():
        chosen = list(reader) if names is None else _select(reader, _listed(names))
    devices = {name: _device_name(wanted(name)) for name in chosen}
    _check(devices.values())
    here = [name for name in chosen if devices[name].strip("/") in _HOST]
    found = dict(zip(here, source.tensors(here), strict=True))
    away = [name for name in chosen if name not in found]
    sizes = [_values.nbytes(reader, Place(name, None)) for name in away]

    def place(batch: Sequence[str], tensors: Sequence[Any]) -> None:
        for name, tensor in zip(batch, tensors, strict=True):
            with tf.device(devices[name]):
                found[name] = tf.identity(tensor)

    batches = _batches(away, sizes, max_inflight_bytes // 2)
    _read_ahead(source, batches, max_inflight_bytes, place)
    return {name: found[name] for name in chosen}


def _device_name(device: Any) -> str:
    if device is None or isinstance(device, str):
        return device or ""
    if isinstance(device, tf.config.LogicalDevice):
        return str(device.name)
    if isinstance(device, tf.DeviceSpec | tf.compat.v1.DeviceSpec):
        return str(device.to_string())
    raise TypeError(f"device is a name, None or a function of a tensor's name, not {device!r}")


def _check(devices: Iterable[str]) -> None:
    """Refuse devices that are not there: `tf.device` would take another one without a word."""
    eager = context.context()
    eager.ensure_initialized()
    there = [tf.DeviceSpec.from_string(name) for name in eager.devices()]
    for device in set(devices):
        wanted = tf.DeviceSpec.from_string(device)
        if not any(spec.make_merged_spec(wanted) == spec for spec in there):
            names = ", ".join(spec.to_string() for spec in there)
            raise tf.errors.InvalidArgumentError(
                None, None, f"there is no device {device!r}; there are {names}"
            )


def _listed(names: str | Iterable[str]) -> Iterable[str]:
    return [names] if isinstance(names, str) else names


class _Batch(NamedTuple):
    """Tensors that are read together, and how many bytes they have."""

    names: list[str]
    nbytes: int


def _batches(names: Sequence[str], sizes: Sequence[int], limit: int) -> Iterator[_Batch]:
    """All names in lists whose tensors have `limit` bytes together at most, or one name."""
    batch: list[str] = []
    total = 0
    for name, size in zip(names, sizes, strict=True):
        if batch and total + size > limit:
            yield _Batch(batch, total)
            batch, total = [], 0
        batch.append(name)
        total += size
    if batch:
        yield _Batch(batch, total)


def _read_ahead(
    source: Source,
    batches: Iterator[_Batch],
    limit: int,
    place: Callable[[Sequence[str], Sequence[Any]], None],
) -> None:
    """Call `place` with the names and tensors of each batch, while the next one is being read.

    If both have more than `limit` bytes, the next one is read afterwards.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ckptfast-read") as pool:
        batch = next(batches, None)
        reading = None
        while batch is not None:
            reading = reading or pool.submit(source.tensors, batch.names)
            tensors = reading.result()
            following = next(batches, None)
            reading = None  # it keeps the tensors, too
            if following is not None and batch.nbytes + following.nbytes <= limit:
                reading = pool.submit(source.tensors, following.names)
            place(batch.names, tensors)
            del tensors
            batch = following
