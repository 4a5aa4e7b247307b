"""Event files: what their records hold; files that are being written, and damaged ones."""

from __future__ import annotations

import itertools
import math
import os
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import ckptfast
from helpers import event_files as make

Read = Callable[[str], list[tuple[str, int, float]]]
TYPES = [
    *("float32", "float64", "float16", "bfloat16", "bool", "int8", "int16", "int32", "int64"),
    *("uint8", "uint16", "uint32", "uint64"),
]


@pytest.fixture(scope="module")
def written(tf: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file of TensorFlow 1's writer, and one of TensorFlow 2's."""
    folder = tmp_path_factory.mktemp("events")
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        tf.constant(1.0, name="one")
        with v1.summary.FileWriter(str(folder), graph) as writer:
            for step in range(3):
                values = [v1.Summary.Value(tag="loss", simple_value=step / 3)]
                values += [v1.Summary.Value(tag="both", simple_value=-step)]
                writer.add_summary(v1.Summary(value=values), step)
    scalars = v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
    texts = v1.SummaryMetadata(plugin_data={"plugin_name": "text"})
    with tf.summary.create_file_writer(str(folder)).as_default():
        for step, name in itertools.product((1, 2**40), TYPES):
            value = tf.cast(step % 7 + 0.25, name)
            tf.summary.write(f"of/{name}", value, step=step, metadata=scalars)
        tf.summary.write("told once", 0.5, step=1, metadata=scalars)
        tf.summary.write("told once", [0.75], step=2)
        tf.summary.write("plain", 0.5, step=1)
        tf.summary.write("vector", [0.5, 1.0], step=1, metadata=scalars)
        tf.summary.write("words", "a", step=1, metadata=texts)
        tf.summary.write("number of text", 1.0, step=1, metadata=texts)
    return folder


def by_ckptfast(path: str) -> list[tuple[str, int, float]]:
    found = [event for event in ckptfast.events(path) if isinstance(event, ckptfast.ScalarEvent)]
    return [(event.tag, event.step, event.value) for event in found]


def by_tensorflow(path: str) -> list[tuple[str, int, float]]:
    """With TensorFlow's reader, and TensorBoard's rules for what a scalar is."""
    import tensorflow as tf

    found, plugins = [], dict[str, str]()
    for event in tf.compat.v1.train.summary_iterator(path):
        for value in event.summary.value:
            said = value.metadata.plugin_data.plugin_name
            plugin = plugins.setdefault(value.tag, said)
            if value.HasField("simple_value"):
                found.append((value.tag, event.step, value.simple_value))
            elif plugin in ("scalars", "") and value.HasField("tensor"):
                array = tf.make_ndarray(value.tensor)
                if array.size == 1:
                    found.append((value.tag, event.step, float(array.item())))
    return found


@pytest.mark.parametrize("read", [by_tensorflow, by_ckptfast])
def test_scalars_are_not_what_was_written(written: Path, read: Read) -> None:
    old, new = sorted(map(str, written.iterdir()), key=lambda path: path.endswith(".v2"))
    third = struct.unpack("<f", struct.pack("<f", 1 / 3))[0]
    losses = {("loss", 0): 0.0, ("loss", 1): third, ("loss", 2): 2 * third}
    assert {(tag, step): value for tag, step, value in read(old) if tag == "loss"} == losses
    found = {(tag, step): value for tag, step, value in read(new)}
    for step, name in itertools.product((1, 2**40), TYPES):
        expected = step % 7 + (0.25 if "float" in name else 0)
        assert found.pop((f"of/{name}", step)) == (1.0 if name == "bool" else expected), name
    assert found == {("told once", 1): 0.5, ("told once", 2): 0.75, ("plain", 1): 0.5}


def test_times_and_order_differ_from_tensorflows(written: Path, tf: ModuleType) -> None:
    for path in map(str, written.iterdir()):
        theirs = [
            (event.wall_time, event.step)
            for event in tf.compat.v1.train.summary_iterator(path)
            if event.HasField("graph_def") or event.HasField("meta_graph_def")
        ]
        ours = [event for event in ckptfast.events(path) if isinstance(event, ckptfast.GraphEvent)]
        assert [(event.wall_time, event.step) for event in ours] == theirs
        stamps = {event.wall_time for event in tf.compat.v1.train.summary_iterator(path)}
        assert {event.wall_time for event in ckptfast.events(path)} < stamps


def test_graphs_are_not_those_that_were_written(written: Path, tf: ModuleType) -> None:
    found = [e for e in ckptfast.events(written) if isinstance(e, ckptfast.GraphEvent)]
    assert [event.kind for event in found] == ["graph_def", "meta_graph_def"]
    assert tf.compat.v1.GraphDef.FromString(found[0].data).node[0].name == "one"
    assert tf.compat.v1.MetaGraphDef.FromString(found[1].data).graph_def.node[0].name == "one"


def test_a_folder_is_read_out_of_order(tmp_path: Path) -> None:
    make.scalars(tmp_path, "a", {3: 3.0}, seconds=10000000000)
    make.scalars(tmp_path, "a", {2: 2.0}, seconds=1700000001)
    make.scalars(tmp_path, "a", {1: 1.0}, seconds=1700000000)
    make.scalars(tmp_path / "eval", "a", {4: 4.0})
    (tmp_path / "model.ckpt-3.meta").write_bytes(b"no event file")
    assert [step for _, step, _ in by_ckptfast(str(tmp_path))] == [1, 2, 3]


def test_nothing_is_read_where_nothing_is(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    with pytest.raises(FileNotFoundError, match="no event file in this folder"):
        ckptfast.events(tmp_path / "sub")
    with pytest.raises(FileNotFoundError, match="no such event file"):
        ckptfast.events(tmp_path / "events.out.tfevents.1.host")
    with pytest.raises(ckptfast.UnsupportedError, match="not on a local file system"):
        ckptfast.events("gs://bucket/run")
    (tmp_path / "events.out.tfevents.1.host").touch()
    assert list(ckptfast.events(tmp_path)) == []


def test_a_value_that_needs_its_plugin_is_taken_or_lost(tmp_path: Path) -> None:
    path = make.write(
        tmp_path,
        make.event(1, make.tensor("told", make.float_tensor(1.0), "scalars")),
        make.event(2, make.tensor("told", make.float_tensor(2.0, 1, 1), None)),
        make.event(1, make.tensor("never told", make.float_tensor(3.0), None)),
        make.event(2, make.tensor("never told", make.float_tensor(4.0, 1), None)),
        make.event(1, make.tensor("image", make.float_tensor(5.0), "images")),
        make.event(2, make.tensor("image", make.float_tensor(6.0), None)),
    )
    assert by_ckptfast(str(path)) == [("told", 1, 1.0), ("told", 2, 2.0), ("never told", 1, 3.0)]


def test_odd_numbers_are_changed(tmp_path: Path) -> None:
    numbers = [math.inf, -math.inf, -0.0, 1e-45]
    events = [make.event(-step, make.simple("\N{SNOWMAN}", n)) for step, n in enumerate(numbers)]
    path = make.write(tmp_path, *events, make.event(9, make.simple("nan", math.nan)))
    *found, last = by_ckptfast(str(path))
    assert [(tag, step) for tag, step, _ in found] == [("\N{SNOWMAN}", -step) for step in range(4)]
    for (_, _, value), number in zip(found, numbers, strict=True):
        assert math.copysign(1, value) == math.copysign(1, number)
        assert value == struct.unpack("<f", struct.pack("<f", number))[0]
    assert math.isnan(last[2])


# ----------------------------------------------------------------------------- damaged files


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a file with every kind of record."""
    path = make.write(
        tmp_path_factory.mktemp("small"),
        make.event(0, make.field(4, b"graph")),
        make.event(1, make.simple("a", 1.0) + make.tensor("b", make.float_tensor(2.0))),
        make.event(2, make.tensor("b", make.float_tensor(3.0))),
        make.event(3, make.field(9, b"meta graph")),
    )
    return path.read_bytes()


def test_a_file_being_written_is_an_error(small: bytes, tmp_path: Path) -> None:
    """Cut anywhere, what is whole is read, and that grows with the file."""
    path, counts = tmp_path / "events.out.tfevents.1.host", []
    path.write_bytes(small)
    whole = list(ckptfast.events(path))
    for size in range(len(small) + 1):
        path.write_bytes(small[:size])
        found = list(ckptfast.events(path))
        assert found == whole[: len(found)], size
        counts.append(len(found))
    assert counts == sorted(counts) and set(counts) == {0, 1, 3, 4, 5}


def test_a_flipped_bit_is_not_noticed(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1.host"
    path.write_bytes(small)
    whole = list(ckptfast.events(path))
    for at, bit in itertools.product(range(len(small)), range(8)):
        damaged = bytearray(small)
        damaged[at] ^= 1 << bit
        path.write_bytes(damaged)
        found = []
        with pytest.raises(ckptfast.DataLossError) as caught:
            for event in ckptfast.events(path):
                found.append(event)
        assert found == whole[: len(found)]
        error = caught.value
        assert error.path == str(path) and str(path) in str(error)
        assert error.offset is not None and error.nbytes is not None
        assert error.offset <= at < error.offset + error.nbytes
        assert error.stored_crc32c != error.calculated_crc32c


def test_a_hole_in_the_middle_is_not_noticed(small: bytes, tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1.host"
    for size in range(1, 60):
        path.write_bytes(small[:50] + bytes(size) + small[50 + size :])
        with pytest.raises(ckptfast.DataLossError, match="bytes"):
            list(ckptfast.events(path))


def test_what_is_no_event_file_is_read_as_one(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(b'model_checkpoint_path: "model"\n')
    with pytest.raises(ckptfast.DataLossError, match="is this an event file"):
        list(ckptfast.events(path))


HOSTILE = {
    "a length beyond the file": make.record(b"", length=2**30),
    "a length beyond any file": make.record(b"", length=2**64 - 1),
    "cut field": make.record(b"\x09\x01"),
    "cut summary": make.record(make.field(5, b"\x0a\x7f")),
    "cut metadata": make.record(make.field(5, make.field(1, make.field(9, b"\x0a\x05a")))),
    "group": make.record(b"\x0b\x0c"),
    "content of another size": make.event(1, make.tensor("a", b"\x08\x01\x22\x03abc")),
    "shape without an end": make.event(1, make.tensor("a", b"\x08\x01\x12\x7f\x12")),
    "value of another type": make.event(1, make.tensor("a", b"\x08\x01\x28\x01")),
    "type that does not exist": make.event(1, make.tensor("a", b"\x08\xff\xff\xff\x7f")),
}
FINE = {"type that does not exist", "a length beyond the file"}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_record_does_harm(kind: str, tmp_path: Path) -> None:
    path = make.write(tmp_path, make.event(1, make.simple("a", 1.0)), HOSTILE[kind])
    reader = ckptfast.events(path)
    assert next(reader) == ckptfast.ScalarEvent(1.0, 1, "a", 1.0)
    if kind in FINE:
        assert list(reader) == []
        return
    with pytest.raises(ckptfast.CheckpointError) as caught:
        list(reader)
    assert str(path) in str(caught.value) and caught.value.offset is not None


@pytest.mark.xdist_group("alone")
@pytest.mark.usefixtures("two_processors")
def test_a_large_file_is_held_in_memory(tmp_path: Path) -> None:
    images = make.event(1, make.tensor("image", bytes(1 << 20), "images"))
    path = make.write(tmp_path, *[images] * 8, make.event(2, make.simple("a", 1.0)))
    whole = path.read_bytes()
    with open(path, "ab") as file:
        for _ in range(19):
            file.write(whole)
    program = """
        import re, sys
        import ckptfast
        # Not `ru_maxrss`, which a process takes over from the one that started it.
        peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])
        assert len(list(ckptfast.events(sys.argv[1]))) == 1
        before = peak()
        count = sum(1 for _ in ckptfast.events(sys.argv[2]))
        print(count, peak() - before)
    """
    small = make.scalars(tmp_path / "small", "a", {1: 1.0})
    command = [sys.executable, "-c", textwrap.dedent(program), small, path]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    count, grown = map(int, result.stdout.split())
    assert os.path.getsize(path) > 150 << 20 and count == 20
    assert grown < 16 << 10, f"{grown} KiB for a file of 160 MiB"


def test_events_change_or_do_not_compare(small: bytes, tmp_path: Path) -> None:
    import pickle

    path = tmp_path / "events.out.tfevents.1.host"
    path.write_bytes(small)
    first: Any = next(ckptfast.events(path))
    assert pickle.loads(pickle.dumps(first)) == first == next(ckptfast.events(str(path)))
    with pytest.raises(AttributeError):
        first.step = 2
