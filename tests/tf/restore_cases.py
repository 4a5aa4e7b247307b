"""What the tests of restoring share: graphs, checkpoints by TensorFlow's Saver, comparisons."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ckptfast

Array = np.ndarray[Any, Any]


def v1() -> Any:
    """`tf.compat.v1`, loaded when the first test needs it."""
    import tensorflow

    return tensorflow.compat.v1


def session(graph: Any) -> Any:
    return v1().Session(graph=graph)


def saved(graph: Any, prefix: Path, **options: Any) -> tuple[str, dict[str, Any]]:
    """Initialise a graph's variables, save them with a Saver of its own; the prefix and values."""
    import tensorflow as tf

    with graph.as_default(), session(graph) as sess:
        sess.run(v1().global_variables_initializer())
        path = v1().train.Saver(**options).save(sess, os.fspath(prefix), write_meta_graph=False)
        variables = v1().global_variables()
        values = sess.run([tf.identity(item) for item in variables])
    return path, {item.op.name: value for item, value in zip(variables, values, strict=True)}


def graph_of(build: Callable[[], object]) -> Any:
    """A new graph, made by `build`."""
    graph = v1().Graph()
    with graph.as_default():
        build()
    return graph


def values_of(sess: Any, variables: Iterable[Any] | None = None) -> dict[str, Any]:
    """The values of a session's variables, by the names of their operations."""
    with sess.graph.as_default():
        chosen = list(v1().global_variables() if variables is None else variables)
    values = sess.run([getattr(item, "_graph_element", item) for item in chosen])
    return {item.op.name: value for item, value in zip(chosen, values, strict=True)}


def assert_same(values: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert sorted(values) == sorted(expected)
    for name, value in expected.items():
        found = np.asarray(values[name])
        assert found.dtype == np.asarray(value).dtype, name
        assert found.shape == np.asarray(value).shape, name
        same = found.tobytes() == np.asarray(value).tobytes()
        assert same or np.array_equal(found, value), name


def write(prefix: Path, tensors: Mapping[str, Array], *, align: int = 64) -> str:
    """A checkpoint by ckptfast: aligned by default, packed as TensorFlow packs with `align=1`."""
    return os.fspath(ckptfast.save(prefix, tensors, align=align, shards=1, durability="none"))


def data_file(prefix: str | Path) -> Path:
    return Path(f"{os.fspath(prefix)}.data-00000-of-00001")


@contextlib.contextmanager
def removed(path: str) -> Iterator[str]:
    """A large checkpoint that goes when the test ends: pytest keeps its folders for three runs."""
    try:
        yield path
    finally:
        for file in Path(path).parent.glob(f"{Path(path).name}.*"):
            file.unlink()


def flip_a_byte(prefix: str | Path, name: str) -> None:
    """Damage the bytes of one tensor, in place."""
    with ckptfast.open(prefix) as reader:
        offset = reader.info(name).offset
    assert offset is not None
    with data_file(prefix).open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def is_mapped(path: str | Path) -> bool:
    """Whether this process has a file in its address space."""
    wanted = os.path.realpath(path)
    lines = Path("/proc/self/maps").read_text().splitlines()
    return any(line.partition("/")[2] and "/" + line.partition("/")[2] == wanted for line in lines)


def scribble(nbytes: int, rounds: int = 3) -> None:
    """Collect garbage, then claim and fill memory, so that nothing freed keeps its content."""
    for _ in range(rounds):
        gc.collect()
        blocks: Sequence[Array] = [np.full(nbytes // 16, 0xEE, np.uint8) for _ in range(16)]
        del blocks
