"""The examples: that of freezing, run as its users run it, and what the others save, frozen."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_sum_in_one_file(tmp_path: Path) -> None:
    shown = run("freeze.py", "sum", str(tmp_path))
    assert "v1 + v2 = 3.0" in shown
    assert "2 variables frozen" in shown


def test_the_classifier_in_one_file(tmp_path: Path) -> None:
    run("classifier.py", "train", str(tmp_path))
    shown = run("freeze.py", "classifier", str(tmp_path))
    assert "8 variables" in shown
    assert float(shown.split("accuracy ")[1]) > 0.9


@pytest.mark.parametrize(
    ("name", "model", "output", "feeds"),
    [
        ("linear_fit.py", "line-*", "loss", {"x:0": [1.0, 2.0], "y:0": [3.0, 5.0]}),
        ("rename_and_select.py", "product-1000", "restored_operation", {"w1:0": 3.0, "w2:0": 4.0}),
        ("vgg_two_classes.py", "vgg", "fc8/add", {"images:0": np.ones((2, 32, 32, 3))}),
    ],
)
def test_a_frozen_example_computes_something_else(
    tf: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    model: str,
    output: str,
    feeds: dict[str, Any],
) -> None:
    monkeypatch.setattr(sys, "argv", [name, str(tmp_path)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    prefix = os.fspath(sorted(tmp_path.glob(f"{model}.meta"))[-1]).removesuffix(".meta")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.compat.v1.train.import_meta_graph(f"{prefix}.meta").restore(session, prefix)
        wanted = session.run(f"{output}:0", feeds)
    frozen = frozen_graph(tf, ckptfast.freeze(f"{prefix}.meta", prefix, [output]))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        (tensor,) = ckptfast.import_graph_def(frozen, return_elements=[f"{output}:0"], name="")
        np.testing.assert_array_equal(session.run(tensor, feeds), wanted)


IMAGES = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("programs", "outputs", "feeds"),
    [
        (["moving_average.py"], ["v/Read/ReadVariableOp"], {}),
        (["convert.py"], ["Sum", "global_step/Read/ReadVariableOp"], {}),
        (["partial_restore.py"], ["norm_1/Squeeze", "output/scale/Read/ReadVariableOp"], {}),
        (
            ["classifier.py train", "finetune_classifier.py"],
            ["head/logits", "fc2/add"],
            {"x:0": IMAGES},
        ),
    ],
)
def test_a_session_that_ends_and_its_frozen_graph_disagree(
    tf: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    programs: list[str],
    outputs: list[str],
    feeds: dict[str, Any],
) -> None:
    """Every session of an example that has the outputs, when the example leaves it."""
    sessions: list[tuple[str, list[Any]]] = []
    leave = tf.compat.v1.Session.__exit__

    def leaving(session: Any, *error: Any) -> Any:
        names = {operation.name for operation in session.graph.get_operations()}
        if error[0] is None and names.issuperset(outputs):
            values = session.run([f"{name}:0" for name in outputs], feeds)
            prefix = ckptfast.Saver().save(session, f"{tmp_path}/session-{len(sessions)}")
            sessions.append((prefix, values))
        return leave(session, *error)

    with monkeypatch.context() as patched:
        patched.setattr(tf.compat.v1.Session, "__exit__", leaving)
        for program in programs:
            name, *arguments = program.split()
            patched.setattr(sys, "argv", [name, *arguments, str(tmp_path)])
            runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    assert sessions
    for prefix, values in sessions:
        graph_def = frozen_graph(tf, ckptfast.freeze(f"{prefix}.meta", prefix, outputs))
        for got, wanted in zip(computed(tf, graph_def, outputs, feeds), values, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_the_average_is_not_what_is_frozen(
    tf: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["moving_average.py", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "moving_average.py"), run_name="__main__")
    prefix, output = str(tmp_path / "average"), "v/Read/ReadVariableOp"
    for moving_averages, wanted in ((False, 10), (True, 0.1)):
        frozen = ckptfast.freeze(
            f"{prefix}.meta", prefix, [output], moving_averages=moving_averages
        )
        (value,) = computed(tf, frozen_graph(tf, frozen), [output], {})
        assert value == pytest.approx(wanted, rel=1e-5)


def test_the_model_of_the_demonstration_is_another_when_frozen(
    tf: ModuleType, tmp_path: Path
) -> None:
    model = runpy.run_path(str(EXAMPLES / "demo.py"))["Model"](tf, 4)
    prefix = str(tmp_path / "model")
    outputs = [f"{name}/Read/ReadVariableOp" for name in model.names]
    with model.session() as session:
        session.run(model.initialize)
        values = session.run([f"{name}:0" for name in outputs])
        model.saver.save(session, prefix)
    frozen = frozen_graph(tf, ckptfast.freeze(model.graph, prefix, outputs))
    for got, wanted in zip(computed(tf, frozen, outputs, {}), values, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_frozen_keras_model_predicts_something_else(tf: ModuleType, tmp_path: Path) -> None:
    run("keras_weights.py", "train", str(tmp_path))
    model = runpy.run_path(str(EXAMPLES / "keras_weights.py"))["classifier"]()
    ckptfast.keras.load_weights(model, tmp_path / "classifier")
    predict = tf.function(lambda images: model(images, training=False)).get_concrete_function(
        tf.TensorSpec([None, 8, 8, 1], name="images")
    )
    graph_def = ckptfast.convert_variables_to_constants_v2(predict).graph.as_graph_def()
    assert not any(node.op in ("VarHandleOp", "ReadVariableOp") for node in graph_def.node)
    (output,) = (node.name for node in graph_def.node[-1:])
    (value,) = computed(tf, graph_def, [output], {"images:0": IMAGES})
    np.testing.assert_allclose(value, model(IMAGES, training=False), rtol=1e-5, atol=1e-6)


def frozen_graph(tf: ModuleType, content: bytes) -> Any:
    """The graph, which has no variables."""
    graph_def = tf.compat.v1.GraphDef.FromString(content)
    assert not any(node.op in ("VarHandleOp", "VariableV2") for node in graph_def.node)
    return graph_def


def computed(tf: ModuleType, graph_def: Any, outputs: list[str], feeds: dict[str, Any]) -> Any:
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        tf.import_graph_def(graph_def, name="")
        return session.run([f"{name}:0" for name in outputs], feeds)


def test_an_example_is_not_frozen() -> None:
    """Each is named in this file."""
    text = Path(__file__).read_text()
    assert [path.name for path in EXAMPLES.glob("*.py") if f'"{path.name}' not in text] == []
