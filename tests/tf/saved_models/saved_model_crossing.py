"""One half of a crossing, in a process of its own.

python saved_model_crossing.py save|load tensorflow|ckptfast FOLDER
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import tensorflow as tf
from tensorflow.compat import v1

v1.disable_eager_execution()


def save(kind: str, folder: str) -> None:
    """A model with a partitioned variable, a string that an asset fills, and a moving average."""
    w = v1.get_variable(
        "w",
        [2, 3],
        initializer=v1.zeros_initializer(),
        partitioner=v1.fixed_size_partitioner(2),
    )
    x = v1.placeholder(tf.float32, [None, 2], name="x")
    y = tf.matmul(x, tf.convert_to_tensor(w), name="y")
    with open(f"{folder}.txt", "w") as file:
        file.write("asset")
    path = tf.constant(f"{folder}.txt", name="path")
    v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, path)
    content = v1.get_variable("content", initializer="", use_resource=True)
    read = v1.assign(content, tf.io.read_file(path)).op
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        session.run(
            [v1.assign(part, [[3.0 * row + n + 1 for n in range(3)]]) for row, part in enumerate(w)]
        )
        builder = builder_class(kind)(folder)
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"s": v1.saved_model.predict_signature_def({"x": x}, {"y": y})},
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=read,
            clear_devices=True,
            strip_default_attrs=True,
        )
    builder.save()
    os.unlink(f"{folder}.txt")


def load(kind: str, folder: str) -> None:
    """Print what the model gives."""
    with v1.Session() as session:
        found = loader(kind)(session, ["serve"], folder)
        signature = found.signature_def["s"]
        fed = {signature.inputs["x"].name: [[1.0, 2.0]]}
        content = next(v for v in v1.global_variables() if v.op.name == "content")
        print(
            json.dumps(
                {
                    "y": session.run(signature.outputs["y"].name, fed).tolist(),
                    "content": session.run(content).decode(),
                    "tags": list(found.meta_info_def.tags),
                    "has_ckptfast": "ckptfast" in sys.modules,
                }
            )
        )


def builder_class(kind: str) -> Any:
    """TensorFlow's or ours."""
    if kind == "tensorflow":
        return v1.saved_model.Builder
    import ckptfast

    return ckptfast.SavedModelBuilder


def loader(kind: str) -> Any:
    """TensorFlow's or ours."""
    if kind == "tensorflow":
        return v1.saved_model.load
    import ckptfast

    return ckptfast.saved_model_load


if __name__ == "__main__":
    (save if sys.argv[1] == "save" else load)(*sys.argv[2:])
