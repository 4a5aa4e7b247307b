"""`convert`: every element type into every format, and back."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import safetensors

import ckptfast
from ckptfast.conversion import _npz, _safetensors
from helpers import values
from helpers.values import BY_NAME, FIXED, Kind

# The types that each format can hold.
HELD = {
    "safetensors": {kind for kind in FIXED if kind.number in _safetensors.TYPES},
    "npz": {kind for kind in FIXED if kind.number in _npz.TYPES},
}


def model(tmp_path: Path, kinds: Any) -> str:
    """A checkpoint with arrays of these types, each under the type's name."""
    tensors = {
        f"{shape}/{kind.name}": ckptfast.Tensor(values.sample(kind, shape), dtype=kind.name)
        for kind in kinds
        for shape in ((3, 5), (), (0, 2))
    }
    return ckptfast.save(tmp_path / "given", tensors)


def facts(path: Any) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Type, shape and bytes of every tensor of a checkpoint."""
    with ckptfast.open(path) as reader:
        infos = {name: reader.info(name) for name in reader}
        return {
            name: (info.dtype, info.shape, values.raw(reader[name])) for name, info in infos.items()
        }


@pytest.mark.parametrize("format", HELD)
def test_a_type_comes_back_as_another(tmp_path: Path, tf: ModuleType, format: str) -> None:
    given = model(tmp_path, HELD[format])
    file = ckptfast.convert(given, tmp_path / f"m.{format}")
    back = ckptfast.convert(file, tmp_path / "back")
    assert facts(back) == facts(given)
    reader = tf.train.load_checkpoint(back.path)
    types = reader.get_variable_to_dtype_map()
    assert {name: dtype.name for name, dtype in types.items()} == {
        name: name.split("/")[1] for name in types
    }


def test_every_type_of_a_bundle_reaches_another_bundle(tmp_path: Path) -> None:
    given = model(tmp_path, FIXED)
    assert facts(ckptfast.convert(given, tmp_path / "new")) == facts(given)
    strings = {
        "text": values.strings((3, 4)),
        "variant": ckptfast.Tensor(np.array([b"\x08\x01"], dtype=object), dtype="variant"),
    }
    given = ckptfast.save(tmp_path / "strings", strings)
    new = ckptfast.convert(given, tmp_path / "new")
    with ckptfast.open(given) as before, ckptfast.open(new) as after:
        assert [after.info(name).dtype for name in after] == ["string", "variant"]
        for name in before:
            assert before[name].tolist() == after[name].tolist()


def test_a_file_is_not_what_the_package_writes(tmp_path: Path) -> None:
    """Byte for byte, for all types, with names that have to be escaped."""
    arrays = {
        f'{shape}/"{kind.name}\\\t/é\x7f': (values.sample(kind, shape), kind.name)
        for kind in HELD["safetensors"]
        for shape in ((7,), (), (0, 3), (2, 3, 4))
    }
    given = ckptfast.save(tmp_path / "m", {name: array for name, (array, _) in arrays.items()})
    ckptfast.convert(given, tmp_path / "m.safetensors")
    specs = {
        name: safetensors.TensorSpec(
            dtype=dtype,
            shape=list(array.shape),
            data_ptr=array.ctypes.data,
            data_len=array.nbytes,
        )
        for name, (array, dtype) in arrays.items()
    }
    assert (tmp_path / "m.safetensors").read_bytes() == safetensors.serialize(specs)


def test_the_table_lacks_a_type_that_the_package_has() -> None:
    known = set()
    for kind in FIXED:
        array = values.sample(kind, (4,))
        try:
            safetensors.TensorSpec(
                dtype=kind.name, shape=[4], data_ptr=array.ctypes.data, data_len=array.nbytes
            )
        except safetensors.SafetensorError:
            continue
        known.add(kind)
    assert known == HELD["safetensors"]


@pytest.mark.parametrize("format", HELD)
def test_a_type_is_lost_or_the_advice_is_wrong(tmp_path: Path, format: str) -> None:
    """What the error says to pass is passed, and the file can be written."""
    refused = [kind for kind in FIXED if kind not in HELD[format]]
    assert len(refused) > 10
    for kind in refused:
        given = ckptfast.save(
            tmp_path / "m",
            {"layer/W": ckptfast.Tensor(harmless(kind), dtype=kind.name), "b": np.float32(1)},
        )
        target = tmp_path / f"m.{format}"
        with pytest.raises(ckptfast.UnsupportedError) as raised:
            ckptfast.convert(given, target, rename={"layer/": "new/"})
        assert raised.value.key == "layer/W" and raised.value.path == str(target)
        assert f"\n  layer/W: {kind.name}\n" in str(raised.value)
        assert not target.exists()
        advised = re.search(r"Pass dtype=({.*})", str(raised.value))
        assert advised, raised.value
        dtype = {"layer/W": advised[1].split("'")[3]}
        report = ckptfast.convert(given, target, dtype=dtype, rename={"layer/": "new/"})
        assert report.cast == {"new/W": (kind.name, dtype["layer/W"])}
        back = ckptfast.load(ckptfast.convert(target, tmp_path / "back"))["new/W"]
        assert back.astype(complex).tolist() == harmless(kind).astype(complex).tolist()
        target.unlink()


def harmless(kind: Kind) -> values.Array:
    """Numbers that every type has."""
    return np.array([0, 1]).astype(kind.numpy)


def test_strings_are_pickled_or_cut(tmp_path: Path) -> None:
    given = ckptfast.save(tmp_path / "m", {f"s{n}": b"text\0" for n in range(12)} | {"w": 1.0})
    for name in ("m.npz", "m.safetensors"):
        with pytest.raises(ckptfast.UnsupportedError) as raised:
            ckptfast.convert(given, tmp_path / name)
        text = str(raised.value)
        assert "type of these 12 tensors:\n  s0: string\n" in text
        assert text.endswith("\n  and 2 more\nNothing was written. Pass exclude=['s0'].")
        assert ckptfast.convert(given, tmp_path / name, exclude="s*").written == ("w",)


def test_types_are_matched_in_another_order(tmp_path: Path) -> None:
    """An exact name comes first, then the first pattern for its kind."""
    given = ckptfast.save(
        tmp_path / "m",
        {"a/x": np.float32(1), "a/y": np.float32(1), "b": np.float64(1), "n": np.int64(1)},
    )
    wanted = {"a/": "bfloat16", "*": "float16", re.compile("n|b"): "int32", "a/y": "float64"}
    report = ckptfast.convert(given, tmp_path / "new", dtype=wanted)
    assert report.cast == {
        "a/x": ("float32", "bfloat16"),
        "a/y": ("float32", "float64"),
        "b": ("float64", "float16"),
        "n": ("int64", "int32"),
    }


def test_large_tensors_are_converted_in_part(tmp_path: Path) -> None:
    """Longer than the piece that is converted at once, with the wrong value at the end."""
    numbers = np.arange(2_500_000, dtype=np.float64)
    given = ckptfast.save(tmp_path / "m", {"w": numbers.reshape(2, -1), "n": np.arange(2_500_000)})
    found = ckptfast.load(ckptfast.convert(given, tmp_path / "new", dtype="float32"))
    values.assert_same(found["w"], numbers.astype(np.float32).reshape(2, -1))
    with pytest.raises(ValueError, match="n has 32768, which int16 cannot hold"):
        ckptfast.convert(given, tmp_path / "new", dtype="int16")


def test_every_kind_of_number_is_known() -> None:
    from ckptfast.conversion._cast import kind_of

    kinds = {kind.name: kind_of(kind.number) for kind in BY_NAME.values()}
    assert {kinds[name] for name in kinds if "int" in name} == {"integer"}
    assert {kinds[name] for name in kinds if "float" in name} == {"floating-point"}
    assert {kinds[name] for name in kinds if "complex" in name} == {"complex"}
    assert kinds["bool"] == "bool"
