"""Freezing without TensorFlow: files in every form, their bytes, memory, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast
from ckptfast.freezing import _protos, _schema
from helpers import bundle

FLOAT = 1


def text_format() -> Any:
    from google.protobuf import text_format

    return text_format


def graph(shapes: dict[str, tuple[int, ...]], *, resource: bool = True) -> Any:
    """A `GraphDef` with float variables, each read by `NAME/read`, and `out` that adds the first
    two."""
    graph_def = _protos.message("GraphDef")()
    graph_def.versions.producer = 1000
    for name, shape in shapes.items():
        op = "VarHandleOp" if resource else "VariableV2"
        node = graph_def.node.add(name=name, op=op, device="/cpu:0")
        node.attr["dtype"].type = FLOAT
        node.attr["shape"].shape.SetInParent()
        for size in shape:
            node.attr["shape"].shape.dim.add(size=size)
        read = graph_def.node.add(name=f"{name}/read", input=[name])
        read.op = "ReadVariableOp" if resource else "Identity"
        read.attr["dtype" if resource else "T"].type = FLOAT
    out = graph_def.node.add(name="out", op="AddV2", input=[f"{name}/read" for name in shapes][:2])
    out.attr["T"].type = FLOAT
    return graph_def


@pytest.fixture
def model(tmp_path: Path) -> tuple[Any, str]:
    """The graph of v1 + v2, and a checkpoint with averages of v1."""
    values = {
        "v1": np.float32([1, 2]),
        "v2": np.float32(3),
        "v1/ExponentialMovingAverage": np.float32([10, 20]),
    }
    return graph({"v1": (2,), "v2": ()}), ckptfast.save(tmp_path / "model", values)


def parse(content: bytes) -> Any:
    return _protos.message("GraphDef").FromString(content)


def tensors(content: bytes) -> dict[str, Any]:
    return {
        node.name: node.attr["value"].tensor for node in parse(content).node if node.op == "Const"
    }


def test_the_table_of_messages_is_tensorflows(tf: ModuleType) -> None:
    from google.protobuf import descriptor_pool
    from tensorflow.core.framework import variable_pb2  # noqa: F401
    from tensorflow.core.protobuf import saved_model_pb2  # noqa: F401

    def fields(message: Any) -> dict[str, Any]:
        return {
            field.name: (
                field.number,
                field.type,
                field.is_repeated,
                field.is_packed,
                field.has_presence,
                field.containing_oneof and field.containing_oneof.name,
                (field.message_type or field.enum_type or field).full_name,
            )
            for field in message.fields
        }

    theirs, ours = descriptor_pool.Default(), _protos.pool()
    tables = (_schema.PROTO3, _schema.PROTO2)
    names = [name for table in tables for name, _ in _protos._entries(table)]
    assert len(names) > 60
    for name in names:
        full = _protos._full(name)
        found = fields(ours.FindMessageTypeByName(full))
        assert found == fields(theirs.FindMessageTypeByName(full)), name
    for name, _ in _protos._entries(_schema.ENUMS.replace("enum ", "")):
        full = _protos._full(name)
        found = {item.name: item.number for item in ours.FindEnumTypeByName(full).values}
        expected = theirs.FindEnumTypeByName(full).values
        assert found == {item.name: item.number for item in expected}, name


@pytest.mark.parametrize("form", ["pb", "pbtxt", "meta", "meta text", "saved model", "message"])
def test_every_form_of_a_graph_freezes_to_the_same(
    model: tuple[Any, str], tmp_path: Path, form: str
) -> None:
    graph_def, prefix = model
    wanted = ckptfast.freeze(graph_def, prefix, ["out"])
    meta = _protos.message("MetaGraphDef")(graph_def=graph_def)
    meta.meta_info_def.tags.append("serve")
    saved = _protos.message("SavedModel")(saved_model_schema_version=1, meta_graphs=[meta])
    message = {"pb": graph_def, "pbtxt": graph_def, "saved model": saved}.get(form, meta)
    source: Any = tmp_path / {"saved model": "saved_model.pb"}.get(form, "graph")
    if form in ("pbtxt", "meta text"):
        source.write_text("# comment\n" + text_format().MessageToString(message))
    else:
        source.write_bytes(message.SerializeToString())
    given: Any = {"saved model": tmp_path, "message": graph_def}.get(form, source)
    assert ckptfast.freeze(given, prefix, ["out:0"]) == wanted
    assert [dim.size for dim in tensors(wanted)["v1"].tensor_shape.dim] == [2]
    assert np.frombuffer(tensors(wanted)["v1"].tensor_content, "<f4").tolist() == [1, 2]
    assert list(tensors(wanted)["v2"].float_val) == [3]


def test_a_file_and_bytes_are_the_same_every_time(model: tuple[Any, str], tmp_path: Path) -> None:
    file = tmp_path / "frozen.pb"
    file.write_bytes(b"old")
    report = ckptfast.freeze(*model, ["out"], output=file)
    assert file.read_bytes() == ckptfast.freeze(*model, ["out"])
    assert os.fspath(report) == str(file)
    assert report.nbytes == file.stat().st_size
    assert report.constants == {"v1": "v1", "v2": "v2"}
    assert not [path for path in tmp_path.iterdir() if ".tmp" in path.name]


def test_a_failed_write_leaves_the_old_file(model: tuple[Any, str], tmp_path: Path) -> None:
    graph_def, prefix = model
    file = tmp_path / "frozen.pb"
    file.write_bytes(b"old")
    with open(bundle.data_path(prefix), "r+b") as data:
        data.write(b"\xff" * 8)
    with pytest.raises(ckptfast.DataLossError, match="v1"):
        ckptfast.freeze(graph_def, prefix, ["out"], output=file)
    assert file.read_bytes() == b"old"
    assert not [path for path in tmp_path.iterdir() if ".tmp" in path.name]


def test_an_output_that_cannot_be_written_is_found_after_the_work(
    model: tuple[Any, str], tmp_path: Path
) -> None:
    missing = tmp_path / "none" / "frozen.pb"
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*/none for") as caught:
        ckptfast.freeze(*model, ["out"], output=missing)
    assert caught.value.filename == os.fspath(missing)
    with pytest.raises(IsADirectoryError, match="pass a file in it") as wrong:
        ckptfast.freeze(*model, ["out"], output=tmp_path)
    assert wrong.value.filename == os.fspath(tmp_path)


def test_a_prefix_in_place_of_the_graph_is_only_missing(
    model: tuple[Any, str], tmp_path: Path
) -> None:
    prefix = ckptfast.save(tmp_path / "model-7", {"v1": np.float32(1)})
    (tmp_path / "model-7.meta").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"did you mean .*/model-7\.meta\?"):
        ckptfast.freeze(prefix, prefix, ["out"])
    with pytest.raises(TypeError, match="graph is a path"):
        ckptfast.freeze(None, prefix, ["out"])


def test_averages_are_frozen_where_there_are_some(model: tuple[Any, str], tmp_path: Path) -> None:
    report = ckptfast.freeze(*model, ["out"], output=tmp_path / "frozen.pb", moving_averages=True)
    assert report.averaged == ("v1",)
    assert report.constants["v2"] == "v2"
    assert "v1 from v1/ExponentialMovingAverage (moving average)" in str(report)
    values = tensors((tmp_path / "frozen.pb").read_bytes())
    assert np.frombuffer(values["v1"].tensor_content, "<f4").tolist() == [10, 20]


def test_lists_choose_the_constants(model: tuple[Any, str], tmp_path: Path) -> None:
    for chosen in ({"variables": ["v2"]}, {"exclude": ["v1"]}):
        frozen = parse(ckptfast.freeze(*model, ["out"], **chosen))
        ops = {node.name: node.op for node in frozen.node}
        assert (ops["v1"], ops["v1/read"]) == ("VarHandleOp", "ReadVariableOp")
        assert (ops["v2"], ops["v2/read"]) == ("Const", "Identity")
    report = ckptfast.freeze(*model, ["out"], exclude=["v1"], output=tmp_path / "f.pb")
    assert report.variables == ("v1",)


def test_what_this_version_does_not_know_survives(model: tuple[Any, str]) -> None:
    graph_def, prefix = model
    unknown = bundle.field(15, b"of a later version")
    node = type(graph_def.node[0]).FromString(
        graph_def.node[-1].SerializeToString() + bundle.field(200, b"node's")
    )
    graph_def.node[-1].CopyFrom(node)
    graph_def = type(graph_def).FromString(graph_def.SerializeToString() + unknown)
    frozen = ckptfast.freeze(graph_def, prefix, ["out"])
    assert frozen.endswith(unknown)
    assert bundle.field(200, b"node's") in frozen


@pytest.mark.parametrize(
    ("outputs", "options", "error", "text"),
    [
        ("out", {}, TypeError, "outputs is a list"),
        ([], {}, ValueError, "outputs is empty"),
        (["ouz"], {}, ValueError, "ouz is not in the given GraphDef; nearest names: out"),
        (["out"], {"exclude": ["v3"]}, ValueError, "v3 is not in the given GraphDef"),
        (["out"], {"variables": "v1"}, TypeError, "variables is a list"),
        (["out"], {"variables": ["out"]}, ValueError, "out of graph .* is no variable but of type"),
        (["out"], {"exclude": ["out"]}, ValueError, "out of graph .* is no variable but of type"),
        ([1], {}, TypeError, "outputs is a list of names"),
        (["out"], {"tags": "serve"}, TypeError, "tags is a list"),
        (["out"], {"tags": ["serve"]}, ValueError, "this is a GraphDef"),
        (["out"], {"durability": "ful"}, ValueError, "durability must be"),
    ],
)
def test_wrong_names(
    model: tuple[Any, str], outputs: Any, options: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        ckptfast.freeze(*model, outputs, **options)


def test_a_graph_with_loose_ends_freezes_to_one_that_cannot_be_imported(
    model: tuple[Any, str],
) -> None:
    graph_def, prefix = model
    graph_def.node.add(name="loose", op="NoOp", input=["out", "^gone"])
    with pytest.raises(ValueError, match=r"loose takes \^gone, and \^gone is not in the given"):
        ckptfast.freeze(graph_def, prefix, ["loose"])
    assert ckptfast.freeze(graph_def, prefix, ["out"])


def test_every_variable_without_a_value_is_listed(tmp_path: Path) -> None:
    graph_def = graph({"v1": (2,), "v2": (3,), "v4": ()})
    graph_def.node.add(name="all", op="NoOp", input=["^out", "^v4/read"])
    prefix = ckptfast.save(tmp_path / "m", {"v11": np.float32(1), "v2": np.float64([1])})
    with pytest.raises(ckptfast.NotFoundError) as caught:
        ckptfast.freeze(graph_def, prefix, ["all"])
    assert "v1 (nearest: v11" in str(caught.value) and "v4" in str(caught.value)
    prefix = ckptfast.save(tmp_path / "m", {"v1": np.float32([1]), "v2": np.float64([1])})
    with pytest.raises(ckptfast.UnsupportedError) as other:
        ckptfast.freeze(graph_def, prefix, ["out"])
    assert "shape [1]" in str(other.value) and "float64" in str(other.value)


@pytest.mark.parametrize("content", [b"", b"\x00\xff" * 40, b"node {", b"node { name: 1 }", b"x y"])
def test_what_is_no_graph_is_said(model: tuple[Any, str], tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "graph.pb"
    file.write_bytes(content)
    with pytest.raises(ckptfast.DataLossError, match=r"graph\.pb"):
        ckptfast.freeze(file, model[1], ["out"])


def test_several_graphs_of_a_saved_model_need_tags(model: tuple[Any, str], tmp_path: Path) -> None:
    graph_def, prefix = model
    saved = _protos.message("SavedModel")(saved_model_schema_version=1)
    for tags in (["train"], ["a", "b"]):
        meta = saved.meta_graphs.add(graph_def=graph_def)
        meta.meta_info_def.tags.extend(tags)
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    with pytest.raises(ValueError, match=r"tags= is needed; .* train; a, b"):
        ckptfast.freeze(tmp_path, prefix, ["out"])
    assert ckptfast.freeze(tmp_path, prefix, ["out"], tags=["b", "a"])


def test_parts_of_a_partitioned_variable_without_a_saver(tmp_path: Path) -> None:
    whole = np.arange(10, dtype=np.float32).reshape(5, 2)
    parts = {f"w/part_{n}": rows for n, rows in enumerate([whole[:2], whole[2:4], whole[4:]])}
    graph_def = graph({name: rows.shape for name, rows in parts.items()})
    graph_def.node.add(name="all", op="NoOp", input=[f"^{name}/read" for name in parts])
    frozen = tensors(
        ckptfast.freeze(graph_def, ckptfast.save(tmp_path / "m", {"w": whole}), ["all"])
    )
    for name, rows in parts.items():
        found = np.frombuffer(frozen[name].tensor_content, "<f4").reshape(rows.shape)
        np.testing.assert_array_equal(found, rows)


@pytest.mark.parametrize("count", [1 << 40, -1])
def test_a_constant_that_claims_a_trillion_names(model: tuple[Any, str], count: int) -> None:
    """Equal names at its end may be left out, so a few bytes could ask for terabytes."""
    graph_def, prefix = model
    for name in ("save/names", "save/specs"):
        constant = graph_def.node.add(name=name, op="Const")
        constant.attr["value"].tensor.string_val.append(b"v1")
        constant.attr["value"].tensor.tensor_shape.dim.add(size=count)
    graph_def.node.add(name="save", op="RestoreV2", input=["prefix", "save/names", "save/specs"])
    graph_def.node.add(name="assign", op="AssignVariableOp", input=["v1", "save"])
    frozen = tensors(ckptfast.freeze(graph_def, prefix, ["out"]))
    assert np.frombuffer(frozen["v1"].tensor_content, np.float32).tolist() == [1, 2]


def test_two_gib_are_refused_before_any_work(tmp_path: Path) -> None:
    rows = 1 << 29
    prefix = tmp_path / "huge"
    # A file with holes: nothing of it is read.
    bundle.write_bundle(prefix, {b"v1": bundle.entry(FLOAT, [rows], size=4 * rows, crc=0)}, [b""])
    os.truncate(bundle.data_path(prefix), 4 * rows)
    graph_def = graph({"v1": (rows,)})
    file = tmp_path / "frozen.pb"
    before = ckptfast.stats().bytes_verified
    with pytest.raises(ValueError, match=f"larger than 2GB. Received size: {4 * rows}"):
        ckptfast.freeze(graph_def, prefix, ["out"], output=file)
    assert ckptfast.stats().bytes_verified == before
    assert not file.exists()


PEAK = """
import sys, threading, time
import ckptfast

def anonymous():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) << 10

peak, over = anonymous(), threading.Event()

def watch():
    global peak
    while not over.wait(0.001):
        peak = max(peak, anonymous())

threading.Thread(target=watch, daemon=True).start()
graph, prefix, output = sys.argv[1:]
ckptfast.freeze(graph, prefix, ["out"], output=output, durability="none")
over.set()
print(peak)
assert "tensorflow" not in sys.modules
"""


@pytest.mark.xdist_group("alone")
@pytest.mark.usefixtures("two_processors")
@pytest.mark.parametrize("align", [1, 64])
def test_memory_is_for_the_graph_alone(tmp_path: Path, record_property: Any, align: int) -> None:
    values = {f"v{n}": np.full(30 << 20 >> 2, n, np.float32) for n in range(10)}
    values["a"] = np.ones(3, np.float32)  # with align=1 it shifts all others
    graph_def = graph({name: value.shape for name, value in values.items()})
    graph_def.node[-1].input.extend(f"^{name}/read" for name in values)
    (tmp_path / "graph.pb").write_bytes(graph_def.SerializeToString())
    prefix = ckptfast.save(tmp_path / "m", values, align=align, shards=1, durability="none")
    arguments = [str(tmp_path / "graph.pb"), prefix, str(tmp_path / "frozen.pb")]
    done = subprocess.run(
        [sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout)
    record_property("figure", f"freezing 300 MiB, align={align}: {peak >> 20} MiB anonymous")
    assert peak <= 128 << 20
    with open(tmp_path / "frozen.pb", "rb") as file:
        found = tensors(file.read())
    for name, value in values.items():
        np.testing.assert_array_equal(np.frombuffer(found[name].tensor_content, "<f4"), value)


BOTH = """
import sys
def freeze():
    import ckptfast
    return ckptfast.freeze(sys.argv[2], sys.argv[3], ["out"])
frozen = freeze() if sys.argv[1] == "ckptfast" else None
import tensorflow as tf
frozen = frozen or freeze()
graph_def = tf.compat.v1.GraphDef.FromString(frozen)
with tf.Graph().as_default(), tf.compat.v1.Session() as session:
    (out,) = tf.import_graph_def(graph_def, return_elements=["out:0"])
    print(session.run(out).tolist())
"""


@pytest.mark.parametrize("first", ["ckptfast", "tensorflow"])
def test_it_shares_a_process_with_tensorflow(
    tf: ModuleType, model: tuple[Any, str], tmp_path: Path, first: str
) -> None:
    (tmp_path / "graph.pb").write_bytes(model[0].SerializeToString())
    command = [sys.executable, "-c", BOTH, first, str(tmp_path / "graph.pb"), model[1]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[4.0, 5.0]"


def test_without_protobuf_it_says_what_to_install(
    model: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    _protos._classes.cache_clear()
    with pytest.raises(ImportError, match=r"ckptfast\[graph\]"):
        ckptfast.freeze("graph.pb", model[1], ["out"])
    _protos._classes.cache_clear()
