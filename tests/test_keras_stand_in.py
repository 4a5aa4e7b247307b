"""`ckptfast.keras` needs neither TensorFlow nor Keras: a model of plain objects is enough."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

import ckptfast
from ckptfast import _object_graph
from helpers.object_graph import child, graph, value

PROGRAM = '''
import sys
import numpy as np

sys.modules["tensorflow"] = sys.modules["keras"] = None
import ckptfast

class Variable:
    """As on a backend that is not TensorFlow: the value is an array."""
    def __init__(self, path, shape):
        self.path, self.name, self.shape, self.dtype = path, path, shape, "float32"
        self.value = np.zeros(shape, "float32")
    def assign(self, value):
        self.value = np.array(value)

class Layer:
    built = True
    def __init__(self, name, *weights, layers=()):
        self.name, self.layers, self.trainable_variables = name, list(layers), list(weights)
        for weight in weights:
            setattr(self, "_" + weight.path.rpartition("/")[2], weight)
    @property
    def weights(self):
        return [*self.trainable_variables, *(item for at in self.layers for item in at.weights)]
    variables = weights
    def _flatten_layers(self, include_self):
        return self.layers
Layer.__module__ = "keras.src.layers.layer"

class Sequential(Layer):
    pass

layers = [Layer(f"dense_{at}", Variable(f"dense_{at}/kernel", (2,))) for at in (4, 5)]
model = Sequential("net", layers=layers)
for arguments in ({}, {"by": "name"}):
    report = ckptfast.keras.load_weights(model, sys.argv[1], **arguments)
    values = [layer._kernel.value.tolist() for layer in layers]
    print(report.matched_by, dict(report.loaded), values)
'''


def test_a_model_without_tensorflow_is_loaded(tmp_path: Path) -> None:
    keys = [f"{at}/kernel/.ATTRIBUTES/VARIABLE_VALUE" for at in "ab"]
    objects = [
        child(1, "layer_with_weights-0") + child(2, "layer_with_weights-1"),
        child(3, "kernel"),
        child(4, "kernel"),
        value(keys[0], "dense/kernel"),
        value(keys[1], "dense_1/kernel"),
    ]
    tensors = {key: np.full(2, at, np.float32) for at, key in enumerate(keys, 1)}
    path = ckptfast.save(tmp_path / "w", {**tensors, _object_graph.KEY: graph(objects)})
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded = {"dense_4/kernel": keys[0], "dense_5/kernel": keys[1]}
    rest = f"{loaded} [[1.0, 1.0], [2.0, 2.0]]"
    assert done.stdout.splitlines() == [f"object {rest}", f"renumbered name {rest}"]
