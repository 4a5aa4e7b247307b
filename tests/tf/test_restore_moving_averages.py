"""Moving averages as TensorFlow makes and names them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast

SUFFIX = "/ExponentialMovingAverage"


@pytest.fixture
def v1(tf: ModuleType) -> Iterator[Any]:
    with tf.Graph().as_default():
        yield tf.compat.v1


@pytest.fixture(params=["tensorflow", "ckptfast"])
def saver(request: pytest.FixtureRequest, v1: Any) -> Any:
    return ckptfast.Saver if request.param == "ckptfast" else v1.train.Saver


def trained(v1: Any, saver: Any, prefix: Path) -> str:
    """The classic program: a variable at 10 whose average takes one step from 0 towards it."""
    with v1.Graph().as_default(), v1.Session() as session:
        v = v1.get_variable("layer/v", initializer=[0.0, 0.0])
        parts = v1.get_variable("emb", [4, 2], partitioner=v1.fixed_size_partitioner(2))
        v1.get_variable("step", initializer=7, trainable=False)
        averages = v1.train.ExponentialMovingAverage(0.99)
        update = averages.apply([v, *parts])
        session.run(v1.global_variables_initializer())
        session.run([v1.assign(item, v1.fill(item.shape, 10.0)) for item in [v, *parts]])
        session.run(update)
        found = session.run([v, averages.average(v)])
        assert found[0].tolist() == [10, 10]
        assert np.allclose(found[1], 0.0999, atol=1e-4)
        return str(saver().save(session, os.fspath(prefix), write_meta_graph=False))


def model(v1: Any) -> list[Any]:
    return [
        v1.get_variable("layer/v", [2]),
        *v1.get_variable("emb", [4, 2], partitioner=v1.fixed_size_partitioner(2)),
        v1.get_variable("step", [], v1.int32, trainable=False),
    ]


def test_variables_to_restore(v1: Any, saver: Any, tmp_path: Path) -> None:
    path = trained(v1, saver, tmp_path / "m")
    v = v1.get_variable("layer/v", [2])
    step = v1.get_variable("step", [], v1.int32, trainable=False)
    names = v1.train.ExponentialMovingAverage(0.99).variables_to_restore()
    assert sorted(names) == ["layer/v" + SUFFIX, "step"]
    with v1.Session() as session:
        saver(names).restore(session, path)
        value, number = session.run([v, step])
    assert 0.0999 < value[0] < 0.1
    assert number == 7


def test_restore_needs_no_averages_object(v1: Any, saver: Any, tmp_path: Path) -> None:
    path = trained(v1, saver, tmp_path / "m")
    v, first, second, step = model(v1)
    with v1.Session() as session:
        report = ckptfast.restore(session, path, moving_averages=True)
        values = session.run([v, first, second, step])
    assert report.averaged == ("layer/v", "emb")
    assert report.unexpected == ()
    stored = ckptfast.load(path)
    assert np.array_equal(values[0], stored["layer/v" + SUFFIX])
    assert np.array_equal(np.concatenate(values[1:3]), stored["emb" + SUFFIX])
    assert values[3] == 7


def test_load_agrees_with_restore(v1: Any, saver: Any, tmp_path: Path) -> None:
    path = trained(v1, saver, tmp_path / "m")
    arrays = ckptfast.load(path, moving_averages=True)
    assert sorted(arrays) == ["emb", "layer/v", "step"]
    variables = model(v1)
    with v1.Session() as session:
        report = ckptfast.restore(session, path, moving_averages=True)
        value = session.run(variables[0])
    assert set(report.averaged) == {"layer/v", "emb"}
    assert np.array_equal(value, arrays["layer/v"])
