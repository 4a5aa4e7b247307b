"""Freezing without TensorFlow gives what TensorFlow's functions and the live session give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import freeze_cases
import numpy as np
import pytest
import tensorflow as tf

import ckptfast

v1 = tf.compat.v1
KINDS = {
    "ref-v1": {"resource": False, "lowered": True},
    "resource-v1": {"resource": True, "lowered": True},
    "ref-v2": {"resource": False, "lowered": False},
    "resource-v2": {"resource": True, "lowered": False},
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> dict[str, bool]:
    return KINDS[request.param]


@pytest.fixture
def saved(
    request: pytest.FixtureRequest, kind: dict[str, bool], tmp_path: Path
) -> Iterator[freeze_cases.Case]:
    if not kind["resource"] and request.param is freeze_cases.raw_gather_nd:
        kind = {**kind, "resource": True}
    case = freeze_cases.save(request.param, tmp_path, **kind)
    yield case
    case.session.close()


def normal(graph_def: Any) -> tuple[str, list[str]]:
    """Nodes and functions as text: without the numbers of functions, which are the process's, and
    without the empty attributes that TensorFlow adds to their arguments."""
    for function in graph_def.library.function:
        for index in [index for index, item in function.arg_attr.items() if not item.attr]:
            del function.arg_attr[index]
    nodes, functions = str(v1.GraphDef(node=graph_def.node)), map(str, graph_def.library.function)
    number = re.compile(r"_frozen_\d+")
    return number.sub("", nodes), sorted(number.sub("", text) for text in functions)


@pytest.mark.parametrize("saved", freeze_cases.SAME_BYTES, indirect=True)
def test_frozen_graphs_are_those_of_tensorflow(saved: freeze_cases.Case) -> None:
    frozen = ckptfast.freeze(f"{saved.prefix}.meta", saved.prefix, [saved.output])
    np.testing.assert_array_equal(freeze_cases.run(frozen, saved.output, saved.feeds), saved.wanted)
    theirs = v1.graph_util.convert_variables_to_constants(
        saved.session, saved.meta_graph.graph_def, [saved.output]
    )
    if not theirs.library.function:
        assert frozen == theirs.SerializeToString(deterministic=True)
        return
    if saved.resource:  # with reference variables it copies functions that need no change
        assert normal(v1.GraphDef.FromString(frozen)) == normal(theirs)


@pytest.mark.parametrize("saved", freeze_cases.BEYOND, indirect=True)
def test_what_tensorflow_cannot_freeze_gives_the_same_values(saved: freeze_cases.Case) -> None:
    frozen = ckptfast.freeze(f"{saved.prefix}.meta", saved.prefix, [saved.output])
    np.testing.assert_array_equal(freeze_cases.run(frozen, saved.output, saved.feeds), saved.wanted)
