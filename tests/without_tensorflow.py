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
