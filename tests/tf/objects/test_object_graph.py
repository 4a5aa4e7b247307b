"""The object graph without TensorFlow."""

from __future__ import annotations

import random
from pathlib import Path
from types import ModuleType

import pytest
from object_cases import net

import ckptfast
from ckptfast import _object_graph
from ckptfast.errors import DataLossError
from helpers.object_graph import chain, child, field, graph, slot, value, varint


def test_it_says_what_tensorflows_message_says(tf: ModuleType, real: Path) -> None:
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    seen = slots = 0
    for index in sorted(real.rglob("*.index")):
        try:
            reader = ckptfast.open(index)
        except DataLossError:
            continue
        with reader:
            found = reader.objects
            if found is None:
                assert _object_graph.KEY not in reader
                continue
            text = reader[_object_graph.KEY].item()
            stored = set(reader)
        message = trackable_object_graph_pb2.TrackableObjectGraph.FromString(text)
        seen += 1
        assert len(found.objects) == len(message.nodes)
        for ours, theirs in zip(found.objects, message.nodes, strict=True):
            assert ours.children == {child.local_name: child.node_id for child in theirs.children}
            assert [(item.name, item.full_name, item.key) for item in ours.attributes] == [
                (item.name, item.full_name, item.checkpoint_key) for item in theirs.attributes
            ]
            assert [(slot.name, slot.variable, slot.slot) for slot in ours.slots] == [
                (slot.slot_name, slot.original_variable_node_id, slot.slot_variable_node_id)
                for slot in theirs.slot_variables
            ]
            slots += len(ours.slots)
            saver = theirs.registered_saver
            assert (ours.registered_saver or ("", "")) == (saver.name, saver.object_name)
        keys = {key for item in found.attributes() for key in item.stored}
        assert keys == stored - {_object_graph.KEY}
    assert seen >= 5
    assert slots


def test_paths_lead_to_every_object_of_a_cyclic_graph(tf: ModuleType, tmp_path: Path) -> None:
    prefix = tf.train.Checkpoint(net(tf, 2)).write(str(tmp_path / "c"))
    with ckptfast.open(prefix) as reader:
        found = reader.objects
        assert found is not None
        keys = {attribute.key for attribute in found.attributes()}
        assert keys == set(reader) - {_object_graph.KEY}
    paths = found.paths()
    assert paths[0] == ()
    assert ("layers", "1", "b") in paths
    assert len(set(paths)) == len(found.objects)
    assert found.tree().count("w/.ATTRIBUTES/VARIABLE_VALUE") == 1
    assert "    1\n      b: layers/1/b/.ATTRIBUTES/VARIABLE_VALUE" in found.tree()


def test_names_are_those_of_tensorflow(tf: ModuleType, tmp_path: Path) -> None:
    model = net(tf, 2)
    prefix = tf.train.Checkpoint(model=model).save(str(tmp_path / "c"))
    by_object = ckptfast.load(prefix, by="object")
    expected = {
        "model/w": model.w,
        "model/layers/0": model.layers[0],
        "model/layers/1/b": model.layers[1].b,
        "model/table/a/b.c": model.table["a/b.c"],
        "model/flag": model.flag,
        "model/half": model.half,
        "model/text": model.text,
        "model/empty": model.empty,
    }
    assert set(by_object) == {*expected, "save_counter"}
    for name, variable in expected.items():
        assert by_object[name].tolist() == variable.numpy().tolist(), name
    by_name = ckptfast.load(prefix, ["[!V]*"], by="name")  # three are called "Variable"
    assert set(by_name) == {"w", "layer", "b", "t", "save_counter"}
    with pytest.raises(ValueError, match="model/half/"):
        ckptfast.load(prefix, by="name")


def test_a_damaged_graph_is_an_error_and_nothing_else(tf: ModuleType, tmp_path: Path) -> None:
    prefix = tf.train.Checkpoint(net(tf, 2)).write(str(tmp_path / "c"))
    text = ckptfast.load(prefix)[_object_graph.KEY].item()
    chance = random.Random(1)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(text)
        damaged[chance.randrange(len(text))] ^= 1 << chance.randrange(8)
        try:
            found = _object_graph.parse(bytes(damaged[: chance.choice([len(text), 40, 7])]))
            assert len(found.paths()) == len(found.objects)
            assert found.tree().startswith("root")
        except DataLossError:
            refused += 1
    assert refused > 500
    path = ckptfast.save(tmp_path / "d", {_object_graph.KEY: b"\xff\xff"})
    with ckptfast.open(path) as reader, pytest.raises(DataLossError, match="object graph"):
        _ = reader.objects


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"", "no root"),
        (field(1, 5), "a number stands"),
        (graph([child(1, "a")]), "not one of 1"),
        (graph([child(2**64 - 1, "a")]), "not one of 1"),
        (graph([slot(0, "m", 9)]), "not one of 1"),
        (field(1, field(1, field(1, b"x"))), "not a number"),
        (field(1, field(2, field(3, b"\xff"))), "UTF-8"),
        (b"\x0a" + varint(2**62), "cannot parse"),
        (b"\x0a\x80", "cannot parse"),
        (b"\x0a", "cannot parse"),
        (b"\x0a" + b"\xff" * 11, "cannot parse"),
        (b"\x0b", "cannot parse"),
    ],
)
def test_a_hostile_graph_is_data_loss(tmp_path: Path, message: bytes, complaint: str) -> None:
    prefix = ckptfast.save(tmp_path / "h", {_object_graph.KEY: message, "x": b"1"})
    with ckptfast.open(prefix) as reader, pytest.raises(DataLossError, match=complaint) as caught:
        _ = reader.objects
    assert caught.value.key == _object_graph.KEY
    assert caught.value.path == prefix


def test_a_graph_that_is_no_string_is_data_loss(tmp_path: Path) -> None:
    for name, tensor in {"number": 3.5, "several": [b"", b""]}.items():
        prefix = ckptfast.save(tmp_path / name, {_object_graph.KEY: tensor})
        with ckptfast.open(prefix) as reader, pytest.raises(DataLossError, match="object graph"):
            _ = reader.objects


def test_a_graph_of_too_many_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_object_graph, "_MAX_RECORDS", 1000)
    assert len(_object_graph.parse(b"\x0a\x00" * 1000).objects) == 1000
    with pytest.raises(DataLossError, match="more than 1000 parts"):
        _object_graph.parse(b"\x0a\x00" * 1001)
    children = field(1, field(2, b"a")) * 1000  # all are the same one
    with pytest.raises(DataLossError, match="more than 1000 parts"):
        _object_graph.parse(field(1, field(2, b"") * 1000) + field(1, children))


def test_a_chain_is_walked_and_one_without_end_refused() -> None:
    found = _object_graph.parse(chain(5000))
    assert len(found.paths()[-1] or ()) == 4999
    assert found.tree().endswith("  " * 4999 + "x")
    found = _object_graph.parse(chain(200_000))
    with pytest.raises(DataLossError, match="chain"):
        found.paths()
    with pytest.raises(DataLossError, match="chain"):
        found.tree()


def test_slots_stand_below_their_optimizer() -> None:
    saver = field(4, field(1, b"saver") + field(2, b"it"))
    root = child(1, "w") + child(2, "opt") + saver
    variable, state = value("w/key", "w"), value("w/m/key", "w/m")
    text = graph([root, variable, slot(1, "m", 3) + slot(1, "v", 4), state, b""])
    found = _object_graph.parse(text, lambda keys: [(key,) * (key == "w/key") for key in keys])
    assert found.tree().splitlines() == [
        "root: by the registered saver saver",
        "  w: w/key",
        "  opt",
        "    m of w: w/m/key (not stored)",
        "    v of w",
    ]
    assert found.objects[0].registered_saver == ("saver", "it")
    assert found.keys_by_name() == {"w": ["w/key"], "w/m": ["w/m/key"]}


def test_an_uninitialized_variable_has_no_tensor(real: Path) -> None:
    (index,) = (real / "tf-uninitialized-variable").rglob("*.index")
    with ckptfast.open(index) as reader:
        found = reader.objects
        assert found is not None
        absent = {item.key for item in found.attributes() if not item.stored}
        stored = {item.key for item in found.attributes() if item.stored}
        assert stored == set(reader) - {_object_graph.KEY}
    end = "uninitialized_variable/.ATTRIBUTES/VARIABLE_VALUE"
    assert absent == {end, f"sub_module/{end}"}
    assert all(f"{key} (not stored)" in found.tree() for key in absent)
