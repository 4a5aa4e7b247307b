"""The names of tensors in an object-based checkpoint, without TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import ckptfast
from ckptfast import _names, _object_graph
from helpers.object_graph import chain, child, graph, slot, value

END = ".ATTRIBUTES/VARIABLE_VALUE"
MOMENT = f"model/dense/kernel/.OPTIMIZER_SLOT/opt/m/{END}"


def save(path: Path, objects: list[bytes], values: dict[str, float]) -> str:
    tensors = {key: np.float32(number) for key, number in values.items()}
    return ckptfast.save(path, {**tensors, _object_graph.KEY: graph(objects)})


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """A model of two layers, the second also in a cycle; an optimizer; a counter; a table."""
    objects = [
        child(3, "opt") + child(1, "model") + child(8, "save_counter") + child(9, "words"),
        child(2, "dense") + child(4, "rnn") + child(0, "root"),
        child(5, "kernel"),
        child(7, "_trainable_variables") + slot(5, "m", 10),
        child(11, "cell"),
        value(f"model/dense/kernel/{END}", "dense/kernel"),
        value(f"opt/_trainable_variables/1/{END}", "rnn/kernel"),
        child(5, "0") + child(6, "1"),
        value(f"save_counter/{END}", "save_counter"),
        value("words/.ATTRIBUTES/table", name="table"),
        value(MOMENT, "opt/dense/kernel/m"),
        child(6, "kernel") + child(1, "model"),
    ]
    values = {
        f"model/dense/kernel/{END}": 1,
        f"opt/_trainable_variables/1/{END}": 2,
        f"save_counter/{END}": 3,
        "words/.ATTRIBUTES/table-keys": 4,
        "words/.ATTRIBUTES/table-values": 5,
        MOMENT: 6,
        "foreign": 7,
    }
    return save(tmp_path / "model", objects, values)


def test_full_names_stand_for_keys(prefix: str) -> None:
    assert ckptfast.load(prefix, by="name") == {
        "dense/kernel": 1,
        "rnn/kernel": 2,
        "save_counter": 3,
        "words/table-keys": 4,
        "words/table-values": 5,
        "opt/dense/kernel/m": 6,
        "foreign": 7,
    }


def test_object_paths_avoid_bookkeeping_and_slots_are_below_their_optimizer(prefix: str) -> None:
    assert ckptfast.load(prefix, by="object") == {
        "model/dense/kernel": 1,
        "model/rnn/cell/kernel": 2,
        "save_counter": 3,
        "words/table-keys": 4,
        "words/table-values": 5,
        "opt/m/model/dense/kernel": 6,
        "foreign": 7,
    }


def test_patterns_are_of_the_new_names(prefix: str) -> None:
    assert ckptfast.load(prefix, "model/*", by="object") == {
        "model/dense/kernel": 1,
        "model/rnn/cell/kernel": 2,
    }
    with pytest.raises(ckptfast.NotFoundError, match="nearest names: dense/kernel"):
        ckptfast.load(prefix, ["dense/kernal"], by="name")
    with pytest.raises(ckptfast.NotFoundError):
        ckptfast.load(prefix, f"model/dense/kernel/{END}", by="name")


def test_averages_are_found_by_full_names(tmp_path: Path) -> None:
    objects = [child(1, "w") + child(2, "average")]
    objects += [value(f"w/{END}", "w"), value(f"average/{END}", "w/ExponentialMovingAverage")]
    prefix = save(tmp_path / "a", objects, {f"w/{END}": 1, f"average/{END}": 2})
    assert ckptfast.load(prefix, by="name", moving_averages=True) == {"w": 2}


@pytest.mark.parametrize(("second", "nbytes"), [(2, 4), (1, 4)])
def test_a_name_of_two_tensors_is_an_error_that_names_both(
    tmp_path: Path, second: int, nbytes: int
) -> None:
    objects = [child(1, "a") + child(2, "b") + child(3, "c"), value(f"a/{END}", "same")]
    objects += [value(f"b/{END}", "same"), value(f"c/{END}", "other")]
    keys = {f"a/{END}": 1, f"b/{END}": second, f"c/{END}": 3}
    prefix = save(tmp_path / "twice", objects, keys)
    if second == 1:  # the same value, stored twice
        assert ckptfast.load(prefix, by="name") == {"same": 1, "other": 3}
        return
    with pytest.raises(ValueError, match=f"'same': a/{END}, b/{END}; by='object'"):
        ckptfast.load(prefix, by="name")
    assert ckptfast.load(prefix, "other", by="name") == {"other": 3}
    assert ckptfast.load(prefix, by="object") == {"a": 1, "b": 2, "c": 3}


def test_children_whose_names_hold_slashes_may_meet(tmp_path: Path) -> None:
    objects = [child(1, "a/b") + child(2, "a"), value(f"a.Sb/{END}"), child(3, "b")]
    objects += [value(f"a/b/{END}")]
    prefix = save(tmp_path / "s", objects, {f"a.Sb/{END}": 1, f"a/b/{END}": 2})
    with pytest.raises(ValueError, match="by='name'"):
        ckptfast.load(prefix, by="object")


def test_what_is_not_stored_has_no_name(tmp_path: Path) -> None:
    objects = [child(1, "a") + child(2, "b"), value(f"a/{END}", "a"), value(f"b/{END}", "b")]
    prefix = save(tmp_path / "u", objects, {f"b/{END}": 1})
    assert ckptfast.load(prefix, by="name") == {"b": 1}
    assert ckptfast.load(prefix, by="object") == {"b": 1}


def test_a_name_based_checkpoint_has_names_and_no_objects(tmp_path: Path) -> None:
    prefix = ckptfast.save(tmp_path / "n", {"dense/kernel": np.float32(1)})
    assert ckptfast.load(prefix, by="name") == {"dense/kernel": 1}
    with pytest.raises(ValueError, match="name-based"):
        ckptfast.load(prefix, by="object")
    with pytest.raises(ValueError, match='"object" or "name"'):
        ckptfast.load(prefix, by="keras")  # type: ignore[arg-type]


def test_a_root_that_is_a_variable_has_the_name_of_its_value(tmp_path: Path) -> None:
    prefix = save(tmp_path / "r", [value(END, "v")], {END: 1})
    assert ckptfast.load(prefix, by="object") == {"VARIABLE_VALUE": 1}
    assert ckptfast.load(prefix, by="name") == {"v": 1}


def test_a_damaged_graph_is_data_loss(tmp_path: Path) -> None:
    for name, text in {"torn": b"\x0a\x05", "chain": chain(100_000)}.items():
        prefix = ckptfast.save(tmp_path / name, {_object_graph.KEY: text})
        with pytest.raises(ckptfast.DataLossError, match=name if name == "chain" else "parse"):
            ckptfast.load(prefix, by="object")


def test_a_graph_whose_checksum_differs_is_placed_like_any_tensor(tmp_path: Path) -> None:
    prefix = save(tmp_path / "r", [value(END, "v")], {END: 1})
    with ckptfast.open(prefix) as reader:
        info = reader.info(_object_graph.KEY)
    assert info.offset is not None and info.nbytes is not None
    data = Path(f"{prefix}.data-00000-of-00001")
    content = bytearray(data.read_bytes())
    content[info.offset + info.nbytes - 1] ^= 1
    data.write_bytes(content)
    with ckptfast.open(prefix) as reader, pytest.raises(ckptfast.DataLossError) as raised:
        _ = reader.objects
    assert raised.value.path == os.fspath(data)
    assert raised.value.stored_crc32c != raised.value.calculated_crc32c
    assert "cannot be parsed" not in str(raised.value)


def test_every_tensor_of_real_checkpoints_has_one_name(real: Path) -> None:
    seen = 0
    for index in sorted(real.rglob("*.index")):
        with ckptfast.open(index) as reader:
            if reader.objects is None:
                continue
            for by in ("object", "name"):
                names = _names.of(reader, by)  # type: ignore[arg-type]
                assert sorted(names.values()) == [key for key in reader if key[0] != "_"]
                assert not any("ATTRIBUTES" in name for name in names)
                seen += len(names)
    assert seen > 20
