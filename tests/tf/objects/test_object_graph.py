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


def test_it_says_what_tensorflows_message_says(tf: ModuleType, real: Path) -> None:
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    seen = slots = 0
    for index in sorted(real.rglob("*.index")):
        try:
            reader = ckptfast.open(index)
        except DataLossError:
            continue
        with reader:
            graph = reader.objects
            if graph is None:
                assert _object_graph.KEY not in reader
                continue
            text = reader[_object_graph.KEY].item()
            stored = set(reader)
        message = trackable_object_graph_pb2.TrackableObjectGraph.FromString(text)
        seen += 1
        assert len(graph.objects) == len(message.nodes)
        for ours, theirs in zip(graph.objects, message.nodes, strict=True):
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
        assert {item.key for item in graph.attributes() if item.is_stored} < stored
    assert seen >= 5
    assert slots


def test_paths_lead_to_every_object_of_a_cyclic_graph(tf: ModuleType, tmp_path: Path) -> None:
    prefix = tf.train.Checkpoint(net(tf, 2)).write(str(tmp_path / "c"))
    with ckptfast.open(prefix) as reader:
        graph = reader.objects
        assert graph is not None
        keys = {attribute.key for attribute in graph.attributes()}
        assert keys == set(reader) - {_object_graph.KEY}
    paths = graph.paths()
    assert paths[0] == ()
    assert ("layers", "1", "b") in paths
    assert len(set(paths)) == len(graph.objects)
    assert graph.tree().count("w/.ATTRIBUTES/VARIABLE_VALUE") == 1
    assert "    1\n      b: layers/1/b/.ATTRIBUTES/VARIABLE_VALUE" in graph.tree()


def test_a_damaged_graph_is_an_error_and_nothing_else(tf: ModuleType, tmp_path: Path) -> None:
    prefix = tf.train.Checkpoint(net(tf, 2)).write(str(tmp_path / "c"))
    text = ckptfast.load(prefix)[_object_graph.KEY].item()
    chance = random.Random(1)
    refused = 0
    for _ in range(3000):
        damaged = bytearray(text)
        damaged[chance.randrange(len(text))] ^= 1 << chance.randrange(8)
        try:
            graph = _object_graph.parse(bytes(damaged[: chance.choice([len(text), 40, 7])]))
            assert len(graph.paths()) == len(graph.objects)
            assert graph.tree().startswith("root")
        except ValueError:
            refused += 1
    assert refused > 500
    path = ckptfast.save(tmp_path / "d", {_object_graph.KEY: b"\xff\xff"})
    with ckptfast.open(path) as reader, pytest.raises(DataLossError, match="object graph"):
        _ = reader.objects


def field(number: int, value: bytes | int) -> bytes:
    """A field of a message in the wire format."""
    if isinstance(value, int):
        return bytes([number << 3]) + varint(value)
    return bytes([number << 3 | 2]) + varint(len(value)) + value


def varint(value: int) -> bytes:
    head = b""
    while value >= 0x80:
        head += bytes([value & 0x7F | 0x80])
        value >>= 7
    return head + bytes([value])


def chain(length: int) -> bytes:
    """Objects of which each is the child "x" of the one before."""
    children = [field(1, field(1, number + 1) + field(2, b"x")) for number in range(length - 1)]
    return b"".join(field(1, child) for child in [*children, b""])


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"", "no root"),
        (field(1, 5), "a number stands"),
        (field(1, field(1, field(1, 1) + field(2, b"a"))), "not one of 1"),
        (field(1, field(1, field(1, 2**64 - 1) + field(2, b"a"))), "not one of 1"),
        (field(1, field(3, field(1, 0) + field(2, b"m") + field(3, 9))), "not one of 1"),
        (field(1, field(1, field(1, b"x"))), "not a number"),
        (field(1, field(2, field(3, b"\xff"))), "utf-8"),
        (b"\x0a" + varint(2**62), "does not fit"),
        (b"\x0a\x80", "ends within"),
        (b"\x0a", "ends within"),
        (b"\x0a" + b"\xff" * 11, "more than 10 bytes"),
        (b"\x0b", "wire type 3"),
    ],
)
def test_a_hostile_graph_is_data_loss(tmp_path: Path, message: bytes, complaint: str) -> None:
    prefix = ckptfast.save(tmp_path / "h", {_object_graph.KEY: message, "x": b"1"})
    with ckptfast.open(prefix) as reader, pytest.raises(DataLossError, match=complaint) as caught:
        _ = reader.objects
    assert caught.value.key == _object_graph.KEY
    assert caught.value.path == prefix


def test_a_graph_that_is_no_string_is_data_loss(tmp_path: Path) -> None:
    for name, value in {"number": 3.5, "several": [b"", b""]}.items():
        prefix = ckptfast.save(tmp_path / name, {_object_graph.KEY: value})
        with ckptfast.open(prefix) as reader, pytest.raises(DataLossError, match="object graph"):
            _ = reader.objects


def test_a_graph_of_too_many_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_object_graph, "_MAX_RECORDS", 1000)
    assert len(_object_graph.parse(b"\x0a\x00" * 1000).objects) == 1000
    with pytest.raises(ValueError, match="more than 1,000 parts"):
        _object_graph.parse(b"\x0a\x00" * 1001)
    children = field(1, field(2, b"a")) * 1000  # all are the same one
    with pytest.raises(ValueError, match="more than 1,000 parts"):
        _object_graph.parse(field(1, field(2, b"") * 1000) + field(1, children))


def test_a_chain_is_walked_and_one_without_end_refused() -> None:
    graph = _object_graph.parse(chain(5000))
    assert len(graph.paths()[-1] or ()) == 4999
    assert graph.tree().endswith("  " * 4999 + "x")
    graph = _object_graph.parse(chain(200_000))
    with pytest.raises(DataLossError, match="chain"):
        graph.paths()
    with pytest.raises(DataLossError, match="chain"):
        graph.tree()


def test_slots_stand_below_their_optimizer() -> None:
    value = field(2, field(1, b"VARIABLE_VALUE") + field(2, b"w") + field(3, b"w/key"))
    slot = field(2, field(1, b"VARIABLE_VALUE") + field(2, b"w/m") + field(3, b"w/m/key"))
    root = field(1, field(1, 1) + field(2, b"w")) + field(1, field(1, 2) + field(2, b"opt"))
    root += field(4, field(1, b"saver") + field(2, b"it"))
    optimizer = b"".join(
        field(3, field(1, 1) + field(2, name) + field(3, number))
        for name, number in ((b"m", 3), (b"v", 4))
    )
    text = b"".join(field(1, item) for item in (root, value, optimizer, slot, b""))
    graph = _object_graph.parse(text, {"w/key"}.__contains__)
    assert graph.tree().splitlines() == [
        "root: by the registered saver saver",
        "  w: w/key",
        "  opt",
        "    m of w: w/m/key (not stored)",
        "    v of w",
    ]
    assert graph.objects[0].registered_saver == ("saver", "it")
    assert graph.keys_by_name() == {"w": ["w/key"], "w/m": ["w/m/key"]}


def test_an_uninitialized_variable_has_no_tensor(real: Path) -> None:
    (index,) = (real / "tf-uninitialized-variable").rglob("*.index")
    with ckptfast.open(index) as reader:
        graph = reader.objects
        assert graph is not None
        absent = {item.key for item in graph.attributes() if not item.is_stored}
        stored = {item.key for item in graph.attributes() if item.is_stored}
        assert stored == set(reader) - {_object_graph.KEY}
    end = "uninitialized_variable/.ATTRIBUTES/VARIABLE_VALUE"
    assert absent == {end, f"sub_module/{end}"}
    assert all(f"{key} (not stored)" in graph.tree() for key in absent)
