"""What only our builder and loader do: no nodes of their own, no way through TensorFlow's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest

import ckptfast

CROSSING = Path(__file__).parent / "saved_model_crossing.py"


def test_our_nodes_are_in_the_written_graph(v1: Any, tmp_path: Path) -> None:
    """The same program with either builder: graph, signatures and collections are equal."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    found = []
    for Builder in (v1.saved_model.Builder, ckptfast.SavedModelBuilder):
        folder = tmp_path / str(len(found))
        with tf.Graph().as_default(), v1.Session() as session:
            w = v1.get_variable("w", initializer=numpy.ones((3, 2), numpy.float32))
            x = v1.placeholder(tf.float32, [1, 3], name="x")
            y = tf.matmul(x, w, name="y")
            session.run(v1.global_variables_initializer())
            builder = Builder(str(folder))
            signature = v1.saved_model.predict_signature_def({"x": x}, {"y": y})
            builder.add_meta_graph_and_variables(session, ["serve"], {"s": signature})
            builder.save()
        content = (folder / "saved_model.pb").read_bytes()
        found.append(saved_model_pb2.SavedModel.FromString(content))
        assert b"ckptfast" not in content and b"PyFunc" not in content
    assert found[0] == found[1]


def test_variables_go_through_tensorflow(v1: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    v1.get_variable("w", initializer=numpy.arange(1000.0))
    before, path = ckptfast.stats(), tmp_path / "model"
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        builder = ckptfast.SavedModelBuilder(path)  # an os.PathLike
        builder.add_meta_graph_and_variables(session, ["serve"])
        builder.save()
    with tf.Graph().as_default(), v1.Session() as session:
        ckptfast.saved_model_load(session, ["serve"], path)
        assert session.run(v1.global_variables()[0]).tolist() == list(range(1000))
    after = ckptfast.stats()
    assert after.tensors_written == before.tensors_written + 1
    assert after.tensors_read == before.tensors_read + 1
    assert after.fallbacks == before.fallbacks
    assert ckptfast.open(path).info("w").offset == 0


def test_a_saved_model_of_tensorflow_2_does_not_load(v1: Any, tmp_path: Path) -> None:
    program = (
        "import sys, tensorflow as tf\n"
        "root = tf.train.Checkpoint(v=tf.Variable([1.0, 2.0]))\n"
        "root.f = tf.function(lambda: {'y': root.v * 2.0}, input_signature=[])\n"
        "tf.saved_model.save(root, sys.argv[1], signatures=root.f)\n"
    )
    command = [sys.executable, "-c", program, tmp_path / "model"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    before = ckptfast.stats().fallbacks.get("saver from a SaverDef", 0)
    with v1.Session() as session:
        found = ckptfast.saved_model_load(session, ["serve"], tmp_path / "model")
        output = found.signature_def["serving_default"].outputs["y"].name
        assert session.run(output).tolist() == [2.0, 4.0]
    assert ckptfast.stats().fallbacks["saver from a SaverDef"] == before + 1


def test_real_saved_models_differ_from_what_tensorflow_loads(v1: Any, real: Path) -> None:
    compared = 0
    for file in sorted(real.rglob("saved_model.pb")):
        if not (file.parent / "variables" / "variables.index").exists():
            continue
        theirs = loaded(v1, v1.saved_model.load, file)
        ours = loaded(v1, ckptfast.saved_model_load, file)
        again = loaded(v1, v1.saved_model.load, file)
        assert list(theirs) == list(ours), file
        for name, value in theirs.items():
            # One of them fills variables with random numbers after they were restored.
            if numpy.array_equal(value, again[name]):
                numpy.testing.assert_array_equal(ours[name], value, err_msg=f"{file} {name}")
                compared += 1
    assert compared > 20


def loaded(v1: Any, load: Any, file: Path) -> dict[str, Any]:
    """The variables after loading, or the type of the error (an operation no longer there)."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    with tf.Graph().as_default(), v1.Session() as session:
        try:
            load(session, list(message.meta_graphs[0].meta_info_def.tags), str(file.parent))
        except Exception as error:
            return {type(error).__name__: 0}
        found: dict[str, Any] = session.run({v.name: v for v in v1.global_variables()})
        return found


@pytest.mark.parametrize("saves", ["tensorflow", "ckptfast"])
def test_another_process_loads_something_else(saves: str, tmp_path: Path) -> None:
    loads = "ckptfast" if saves == "tensorflow" else "tensorflow"
    for action, kind in (("save", saves), ("load", loads)):
        command = [sys.executable, CROSSING, action, kind, tmp_path / "model"]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == {
        "y": [[9.0, 12.0, 15.0]],
        "content": "asset",
        "tags": ["serve"],
        "has_ckptfast": loads == "ckptfast",
    }
