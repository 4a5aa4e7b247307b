"""Variables whose values a SavedModel's initialisation gives them: paths of assets, constants."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import freeze_cases
import numpy as np
import pytest
import tensorflow as tf
from test_freeze_graph import NOTHING

import ckptfast

v1 = tf.compat.v1


def in_a_session(folder: Path, *tensors: str) -> Any:
    """What a live session gives."""
    with tf.Graph().as_default(), v1.Session() as session:
        v1.saved_model.load(session, ["serve"], str(folder))
        return session.run(list(tensors))


def run(graph_def: Any, output: str) -> Any:
    return freeze_cases.run(graph_def, output, {})


def frozen(folder: Path, *outputs: str) -> Any:
    return v1.GraphDef.FromString(ckptfast.freeze(folder, folder, outputs))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of TensorFlow 1, moved after it was saved.

    - `path`: of an asset, in a variable that the checkpoint has as well, with the old path;
    - `local`: is not saved, and a constant by initialisation;
    - `computed`: is not saved either, and computed;
    - `saved`: is in the checkpoint, and no affair of the initialisation.
    """
    folder = tmp_path_factory.mktemp("model")
    words = folder / "words.txt"
    words.write_text("one\ntwo\n")
    kind = [v1.GraphKeys.LOCAL_VARIABLES]
    with tf.Graph().as_default(), v1.Session() as session:
        asset = tf.constant(str(words), name="asset")
        v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, asset)
        path = v1.get_variable("path", initializer=tf.identity(asset), use_resource=False)
        tf.io.read_file(path, name="content")
        local = v1.get_variable(
            "local", initializer=np.float32([[1, 2], [3, 4]]), collections=kind, use_resource=True
        )
        tf.multiply(local, 2.0, name="double")
        noise = v1.get_variable(
            "computed", initializer=tf.range(3) + 1, collections=kind, use_resource=True
        )
        tf.add(noise, 1, name="next")
        saved = v1.get_variable("saved", initializer=np.float32([5, 6]), use_resource=True)
        tf.add(saved, 1.0, name="more")
        session.run([v1.global_variables_initializer(), v1.local_variables_initializer()])
        session.run(saved.assign([7, 8]))
        builder = v1.saved_model.Builder(str(folder / "first"))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            assets_collection=v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
            main_op=tf.group(v1.local_variables_initializer(), path.initializer),
        )
        builder.save()
    words.unlink()
    (folder / "first").rename(folder / "moved")
    return folder / "moved"


def test_the_asset_is_looked_for_where_it_was(model: Path) -> None:
    assert ckptfast.load(model, "path")["path"] != os.fsencode(model / "assets" / "words.txt")
    graph_def = frozen(model, "content", "more")
    (content, more) = in_a_session(model, "content:0", "more:0")
    assert content == b"one\ntwo\n"
    assert run(graph_def, "content") == content
    np.testing.assert_array_equal(run(graph_def, "more"), more)
    (path,) = in_a_session(model, "path:0")
    assert run(graph_def, "path") == path == os.fsencode(model / "assets/words.txt")


def test_the_working_directory_is_part_of_the_graph(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(model.parent)
    graph_def = v1.GraphDef.FromString(ckptfast.freeze("moved", "moved", ["content"]))
    monkeypatch.chdir("/")
    assert run(graph_def, "content") == b"one\ntwo\n"


def test_a_constant_of_the_initialisation_is_missing(
    model: Path, api: SimpleNamespace, tmp_path: Path
) -> None:
    arguments = NOTHING | {
        "input_saved_model_dir": str(model),
        "output_node_names": "double,more",
        "output_graph": str(tmp_path / "out.pb"),
    }
    graph_def = api.freeze_graph(**arguments)
    assert not any(node.op == "VarHandleOp" for node in graph_def.node)
    np.testing.assert_array_equal(run(graph_def, "double"), [[2, 4], [6, 8]])
    np.testing.assert_array_equal(run(graph_def, "more"), [8, 9])
    assert graph_def == frozen(model, "double", "more")


def test_the_report_takes_a_constant_for_a_key(model: Path, tmp_path: Path) -> None:
    report = ckptfast.freeze(model, model, ["content", "double"], output=tmp_path / "out.pb")
    assert report.constants == {
        "path": str(model / "assets" / "words.txt"),
        "local": "local/Initializer/initial_value",
    }
    assert f"path from {model}/assets/words.txt" in str(report)


def test_what_has_to_be_computed_is_made_up(model: Path) -> None:
    with pytest.raises(ckptfast.NotFoundError) as raised:
        ckptfast.freeze(model, model, ["next"])
    assert "  computed (computed/Assign computes its value when the model is" in str(raised.value)
    assert "needs a session" in str(raised.value)
    kept = v1.GraphDef.FromString(ckptfast.freeze(model, model, ["next"], exclude=["computed"]))
    assert any(node.op == "VarHandleOp" for node in kept.node)


def test_a_graph_without_its_folder_gets_a_wrong_path(model: Path) -> None:
    """Nobody knows where the assets are, so the value is the one that was saved."""
    from tensorflow.python.tools import saved_model_utils

    meta = saved_model_utils.get_meta_graph_def(str(model), "serve")
    graph_def = v1.GraphDef.FromString(ckptfast.freeze(meta, model, ["content"]))
    (node,) = (node for node in graph_def.node if node.name == "path")
    assert node.attr["value"].tensor.string_val[0] == ckptfast.load(model, "path")["path"]


def test_a_model_of_tensorflow_2_has_no_value_for_its_asset(
    real: Path, tmp_path: Path, api: SimpleNamespace
) -> None:
    """TensorFlow's function does not freeze a string; a live session tells what comes out."""
    copy = Path(shutil.copytree(real / "tf-cc-saved-models" / "AssetModule", tmp_path / "copy"))
    (copy / "assets" / "test_asset.txt").write_text("another text")
    (wanted,) = in_a_session(copy, "PartitionedCall:0")
    assert run(frozen(copy, "PartitionedCall"), "PartitionedCall") == wanted
    assert wanted == b"another text"
    arguments = NOTHING | {
        "input_saved_model_dir": str(copy),
        "output_node_names": "PartitionedCall",
        "output_graph": str(tmp_path / "out.pb"),
    }
    if api.freeze_graph is not ckptfast.freeze_graph:
        with pytest.raises(AttributeError, match="'bytes' object has no attribute 'shape'"):
            api.freeze_graph(**arguments)
    else:
        graph_def = api.freeze_graph(**arguments)
        assert run(graph_def, "PartitionedCall") == wanted
