"""A short working day of somebody who has no TensorFlow. Run by test_packaging.py.

It runs in an environment that holds nothing but the wheel and what the wheel requires, and in an
empty folder of its own.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import ml_dtypes
import numpy as np

import ckptfast

assert importlib.util.find_spec("tensorflow") is None, "this environment has TensorFlow"
assert Path(sys.prefix) in Path(ckptfast.__file__).parents

weights = {
    "dense/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "half": np.ones(5, dtype=ml_dtypes.bfloat16),
    "labels": np.array([b"cat", b"", b"dog"], dtype=object),
    "step": np.int64(7),
}
prefix = ckptfast.save("model.ckpt", weights)
with ckptfast.open(prefix) as reader:
    assert sorted(reader) == sorted(weights)
    for name, value in weights.items():
        np.testing.assert_array_equal(reader[name], value)
    assert reader.info("half").dtype == "bfloat16"

assert ckptfast.list_variables(prefix)[0] == ("dense/kernel", [3, 4])
assert ckptfast.load(prefix, ["dense/*"])["dense/kernel"].sum() == 66

# An object-based checkpoint: the root's child "dense", and its child "kernel", a variable "d/k".
KEY = "dense/kernel/.ATTRIBUTES/VARIABLE_VALUE"
graph = b"\x0a\x0b\x0a\x09\x08\x01\x12\x05dense\x0a\x0c\x0a\x0a\x08\x02\x12\x06kernel"
graph += b"\x0a\x40\x12\x3e\x0a\x0eVARIABLE_VALUE\x12\x03d/k\x1a\x27" + KEY.encode()
prefix = ckptfast.save("objects", {KEY: np.float32(5), "_CHECKPOINTABLE_OBJECT_GRAPH": graph})
with ckptfast.open(prefix) as reader:
    assert reader.objects is not None
    assert reader.objects.tree() == f"root\n  dense\n    kernel: {KEY}"
assert ckptfast.load(prefix, by="name") == {"d/k": 5}
assert ckptfast.load(prefix, by="object") == {"dense/kernel": 5}
assert callable(ckptfast.keras.load_weights)  # for models of another backend
prefix = "model.ckpt"

try:
    ckptfast.load(prefix, ["dense/kernal"])
except ckptfast.NotFoundError as error:
    assert "dense/kernel" in str(error), error  # the nearest key
else:
    raise AssertionError("a name that matches nothing was accepted")

try:
    ckptfast.restore(None, prefix)
except ImportError as error:
    assert "ckptfast[tensorflow]" in str(error), error  # what to install
else:
    raise AssertionError("restored into a TensorFlow that is not there")

print("works")
