"""`reshard`: the same values in other data files, in place, and the fingerprint of a SavedModel."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest

import ckptfast
from ckptfast import _fingerprint, _native
from helpers import values


def everything(path: Any) -> dict[str, Any]:
    """Values, types and slices of a checkpoint."""
    with ckptfast.open(path) as reader:
        infos = {name: reader.info(name) for name in reader}
        return {
            name: (info.dtype, info.shape, info.slices, reader[name].copy())
            for name, info in infos.items()
        }


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert list(ours) == list(theirs)
    for name, (*facts, value) in ours.items():
        assert facts == list(theirs[name][:3]), name
        values.assert_same(value, theirs[name][3], name)


def data_files(prefix: str | Path) -> list[str]:
    folder, name = os.path.split(prefix)
    return sorted(file for file in os.listdir(folder) if file.startswith(f"{name}.data-"))


def sliced(path: Path) -> str:
    """A checkpoint with slices, strings, a scalar, an empty tensor and a type NumPy lacks."""
    rows = numpy.arange(60, dtype=numpy.float32).reshape(10, 6)
    return ckptfast.save(
        path,
        {
            "parts": [
                ckptfast.Tensor(rows[:3], slice="10 6 0,3:-"),
                ckptfast.Tensor(rows[3:, :2], slice="10 6 3,7:0,2"),
                ckptfast.Tensor(rows[3:, 2:], slice="10 6 3,7:2,4"),
            ],
            "words": [
                ckptfast.Tensor([b"a", b""], slice="3 0,2"),
                ckptfast.Tensor([b"\0c"], slice="3 2,1"),
            ],
            "scalar": numpy.float64(1.5),
            "empty": numpy.zeros((0, 3), numpy.int16),
            "quantised": ckptfast.Tensor(numpy.arange(5, dtype=numpy.int8), dtype="qint8"),
            "half": numpy.arange(7, dtype=numpy.float16),
        },
        align=1,
    )


def test_values_slices_or_types_are_lost(tmp_path: Path, tf: ModuleType) -> None:
    prefix = sliced(tmp_path / "model")
    before = everything(prefix)
    assert before["parts"][2] and before["words"][2]
    for shards in (3, 1, 1, 2, None):
        count = len(data_files(prefix)) if shards is None else shards
        assert ckptfast.reshard(prefix, shards=shards) == prefix
        assert len(data_files(prefix)) == count
        assert sorted(os.listdir(tmp_path)) == [*data_files(prefix), "model.index"]
        assert_same(everything(prefix), before)
        assert ckptfast.verify(prefix)
    reader = tf.train.load_checkpoint(prefix)
    numpy.testing.assert_array_equal(reader.get_tensor("parts"), before["parts"][3])
    assert reader.get_tensor("half").tolist() == list(range(7))


def test_the_slices_have_other_keys(tmp_path: Path) -> None:
    prefix = sliced(tmp_path / "model")
    before = ckptfast.open(prefix)._raw_keys()
    ckptfast.reshard(prefix, shards=2)
    assert ckptfast.open(prefix)._raw_keys() == before


def test_tensors_are_not_aligned_or_not_packed(tmp_path: Path) -> None:
    prefix = sliced(tmp_path / "model")
    packed = Path(f"{prefix}.data-00000-of-00001").read_bytes()
    ckptfast.reshard(prefix)
    with ckptfast.open(prefix) as reader:
        offsets = [reader.info(name).offset for name in ("empty", "half", "quantised", "scalar")]
    assert [offset % 64 for offset in offsets if offset is not None] == [0] * 4
    ckptfast.reshard(prefix, align=1)
    assert Path(f"{prefix}.data-00000-of-00001").read_bytes() == packed


def test_every_path_of_a_checkpoint_works_but_one(tmp_path: Path) -> None:
    prefix = sliced(tmp_path / "model")
    before = everything(prefix)
    for path in (f"{prefix}.index", tmp_path, os.fsencode(prefix)):
        assert ckptfast.reshard(path, shards=1, durability="none") == prefix
    assert_same(everything(prefix), before)
    with pytest.raises(FileNotFoundError):
        ckptfast.reshard(tmp_path / "nothing")
    for shards in (0, 2**31):
        with pytest.raises(ValueError, match="shards is between"):
            ckptfast.reshard(prefix, shards=shards)


def test_a_v1_file_is_made_a_bundle_under_its_own_name(real: Path, tmp_path: Path) -> None:
    (found,) = real.rglob("export-00000-of-00001")
    copy = shutil.copy(found, tmp_path)
    with pytest.raises(ckptfast.UnsupportedError, match="load it and save it"):
        ckptfast.reshard(copy)
    assert os.listdir(tmp_path) == [found.name]


def test_damage_is_sealed_with_new_checksums(tmp_path: Path) -> None:
    prefix = sliced(tmp_path / "model")
    data = tmp_path / data_files(prefix)[0]
    content = bytearray(data.read_bytes())
    content[3] ^= 1
    data.write_bytes(content)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ckptfast.DataLossError):
        ckptfast.reshard(prefix, shards=2)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_failure_half_way_loses_the_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number stays, so the bundle is written twice; the second time the disk is full."""
    prefix = sliced(tmp_path / "model")
    before, calls = everything(prefix), []
    write = _native.write

    def failing(*arguments: Any, **keywords: Any) -> int:
        calls.append(keywords["shards"])
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return write(*arguments, **keywords)

    monkeypatch.setattr(_native, "write", failing)
    with pytest.raises(OSError, match="No space left"):
        ckptfast.reshard(prefix)
    assert calls == [None, 1]
    assert_same(everything(prefix), before)


@pytest.mark.xdist_group("alone")
@pytest.mark.usefixtures("two_processors")
def test_the_values_are_held_in_memory(tmp_path: Path) -> None:
    prefix = str(tmp_path / "model")
    rows = numpy.ones((64 << 20) // 4, numpy.float32)
    half = len(rows) // 2
    tensors = {f"w{n}": rows for n in range(4)}
    parts = [(0, rows[:half]), (half, rows[half:])]
    slices = [ckptfast.Tensor(p, slice=f"{len(rows)} {at},{len(p)}") for at, p in parts]
    ckptfast.save(prefix, {"a": numpy.int8(1), **tensors, "p": slices}, align=1, durability="none")
    program = (
        "import ckptfast, sys; ckptfast.reshard(sys.argv[1], durability='none');"
        "lines = open('/proc/self/status').read().splitlines();"
        "print(next(line.split()[1] for line in lines if line.startswith('RssAnon')),"
        " ckptfast.stats().bytes_copied)"
    )
    command = [sys.executable, "-c", program, prefix]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    anonymous, copied = map(int, result.stdout.split())
    assert anonymous < 64 << 10 and copied < 1 << 10
    assert (ckptfast.load(prefix, "p")["p"] == 1).all()


# ------------------------------------------------------------------------------- SavedModels


def with_fingerprint(real: Path) -> list[Path]:
    """SavedModels with one. (That of a model whose graph was left out says nothing.)"""
    found = sorted(path.parent for path in real.rglob("fingerprint.pb"))
    return [folder for folder in found if (folder / "saved_model.pb").exists()]


def checkpoint_hash(model: Path) -> int:
    """What the fingerprint says, as TensorFlow reads it."""
    import tensorflow as tf

    found: int = tf.saved_model.experimental.read_fingerprint(str(model)).checkpoint_hash
    return found


def computed_hash(model: Path) -> int:
    """What TensorFlow would write into a fingerprint of the files that are there now."""
    from tensorflow.core.protobuf import fingerprint_pb2
    from tensorflow.python.saved_model.pywrap_saved_model import fingerprinting

    message = fingerprinting.CreateFingerprintDef(str(model))
    found: int = fingerprint_pb2.FingerprintDef.FromString(message).checkpoint_hash
    return found


def test_the_fingerprint_is_not_tensorflows(real: Path, tmp_path: Path, tf: ModuleType) -> None:
    from tensorflow.core.protobuf import fingerprint_pb2

    kept = removed = changed = 0
    for number, model in enumerate(with_fingerprint(real)):
        copy = Path(shutil.copytree(model, tmp_path / str(number)))
        before, old = everything(copy), (copy / "fingerprint.pb").read_bytes()
        if checkpoint_hash(copy) != computed_hash(copy):  # one was wrong when it was published
            with pytest.warns(RuntimeWarning, match=r"fingerprint\.pb is removed"):
                ckptfast.reshard(copy, shards=2)
            assert not (copy / "fingerprint.pb").exists()
            removed += 1
        else:
            ckptfast.reshard(copy, shards=min(2, len(before)))
            assert checkpoint_hash(copy) == computed_hash(copy)
            changed += checkpoint_hash(copy) != checkpoint_hash(model)
            message = fingerprint_pb2.FingerprintDef.FromString(old)
            message.checkpoint_hash = computed_hash(copy)
            new = (copy / "fingerprint.pb").read_bytes()
            assert fingerprint_pb2.FingerprintDef.FromString(new) == message
            kept += 1
        assert_same(everything(copy), before)
    assert (kept, removed) == (3, 1) and changed


def test_the_fingerprint_is_of_what_was_there_before(
    real: Path, tmp_path: Path, tf: ModuleType
) -> None:
    model = next(
        item for item in with_fingerprint(real) if checkpoint_hash(item) == computed_hash(item)
    )
    for number, write in enumerate((ckptfast.save, merged)):
        copy = Path(shutil.copytree(model, tmp_path / str(number)))
        write(copy / "variables" / "variables", {"a": numpy.arange(9.0), "b": numpy.float32(1)})
        assert list(everything(copy)) == ["a", "b"]
        assert checkpoint_hash(copy) == computed_hash(copy) != checkpoint_hash(model)


def merged(prefix: Path, tensors: dict[str, Any]) -> str:
    """A bundle that was merged from one for each tensor."""
    parts = [
        ckptfast.save(prefix.parents[2] / name, {name: value}) for name, value in tensors.items()
    ]
    return ckptfast.merge(parts, prefix)


def test_real_saved_models_do_not_load_any_more(real: Path, tmp_path: Path, tf: ModuleType) -> None:
    compared = 0
    for number, file in enumerate(sorted(real.rglob("variables/variables.index"))):
        copy = Path(shutil.copytree(file.parent.parent, tmp_path / str(number)))
        before = everything(copy)
        (copy / "fingerprint.pb").unlink(missing_ok=True)
        shards = min(3, len(before))
        prefix = ckptfast.reshard(copy, shards=shards, durability="none")
        assert len(data_files(prefix)) == shards
        assert_same(everything(prefix), before)
        reader = tf.train.load_checkpoint(prefix)
        for name, (_, shape, _, value) in before.items():
            if value.dtype != object:
                numpy.testing.assert_array_equal(reader.get_tensor(name), value)
            assert reader.get_variable_to_shape_map()[name] == list(shape)
            compared += 1
    assert compared > 50


def test_real_saved_models_are_not_read_or_not_verified(real: Path) -> None:
    count = 0
    for graph in sorted(
        path for name in ("pb", "pbtxt") for path in real.rglob(f"saved_model.{name}")
    ):
        folder = graph.parent
        if not (folder / "variables" / "variables.index").exists():
            with pytest.raises(FileNotFoundError, match="this SavedModel has no variables"):
                ckptfast.open(folder)
            continue
        report = ckptfast.verify(folder)
        assert report and report.prefix == str(folder / "variables" / "variables")
        with ckptfast.open(graph) as reader:
            assert len(reader) == len(ckptfast.load(folder)) == report.tensors
        count += 1
    assert count > 10


@pytest.mark.xdist_group("alone")
def test_a_killed_process_leaves_a_broken_model_or_a_wrong_fingerprint(
    real: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    shutil.copytree(real / "dice-game-savedmodel-2024" / "policy", model)
    before = everything(model)
    program = (
        "import ckptfast, itertools, sys\n"
        "for n, _ in zip(itertools.cycle((1, 2, 3, 3)), sys.stdin):\n"
        "    ckptfast.reshard(sys.argv[1], shards=n, align=8); print(flush=True)"
    )
    command = [sys.executable, "-c", program, model]
    counts, kept = set(), 0
    for attempt in range(25):
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdin and process.stdout
            if attempt < 2:  # between two changes, where all is whole
                process.stdin.write(b"\n" * (attempt + 1))
                process.stdin.flush()
                for _ in range(attempt + 1):
                    assert process.stdout.readline()
            else:
                process.stdin.write(b"\n" * 1000)
                process.stdin.flush()
                assert process.stdout.readline()
                time.sleep(attempt * 0.003)
            process.kill()
        assert_same(everything(model), before)
        counts.add(ckptfast.open(model).num_shards)
        fingerprint = model / "fingerprint.pb"
        if fingerprint.exists():
            index = (model / "variables" / "variables.index").read_bytes()
            hashed = _fingerprint._checkpoint_hash(fingerprint.read_bytes())
            assert hashed == _native.fingerprint64(index)
            kept += 1
        else:  # as after a copy of the model that is whole
            shutil.rmtree(model)
            shutil.copytree(real / "dice-game-savedmodel-2024" / "policy", model)
    assert len(counts) > 1 and kept


class Model:
    """A SavedModel of one variable, by TensorFlow 2."""

    def __init__(self, tf: ModuleType, folder: Path) -> None:
        root = tf.train.Checkpoint(v=tf.Variable([1.0, 2.0]))
        tf.saved_model.save(root, str(folder))
        self.folder, self.prefix = folder, folder / "variables" / "variables"
        self.fingerprint = folder / "fingerprint.pb"


@pytest.fixture
def model(tf: ModuleType, tmp_path: Path) -> Model:
    return Model(tf, tmp_path / "model")


def test_tensorflow_does_not_load_what_was_written(model: Model, tf: ModuleType) -> None:
    ckptfast.reshard(model.folder, shards=2)
    assert tf.saved_model.load(str(model.folder)).v.numpy().tolist() == [1.0, 2.0]
    assert checkpoint_hash(model.folder) == computed_hash(model.folder)


def test_saving_over_the_variables_leaves_a_wrong_fingerprint(model: Model, tf: ModuleType) -> None:
    tensors = ckptfast.load(model.folder, copy=True)
    name = next(name for name in tensors if name.startswith("v/"))
    tensors[name] = numpy.float32([3, 4])
    ckptfast.save(model.prefix, tensors)
    assert tf.saved_model.load(str(model.folder)).v.numpy().tolist() == [3.0, 4.0]
    assert checkpoint_hash(model.folder) == computed_hash(model.folder)


def test_a_fingerprint_is_lost_when_writing_fails(model: Model) -> None:
    before = model.fingerprint.read_bytes()
    for align in (3, 1 << 20):
        with pytest.raises(ValueError, match="align"):
            ckptfast.reshard(model.folder, align=align)
        assert model.fingerprint.read_bytes() == before
    assert sorted(path.name for path in model.folder.iterdir() if path.is_file()) == [
        "fingerprint.pb",
        "saved_model.pb",
    ]


def test_an_unreadable_fingerprint_is_kept(model: Model) -> None:
    for content in (b"", b"\x28", b"\x0b", b"\x08\x01", b"\x3a\x7f", b"\xff" * 20):
        model.fingerprint.write_bytes(content)
        with pytest.warns(RuntimeWarning, match="TensorFlow loads the model without it"):
            ckptfast.reshard(model.folder, durability="none")
        assert not model.fingerprint.exists()


def test_another_folders_fingerprint_is_touched(tmp_path: Path) -> None:
    (tmp_path / "fingerprint.pb").write_bytes(b"mine")
    for name in ("variables/other", "other/variables"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        ckptfast.save(tmp_path / name, {"a": numpy.int8(1)})
        ckptfast.reshard(tmp_path / name)
    assert (tmp_path / "fingerprint.pb").read_bytes() == b"mine"


def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fingerprints that nobody may read: for the user of these tests there may be none."""

    def refuse(path: str, mode: str) -> Any:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(_fingerprint, "open", refuse, raising=False)


@pytest.mark.parametrize("how", ["save", "reshard", "Saver", "Saver by TensorFlow", "Checkpoint",
                                 "Checkpoint by TensorFlow"])  # fmt: skip
def test_a_fingerprint_that_nobody_may_read_is_noticed_when_the_variables_are_written(
    model: Model, tf: ModuleType, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    def save(prefix: str) -> None:
        if how == "save":
            ckptfast.save(prefix, {"v": numpy.float32([7])})
        elif how == "reshard":
            ckptfast.reshard(prefix, shards=2)
        elif how == "Checkpoint":
            ckptfast.Checkpoint(v=tf.Variable([7.0])).write(prefix)
        elif how == "Checkpoint by TensorFlow":
            with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
                ckptfast.Checkpoint(v=tf.Variable([7.0])).write(prefix)
        else:
            with tf.Graph().as_default(), tf.compat.v1.Session() as session:
                tf.compat.v1.get_variable("v", initializer=[7.0])
                session.run(tf.compat.v1.global_variables_initializer())
                saver = ckptfast.Saver(sharded=True)
                if how == "Saver by TensorFlow":
                    monkeypatch.setattr(saver, "_why_not_fast", lambda *_, **__: "a test")
                saver.save(session, prefix, write_meta_graph=False, write_state=False)

    unreadable(monkeypatch)
    before = {path: path.read_bytes() for path in model.folder.rglob("*") if path.is_file()}
    with pytest.raises(PermissionError, match="nothing was written") as caught:
        save(str(model.prefix))
    assert caught.value.filename == str(model.fingerprint)
    if how not in ("save", "reshard"):
        assert isinstance(caught.value, tf.errors.PermissionDeniedError)
    after = {path: path.read_bytes() for path in model.folder.rglob("*") if path.is_file()}
    assert after == before
