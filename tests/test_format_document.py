"""The byte dumps of docs/format.md are of files that ckptfast writes and TensorFlow reads."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import numpy as np

import ckptfast
from ckptfast import _object_graph

DOCUMENT = Path(__file__).parent.parent / "docs" / "format.md"


def dump(suffix: str) -> bytes:
    """The bytes under the heading `PREFIX` + suffix."""
    return block(f"PREFIX{suffix}")


def block(heading: str) -> bytes:
    """The bytes under a heading."""
    text = DOCUMENT.read_text().split(f"    {heading}\n")[1].split("\n\n")[0]
    return bytes.fromhex("".join(re.findall(r"^    [0-9a-f]{4}  (.*)$", text, re.MULTILINE)))


def test_the_document_shows_other_bytes_than_those_written(tmp_path: Path) -> None:
    parts = [
        ckptfast.Tensor(np.array([[1, 2]], np.int16), slice="2 2 0,1:-"),
        ckptfast.Tensor(np.array([[3, 4]], np.int16), slice="2 2 1,1:-"),
    ]
    tensors = {"a": np.float32(1.5), "s": [b"hi", b""], "w": parts}
    prefix = ckptfast.save(tmp_path / "m", tensors, shards=1, align=1)
    for suffix in (".index", ".data-00000-of-00001"):
        assert Path(prefix + suffix).read_bytes() == dump(suffix), suffix


def test_tensorflow_cannot_read_the_bytes_in_the_document(tf: ModuleType, tmp_path: Path) -> None:
    for suffix in (".index", ".data-00000-of-00001"):
        (tmp_path / f"m{suffix}").write_bytes(dump(suffix))
    reader = tf.train.load_checkpoint(str(tmp_path / "m"))
    assert reader.get_tensor("a") == np.float32(1.5)
    assert reader.get_tensor("s").tolist() == [b"hi", b""]
    assert reader.get_tensor("w").tolist() == [[1, 2], [3, 4]]


def test_the_object_graph_in_the_document_is_not_what_it_says(tf: ModuleType) -> None:
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    key = "dense/kernel/.ATTRIBUTES/VARIABLE_VALUE"
    graph = _object_graph.parse(block("GRAPH"))
    assert graph.tree() == f"root\n  dense\n    kernel: {key}"
    assert graph.keys_by_name() == {"d/k": [key]}
    message = trackable_object_graph_pb2.TrackableObjectGraph.FromString(block("GRAPH"))
    assert message.nodes[2].attributes[0].checkpoint_key == key
