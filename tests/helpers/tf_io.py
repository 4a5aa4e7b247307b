"""Saving and restoring with TensorFlow's own ops, eagerly and under any name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from helpers.values import BY_NAME, Array


def tensor(tf: ModuleType, value: Any, dtype: str | None = None) -> Any:
    """`value` as a tensor; `dtype` names a quantised type."""
    if dtype is not None and dtype in BY_NAME and BY_NAME[dtype].quantised:
        return tf.bitcast(tf.constant(value), tf.as_dtype(dtype))
    return tf.constant(value)


def save(
    tf: ModuleType,
    prefix: Path | str,
    tensors: Iterable[tuple[str | bytes, Any]] | Mapping[str, Any],
    specs: Sequence[str] | None = None,
) -> str:
    """Write a bundle with `SaveV2`, tensors in the given order."""
    pairs = list(tensors.items() if isinstance(tensors, Mapping) else tensors)
    tf.raw_ops.SaveV2(
        prefix=os.fspath(prefix),
        tensor_names=[name for name, _ in pairs],
        shape_and_slices=[""] * len(pairs) if specs is None else list(specs),
        tensors=[tensor(tf, value) for _, value in pairs],
    )
    return os.fspath(prefix)


def save_sharded(tf: ModuleType, prefix: Path, tensors: Mapping[str, Any], shards: int) -> str:
    """Write a bundle of `shards` data files, as a sharded Saver does."""
    names = sorted(tensors)
    parts = []
    for shard in range(shards):
        part = f"{prefix}_temp/part-{shard:05}-of-{shards:05}"
        save(tf, part, {name: tensors[name] for name in names[shard::shards]})
        parts.append(part)
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=parts, destination_prefix=os.fspath(prefix), delete_old_dirs=True
    )
    return os.fspath(prefix)


def save_v1(
    tf: ModuleType, path: Path | str, tensors: Mapping[str, Any], specs: Sequence[str] | None = None
) -> str:
    """Write a V1 file with `SaveSlices`."""
    tf.raw_ops.SaveSlices(
        filename=os.fspath(path),
        tensor_names=list(tensors),
        shapes_and_slices=[""] * len(tensors) if specs is None else list(specs),
        data=[tensor(tf, value) for value in tensors.values()],
    )
    return os.fspath(path)


def restore(
    tf: ModuleType,
    prefix: Path | str,
    names: Sequence[str | bytes],
    dtypes: Sequence[Any],
    specs: Sequence[str] | None = None,
) -> list[Array]:
    """Values as `RestoreV2` gives them; quantised ones as plain integers."""
    values = tf.raw_ops.RestoreV2(
        prefix=os.fspath(prefix),
        tensor_names=list(names),
        shape_and_slices=[""] * len(names) if specs is None else list(specs),
        dtypes=[tf.as_dtype(dtype) for dtype in dtypes],
    )
    return [to_numpy(tf, value) for value in values]


def to_numpy(tf: ModuleType, value: Any) -> Array:
    kind = BY_NAME.get(value.dtype.name)
    if kind is not None and kind.quantised:
        value = tf.bitcast(value, tf.as_dtype(kind.numpy))
    if value.dtype == tf.string:
        # A scalar is `bytes`, which `asarray` would cut at its last zero bytes.
        array = np.empty(value.shape, dtype=object)
        array[...] = value.numpy()
        return array
    return np.asarray(value.numpy())
