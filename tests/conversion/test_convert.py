"""`convert`: names, types, formats and the report."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import ckptfast
from ckptfast import _native
from ckptfast._moving_averages import SUFFIX
from helpers import tf_io, values

TENSORS: dict[str, Any] = {
    "conv/kernel": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "conv/kernel/Adam": np.ones((2, 3, 4), np.float32),
    "conv/bias": np.float32([-1.5, 0, 2]),
    "beta1_power": np.float32(0.9),
    "scale": np.float64(0.1),
    "empty": np.zeros((0, 3), np.int16),
    "global_step": np.int64(12345),
    "naïve/ø": np.array([True, False]),
}
FORMATS = ["model.safetensors", "model.npz", "model"]


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    return ckptfast.save(tmp_path / "given", TENSORS)


def read(path: str | Path) -> dict[str, Any]:
    """What another library reads, or `ckptfast.load` where that is the one."""
    if str(path).endswith(".safetensors"):
        return dict(safetensors.numpy.load_file(path))
    if str(path).endswith(".npz"):
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    return ckptfast.load(path)


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert sorted(found) == sorted(expected)
    for name, value in expected.items():
        values.assert_same(found[name], value, name)


@pytest.mark.parametrize("second", FORMATS)
@pytest.mark.parametrize("first", FORMATS)
def test_a_value_changes_on_the_way(
    prefix: str, tmp_path: Path, tf: ModuleType, first: str, second: str
) -> None:
    one = ckptfast.convert(prefix, tmp_path / f"one-{first}")
    two = ckptfast.convert(one, tmp_path / f"two-{second}")
    for report in (one, two):
        assert_same(read(report.path), TENSORS)
        assert set(report.written) == set(TENSORS)
        assert report.nbytes == sum(value.nbytes for value in TENSORS.values())
        assert not report.skipped and not report.renamed and not report.cast
    if two.format == "bundle":
        reader = tf.train.load_checkpoint(two.path)
        for name, value in TENSORS.items():
            values.assert_same(reader.get_tensor(name), value, name)


def test_the_format_is_taken_from_the_input_or_cannot_be_said(prefix: str, tmp_path: Path) -> None:
    odd = tmp_path / "model.bin"
    assert ckptfast.convert(prefix, odd, format="safetensors").format == "safetensors"
    assert_same(dict(safetensors.numpy.load_file(odd)), TENSORS)
    assert ckptfast.convert(odd, os.fsencode(odd), format="npz").format == "npz"  # over itself
    assert ckptfast.convert(odd, tmp_path / "x.npz", format="bundle").path.endswith("x.npz")
    assert_same(ckptfast.load(tmp_path / "x.npz"), TENSORS)
    with pytest.raises(ValueError, match="format is 'bundle', 'safetensors' or 'npz', not 'pt'"):
        ckptfast.convert(prefix, odd, format="pt")  # type: ignore[arg-type]


def test_other_libraries_would_write_another_file(prefix: str, tmp_path: Path) -> None:
    """Byte for byte what the safetensors package writes; members as `numpy.savez` writes them."""
    ckptfast.convert(prefix, tmp_path / "m.safetensors")
    arrays = {name: np.asarray(value) for name, value in TENSORS.items()}
    assert (tmp_path / "m.safetensors").read_bytes() == safetensors.numpy.save(arrays)
    ckptfast.convert(prefix, tmp_path / "m.npz")
    np.savez(tmp_path / "theirs.npz", **TENSORS)
    with (
        zipfile.ZipFile(tmp_path / "m.npz") as ours,
        zipfile.ZipFile(tmp_path / "theirs.npz") as theirs,
    ):
        assert sorted(ours.namelist()) == sorted(theirs.namelist())
        for name in ours.namelist():
            assert ours.read(name) == theirs.read(name)


@pytest.mark.parametrize("name", FORMATS[:2])
def test_the_same_values_make_another_file_the_next_day(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ckptfast.convert(prefix, tmp_path / name)
    first = (tmp_path / name).read_bytes()
    later = time.time() + 86400
    monkeypatch.setattr(time, "time", lambda: later)
    ckptfast.convert(tmp_path / name, tmp_path / f"again-{name}")
    assert (tmp_path / f"again-{name}").read_bytes() == first


def test_names_are_chosen_after_they_changed_or_optimizers_stay(
    prefix: str, tmp_path: Path
) -> None:
    report = ckptfast.convert(
        prefix,
        tmp_path / "m.safetensors",
        include=["conv/", "global_step", "beta1_power"],
        exclude=[":slots", re.compile("step$")],
        rename={"conv/": "features.0/", "conv/bias": "features.0.bias"},
    )
    found = read(report.path)
    # An exact `include` beats the word and the expression.
    assert set(found) == {"features.0/kernel", "features.0.bias", "global_step", "beta1_power"}
    assert report.renamed == {
        "features.0/kernel": "conv/kernel",
        "features.0.bias": "conv/bias",
    }
    assert report.skipped["conv/kernel/Adam"] == "excluded as an optimizer's"
    assert report.skipped["scale"] == "not included"
    assert len(found) + len(report.skipped) == len(TENSORS)


def test_the_report_does_not_say_what_happened(prefix: str, tmp_path: Path) -> None:
    report = ckptfast.convert(
        prefix,
        tmp_path / "m.npz",
        exclude=":slots",
        rename={"scale": None, "global_step": "step"},
        dtype={"conv/": "float16"},
    )
    assert os.fspath(report) == str(tmp_path / "m.npz")
    head, *lines = str(report).splitlines()
    assert head == f"{tmp_path}/m.npz (npz) from {prefix}"
    assert re.fullmatch(r"written +5  0\.0 MiB in \d\.\d{3} s", lines[0])
    assert lines[1:] == [
        "renamed             1  global_step as step",
        "cast                2  float32 to float16: conv/bias, conv/kernel",
        "skipped             2  excluded as an optimizer's: beta1_power, conv/kernel/Adam",
        "skipped             1  dropped by rename: scale",
    ]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"include": "conv/kernal"},
            ValueError,
            "no tensor matches conv/kernal .nearest: conv/ker",
        ),
        ({"include": "scale", "exclude": "scale"}, ValueError, "there are no tensors to convert"),
        ({"exclude": ":optimizer"}, ValueError, "knows the word ':slots'"),
        (
            {"rename": {"conv": "x"}},
            ckptfast.NotFoundError,
            "nothing to write of the name:\n  conv",
        ),
        ({"rename": {"scale": "conv/bias"}, "dtype": "float99"}, ValueError, "float99"),
        ({"rename": {"scale": "x", "empty": "x"}}, ValueError, "would all become 'x'"),
        (
            {"rename": {"scale": "empty"}},
            ValueError,
            "'empty' and 'scale' .* would all become 'empty'; .* rename={'empty': None, …} or "
            "exclude='empty'",
        ),
        ({"rename": {"conv/": "c/", "scale": "c/bias"}}, ValueError, "would all become 'c/bias'"),
        ({"verify": "yes"}, TypeError, "verify is True or False, not 'yes'"),
        ({"moving_averages": "no"}, TypeError, "moving_averages is True or False, not 'no'"),
        ({"threads": 0}, ValueError, "threads is a positive number, not 0"),
        ({"threads": "2"}, TypeError, "threads is a whole number, not '2'"),
        ({"rename": {"scale": "__metadata__"}}, ValueError, "cannot be called '__metadata__'"),
        ({"rename": {"scale": "\udcff"}}, ValueError, "not valid UTF-8; rename it"),
        ({"dtype": {"scael": "float16"}}, ValueError, "no tensor matches scael .nearest: scale"),
        ({"dtype": {"global_step": "float32"}}, ValueError, "global_step is int64, which is not"),
        ({"dtype": "string"}, ValueError, "nothing is converted to string"),
        ({"dtype": 1}, TypeError, "dtype is the name of a type"),
        ({"dtype": {"scale": np.float16}}, TypeError, "given by its name"),
        ({"dtype": "int8"}, ValueError, "global_step has 12345, which int8 cannot hold"),
        ({"shards": 2}, ValueError, "shards and align are of bundles"),
        ({"align": 8}, ValueError, "shards and align are of bundles"),
        ({"by": "object"}, ValueError, "is name-based"),
        ({"durability": "much"}, ValueError, "durability must be"),
    ],
)
def test_a_mistake_writes_something(
    prefix: str,
    tmp_path: Path,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    target = tmp_path / "m.safetensors"
    target.write_bytes(b"old")
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(error, match=message):
        ckptfast.convert(prefix, target, **options)
    assert target.read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == before


def test_an_input_or_a_folder_is_missing(prefix: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ckptfast.convert(tmp_path / "nothing.safetensors", tmp_path / "m")
    with pytest.raises(FileNotFoundError, match="no folder"):
        ckptfast.convert(prefix, tmp_path / "no" / "m.npz")
    with pytest.raises(IsADirectoryError):
        ckptfast.convert(prefix, tmp_path, format="npz")
    with pytest.raises(ckptfast.UnsupportedError, match="not on a local file system"):
        ckptfast.convert(prefix, "gs://bucket/m.npz")
    ckptfast.convert(prefix, tmp_path / "new" / "folder" / "m")  # as `save` does
    with pytest.raises(ValueError, match="has no objects"):
        ckptfast.convert(ckptfast.convert(prefix, tmp_path / "m.npz"), tmp_path / "m", by="object")


def test_averages_are_not_what_load_gives(tmp_path: Path) -> None:
    tensors = {
        "w": np.full(3, 10, np.float32),
        f"w{SUFFIX}": np.full(3, 0.5, np.float32),
        f"w{SUFFIX}/w{SUFFIX}/biased": np.zeros(3, np.float32),
        "step": np.int64(7),
    }
    prefix = ckptfast.save(tmp_path / "given", tensors)
    for name in FORMATS:
        report = ckptfast.convert(
            prefix, tmp_path / name, moving_averages=True, rename={"w": "v"}, exclude="step"
        )
        assert_same(read(report.path), {"v": tensors[f"w{SUFFIX}"]})
        assert report.averaged == ("v",)
        assert "averaged            1  v" in str(report)
        # They are found in every kind of file.
        whole = ckptfast.convert(prefix, tmp_path / f"whole-{name}")
        report = ckptfast.convert(whole, tmp_path / "out.npz", moving_averages=True)
        assert_same(read(report.path), ckptfast.load(prefix, moving_averages=True))


def test_an_object_graph_names_what_is_not_there(tmp_path: Path, tf: ModuleType) -> None:
    root = tf.train.Checkpoint(v=tf.Variable([1.0, 2.0], name="weights"), n=tf.Variable(3))
    prefix = root.write(str(tmp_path / "given"))
    graph = "_CHECKPOINTABLE_OBJECT_GRAPH"
    # A bundle of everything is a whole checkpoint.
    report = ckptfast.convert(prefix, tmp_path / "all", dtype="float32")
    assert graph in report.written
    other = tf.train.Checkpoint(v=tf.Variable([0.0, 0.0]), n=tf.Variable(0))
    other.read(report.path).assert_consumed()
    assert other.v.numpy().tolist() == [1.0, 2.0] and int(other.n) == 3
    # A file of another kind, or a part, is not.
    keys = {name for name in ckptfast.open(prefix) if name != graph}
    report = ckptfast.convert(prefix, tmp_path / "m.npz")
    assert set(read(report.path)) == keys
    assert report.skipped == {graph: "names keys that are not written"}
    assert graph not in ckptfast.convert(prefix, tmp_path / "part", exclude="n/").written
    assert graph in ckptfast.convert(prefix, tmp_path / "part", include=[graph, "v/"]).written
    # With names there is none to begin with.
    report = ckptfast.convert(prefix, tmp_path / "m.safetensors", by="name", include="weights")
    assert_same(read(report.path), {"weights": np.float32([1, 2])})
    report = ckptfast.convert(prefix, tmp_path / "m.safetensors", by="object")
    assert {"v", "n"} <= set(read(report.path)) and not report.skipped


def test_old_and_divided_checkpoints_are_not_read(tmp_path: Path, tf: ModuleType) -> None:
    rows = np.arange(60, dtype=np.float32).reshape(10, 6)
    half = {"half": np.arange(3, dtype=np.float32)}
    tf_io.save_v1(tf, tmp_path / "old", {"rows": rows, **half})
    parts = [
        ckptfast.Tensor(rows[:3], slice="10 6 0,3:-"),
        ckptfast.Tensor(rows[3:], slice="10 6 3,7:-"),
    ]
    ckptfast.save(tmp_path / "parts", {"rows": parts, **half}, shards=2)
    for given in ("old", "parts"):
        for name in FORMATS:
            report = ckptfast.convert(tmp_path / given, tmp_path / f"new-{name}")
            assert_same(read(report.path), {"rows": rows, **half})
    assert ckptfast.open(tmp_path / "new-model").info("rows").slices == ()


def test_a_bundle_has_other_files_than_asked_for(prefix: str, tmp_path: Path) -> None:
    report = ckptfast.convert(prefix, tmp_path / "m", shards=3, align=1, durability="none")
    with ckptfast.open(report.path) as reader:
        assert reader.num_shards == 3
        names = [name for name in reader if name != "empty"]
        assert any((reader.info(name).offset or 0) % 64 for name in names)
    with ckptfast.open(ckptfast.convert(prefix, tmp_path / "m")) as reader:
        assert not any((reader.info(name).offset or 0) % 64 for name in names)


def test_arrays_of_other_layouts_are_not_read(tmp_path: Path) -> None:
    """Compressed, of Fortran's order, big-endian, of fixed-width strings."""
    arrays = {
        "fortran": np.asfortranarray(np.arange(12, dtype=np.int32).reshape(3, 4)),
        "big": np.arange(5, dtype=">f8"),
        "complex": np.array(1 + 2j),
    }
    np.savez(tmp_path / "plain.npz", **arrays)
    np.savez_compressed(tmp_path / "packed.npz", **arrays)
    for given in ("plain.npz", "packed.npz"):
        for name in ("m.npz", "m"):
            report = ckptfast.convert(tmp_path / given, tmp_path / f"new-{name}")
            assert_same(read(report.path), arrays)
        report = ckptfast.convert(tmp_path / given, tmp_path / "m.safetensors", exclude="complex")
        assert_same(read(report.path), {name: arrays[name] for name in ("big", "fortran")})
    np.savez(tmp_path / "text.npz", b=np.array([b"a", b"bc"]), u=np.array(["é"]))
    report = ckptfast.convert(tmp_path / "text.npz", tmp_path / "m")
    assert ckptfast.load(report.path)["b"].tolist() == [b"a", b"bc"]
    assert ckptfast.load(report.path)["u"].tolist() == ["é".encode()]
    assert report.nbytes == 5


def test_files_on_a_network_are_mapped(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [ckptfast.convert(prefix, tmp_path / name) for name in FORMATS[:2]]
    assert not _native.on_network(str(tmp_path / "model.npz"))
    with pytest.raises(FileNotFoundError):
        _native.on_network(str(tmp_path / "nothing"))
    monkeypatch.setattr("ckptfast._native.on_network", lambda path: True)
    monkeypatch.setattr("mmap.mmap", None)
    for number, file in enumerate(files):
        assert_same(ckptfast.load(ckptfast.convert(file, tmp_path / f"m{number}")), TENSORS)


def test_other_packages_are_needed(prefix: str, tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules.update(tensorflow=None, safetensors=None)\n"
        "import ckptfast\n"
        "file = ckptfast.convert(sys.argv[1], sys.argv[2] + '.safetensors')\n"
        "file = ckptfast.convert(file, sys.argv[2] + '.npz')\n"
        "print(len(ckptfast.load(ckptfast.convert(file, sys.argv[2]))))"
    )
    command = [sys.executable, "-c", program, prefix, str(tmp_path / "m")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(len(TENSORS))]


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_takes_the_old_file(
    prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    target = tmp_path / "out" / name
    target.parent.mkdir()
    ckptfast.convert(prefix, target, include="scale")
    before = {file: file.read_bytes() for file in target.parent.iterdir()}

    def full(*arguments: Any, **keywords: Any) -> Any:
        raise OSError(28, "No space left on device")

    # Files are made as long as they will be, before anything is written.
    where = {"model": "ckptfast._native.write", "model.npz": "zipfile._ZipWriteFile.write"}
    monkeypatch.setattr(where.get(name, "os.posix_fallocate"), full)
    with pytest.raises(OSError, match="No space left") as raised:
        ckptfast.convert(prefix, target)
    assert raised.value.filename == (None if name == "model" else str(target))
    assert {file: file.read_bytes() for file in target.parent.iterdir()} == before


@pytest.mark.xdist_group("alone")
@pytest.mark.parametrize("name", FORMATS[:2])
def test_a_killed_process_leaves_half_a_file(prefix: str, tmp_path: Path, name: str) -> None:
    big = {"w": np.arange(1 << 20, dtype=np.float32), "n": np.int64(0)}
    other = {name: value + 1 for name, value in big.items()}
    given = [ckptfast.save(tmp_path / f"big{n}", t) for n, t in enumerate((big, other))]
    program = (
        "import ckptfast, itertools, sys\n"
        "for given, _ in zip(itertools.cycle(sys.argv[2:]), sys.stdin):\n"
        "    ckptfast.convert(given, sys.argv[1], durability='none'); print(flush=True)"
    )
    command = [sys.executable, "-c", program, tmp_path / name, *given]
    for attempt in range(12):
        done = 1 + attempt % 2
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin and process.stdout
            process.stdin.write(b"\n" * (done + 1))  # the last one is killed, or has just ended
            process.stdin.flush()
            for _ in range(done):
                assert process.stdout.readline()
            time.sleep(attempt * 0.002)
            process.kill()
        tensors = read(tmp_path / name)
        which = int(tensors["n"])
        assert_same(tensors, (big, other)[which])


@pytest.mark.xdist_group("alone")
@pytest.mark.usefixtures("two_processors")
@pytest.mark.parametrize(
    ("given", "output", "dtype", "most"),
    [
        ("m", "o.safetensors", None, 32),
        ("m", "o.safetensors", "bfloat16", 160),
        ("m", "o.npz", None, 32),
        ("m.safetensors", "o", None, 32),
        ("m.npz", "o", None, 32),
    ],
)
def test_the_values_are_held_in_memory(
    tmp_path: Path,
    record_property: Any,
    given: str,
    output: str,
    dtype: str | None,
    most: int,
) -> None:
    tensors = {f"w{n}": np.ones((32 << 20) // 4, np.float32) for n in range(12)}
    ckptfast.save(tmp_path / "m", tensors, align=1, durability="none")
    if given != "m":
        ckptfast.convert(tmp_path / "m", tmp_path / given, durability="none")
    program = (
        "import ckptfast, sys, threading, time\n"
        "def anon():\n"
        "    lines = open('/proc/self/status').read().splitlines()\n"
        "    return next(int(line.split()[1]) for line in lines if line.startswith('RssAnon'))\n"
        "import ml_dtypes, zipfile\n"
        "most = before = anon(); done = False\n"
        "def watch():\n"
        "    global most\n"
        "    while not done: most = max(most, anon()); time.sleep(0.001)\n"
        "thread = threading.Thread(target=watch); thread.start()\n"
        "ckptfast.convert(*sys.argv[1:3], dtype=sys.argv[3] or None, durability='none')\n"
        "done = True; thread.join(); print((most - before) // 1024)"
    )
    command = [sys.executable, "-c", program, tmp_path / given, tmp_path / output, dtype or ""]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    grown = int(done.stdout)
    what = f"{given} to {output}" + (f" as {dtype}" if dtype else "")
    record_property("figure", f"convert 384 MiB, {what}: RssAnon grows by {grown} MiB")
    assert grown < most


def test_bfloat16_is_not_rounded_as_tensorflow_rounds(tmp_path: Path, tf: ModuleType) -> None:
    bits = np.random.default_rng(0).integers(0, 1 << 32, 1 << 16, dtype=np.uint32)
    numbers = bits.view(np.float32)
    # TensorFlow takes the smallest numbers for zero when it converts to float64.
    numbers = numbers[(np.abs(numbers) >= 2.0**-126) & (np.abs(numbers) < 6e4)]
    given = ckptfast.save(tmp_path / "m", {"w": numbers, "inf": np.float32([np.inf, np.nan])})
    for dtype in ("bfloat16", "float16", "float64"):
        found = ckptfast.load(ckptfast.convert(given, tmp_path / dtype, dtype=dtype))
        values.assert_same(found["w"], tf.cast(numbers, dtype).numpy(), dtype)
        assert np.isinf(found["inf"][0]) and np.isnan(found["inf"][1])


@pytest.mark.parametrize(
    ("value", "dtype", "shown"),
    [
        (np.float32([1, 70000]), "float16", "70000"),
        (np.float64([1e300]), "bfloat16", "1e.300"),
        (np.float32([449.0, np.inf]), "float8_e4m3fn", "inf"),
        (np.int32([0, -1]), "uint8", "-1"),
        (np.int64([-1]), "uint64", "-1"),
        (np.uint64([1 << 63]), "int64", "9223372036854775808"),
        (np.int32([7, 8]), "int4", "8"),
        (np.int16([-129]), "qint8", "-129"),
        (np.complex128([1e300j]), "complex64", "1e.300j"),
    ],
)
def test_a_value_that_does_not_fit_becomes_another(
    tmp_path: Path, value: Any, dtype: str, shown: str
) -> None:
    given = ckptfast.save(tmp_path / "m", {"layer/w": value})
    message = f"layer/w has .*{shown}.*, which {dtype} cannot hold"
    with pytest.raises(ValueError, match=message):
        ckptfast.convert(given, tmp_path / "new", dtype=dtype, rename={"layer/w": "w"})
    assert not (tmp_path / "new.index").exists()


def test_a_type_that_fits_is_refused(tmp_path: Path) -> None:
    given = ckptfast.save(
        tmp_path / "m",
        {
            "q": ckptfast.Tensor(np.int8([-128, 127]), dtype="qint8"),
            "i": np.array([-8, 7], ml_dtypes.int4),
            "u": np.uint64([0, 255]),
            "f8": np.array([-448, 0.5], ml_dtypes.float8_e4m3fn),
            "b": np.array([True]),
        },
    )
    wanted = {"?": "int8", "u": "uint8", "f8": "float32"}
    report = ckptfast.convert(given, tmp_path / "m.npz", dtype=wanted)
    assert_same(
        read(report.path),
        {
            "q": np.int8([-128, 127]),
            "i": np.int8([-8, 7]),
            "u": np.uint8([0, 255]),
            "f8": np.float32([-448, 0.5]),
            "b": np.array([True]),
        },
    )
    assert report.cast["q"] == ("qint8", "int8") and "b" not in report.cast
