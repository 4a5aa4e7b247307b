"""Indexes whose checksums are right and whose words are not: every number in them may lie."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast
from helpers import bundle, tf_io, values
from helpers.bundle import entry, field, header, plain_entry, shape_proto, slice_key, slice_proto
from helpers.damage import sweep
from helpers.table import build_table, crc32c, parse_table, snappy, varint
from helpers.values import assert_same

LOAD_EACH = Path(__file__).parent / "helpers" / "load_each.py"
DATA = np.arange(4, dtype=np.float32).tobytes()
GOOD = plain_entry(1, (4,), DATA, 0)
CRC = crc32c(DATA)
FLOAT, INT32, STRING, VARIANT = 1, 3, 7, 21

Items = list[tuple[bytes, bytes]]


def one(value: bytes) -> Items:
    return [(b"x", value)]


def sliced(shape: tuple[int, ...], specs: list[str], parts: dict[str, bytes]) -> Items:
    """A partitioned tensor that names `specs`, and the data that is there."""
    items = [(slice_key(b"x", spec), value) for spec, value in parts.items()]
    return [*sorted(items), (b"x", entry(FLOAT, shape, slices=specs))]


HALF = {
    spec: plain_entry(FLOAT, (2,), DATA[8 * i : 8 * i + 8], 8 * i)
    for i, spec in enumerate(["0,2", "2,2"])
}

# What the index says; the exception; a part of its message.
ENTRIES: dict[str, tuple[Items, str, str]] = {
    "negative dimension": (one(entry(FLOAT, (-1,), size=16, crc=CRC)), "DataLossError", "negative"),
    "dimensions whose product overflows": (
        one(entry(FLOAT, (1 << 62, 1 << 62), size=16, crc=CRC)), "DataLossError", ""),
    "more elements than bytes": (
        one(entry(FLOAT, (1 << 60,), size=16, crc=CRC)), "DataLossError", "size"),
    "a tensor of four terabytes": (
        one(entry(FLOAT, (1 << 40,), size=1 << 42, crc=CRC)), "DataLossError", "too short"),
    "empty, with dimensions that overflow": (
        one(entry(FLOAT, (0, 1 << 62, 1 << 62), crc=0)), "DataLossError", "elements"),
    "more dimensions than NumPy has": (
        one(entry(FLOAT, (1,) * 65, size=4, crc=crc32c(DATA[:4]))), "UnsupportedError", "65"),
    "fewer bytes than elements": (one(entry(FLOAT, (4,), size=12, crc=CRC)), "DataLossError", "12"),
    "no bytes": (one(entry(FLOAT, (4,), crc=CRC)), "DataLossError", "expected size 16"),
    "negative size": (one(entry(FLOAT, (4,), size=-16, crc=CRC)), "DataLossError", "-16"),
    "negative offset": (
        one(entry(FLOAT, (4,), offset=-1, size=16, crc=CRC)), "DataLossError", "offset -1"),
    "the largest offset": (
        one(entry(FLOAT, (4,), offset=(1 << 63) - 1, size=16, crc=CRC)), "DataLossError", ""),
    "offset behind the end": (
        one(entry(FLOAT, (4,), offset=1, size=16, crc=CRC)), "DataLossError", "too short"),
    "negative shard": (
        one(entry(FLOAT, (4,), shard=-1, size=16, crc=CRC)), "DataLossError", "-1"),
    "shard that is not there": (
        one(entry(FLOAT, (4,), shard=1, size=16, crc=CRC)), "DataLossError", "1 of 1"),
    "type 0": (one(entry(0, (4,), size=16, crc=CRC)), "UnsupportedError", "0"),
    "type 99": (one(entry(99, (4,), size=16, crc=CRC)), "UnsupportedError", "99"),
    "a reference type": (one(entry(101, (4,), size=16, crc=CRC)), "UnsupportedError", "101"),
    "a resource": (one(entry(20, (), size=16, crc=CRC)), "DataLossError", "resource"),
    "unknown rank": (one(field(1, 1) + field(2, field(3, 1)) + field(5, 16)), "DataLossError", ""),
    "a message that is none": (one(b"\xff\xff\xff"), "DataLossError", "parse"),
    "wrong checksum": (one(entry(FLOAT, (4,), size=16, crc=CRC ^ 1)), "DataLossError", "checksum"),
    "no checksum": (one(entry(FLOAT, (4,), size=16)), "DataLossError", "checksum"),
    "a quintillion strings": (
        one(entry(STRING, (1 << 60,), size=16, crc=CRC)), "DataLossError", "strings"),
    "no strings in sixteen bytes": (
        one(entry(STRING, (0,), size=16, crc=CRC)), "DataLossError", ""),
    "strings in numbers": (one(entry(STRING, (4,), size=16, crc=CRC)), "DataLossError", ""),
    "a string in no bytes": (one(entry(STRING, (), crc=0)), "DataLossError", "strings"),
    "a quintillion variants": (
        one(entry(VARIANT, (1 << 60,), size=16, crc=CRC)), "DataLossError", "strings"),
    "the same bytes twice": (
        [(b"a", GOOD), (b"x", GOOD)], "DataLossError", "tensor 'a' and tensor 'x' overlap"),
    "slices that share bytes": (
        sliced((4,), list(HALF), dict.fromkeys(HALF, HALF["0,2"])), "DataLossError",
        "slice 0,2 of tensor 'x' and slice 2,2 of tensor 'x' overlap"),
    "a slice whose entry is damaged": (
        sliced((4,), ["0,2"], {"0,2": b"\x08"}), "DataLossError", "(tensor 'x')"),
    "slices of a quintillion strings": (
        [(slice_key(b"x", "0,1"), entry(STRING, (1,), size=5)),
         (slice_key(b"x", f"1,{1 << 60}"), entry(STRING, (1 << 60,), offset=8, size=5)),
         (b"x", entry(STRING, ((1 << 60) + 1,), slices=["0,1", f"1,{1 << 60}"]))],
        "DataLossError", "strings"),
    "entries that overlap by a byte": (
        [(b"a", plain_entry(4, (9,), DATA[:9], 0)), (b"x", plain_entry(4, (8,), DATA[8:], 8))],
        "DataLossError", "overlap"),
    "an entry inside another": (
        [(b"a", GOOD), (b"x", plain_entry(4, (1,), DATA[8:9], 8))], "DataLossError", "overlap"),
    "keys out of order": ([(b"x", GOOD), (b"a", GOOD)], "DataLossError", "order"),
    "the same key twice": ([(b"x", GOOD), (b"x", GOOD)], "DataLossError", "duplicate"),
    "slices without data": (sliced((4,), ["0,2", "2,2"], {}), "DataLossError", "no data"),
    "half of the slices": (
        sliced((4,), ["0,2", "2,2"], {"0,2": HALF["0,2"]}), "DataLossError", "no data"),
    "slices that leave a hole": (sliced((5,), [*HALF], HALF), "DataLossError", "4 of the 5"),
    "slices that overlap": (
        sliced((4,), [*HALF, "1,2"], {**HALF, "1,2": HALF["0,2"]}), "DataLossError", ""),
    "the same slice twice": (sliced((4,), [*HALF, "2,2"], HALF), "DataLossError", "verlap"),
    "slices of a tensor of terabytes": (
        sliced((1 << 40,), [*HALF], HALF), "DataLossError", "4 of the 1099511627776"),
    "a whole slice of terabytes": (
        sliced((1 << 40,), ["-"], {"-": HALF["0,2"]}), "DataLossError", "is stored as"),
    "a slice behind the end": (sliced((4,), ["0,2", "3,2"], HALF), "DataLossError", "bounds"),
    "slices of another rank": (sliced((4, 1), [*HALF], HALF), "DataLossError", "dimensions"),
    "a slice of another type": (
        sliced((4,), [*HALF], {**HALF, "2,2": plain_entry(INT32, (2,), DATA[8:], 8)}),
        "DataLossError", "int32"),
    "a slice of another shape": (
        sliced((4,), [*HALF], {**HALF, "2,2": plain_entry(FLOAT, (1,), DATA[8:12], 8)}),
        "DataLossError", "shape"),
    "a slice that is sliced itself": (
        sliced((4,), [*HALF], {**HALF, "2,2": entry(FLOAT, (2,), slices=["0,2"])}),
        "DataLossError", "itself sliced"),
}  # fmt: skip

HEADERS: dict[str, tuple[bytes, str, str]] = {
    "no data files": (header(0), "DataLossError", "0 data files"),
    "a negative number of data files": (header(-1), "DataLossError", "-1"),
    "two billion data files": (header((1 << 31) - 1), "FileNotFoundError", "of-2147483647"),
    "more data files than there are": (header(2), "FileNotFoundError", "of-00002"),
    "a third byte order": (header(1, endianness=2), "DataLossError", "byte order 2"),
    "for newer readers": (header(1, min_consumer=2), "UnsupportedError", "version 2"),
    "not for this reader": (
        field(1, 1) + field(3, field(1, 1) + b"\x18\x01"), "UnsupportedError", "version"),
    "no message": (b"\xff", "DataLossError", ""),
    "nothing": (b"", "DataLossError", ""),
}  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str]]:
    """What came of loading each of them, with little memory."""
    folder = tmp_path_factory.mktemp("hostile")
    paths = {"": bundle.write_bundle(folder / "good", one(GOOD), [DATA])}
    for number, (name, (items, _, _)) in enumerate(ENTRIES.items()):
        paths[name] = bundle.write_bundle(folder / f"entry-{number}", items, [DATA])
    for number, (name, (head, _, _)) in enumerate(HEADERS.items()):
        paths[name] = bundle.write_bundle(folder / f"header-{number}", one(GOOD), [DATA], head=head)
    result = subprocess.run(
        [sys.executable, LOAD_EACH],
        input=json.dumps(list(paths.values())),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "panic" not in result.stderr
    found = [tuple(outcome) for outcome in json.loads(result.stdout)]
    return dict(zip(list(paths)[1:], found, strict=True))


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_that_lie(outcomes: dict[str, tuple[str, str]], name: str) -> None:
    _, error, message = ENTRIES[name]
    assert outcomes[name][0] == error, outcomes[name]
    assert message in outcomes[name][1]


def test_files_that_claim_terabytes_and_pipes_neither_abort_nor_hang(tmp_path: Path) -> None:
    """An index or strings in a sparse file, and a pipe where a data file should be."""
    good = bundle.write_bundle(tmp_path / "good", one(GOOD), [DATA])
    index = Path(f"{good}.index").read_bytes()
    with open(tmp_path / "long.index", "wb") as file:
        file.write(index[:-48])
        file.truncate(1 << 40)
        file.seek((1 << 40) - 48)
        file.write(index[-48:])
    text = bundle.write_bundle(
        tmp_path / "text", one(entry(STRING, (3,), size=1 << 40, crc=CRC)), [DATA]
    )
    with open(bundle.data_path(text), "r+b") as file:
        file.truncate(1 << 40)
    pipe = bundle.write_bundle(tmp_path / "pipe", one(GOOD), [DATA])
    bundle.data_path(pipe).unlink()
    os.mkfifo(bundle.data_path(pipe))
    paths = [str(path) for path in (good, tmp_path / "long", text, pipe)]
    result = subprocess.run(
        [sys.executable, LOAD_EACH], input=json.dumps(paths), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    long, strings, piped = json.loads(result.stdout)
    assert long[0] == "DataLossError"
    assert "1099511627776 bytes is too long to be an index" in long[1]
    assert strings[0] == "MemoryError"
    assert piped[0] == "DataLossError"
    assert "too short" in piped[1]


@pytest.mark.parametrize(
    ("number", "value"), [(FLOAT, field(5, bytes(4))), (STRING, field(8, b""))]
)
def test_slices_of_a_v1_file_that_claim_gigabytes_take_no_memory(
    tmp_path: Path, number: int, value: bytes
) -> None:
    """The first slice is there; memory for all was taken before the second one was looked at."""
    specs = ["0,1", f"1,{(1 << 36) - 1}"]
    slices = b"".join(field(4, slice_proto(spec)) for spec in specs)
    about = field(1, b"w") + field(2, shape_proto((1 << 36,))) + field(3, number) + slices
    items = [(b"", field(1, field(1, about)))]
    for spec in specs:
        record = field(1, b"w") + field(2, slice_proto(spec)) + field(3, value)
        items.append((slice_key(b"w", spec), field(2, record)))
    (tmp_path / "m.ckpt").write_bytes(build_table(items))
    with ckptfast.open(tmp_path / "m.ckpt") as reader:
        assert reader.info("w").shape == (1 << 36,)
        for read in [lambda: reader["w"], lambda: reader.read("w", np.s_[: 1 << 35])]:
            with pytest.raises(ckptfast.DataLossError, match=r"fewer than \d+ elements .*'w'"):
                read()


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_lie(outcomes: dict[str, tuple[str, str]], name: str) -> None:
    _, error, message = HEADERS[name]
    assert outcomes[name][0] == error, outcomes[name]
    assert message in outcomes[name][1]


def flipped(content: bytes) -> list[bytes]:
    """A table with each bit of each key and value flipped in turn, and right checksums."""
    items = list(parse_table(content).items())
    forms = []
    for number, pair in enumerate(items):
        for part in range(2):
            for bit in range(8 * len(pair[part])):
                changed = [bytearray(pair[0]), bytearray(pair[1])]
                changed[part][bit // 8] ^= 1 << bit % 8
                new = (bytes(changed[0]), bytes(changed[1]))
                forms.append(build_table([*items[:number], new, *items[number + 1 :]]))
    return forms


def test_every_flipped_bit_of_an_index_under_right_checksums(tmp_path: Path) -> None:
    """Every word of every entry is checked, or does no harm."""
    weights = values.sample(values.BY_NAME["int32"], (4, 3))
    tensors = {
        "a": np.float32([1.5, -2]),
        "b": values.strings((3,)),
        "v": ckptfast.Tensor([b"abc", b""], dtype="variant"),
        "w": [
            ckptfast.Tensor(weights[:1], slice="4 3 0,1:-"),
            ckptfast.Tensor(weights[1:], slice="4 3 1,3:-"),
        ],
    }
    prefix = ckptfast.save(tmp_path / "m", tensors, align=1)
    index = Path(f"{prefix}.index")
    allowed = ["other values", "UnsupportedError", "FileNotFoundError"]
    report = sweep(index, prefix, [], forms=flipped(index.read_bytes()), allowed=allowed)
    assert report["lost"] > report["allowed"]


def test_every_flipped_bit_of_a_v1_file_under_right_checksums(
    tf: ModuleType, tmp_path: Path
) -> None:
    """Values are in the records, so many other values are as good as the right ones."""
    tensors = {
        "a": np.float32([1.5, -2]),
        "b": np.array([b"", b"two"], dtype=object),
        "c": np.int16([-1, 5]),
    }
    path = Path(tf_io.save_v1(tf, tmp_path / "m.ckpt", tensors))
    forms = flipped(path.read_bytes())
    report = sweep(path, str(path), [], forms=forms, allowed=["other values", "UnsupportedError"])
    assert report["lost"]
    assert report["allowed"]


# ------------------------------------------------------------------------ unusual, and allowed


def read(folder: Path, items: Items, data: list[bytes], **table: Any) -> dict[str, values.Array]:
    return ckptfast.load(bundle.write_bundle(folder / "m", items, data, **table))


def test_what_tensorflow_never_writes_and_the_format_allows(tmp_path: Path) -> None:
    array = np.frombuffer(DATA, np.float32)
    for items in [
        one(GOOD + field(15, 7) + field(16, b"from a later version")),
        one(field(16, b"first") + GOOD),
        one(entry(FLOAT, (4,), shard=1, offset=5, size=16, crc=CRC)),
    ]:
        assert_same(read(tmp_path, items, [DATA, b"12345" + DATA + b"behind"])["x"], array)
    # Without a shape it is a scalar; without a size its bytes are none.
    scalar = field(1, FLOAT) + GOOD[GOOD.index(b"\x28\x10") :].replace(b"\x28\x10", b"\x28\x04")
    scalar = scalar[:-4] + plain_entry(FLOAT, (), DATA[4:8], 0)[-4:]
    assert read(tmp_path, one(scalar), [DATA[4:8]])["x"] == 1
    empty = [(b"a", GOOD), (b"b", entry(FLOAT, (0,), offset=3, crc=0))]
    assert read(tmp_path, empty, [DATA])["b"].shape == (0,)
    old = [(b"x", entry(STRING, (0,), crc=0))]
    assert read(tmp_path, old, [b""])["x"].shape == (0,)
    # Data that lies in another order than the keys.
    swapped = [
        (b"a", plain_entry(FLOAT, (2,), DATA[8:], 8)),
        (b"b", plain_entry(4, (8,), DATA[:8], 0)),
    ]
    assert_same(read(tmp_path, swapped, [DATA])["a"], array[2:])


def test_numbers_of_data_files_with_more_than_five_digits(tf: ModuleType, tmp_path: Path) -> None:
    """Five digits are the least, not the most."""
    items = [
        (b"a", plain_entry(FLOAT, (4,), DATA, 0, shard=7)),
        (b"b", plain_entry(FLOAT, (4,), DATA, 0, shard=100_000)),
    ]
    prefix = bundle.write_bundle(tmp_path / "m", items, [], head=header(123_456))
    for name in ["m.data-00007-of-123456", "m.data-100000-of-123456"]:
        (tmp_path / name).write_bytes(DATA)
    for value in [
        *ckptfast.load(prefix).values(),
        *tf_io.restore(tf, prefix, "ab", ["float32"] * 2),
    ]:
        assert_same(value, np.frombuffer(DATA, np.float32))


@pytest.mark.parametrize("compress", [None, snappy])
@pytest.mark.parametrize("per_block", [1, 2, 7, 1000])
def test_blocks_of_any_size_compressed_or_not(
    tf: ModuleType, tmp_path: Path, per_block: int, compress: Any
) -> None:
    names = [f"{'x' * 200}/{index:03}" for index in range(50)]
    data = np.arange(50, dtype=np.int32).tobytes()
    items = [
        (name.encode(), plain_entry(INT32, (), data[4 * index : 4 * index + 4], 4 * index))
        for index, name in enumerate(names)
    ]
    options = {"per_block": per_block, "compress": compress}
    prefix = bundle.write_bundle(tmp_path / "m", items, [data], **options)
    assert (b"\xfe\x40\x00" in Path(f"{prefix}.index").read_bytes()) == bool(compress)
    assert {name: int(value) for name, value in ckptfast.load(prefix).items()} == {
        name: index for index, name in enumerate(names)
    }
    found = tf_io.restore(tf, prefix, names, ["int32"] * 50)
    assert [int(value) for value in found] == list(range(50))


@pytest.mark.parametrize("compress", [None, snappy])
def test_v1_files_compressed_or_not(tf: ModuleType, tmp_path: Path, compress: Any) -> None:
    tensors = {"a": np.float32([1.5] * 100), "b": np.int32([-1, 5]), "s": values.strings((7,))}
    path = Path(tf_io.save_v1(tf, tmp_path / "m.ckpt", tensors))
    content = build_table(parse_table(path.read_bytes()).items(), compress=compress)
    path.unlink()
    path.write_bytes(content)
    loaded = ckptfast.load(path)
    for name, value in tensors.items():
        assert_same(loaded[name], value, name)


@pytest.mark.parametrize(
    "compress",
    [
        pytest.param(lambda block: snappy(block)[:-1], id="a byte short"),
        pytest.param(lambda block: snappy(block) + b"\0x", id="a byte long"),
        pytest.param(lambda block: varint(len(block) - 1) + snappy(block)[1:], id="says less"),
        pytest.param(lambda block: varint(len(block) + 1) + snappy(block)[1:], id="says more"),
        pytest.param(lambda block: varint(1 << 32) + snappy(block)[1:], id="says gigabytes"),
        pytest.param(lambda block: b"\xff" * 11, id="a length without end"),
        pytest.param(lambda block: b"\x40" + bytes([63 << 2 | 2, 1, 0]), id="copies nothing"),
        pytest.param(lambda block: block, id="not compressed at all"),
        pytest.param(lambda block: b"", id="nothing"),
        pytest.param(lambda block: b"\0", id="an empty block"),
        pytest.param(
            lambda block: varint(1 << 30) + b"\0x" + bytes([63 << 2 | 2, 1, 0]) * (1 << 14),
            id="a bomb",
        ),
    ],
)
def test_what_snappy_cannot_unpack(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    """The block's checksum is right."""
    prefix = bundle.write_bundle(tmp_path / "m", one(GOOD), [DATA], compress=compress)
    with pytest.raises(ckptfast.DataLossError) as caught:
        ckptfast.load(prefix)
    assert str(caught.value).startswith(f"{prefix}.index: ")
