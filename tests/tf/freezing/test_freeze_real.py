"""Models that other people saved, frozen, compute what they compute in a live session."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.saved_model import loader_impl

import ckptfast

v1 = tf.compat.v1

# Folder, signature. Each is read by TensorFlow 2.21 and needs nothing but its variables.
SIGNATURES = (
    ("dice-game-savedmodel-2024/policy", "action"),
    ("onnx-tf2onnx-regression/saved_model", "serving_default"),
    ("serving-saved-models/saved_model_counter/00000123", "get_counter"),
    ("serving-saved-models/saved_model_half_plus_two_2_versions/00000123", "classify_x2_to_y3"),
    ("serving-saved-models/saved_model_half_plus_two_cpu/00000123", "serving_default"),
    ("serving-saved-models/saved_model_half_plus_two_mlmd/00000123", "regress_x2_to_y3"),
    ("serving-saved-models/saved_model_half_plus_three/00000123", "serving_default"),
    ("serving-saved-models/saved_model_half_plus_two_2_versions/00000124", "regress_x2_to_y3"),
    ("serving-saved-models/saved_model_half_plus_two_mkl/00000123", "serving_default"),
    ("serving-saved-models/saved_model_half_plus_two_tf2_cpu/00000123", "serving_default"),
    ("tf-cc-saved-models/VarsAndArithmeticObjectGraph", "serving_default"),
    ("tf-cc-saved-models/chunked_saved_model/non_chunked_model", "serving_default"),
    ("tf-cc-saved-models/half_plus_two_v2/00000123", "serving_default"),
    ("tf-cc-saved-models/half_plus_two_pbtxt/00000123", "serving_default"),
    ("tf-cc-saved-models/x_plus_y_v2_debuginfo", "serving_default"),
)


def feed(tensor: Any, rng: np.random.Generator) -> Any:
    sizes = [None] if tensor.shape.rank is None else tensor.shape.as_list()
    shape = [2 if size is None else size for size in sizes]
    if tensor.dtype.is_bool:
        return np.zeros(shape, bool)
    if tensor.dtype.is_integer:
        return rng.integers(0, 3, shape).astype(tensor.dtype.as_numpy_dtype)
    return rng.normal(size=shape).astype(tensor.dtype.as_numpy_dtype)


@pytest.mark.parametrize(("folder", "signature"), SIGNATURES)
def test_signatures_give_the_same(real: Path, folder: str, signature: str) -> None:
    rng = np.random.default_rng(0)
    with tf.Graph().as_default() as graph, v1.Session() as session:
        meta = loader_impl.load(session, ["serve"], str(real / folder))
        found = meta.signature_def[signature]
        outputs = [info.name for info in found.outputs.values()]
        inputs = {info.name: graph.get_tensor_by_name(info.name) for info in found.inputs.values()}
        feeds = {name: feed(tensor, rng) for name, tensor in inputs.items()}
        wanted = session.run(outputs, feeds)
    frozen = v1.GraphDef.FromString(ckptfast.freeze(real / folder, real / folder, outputs))
    with tf.Graph().as_default() as graph, v1.Session() as session:
        tf.import_graph_def(frozen, name="")
        assert not {"VarHandleOp", "VariableV2"} & {op.type for op in graph.get_operations()}
        for got, want in zip(session.run(outputs, feeds), wanted, strict=True):
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("prefix", "variables"),
    [
        ("keras-gpt2-toy/model.ckpt", 40),
        ("tfx-taxi-serving-dir-tf115/model.ckpt-10000", 51),
        ("onnx-tf2onnx-regression/checkpoint/model", 2),
    ],
)
def test_every_variable_of_a_meta_graph(
    real: Path, tmp_path: Path, prefix: str, variables: int
) -> None:
    path = real / prefix
    meta = v1.MetaGraphDef.FromString(Path(f"{path}.meta").read_bytes())
    names = {node.name for node in meta.graph_def.node if node.op.startswith("Var")}
    reads: dict[str, str] = {}
    for node in meta.graph_def.node:
        if node.op in ("Identity", "ReadVariableOp") and node.input[0] in names:
            reads.setdefault(node.input[0], node.name)
    assert len(reads) == variables
    file = tmp_path / "frozen.pb"
    report = ckptfast.freeze(f"{path}.meta", path, list(reads.values()), output=file)
    with tf.Graph().as_default(), v1.Session() as session, ckptfast.open(path) as reader:
        tf.import_graph_def(v1.GraphDef.FromString(file.read_bytes()), name="")
        for name, read in reads.items():
            wanted = reader[report.constants[name]]
            np.testing.assert_array_equal(session.run(f"{read}:0"), wanted)


def test_an_internal_graph_that_tensorflow_cannot_import(real: Path) -> None:
    prefix = real / "ffn-fib25" / "model.ckpt-27465036"
    meta = v1.MetaGraphDef.FromString(Path(f"{prefix}.meta").read_bytes())
    reads = [node.name for node in meta.graph_def.node if node.name.endswith("/weights/read")]
    frozen = v1.GraphDef.FromString(ckptfast.freeze(f"{prefix}.meta", prefix, reads))
    values = {node.name: node.attr["value"].tensor for node in frozen.node if node.op == "Const"}
    assert reads
    for read in reads:
        name = read.removesuffix("/read")
        np.testing.assert_array_equal(
            tf.make_ndarray(values[name]), ckptfast.load(prefix, [name])[name]
        )


def test_a_graph_of_2016_with_a_v1_file(real: Path) -> None:
    folder = real / "serving-session-bundle-v1" / "half_plus_two" / "00000123"
    frozen = ckptfast.freeze(folder / "export.meta", folder / "export-00000-of-00001", ["y"])
    with tf.Graph().as_default(), v1.Session() as session:
        tf.import_graph_def(v1.GraphDef.FromString(frozen), name="")
        assert session.run("y:0", {"x:0": [[4.0]]}) == [[4.0]]


def test_an_assignment_is_named_before_it_fails(real: Path) -> None:
    folder = real / "serving-saved-models" / "saved_model_counter" / "00000123"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ckptfast.freeze(folder, folder, ["incr_counter_op/AssignAdd"])
    assert any("incr_counter_op/AssignAdd" in str(item.message) for item in caught)
