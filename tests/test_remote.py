"""Checkpoints on other file systems, with TensorFlow's in-memory one in the place of a bucket."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast
from ckptfast import DataLossError, UnsupportedError, _paths, _remote, _shards
from stand_ins import bundle, state, v1, v1_sharded

_numbers = itertools.count()


class Bucket:
    """A directory on `ram://`."""

    def __init__(self, tf: ModuleType) -> None:
        self.files = tf.io.gfile
        self.url = f"ram://bucket{next(_numbers)}/run"
        self.files.makedirs(self.url)

    def put(self, folder: Path) -> None:
        """Copy everything below a local folder."""
        for path in sorted(folder.rglob("*")):
            target = f"{self.url}/{path.relative_to(folder)}"
            if path.is_dir():
                self.files.makedirs(target)
            else:
                self.files.copy(str(path), target, overwrite=True)

    def write(self, name: str, content: bytes) -> None:
        """Replace a file. (Opened for writing, `ram://` would keep what is there.)"""
        self.files.remove(f"{self.url}/{name}")
        with self.files.GFile(f"{self.url}/{name}", "wb") as file:
            file.write(content)

    def names(self) -> list[str]:
        return sorted(self.files.listdir(self.url))


@pytest.fixture
def bucket(tf: ModuleType) -> Bucket:
    return Bucket(tf)


def fallbacks() -> int:
    return ckptfast.stats().fallbacks.get("remote file system: ram", 0)


@pytest.mark.parametrize("suffix", ["", ".index", ".meta", ".data-00001-of-00002"])
def test_a_remote_bundle_is_not_copied_whole(tmp_path: Path, bucket: Bucket, suffix: str) -> None:
    prefix = Path(bundle(tmp_path / "m", shards=2))
    bundle(tmp_path / "other")
    bucket.put(tmp_path)
    before = fallbacks()
    with _remote.localize(f"{bucket.url}/m{suffix}") as local:
        found = _paths.resolve(local.path)
        folder = Path(found.prefix).parent
        assert sorted(os.listdir(folder)) == [
            "m.data-00000-of-00002", "m.data-00001-of-00002", "m.index",
        ]  # fmt: skip
        for path in folder.iterdir():
            assert path.read_bytes() == (prefix.parent / path.name).read_bytes()
        assert folder.stat().st_mode & 0o077 == 0, "others may look into the copy"
    assert not folder.exists()
    assert fallbacks() == before + 1


def test_a_copy_outlives_its_reader(tmp_path: Path, bucket: Bucket) -> None:
    bundle(tmp_path / "m")
    bucket.put(tmp_path)
    local = _remote.localize(f"{bucket.url}/m")
    folder = Path(local.path).parent
    local.close()
    local.close()
    assert not folder.exists()


def test_a_missing_data_file_stops_the_copy(tmp_path: Path, bucket: Bucket) -> None:
    bundle(tmp_path / "m", shards=2, missing=[1])
    bucket.put(tmp_path)
    with _remote.localize(f"{bucket.url}/m") as local:
        assert _paths.resolve(local.path).format == "V2"


@pytest.mark.parametrize("suffix", ["", "/", "/checkpoint"])
def test_the_latest_of_a_remote_directory_is_not_found(
    tmp_path: Path, bucket: Bucket, suffix: str
) -> None:
    for step in (1, 2):
        bundle(tmp_path / f"m-{step}")
    state(tmp_path / "checkpoint", "m-1", ["m-1", "m-2"])
    bucket.put(tmp_path)
    with _remote.localize(bucket.url + suffix) as local:
        assert os.path.basename(_paths.resolve(local.path).prefix) == "m-1"


def test_an_incomplete_remote_checkpoint_is_the_latest(tmp_path: Path, bucket: Bucket) -> None:
    bundle(tmp_path / "m-1")
    bundle(tmp_path / "m-2", shards=3, missing=[2])
    state(tmp_path / "checkpoint", "m-2", ["m-1", "m-2"])
    bucket.put(tmp_path)
    with pytest.warns(RuntimeWarning, match="m-2 is not whole"):
        assert ckptfast.latest_checkpoint(bucket.url) == f"{bucket.url}/m-1"
    bucket.files.remove(f"{bucket.url}/checkpoint")
    assert ckptfast.latest_checkpoint(bucket.url) is None
    with _remote.localize(bucket.url) as local:
        assert os.path.basename(_paths.resolve(local.path).prefix) == "m-1"


def test_a_remote_saved_model_is_not_found(tmp_path: Path, bucket: Bucket) -> None:
    bundle(tmp_path / "variables" / "variables")
    (tmp_path / "saved_model.pb").write_bytes(b"\x08\x01\x12\x05")
    bucket.put(tmp_path)
    for url in (bucket.url, f"{bucket.url}/saved_model.pb"):
        with _remote.localize(url) as local:
            assert os.path.basename(_paths.resolve(local.path).prefix) == "variables"


@pytest.mark.parametrize("name", ["s-?????-of-00003", "s-00001-of-00003"])
def test_remote_v1_shards_are_not_copied_together(
    tmp_path: Path, bucket: Bucket, name: str
) -> None:
    v1_sharded(tmp_path / "s", 3)
    bucket.put(tmp_path)
    with _remote.localize(f"{bucket.url}/{name}") as local:
        assert len(_paths.resolve(local.path).files) == 3


def test_a_remote_v1_file_is_not_copied(tmp_path: Path, bucket: Bucket) -> None:
    v1(tmp_path / "single")
    bucket.put(tmp_path)
    with _remote.localize(f"{bucket.url}/single") as local:
        assert _paths.resolve(local.path).files == (local.path,)


def test_a_wrong_remote_file_is_downloaded(tmp_path: Path, bucket: Bucket) -> None:
    (tmp_path / "w.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    (tmp_path / "empty").mkdir()
    (tmp_path / "checkpoint").write_text("oops: 1")
    bucket.put(tmp_path)
    with pytest.raises(UnsupportedError, match=rf"{bucket.url}/w.h5: this is an HDF5 file"):
        _remote.localize(f"{bucket.url}/w.h5")
    with pytest.raises(DataLossError, match="checkpoint: not a state file"):
        _remote.localize(bucket.url)
    for missing in ("nothing", "empty", "empty/m", "v1-?????-of-00002"):
        with pytest.raises(FileNotFoundError):
            _remote.localize(f"{bucket.url}/{missing}")


def test_an_unknown_file_system_is_not_explained(tf: ModuleType) -> None:
    with pytest.raises(UnsupportedError, match="TensorFlow has no file system for it here"):
        _remote.localize("nosuch://bucket/m")


# -------------------------------------------------------------------------------------- saving


def test_an_upload_leaves_something_out(tmp_path: Path, bucket: Bucket) -> None:
    prefix = bundle(tmp_path / "m", shards=2)
    _remote.upload(prefix, f"{bucket.url}/new/m")
    bucket.url += "/new"
    assert bucket.names() == ["m.data-00000-of-00002", "m.data-00001-of-00002", "m.index"]


class Recorder:
    """The order in which remote files appear and disappear."""

    def __init__(self, files: Any) -> None:
        self.files = files
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.files, name)

    def publish(self, source: str, target: str) -> None:
        self.calls.append("+" + os.path.basename(target))
        self.files.publish(source, target)

    def remove(self, path: str) -> None:
        self.calls.append("-" + os.path.basename(path))
        self.files.remove(path)


@pytest.fixture
def recorder(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder(_remote.file_system(bucket.url))
    monkeypatch.setattr(_remote, "file_system", lambda url: recorder)
    return recorder


def test_an_index_appears_before_its_data(
    tmp_path: Path, bucket: Bucket, recorder: Recorder
) -> None:
    first = bundle(tmp_path / "first", shards=1)
    second = bundle(tmp_path / "second", shards=2)
    url = f"{bucket.url}/m"
    _remote.upload(first, url)
    assert recorder.calls == ["+m.data-00000-of-00001", "+m.index"]
    recorder.calls.clear()
    # Other names: the old bundle is whole until the new index replaces its own.
    _remote.upload(second, url)
    assert sorted(recorder.calls[:2]) == ["+m.data-00000-of-00002", "+m.data-00001-of-00002"]
    assert recorder.calls[2:] == ["+m.index", "-m.data-00000-of-00001"]
    assert bucket.names() == ["m.data-00000-of-00002", "m.data-00001-of-00002", "m.index"]
    recorder.calls.clear()
    # The same names: without its index, data that is being overwritten is no checkpoint.
    _remote.upload(second, url)
    assert (recorder.calls[0], recorder.calls[-1]) == ("-m.index", "+m.index")


def test_a_save_over_a_remote_bundle_takes_its_names(tmp_path: Path, bucket: Bucket) -> None:
    bundle(tmp_path / "m", shards=1)
    bucket.put(tmp_path)
    url = f"{bucket.url}/m"
    with _remote.staging(url) as (local, finish):
        assert os.path.basename(local) == "m"
        # What a writer sees: the names that are taken.
        folder = os.path.dirname(local)
        assert sorted(os.listdir(folder)) == ["m.data-00000-of-00001", "m.index"]
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        bundle(Path(local), shards=2)
        assert finish() == url
    assert not os.path.exists(folder)
    assert bucket.names() == ["m.data-00000-of-00002", "m.data-00001-of-00002", "m.index"]
    assert _shards.strip_suffix(url + ".index") == url


def test_an_unfinished_save_publishes_something(bucket: Bucket) -> None:
    with pytest.raises(ZeroDivisionError), _remote.staging(f"{bucket.url}/m") as (local, _):
        bundle(Path(local))
        raise ZeroDivisionError
    assert bucket.names() == []


def test_values_change_on_their_way_through_a_remote_file_system(bucket: Bucket) -> None:
    url = f"{bucket.url}/m"
    kept = []
    for turn, shards in enumerate((None, None, 3)):
        tensors = {f"w{i}": np.arange(turn, turn + 5, dtype=np.float32) for i in range(4)}
        assert ckptfast.save(url, tensors, shards=shards) == url
        loaded = ckptfast.load(url)
        assert {name: value.tolist() for name, value in loaded.items()} == {
            name: value.tolist() for name, value in tensors.items()
        }
        kept.append((loaded["w0"], turn))
        assert ckptfast.load_variable(url, "w3").tolist() == tensors["w3"].tolist()
    names = [name for name in bucket.names() if name != "m.index"]
    assert names == [f"m.data-0000{i}-of-00003" for i in range(3)], "old data was left behind"
    for array, turn in kept:  # arrays may be pages of a copy that has been removed
        assert array.tolist() == [float(turn + i) for i in range(5)]


def test_the_private_copy_is_named_in_place_of_the_url(tf: ModuleType, bucket: Bucket) -> None:
    url = f"{bucket.url}/m"
    ckptfast.save(url, {"w": np.arange(5, dtype=np.float32)})
    data = f"{url}.data-00000-of-00001"
    for path in (url, bucket.url, f"{url}.index"):
        with ckptfast.open(path) as reader:
            assert reader.prefix == url
            assert url in repr(reader)
            with pytest.raises(ckptfast.NotFoundError, match=f"not found in checkpoint {url}"):
                reader["q"]
    assert ckptfast.verify(url).prefix == url
    bucket.write("m.data-00000-of-00001", bytes(20))
    with pytest.raises(DataLossError) as caught:
        ckptfast.load(url)
    assert caught.value.path == data
    assert data in str(caught.value)
    (bad,) = ckptfast.verify(url).bad.values()
    assert isinstance(bad, DataLossError)
    assert (bad.path, data in str(bad)) == (data, True)
    bucket.files.remove(data)
    with pytest.raises(FileNotFoundError) as missing:
        ckptfast.load(url)
    assert missing.value.filename == data
    bucket.write("m.index", b"nothing of the kind")
    with pytest.raises(ckptfast.CheckpointError, match=f"{url}.index"):
        ckptfast.open(url)


def test_a_session_restored_from_elsewhere_reports_the_private_copy(
    tf: Any, bucket: Bucket
) -> None:
    url = f"{bucket.url}/m"
    ckptfast.save(url, {"w": np.arange(2, dtype=np.float32)})
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("w", [2])
        assert ckptfast.restore(session, url).path == url
        missing = v1.get_variable("other", [2])
        with pytest.raises(ckptfast.NotFoundError, match=url) as caught:
            ckptfast.restore(session, url, var_list=[missing])
        assert caught.value.path == url


def test_a_checkpoint_at_the_root_is_not_found(
    tf: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where "ram:" would be the name of a folder
    name = f"m{next(_numbers)}"
    url = ckptfast.save(f"ram://{name}", {"w": np.float32([1, 2])}, shards=1)
    try:
        for path in (url, f"{url}.index", f"{url}.data-00000-of-00001"):
            assert ckptfast.load(path)["w"].tolist() == [1, 2]
        ckptfast.update_checkpoint_state("ram://", url, [url])
        assert ckptfast.latest_checkpoint("ram://") == url
        assert ckptfast.load("ram://checkpoint")["w"].tolist() == [1, 2]
        assert ckptfast.load("ram://").keys() == {"w"}
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            w = tf.compat.v1.get_variable("w", [2])
            saver = ckptfast.Saver()
            saver.restore(session, url)
            assert session.run(w).tolist() == [1, 2]
            assert saver.save(session, url) == url
        reader = tf.compat.v1.train.NewCheckpointReader(url)
        assert reader.get_tensor("w").tolist() == [1, 2]
        assert os.listdir(tmp_path) == []
    finally:
        for path in [*tf.io.gfile.glob(f"{url}*"), "ram://checkpoint"]:
            tf.io.gfile.remove(path)


@pytest.mark.parametrize(
    ("path", "folder"),
    [("ram://m", "ram://"), ("hdfs:///m", "hdfs:///"), ("gs://b/m", "gs://b"), ("/a/m", "/a"),
     ("/m", "/"), ("m", ""), ("hdfs://host/m", "hdfs://host"), ("file:///m", "file:///")],
)  # fmt: skip
def test_the_folder_of_a_url_is_a_part_of_its_scheme(path: str, folder: str) -> None:
    assert _paths.parent(path) == folder


def test_a_property_of_a_copy_fails_with_its_private_name(tmp_path: Path) -> None:
    class Native:
        @property
        def num_shards(self) -> int:
            raise OSError(5, "Input/output error", str(tmp_path / "m.index"))

    reader = _remote.Names(str(tmp_path), "ram://run").reader(Native())
    with pytest.raises(OSError, match=r"ram://run/m\.index"):
        _ = reader.num_shards


# --------------------------------------------------------------------------- TensorFlow's names


def test_a_remote_directory_is_managed_differently(tmp_path: Path, bucket: Bucket) -> None:
    for step in (1, 2):
        bundle(tmp_path / f"m-{step}")
    bucket.put(tmp_path)
    paths = [f"{bucket.url}/m-1", f"{bucket.url}/m-2"]
    ckptfast.update_checkpoint_state(bucket.url, paths[1], paths)
    found = ckptfast.get_checkpoint_state(bucket.url)
    assert isinstance(found, ckptfast.CheckpointState)
    assert found.all_model_checkpoint_paths == paths
    assert ckptfast.latest_checkpoint(bucket.url) == f"{bucket.url}/m-2"
    assert ckptfast.checkpoint_exists(f"{bucket.url}/m-1")
    assert len(ckptfast.get_checkpoint_mtimes([f"{bucket.url}/m-1", f"{bucket.url}/m-9"])) == 1
    ckptfast.remove_checkpoint(f"{bucket.url}/m-1")
    assert not ckptfast.checkpoint_exists(f"{bucket.url}/m-1")
    assert ckptfast.get_checkpoint_state(f"{bucket.url}/none") is None


def test_without_tensorflow_nothing_says_what_to_install(tmp_path: Path) -> None:
    # A process that cannot import TensorFlow, wherever this one finds it.
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from ckptfast import _remote, UnsupportedError\n"
        "for call in (_remote.localize, lambda u: _remote.upload('/m', u)):\n"
        "    try: call('gs://bucket/m')\n"
        "    except UnsupportedError as error: assert 'ckptfast[tensorflow]' in str(error), error\n"
        "    else: raise SystemExit('opened')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


@pytest.mark.parametrize("url", ["ram://model", "gs://bucket/run/model"])
def test_what_is_shown_of_a_copy_is_the_url_with_both_slashes(url: str, tmp_path: Path) -> None:
    names = _remote.Names(str(tmp_path), _remote._folder(url))
    assert names.shown(str(tmp_path / "model")) == url
