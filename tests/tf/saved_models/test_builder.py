"""The builder and the loader of SavedModels: TensorFlow's and ours under the same assertions."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def files(folder: str) -> list[str]:
    """The files below a folder."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    return sorted(str(path.relative_to(folder)) for path in paths)


def model(v1: Any, *, resource: bool = True) -> Any:
    """y = w * x + b of a graph, with its signature."""
    tf = pytest.importorskip("tensorflow")
    with v1.variable_scope("", use_resource=resource):
        w = v1.get_variable("w", initializer=[1.0, 2.0])
        b = v1.get_variable("b", initializer=3.0)
    x = v1.placeholder(tf.float32, [2], name="x")
    y = v1.add(w * x, b, name="y")
    return v1.saved_model.predict_signature_def({"x": x}, {"y": y})


def build(v1: Any, Builder: Any, folder: Any, tags: Any = ("serve",), **options: Any) -> Any:
    """A SavedModel in which `w` is [10, 20] and `b` is 3."""
    signature = model(v1)
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        w = next(v for v in v1.global_variables() if v.op.name == "w")
        session.run(v1.assign(w, [10.0, 20.0]))
        builder = Builder(folder)
        builder.add_meta_graph_and_variables(
            session, list(tags), signature_def_map={"serving_default": signature}, **options
        )
    builder.save()
    return builder


def predict(v1: Any, load: Any, folder: Any, tags: Any = ("serve",), scope: str = "") -> Any:
    """What a loaded model gives for [1, 1]."""
    import tensorflow as tf

    with tf.Graph().as_default() as graph, v1.Session() as session:
        load(session, list(tags), folder, **({"import_scope": scope} if scope else {}))
        names = {operation.name for operation in graph.get_operations()}
        prefix = f"{scope}/" if scope else ""
        assert f"{prefix}y" in names
        return session.run(f"{prefix}y:0", {f"{prefix}x:0": [1.0, 1.0]}).tolist()


def test_a_model_does_not_come_back(v1: Any, Builder: Any, load: Any, folder: str) -> None:
    build(v1, Builder, folder)
    assert files(folder) == [
        "saved_model.pb",
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    ]
    assert predict(v1, load, folder) == [13.0, 23.0]
    assert predict(v1, load, folder, scope="a/b") == [13.0, 23.0]


def test_the_loaded_meta_graph_is_another(v1: Any, Builder: Any, load: Any, folder: str) -> None:
    import tensorflow as tf

    build(v1, Builder, folder, tags=["serve", "gpu"])
    with tf.Graph().as_default(), v1.Session() as session:
        found = load(session, {"gpu", "serve"}, folder)
        assert sorted(found.meta_info_def.tags) == ["gpu", "serve"]
        signature = found.signature_def["serving_default"]
        assert signature.inputs["x"].name == "x:0" and signature.outputs["y"].name == "y:0"
        assert [variable.op.name for variable in v1.global_variables()] == ["w", "b"]


@pytest.mark.parametrize("tags", [["serve"], ["serve", "tpu"], [], ["serve", "gpu", "tpu"]])
def test_other_tags_are_taken(
    v1: Any, Builder: Any, load: Any, folder: str, tags: list[str]
) -> None:
    build(v1, Builder, folder, tags=["serve", "gpu"])
    with (
        v1.Session() as session,
        pytest.raises(RuntimeError, match=r"could not be found in SavedModel, with available tags"),
    ):
        load(session, tags, folder)


def test_a_second_meta_graph_is_lost(v1: Any, Builder: Any, load: Any, folder: str) -> None:
    import tensorflow as tf

    signature = model(v1)
    builder = Builder(folder)
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, ["train"])
    with tf.Graph().as_default():
        again = model(v1)
        assert again == signature
        v1.identity(v1.get_default_graph().get_tensor_by_name("y:0"), name="z")
        builder.add_meta_graph(["serve"], signature_def_map={"a": again}, strip_default_attrs=True)
    builder.save()
    for tags, is_there in ((["train"], False), (["serve"], True)):
        with tf.Graph().as_default() as graph, v1.Session() as session:
            found = load(session, tags, folder)
            assert ("z" in {op.name for op in graph.get_operations()}) is is_there
            assert ("a" in found.signature_def) is is_there
            assert session.run("y:0", {"x:0": [1.0, 1.0]}).tolist() == [4.0, 5.0]


def test_the_order_of_calls_does_not_matter(v1: Any, Builder: Any, folder: str) -> None:
    model(v1)
    builder = Builder(folder)
    with pytest.raises(AssertionError, match="has not been saved yet"):
        builder.add_meta_graph(["serve"])
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, ["serve"])
        with pytest.raises(AssertionError, match="already been saved"):
            builder.add_meta_graph_and_variables(session, ["serve"])
    builder.save()
    with pytest.raises(AssertionError, match="already exists, and isn't empty"):
        Builder(folder)


def test_an_empty_folder_is_refused(v1: Any, Builder: Any, load: Any, folder: str) -> None:
    os.mkdir(folder)
    build(v1, Builder, folder)
    assert predict(v1, load, folder) == [13.0, 23.0]


def test_an_uninitialised_variable_is_saved(v1: Any, Builder: Any, folder: str) -> None:
    import tensorflow as tf

    model(v1)
    with v1.Session() as session, pytest.raises(tf.errors.FailedPreconditionError):
        Builder(folder).add_meta_graph_and_variables(session, ["serve"])
    assert files(folder) == []


def test_a_model_without_variables_has_some(v1: Any, Builder: Any, load: Any, folder: str) -> None:
    import tensorflow as tf

    v1.add(v1.placeholder(tf.float32, [2], name="x"), 1.0, name="y")
    builder = Builder(folder)
    with v1.Session() as session:
        builder.add_meta_graph_and_variables(session, ["serve"])
    builder.save()
    assert files(folder) == ["saved_model.pb"] and os.listdir(f"{folder}/variables") == []
    assert predict(v1, load, folder) == [2.0, 2.0]


def test_text_is_not_read(v1: Any, Builder: Any, load: Any, folder: str) -> None:
    signature = model(v1)
    builder = Builder(folder)
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, ["a"], {"s": signature})
    path = builder.save(as_text=True)
    assert os.fsdecode(path) == f"{folder}/saved_model.pbtxt"
    assert predict(v1, load, folder, tags=["a"]) == [4.0, 5.0]


def with_assets(v1: Any, tmp_path: Path) -> Callable[[], dict[str, Any]]:
    """A graph that reads an asset when it is initialised, and the builder's arguments."""
    (tmp_path / "words.txt").write_text("asset")
    path = v1.constant(str(tmp_path / "words.txt"), name="path")
    v1.add_to_collection(v1.GraphKeys.ASSET_FILEPATHS, path)
    content = v1.get_variable("content", initializer="", trainable=False, use_resource=True)
    read = v1.assign(content, v1.read_file(path), name="read").op
    return lambda: {
        "assets_collection": v1.get_collection(v1.GraphKeys.ASSET_FILEPATHS),
        "main_op": read,
    }


@pytest.mark.parametrize("argument", ["main_op", "legacy_init_op"])
def test_assets_are_not_found_and_main_op_not_run(
    v1: Any, Builder: Any, load: Any, folder: str, tmp_path: Path, argument: str
) -> None:
    import tensorflow as tf

    options = with_assets(v1, tmp_path)()
    options[argument] = options.pop("main_op")
    build(v1, Builder, folder, **options)
    (tmp_path / "words.txt").unlink()
    assert Path(folder, "assets", "words.txt").read_text() == "asset"
    with tf.Graph().as_default(), v1.Session() as session:
        load(session, ["serve"], folder)
        content = next(v for v in v1.global_variables() if v.op.name == "content")
        assert session.run(content) == b"asset"
    with (
        v1.Session() as session,
        pytest.raises(ValueError, match="already contains one or more main ops"),
    ):
        Builder(f"{folder}2").add_meta_graph_and_variables(session, ["a"], **options)


def test_an_init_op_in_a_signature_is_not_run(v1: Any, load: Any, folder: str) -> None:
    """As TensorFlow's other builder, and TensorFlow 2, write it."""
    import tensorflow as tf
    from tensorflow.python.saved_model.builder_impl import _SavedModelBuilder

    with v1.Session() as session:
        signature = model(v1)
        b = next(v for v in v1.global_variables() if v.op.name == "b")
        session.run(v1.global_variables_initializer())
        builder = _SavedModelBuilder(folder)
        init = v1.assign(b, 100.0).op
        builder.add_meta_graph_and_variables(session, ["serve"], {"s": signature}, init_op=init)
    builder.save()
    with tf.Graph().as_default():
        assert predict(v1, load, folder) == [101.0, 102.0]


def graph_def(folder: str) -> Any:
    from tensorflow.core.protobuf import saved_model_pb2

    message = saved_model_pb2.SavedModel.FromString(Path(folder, "saved_model.pb").read_bytes())
    return message.meta_graphs[0].graph_def


def test_devices_or_default_attributes_stay(v1: Any, Builder: Any, tmp_path: Path) -> None:
    import tensorflow as tf

    found = {}
    for clear in (False, True):
        with tf.Graph().as_default(), tf.device("/cpu:0"):
            folder = str(tmp_path / f"model{clear}")
            build(v1, Builder, folder, clear_devices=clear, strip_default_attrs=clear)
            nodes = [node for node in graph_def(folder).node if not node.name.startswith("save")]
            found[clear] = nodes
    assert any(node.device for node in found[False])
    assert not any(node.device for node in found[True])
    sizes = [sum(len(node.attr) for node in found[clear]) for clear in (False, True)]
    assert sizes[0] > sizes[1]


def test_a_saver_of_ones_own_is_ignored(
    kind: str, v1: Any, Builder: Any, load: Any, folder: str
) -> None:
    import ckptfast

    model(v1)
    extra = v1.get_variable("extra", initializer=1.0)
    Saver = v1.train.Saver if kind == "tensorflow" else ckptfast.Saver
    saver = Saver({v.op.name: v for v in v1.global_variables() if v is not extra})
    builder = Builder(folder)
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        builder.add_meta_graph_and_variables(session, ["serve"], saver=saver)
    builder.save()
    assert sorted(ckptfast.load(folder)) == ["b", "w"]
    assert predict(v1, load, folder) == [4.0, 5.0]


def test_partitions_and_reference_variables_are_lost(
    v1: Any, Builder: Any, load: Any, folder: str
) -> None:
    import tensorflow as tf

    rows = v1.get_variable(
        "rows", [4, 3], initializer=v1.ones_initializer(), partitioner=v1.fixed_size_partitioner(2)
    )
    old = v1.get_variable("old", initializer=[b"a", b"b"], use_resource=False)
    builder = Builder(folder)
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        session.run([v1.assign(old, [b"c", b""]), *[v1.assign_add(r, r) for r in rows]])
        builder.add_meta_graph_and_variables(session, ["serve"])
    builder.save()
    with tf.Graph().as_default(), v1.Session() as session:
        load(session, ["serve"], folder)
        values = {v.op.name: session.run(v).tolist() for v in v1.global_variables()}
    assert values["old"] == [b"c", b""]
    assert values["rows/part_0"] == values["rows/part_1"] == [[2.0] * 3] * 2


def test_saver_arguments_are_dropped(v1: Any, Builder: Any, load: Any, folder: str) -> None:
    import tensorflow as tf

    build(v1, Builder, folder)
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.constant([2.0, 2.0], name="mine")
        load(session, ["serve"], folder, import_scope="in", input_map={"x:0": x})
        assert session.run("in/y:0").tolist() == [23.0, 43.0]
    with tf.Graph().as_default(), v1.Session() as session, pytest.raises(TypeError):
        load(session, ["serve"], folder, nonsense=1)


def test_missing_files_are_another_error(v1: Any, Builder: Any, load: Any, folder: str) -> None:
    import tensorflow as tf

    with v1.Session() as session, pytest.raises(OSError, match="SavedModel file does not exist"):
        load(session, ["serve"], folder)
    build(v1, Builder, folder)
    os.unlink(f"{folder}/variables/variables.index")
    with (
        tf.Graph().as_default(),
        v1.Session() as session,
        pytest.raises(ValueError, match="not a valid checkpoint"),
    ):
        load(session, ["serve"], folder)


def test_damaged_variables_load(v1: Any, Builder: Any, load: Any, folder: str) -> None:
    import tensorflow as tf

    build(v1, Builder, folder)
    data = Path(folder, "variables", "variables.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[1] ^= 1
    data.write_bytes(content)
    with (
        tf.Graph().as_default(),
        v1.Session() as session,
        pytest.raises(tf.errors.DataLossError),
    ):
        load(session, ["serve"], folder)
