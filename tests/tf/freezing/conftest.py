"""TensorFlow's functions and ours under one name: tests that ask for them run for both."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import tensorflow as tf
from tensorflow.python.framework import convert_to_constants
from tensorflow.python.tools import freeze_graph

import ckptfast

NAMES = (
    "convert_variables_to_constants",
    "convert_variables_to_constants_v2",
    "extract_sub_graph",
    "freeze_graph",
    "remove_training_nodes",
)
THEIRS = {
    **{name: getattr(tf.compat.v1.graph_util, name) for name in (NAMES[0], NAMES[2], NAMES[4])},
    "convert_variables_to_constants_v2": convert_to_constants.convert_variables_to_constants_v2,
    "freeze_graph": freeze_graph.freeze_graph,
}


@pytest.fixture(params=["tensorflow", "ckptfast"])
def api(request: pytest.FixtureRequest) -> SimpleNamespace:
    """The functions of either."""
    if request.param == "tensorflow":
        return SimpleNamespace(**THEIRS)
    return SimpleNamespace(**{name: getattr(ckptfast, name) for name in NAMES})
