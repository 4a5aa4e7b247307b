"""Damaged and hostile files of other formats: an error of ours, or the same values."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import struct
import tracemalloc
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors

import ckptfast
from ckptfast.conversion import _sources

TENSORS: dict[str, Any] = {"a": np.float32([1, 2]), "b/c": np.int64(7)}
EXPECTED = {"a": [1.0, 2.0], "b/c": 7}


def convert(path: Path) -> dict[str, Any]:
    report = ckptfast.convert(path, path.parent / "out", durability="none")
    return {name: value.tolist() for name, value in ckptfast.load(report).items()}


def made(tmp_path: Path, name: str) -> tuple[Path, bytes]:
    given = ckptfast.save(tmp_path / "given", TENSORS)
    path = tmp_path / name
    ckptfast.convert(given, path)
    return path, path.read_bytes()


def end(path: Path, content: bytes) -> Any:
    """What comes of the file with this content: values, or the error's name."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, of headers as Python 2 wrote them
            return convert(path)
    except ckptfast.CheckpointError as error:
        assert str(path) in str(error) and "panic" not in str(error)
        return type(error).__name__


@pytest.mark.parametrize("name", ["m.safetensors", "m.npz"])
def test_a_cut_file_is_converted(tmp_path: Path, name: str) -> None:
    path, content = made(tmp_path, name)
    assert convert(path) == EXPECTED
    for length in range(len(content)):
        assert end(path, content[:length]) in ("DataLossError", "UnsupportedError"), length


def test_a_damaged_array_is_converted(tmp_path: Path) -> None:
    path, content = made(tmp_path, "m.npz")
    same = 0
    for at in range(len(content)):
        for bit in (0, 3, 6, 7):
            flipped = bytes([content[at] ^ 1 << bit])
            found = end(path, content[:at] + flipped + content[at + 1 :])
            same += found == EXPECTED
            if found != EXPECTED:
                assert found in ("DataLossError", "UnsupportedError"), (at, bit, found)
    assert same < 2 * len(content)  # half: dates, rights and lengths that nothing reads


def test_a_damaged_header_ends_in_another_error(tmp_path: Path) -> None:
    """There are no checksums: other values are possible, other exceptions are not."""
    path, content = made(tmp_path, "m.safetensors")
    header = 8 + int.from_bytes(content[:8], "little")
    ends = [
        end(path, content[:at] + bytes([content[at] ^ 1 << bit]) + content[at + 1 :])
        for at in range(header)
        for bit in range(8)
    ]
    assert ends.count("DataLossError") > len(ends) // 2


def entry(dtype: Any = "F32", shape: Any = (2,), offsets: Any = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


HOSTILE: list[tuple[str, Any, int, str]] = [
    ("a hole", {"a": entry(), "b": entry(offsets=(12, 20))}, 20, "begin where the one before"),
    ("an overlap", {"a": entry(), "b": entry(offsets=(4, 12))}, 12, "begin where the one before"),
    ("shared bytes", {"a": entry(), "b": entry()}, 8, "begin where the one before"),
    ("more bytes", {"a": entry()}, 9, "end at byte"),
    ("fewer bytes", {"a": entry()}, 7, "end at byte"),
    ("another size", {"a": entry(shape=(3,))}, 8, "a is 12 bytes, its range is"),
    ("backwards", {"a": entry(offsets=(8, 0))}, 8, "a is 8 bytes, its range is"),
    ("three offsets", {"a": entry(offsets=(0, 8, 8))}, 8, "its range is"),
    ("a negative size", {"a": entry(shape=(-1, -2))}, 8, "the header's entry of a"),
    ("a size too large", {"a": entry(shape=(1 << 64, 0), offsets=(0, 0))}, 0, "entry of a"),
    ("a true size", {"a": entry(shape=(True, 2))}, 8, "the header's entry of a"),
    ("a product too large", {"a": entry(shape=(1 << 62,) * 8)}, 8, "a is [0-9]+ bytes"),
    ("no entry", {"a": 1}, 0, "the header's entry of a is 1"),
    ("a list", [entry()], 8, "no JSON object|not a checkpoint"),
    ("no type", {"a": entry(dtype=3)}, 8, "the header's entry of a"),
    ("an unknown type", {"a": entry(dtype="F8_E8M0", shape=(8,))}, 8, "a has type F8_E8M0"),
    ("many dimensions", {"a": entry(shape=(1,) * 65, offsets=(0, 4))}, 4, "65 dimensions"),
    ("nothing", {}, 0, "there are no tensors"),
    ("remarks only", {"__metadata__": {"format": "np"}}, 0, "there are no tensors"),
]


@pytest.mark.parametrize(("header", "nbytes", "message"), [row[1:] for row in HOSTILE],
                         ids=[row[0] for row in HOSTILE])  # fmt: skip
def test_a_hostile_header_is_believed(
    tmp_path: Path, header: Any, nbytes: int, message: str
) -> None:
    text = json.dumps(header).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(nbytes))
    with pytest.raises((ckptfast.CheckpointError, ValueError), match=message):
        convert(path)
    if message not in ("a has type F8_E8M0", "65 dimensions", "there are no tensors"):
        with pytest.raises(safetensors.SafetensorError):
            safetensors.deserialize(path.read_bytes())


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b'{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"a":{}}', "a name stands in it"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "no JSON that makes sense"),
        (b'{"a":' + b"1" * 5000 + b"}", "no JSON that makes sense"),
        (b'{"a":NaN}', "entry of a is nan"),
        (b'{"\xff":1}', "no JSON that makes sense"),
        (b'{"a"', "no JSON that makes sense"),
    ],
)
def test_json_that_is_none(tmp_path: Path, header: bytes, message: str) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(ckptfast.DataLossError, match=message):
        convert(path)


def test_remarks_are_a_tensor(tmp_path: Path) -> None:
    array = np.float32([3])
    spec = safetensors.TensorSpec(
        dtype="float32", shape=[1], data_ptr=array.ctypes.data, data_len=4
    )
    safetensors.serialize_file({"a": spec}, tmp_path / "m.safetensors", metadata={"format": "pt"})
    assert convert(tmp_path / "m.safetensors") == {"a": [3.0]}


def test_code_is_run_or_members_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, a=np.float32([1]), o=np.array([{}], dtype=object))
    with pytest.raises(ckptfast.UnsupportedError, match="o is pickled"):
        convert(path)
    np.savez(path, a=np.float32([1]), d=np.array(["2020-01-01"], dtype="datetime64[D]"))
    with pytest.raises(ckptfast.UnsupportedError, match="d: TensorFlow has no element type"):
        convert(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"")
        archive.writestr("b.txt", b"")
    with pytest.raises(ckptfast.DataLossError, match=r"a\.npy: "):
        convert(path)
    np.savez(path, a=np.float32([1]))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.txt", b"")
    with pytest.raises(ckptfast.UnsupportedError, match=r"b\.txt in it is no array"):
        convert(path)
    np.savez(path, a=np.float32([1]))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.npy", archive.read("a.npy"))
    with pytest.raises(ckptfast.DataLossError, match="two members of one name"):
        convert(path)


def test_a_checksum_is_passed_over_or_compared_though_nobody_asked(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    np.savez(path, a=np.zeros(10_000, np.float32))
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:9_000] + b"\1" + content[9_001:])
    with pytest.raises(ckptfast.DataLossError, match="a does not match its CRC-32") as raised:
        convert(path)
    assert raised.value.key == "a"
    report = ckptfast.convert(path, tmp_path / "out", verify=False)
    assert ckptfast.load(report)["a"].any()


@pytest.mark.parametrize("name", ["m.safetensors", "m.npz"])
def test_a_file_that_is_cut_after_it_was_opened_ends_the_process(tmp_path: Path, name: str) -> None:
    given = ckptfast.save(tmp_path / "given", {"a": np.zeros(100_000, np.float32)})
    path = tmp_path / name
    ckptfast.convert(given, path)
    with contextlib.closing(_sources.open_source(path, verify=True, threads=None)) as source:
        os.truncate(path, 5_000)
        with pytest.raises(ckptfast.DataLossError, match="cut to 5000 bytes"):
            source.arrays(["a"])


def npz(path: Path, header: bytes, content: bytes = b"", *, compression: int = 0) -> Path:
    """A file with an array "a" of which NumPy's header is this."""
    with zipfile.ZipFile(path, "w", compression) as zipped:
        zipped.writestr("a.npy", header + content)
    return path


def of_shape(shape: str, dtype: str = "<f4") -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


def test_a_header_as_long_as_it_says_is_read(tmp_path: Path) -> None:
    header = b"\x93NUMPY\2\0" + struct.pack("<I", 1 << 30)
    path = npz(tmp_path / "m.npz", header, bytes(1 << 26), compression=zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    try:
        with pytest.raises(ckptfast.DataLossError, match="header would be 1073741824 bytes long"):
            convert(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_a_long_header_brings_advice_to_run_pickled_code(tmp_path: Path) -> None:
    header = b"\x93NUMPY\1\0" + struct.pack("<H", 20_000)
    with pytest.raises(ckptfast.DataLossError, match="would be 20000 bytes") as raised:
        convert(npz(tmp_path / "m.npz", header, b" " * 20_000))
    assert "pickle" not in str(raised.value) and raised.value.key == "a.npy"


@pytest.mark.parametrize("dtype", ["|S0", "<U0"])
def test_elements_without_bytes_are_counted(tmp_path: Path, dtype: str) -> None:
    path = npz(tmp_path / "m.npz", of_shape("(1000000000000,)", dtype))
    with pytest.raises(ckptfast.DataLossError, match="its elements have no bytes"):
        convert(path)


@pytest.mark.parametrize("shape", [(1 << 62, 1 << 62, 0), (1 << 70, 0), (1,) * 65])
def test_a_shape_that_numpy_cannot_have_is_an_error_without_a_file(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    content = bytes(4 * math.prod(shape))
    path = npz(tmp_path / "m.npz", of_shape(repr(shape)), content)
    with pytest.raises(ckptfast.DataLossError, match=r"m\.npz: a\.npy: ") as raised:
        convert(path)
    assert raised.value.key == "a.npy"
    text = json.dumps({"a": entry(shape=shape, offsets=(0, len(content)))}).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    with pytest.raises(ckptfast.CheckpointError, match=r"m\.safetensors: .*\ba\b"):
        convert(path)


@pytest.mark.parametrize("output", ["m.npz", "n.safetensors"])
def test_a_name_that_is_no_text_is_an_error_without_a_file(tmp_path: Path, output: str) -> None:
    text = json.dumps({"\ud800": entry()}).encode()
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(ValueError, match=rf"{output}: a tensor .*ud800.* not valid UTF-8"):
        ckptfast.convert(path, tmp_path / output)


def test_a_reader_stays_open_when_a_checkpoint_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ckptfast.save(tmp_path / "given", TENSORS)
    closed: list[str] = []
    monkeypatch.setattr(ckptfast.Reader, "close", lambda self: closed.append(self.prefix))
    monkeypatch.setattr(ckptfast.Reader, "_signatures", [], raising=False)
    with pytest.raises(ValueError, match="shorter"):
        _sources.open_source(given, verify=True, threads=None)
    assert closed == [given]


def test_a_disk_fails_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of the two files it was: that which is written, or that which is read."""

    def fail(*arguments: Any) -> Any:
        raise OSError(errno.EIO, "Input/output error")

    given = ckptfast.save(tmp_path / "m", {"a": np.zeros(1000)})
    target = tmp_path / "new.npz"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output") as raised:
            ckptfast.convert(given, target)
    assert raised.value.filename == str(target)
    np.savez_compressed(tmp_path / "old.npz", a=np.zeros(1000))
    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipExtFile, "_read2", fail)
        with pytest.raises(OSError, match="Input/output") as raised:
            ckptfast.convert(tmp_path / "old.npz", target)
    assert raised.value.filename == str(tmp_path / "old.npz")
    ckptfast.convert(given, tmp_path / "old.safetensors")
    with monkeypatch.context() as patch:
        patch.setattr(ckptfast._native, "on_network", lambda path: True)
        patch.setattr(os, "preadv", fail)
        with pytest.raises(OSError, match="Input/output") as raised:
            ckptfast.convert(tmp_path / "old.safetensors", target)
    assert raised.value.filename == str(tmp_path / "old.safetensors")
    assert not target.exists()


def test_the_name_of_the_new_file_is_what_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(source: str, target: str) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted", source, None, target)

    given = ckptfast.save(tmp_path / "m", {"a": np.zeros(1000)})
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(PermissionError) as raised:
        ckptfast.convert(given, tmp_path / "new.npz")
    assert str(raised.value) == f"[Errno 1] Operation not permitted: '{tmp_path / 'new.npz'}'"
