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

    seen = 0
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
    assert seen >= 5


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
            _object_graph.parse(bytes(damaged[: chance.choice([len(text), 40, 7])]))
        except ValueError:
            refused += 1
    assert refused > 500
    path = ckptfast.save(tmp_path / "d", {_object_graph.KEY: b"\xff\xff"})
    with ckptfast.open(path) as reader, pytest.raises(DataLossError, match="object graph"):
        _ = reader.objects
