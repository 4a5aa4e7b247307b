"""From whatever people pass to the files of one checkpoint, and what they are told otherwise."""

from __future__ import annotations

import errno
import gzip
import io
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ckptfast import (
    CheckpointError,
    DataLossError,
    UnsupportedError,
    _filetype,
    _native,
    _paths,
    _shards,
)
from ckptfast._filetype import FileType
from ckptfast._paths import Location, resolve
from stand_ins import FOOTER, bundle, entry, state, v1, v1_sharded, varint

# -------------------------------------------------------------------------- what people pass


@pytest.mark.parametrize(
    "suffix",
    ["", ".index", ".meta", ".data-00000-of-00002", ".data-00001-of-00002"],
)
def test_a_file_of_a_bundle_does_not_lead_to_it(tmp_path: Path, suffix: str) -> None:
    prefix = bundle(tmp_path / "model.ckpt-7", shards=2)
    Path(f"{prefix}.meta").write_bytes(b"\x0a\x05\x12\x00")
    assert resolve(prefix + suffix) == Location(prefix, "V2")


def test_a_file_that_is_not_there_does_not_lead_to_its_bundle(tmp_path: Path) -> None:
    prefix = bundle(tmp_path / "model", shards=2, missing=[1])
    assert resolve(f"{prefix}.meta") == Location(prefix, "V2")
    assert resolve(f"{prefix}.data-00001-of-00002") == Location(prefix, "V2")


@pytest.mark.parametrize("convert", [str, Path, os.fsencode, lambda path: "file://" + str(path)])
def test_a_kind_of_path_is_not_taken(tmp_path: Path, convert: Callable[[Path], object]) -> None:
    prefix = bundle(tmp_path / "model")
    assert resolve(convert(Path(prefix))) == Location(prefix, "V2")  # type: ignore[arg-type]


def test_a_file_url_is_misread(tmp_path: Path) -> None:
    prefix = bundle(tmp_path / "a b%20c")
    assert resolve(Path(prefix).as_uri()) == Location(prefix, "V2")
    assert resolve(f"FILE://localhost{prefix}") == Location(prefix, "V2")
    with pytest.raises(FileNotFoundError, match="three slashes"):
        resolve("file://server/model")


def test_a_name_that_is_not_utf8_is_lost(tmp_path: Path) -> None:
    prefix = bundle(tmp_path / os.fsdecode(b"caf\xe9"))
    assert resolve(os.fsencode(prefix)) == Location(prefix, "V2")


def test_a_prefix_that_ends_in_a_slash_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    prefix = bundle(tmp_path / "d" / "x").removesuffix("x")
    os.rename(f"{prefix}x.index", f"{prefix}.index")
    assert resolve(prefix) == Location(prefix, "V2")


def test_relative_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bundle(Path("model"))
    assert resolve("model") == Location("model", "V2")
    assert resolve("./model.index") == Location("./model", "V2")
    assert resolve(".") == Location("./model", "V2")


def test_a_prefix_is_a_pattern_before_it_is_a_name(tmp_path: Path) -> None:
    literal = bundle(tmp_path / "g[1]" / "x")
    other = bundle(tmp_path / "g1" / "x")
    assert resolve(literal) == Location(literal, "V2")
    shutil.rmtree(tmp_path / "g[1]")
    assert resolve(literal) == Location(other, "V2")


def test_a_pattern_of_several_checkpoints_picks_one(tmp_path: Path) -> None:
    bundle(tmp_path / "model-1")
    bundle(tmp_path / "model-2")
    with pytest.raises(ValueError, match=r"2 checkpoints \(.*model-1, .*model-2\)") as caught:
        resolve(tmp_path / "model-*")
    assert isinstance(caught.value, CheckpointError)
    assert caught.value.path == f"{tmp_path}/model-*"


def test_a_pattern_of_several_v1_files_mixes_them(tmp_path: Path) -> None:
    """TensorFlow takes them for parts of one checkpoint."""
    first, _ = v1(tmp_path / "model-1"), v1(tmp_path / "model-2")
    Path(f"{first}.meta").write_bytes(b"")
    with pytest.raises(ValueError, match=r"2 checkpoints \(.*model-1, .*model-2\)"):
        resolve(tmp_path / "model-*")
    assert resolve(tmp_path / "model-1*") == Location(first, "V1", (first,))


def test_a_v1_file_is_not_found(tmp_path: Path) -> None:
    path = v1(tmp_path / "model.ckpt")
    assert resolve(path) == Location(path, "V1", (path,))


@pytest.mark.parametrize("suffix", ["", "-?????-of-00003", "-00001-of-00003", ".meta"])
@pytest.mark.parametrize("folder", ["d", "d[1]"])
def test_shards_of_v1_are_not_found_together(tmp_path: Path, folder: str, suffix: str) -> None:
    (tmp_path / folder).mkdir()
    prefix = tmp_path / folder / "model.ckpt-9"
    files = v1_sharded(prefix, 3)
    Path(f"{prefix}.meta").write_bytes(b"\x0a\x05\x12\x00")
    assert resolve(f"{prefix}{suffix}") == Location(f"{prefix}-?????-of-00003", "V1", files)


@pytest.mark.parametrize("suffix", ["", "-?????-of-00003", "-00001-of-00003"])
def test_a_missing_v1_shard_is_passed_over(tmp_path: Path, suffix: str) -> None:
    files = v1_sharded(tmp_path / "m", 3)
    os.unlink(files[2])
    with pytest.raises(FileNotFoundError, match="a shard of the V1 checkpoint") as caught:
        resolve(f"{tmp_path}/m{suffix}")
    assert caught.value.filename == files[2]


def test_the_meta_graph_of_a_v1_file_does_not_lead_to_it(tmp_path: Path) -> None:
    path = v1(tmp_path / "model.ckpt")
    Path(f"{path}.meta").write_bytes(b"\x0a\x05\x12\x00")
    assert resolve(f"{path}.meta") == Location(path, "V1", (path,))


def test_an_index_passes_for_an_empty_v1_checkpoint(tmp_path: Path) -> None:
    prefix = bundle(tmp_path / "model")
    assert resolve(f"{prefix}.index").format == "V2"
    os.rename(f"{prefix}.index", tmp_path / "renamed")
    with pytest.raises(UnsupportedError, match="its name must be the prefix"):
        resolve(tmp_path / "renamed")
    os.rename(tmp_path / "renamed", f"{prefix}.index.tempstate123")
    with pytest.raises(UnsupportedError, match="left behind by a save that did not finish"):
        resolve(f"{prefix}.index.tempstate123")


def test_the_header_of_a_compressed_index_is_not_read(tmp_path: Path) -> None:
    block = entry(b"\x08\x03\x1a\x02\x08\x01") + b"\0\3\1abc"
    for tag in (bytes([len(block) - 1 << 2]), bytes([60 << 2, len(block) - 1])):
        snappy = varint(len(block)) + tag + block
        assert _native.shard_count(snappy) == 3


# -------------------------------------------------------------------------------- directories


def test_a_directory_does_not_give_the_checkpoint_its_state_names(tmp_path: Path) -> None:
    prefix = bundle(tmp_path / "m-1")
    bundle(tmp_path / "m-2")
    state(tmp_path / "checkpoint", "m-1", ["m-1", "m-2"])
    assert resolve(tmp_path) == Location(prefix, "V2")
    assert resolve(tmp_path / "checkpoint") == Location(prefix, "V2")


def test_another_state_file_is_not_recognised(tmp_path: Path) -> None:
    prefix = bundle(tmp_path / "best")
    state(tmp_path / "best_checkpoint", "best")
    assert resolve(tmp_path / "best_checkpoint") == Location(prefix, "V2")


@pytest.mark.parametrize("named", ["/elsewhere/m-1", "../gone/m-1", "C:\\\\train\\\\m-1"])
def test_a_moved_directory_is_not_followed(tmp_path: Path, named: str) -> None:
    prefix = bundle(tmp_path / "m-1")
    state(tmp_path / "checkpoint", named)
    assert resolve(tmp_path) == Location(prefix, "V2")


def test_the_state_of_v1_shards_is_not_followed(tmp_path: Path) -> None:
    files = v1_sharded(tmp_path / "m-3", 2)
    state(tmp_path / "checkpoint", "m-3-?????-of-00002")
    assert resolve(tmp_path) == Location(f"{tmp_path}/m-3-?????-of-00002", "V1", files)


def test_an_incomplete_checkpoint_is_the_latest(tmp_path: Path) -> None:
    bundle(tmp_path / "m-1")
    whole = bundle(tmp_path / "m-2", shards=2)
    bundle(tmp_path / "m-3", shards=2, missing=[1])
    state(tmp_path / "checkpoint", "m-3", ["m-1", "m-2", "m-3"])
    with pytest.warns(RuntimeWarning, match=r"m-3 is not whole \(.*m-3.data-00001-of-00002 ") as w:
        assert resolve(tmp_path) == Location(whole, "V2")
    assert w[0].filename == __file__, "the warning does not point at the caller"


def test_checkpoints_that_the_state_does_not_list_are_overlooked(tmp_path: Path) -> None:
    # tf.train.Checkpoint.save lists nothing but the latest one.
    whole = bundle(tmp_path / "ckpt-2")
    bundle(tmp_path / "ckpt-1")
    bundle(tmp_path / "best-9")
    bundle(tmp_path / "ckpt-3", missing=[0])
    state(tmp_path / "checkpoint", "ckpt-3", ["ckpt-3"])
    with pytest.warns(RuntimeWarning, match="ckpt-3 is not whole"):
        assert resolve(tmp_path) == Location(whole, "V2")


@pytest.mark.parametrize("damage", ["truncated", "empty", "gone"])
def test_a_damaged_index_is_the_latest(tmp_path: Path, damage: str) -> None:
    whole = bundle(tmp_path / "m-1")
    index = Path(bundle(tmp_path / "m-2") + ".index")
    if damage == "gone":
        index.unlink()
    else:
        index.write_bytes(index.read_bytes()[:-1] if damage == "truncated" else b"")
    state(tmp_path / "checkpoint", "m-2", ["m-1", "m-2"])
    with pytest.warns(RuntimeWarning, match="m-2 is not whole"):
        assert resolve(tmp_path) == Location(whole, "V2")


def test_nothing_whole_is_opened_all_the_same(tmp_path: Path) -> None:
    bundle(tmp_path / "m-1", missing=[0])
    state(tmp_path / "checkpoint", "m-1")
    with pytest.warns(RuntimeWarning), pytest.raises(FileNotFoundError, match="no whole"):
        resolve(tmp_path)
    with pytest.warns(RuntimeWarning), pytest.raises(FileNotFoundError, match="m-1"):
        resolve(tmp_path / "checkpoint")


@pytest.mark.parametrize(
    "named",
    ["\\0", "a\\0b", "*", "[", "?" * 9, "..", "/", ".", "~", "checkpoint", "x" * 5000, "/\\0/*",
     "gs://bucket/m", "file:///m", "m-1/", "m-1.index", "\\377"],
)  # fmt: skip
def test_an_odd_name_in_a_state_file_breaks_the_search(tmp_path: Path, named: str) -> None:
    state(tmp_path / "checkpoint", named, [named, "[*", "\\0*"])
    for path in (tmp_path, tmp_path / "checkpoint"):
        with pytest.warns(RuntimeWarning, match="not whole"), pytest.raises(FileNotFoundError):
            resolve(path)
    prefix = bundle(tmp_path / "m-1")
    if named != "*":  # matches several files, none of them a V1 checkpoint
        with pytest.warns(RuntimeWarning, match="not whole"):
            assert resolve(tmp_path) == Location(prefix, "V2")


def test_a_directory_without_state_gives_an_old_checkpoint(tmp_path: Path) -> None:
    for step, age in ((9, 30), (100, 20), (20, 10)):
        prefix = bundle(tmp_path / f"m-{step}")
        os.utime(f"{prefix}.index", (1e9 - age, 1e9 - age))
    # Copied files: the order of their times means nothing.
    assert resolve(tmp_path) == Location(f"{tmp_path}/m-100", "V2")
    os.utime(bundle(tmp_path / "other") + ".index", (1e9 - 25, 1e9 - 25))
    # Names of two kinds: their steps cannot be compared.
    assert resolve(tmp_path) == Location(f"{tmp_path}/m-20", "V2")


def test_a_directory_of_v1_files_seems_empty(tmp_path: Path) -> None:
    files = v1_sharded(tmp_path / "export", 2)
    (tmp_path / "export.meta").write_bytes(b"\x0a\x05\x12\x00")
    assert resolve(tmp_path) == Location(f"{tmp_path}/export-?????-of-00002", "V1", files)
    for file in files:
        os.unlink(file)
    single = v1(tmp_path / "model.ckpt-5")
    assert resolve(tmp_path) == Location(single, "V1", (single,))


def test_a_broken_state_file_hides_the_checkpoints(tmp_path: Path) -> None:
    prefix = bundle(tmp_path / "m-1")
    (tmp_path / "checkpoint").write_text("model_checkpoint_path: oops")
    with pytest.warns(RuntimeWarning, match="not a state file: line 1"):
        assert resolve(tmp_path) == Location(prefix, "V2")
    with pytest.raises(DataLossError, match="not a state file: line 1"):
        resolve(tmp_path / "checkpoint")


def test_a_saved_model_is_not_found(tmp_path: Path) -> None:
    prefix = bundle(tmp_path / "variables" / "variables")
    assert resolve(tmp_path) == Location(prefix, "V2")
    for name, content in (("saved_model.pb", b"\x08\x01\x12\x05"), ("saved_model.pbtxt", b"x")):
        (tmp_path / name).write_bytes(content)
        assert resolve(tmp_path) == Location(prefix, "V2")
        assert resolve(tmp_path / name) == Location(prefix, "V2")
    assert resolve(tmp_path / "variables") == Location(prefix, "V2")
    shutil.rmtree(tmp_path / "variables")
    with pytest.raises(FileNotFoundError, match="this SavedModel has no variables"):
        resolve(tmp_path)


def test_a_model_of_several_versions_gives_no_hint(tmp_path: Path) -> None:
    bundle(tmp_path / "00000123" / "variables" / "variables")
    (tmp_path / "00000123" / "saved_model.pb").write_bytes(b"\x08\x01\x12\x05")
    with pytest.raises(FileNotFoundError, match=r"did you mean .*00000123\?"):
        resolve(tmp_path)


# --------------------------------------------------------------------------------- wrong things


def zip_of(name: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, b"{}")
    return out.getvalue()


SAFETENSORS = struct.pack("<Q", 54) + b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
WRONG = [
    (b"", FileType.EMPTY, DataLossError, "cut short"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
     FileType.LFS_POINTER, DataLossError, "git lfs pull"),
    (b"\n <!DOCTYPE html><html>", FileType.HTML, DataLossError, "download went wrong"),
    (b"<HTML><HEAD>", FileType.HTML, DataLossError, "download went wrong"),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied', FileType.XML, DataLossError, "download"),
    (b'{"error": "not found"}', FileType.JSON, UnsupportedError, "JSON"),
    (b"\x89HDF\r\n\x1a\n" + bytes(90), FileType.HDF5, UnsupportedError, "h5py"),
    (SAFETENSORS + bytes(4), FileType.SAFETENSORS, UnsupportedError, "ckptfast.convert"),
    (b"\x93NUMPY\x01\x00", FileType.NPY, UnsupportedError, "numpy.load"),
    (zip_of("w.npy"), FileType.NPZ, UnsupportedError, "ckptfast.convert"),
    (zip_of("metadata.json"), FileType.KERAS, UnsupportedError, "Keras"),
    (zip_of("archive/data.pkl"), FileType.TORCH, UnsupportedError, "torch.load"),
    (zip_of("readme.txt"), FileType.ZIP, UnsupportedError, "unpack it"),
    (pickle.dumps({"w": 1}), FileType.PICKLE, UnsupportedError, "pickle"),
    (pickle.dumps([1], protocol=2), FileType.PICKLE, UnsupportedError, "pickle"),
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", FileType.TORCH, UnsupportedError, "torch.load"),
    (gzip.compress(b"x", mtime=0), FileType.COMPRESSED, UnsupportedError, "decompress"),
    (bytes(257) + b"ustar\x0000" + bytes(300), FileType.TAR, UnsupportedError, "unpack it"),
    (bytes(4) + b"TFL3" + bytes(20), FileType.TFLITE, UnsupportedError, "TensorFlow Lite"),
    (b"node {\n  name: 'x'\n}", FileType.TEXT_GRAPH, UnsupportedError, "no values"),
    (b"\x0a\x10\x12\x0e\x0a\x0c", FileType.META_GRAPH, UnsupportedError, "no values"),
    (b"\x0a\x11\x0a\x01x\x12\x05Const", FileType.GRAPH_DEF, UnsupportedError, "frozen"),
    (b"\x08\x01\x12\x90\x03", FileType.SAVED_MODEL, UnsupportedError, "its directory"),
    (entry(b"\x08\x01\x1a\x02\x08\x01") + bytes(500), FileType.CUT_TABLE, DataLossError, "cut"),
    (bytes(range(1, 200)), FileType.UNKNOWN, DataLossError, "bad magic number"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "kind", "error", "advice"), WRONG, ids=lambda v: str(v)[:24])
@pytest.mark.parametrize("name", ["weights", "model.index", "model.meta"])
def test_a_wrong_file_is_not_recognised(
    tmp_path: Path, content: bytes, kind: FileType, error: type[Exception], advice: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert _filetype.of_file(str(path)) is kind
    with pytest.raises(error, match=advice) as caught:
        resolve(path)
    assert str(path) in str(caught.value)
    assert kind.value in str(caught.value)


def test_a_git_lfs_pointer_in_the_place_of_data_is_opened(tmp_path: Path) -> None:
    prefix = bundle(tmp_path / "m")
    Path(f"{prefix}.data-00000-of-00001").write_bytes(WRONG[1][0])
    with pytest.raises(DataLossError, match="git lfs pull") as caught:
        resolve(prefix)
    assert caught.value.path == f"{prefix}.data-00000-of-00001"


def test_a_fifo_blocks(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataLossError):
        resolve(tmp_path / "pipe")


def test_data_without_an_index_is_not_explained(tmp_path: Path) -> None:
    prefix = bundle(tmp_path / "m", shards=2)
    os.unlink(f"{prefix}.index")
    for path in (prefix, f"{prefix}.index", f"{prefix}.data-00001-of-00002"):
        with pytest.raises(FileNotFoundError, match="the save did not finish") as caught:
            resolve(path)
        assert caught.value.filename == f"{prefix}.index"


def test_a_meta_graph_alone_is_not_explained(tmp_path: Path) -> None:
    (tmp_path / "m.meta").write_bytes(b"\x0a\x10\x12\x0e\x0a\x0c")
    with pytest.raises(UnsupportedError, match=r"there is no checkpoint .*/m beside it"):
        resolve(tmp_path / "m.meta")


def test_a_typing_mistake_gets_no_hint(tmp_path: Path) -> None:
    for step in (100, 200):
        bundle(tmp_path / f"model.ckpt-{step}")
    for typed in ("model.ckpt-10", "model.ckpt", "modle.ckpt-100"):
        with pytest.raises(FileNotFoundError, match=r"did you mean .*model\.ckpt-100") as caught:
            resolve(tmp_path / typed)
        assert caught.value.errno == errno.ENOENT
        assert caught.value.filename == str(tmp_path / typed)
    with pytest.raises(FileNotFoundError, match=r"nearby: model\.ckpt-200, model\.ckpt-100"):
        resolve(tmp_path / "zzz")


def test_a_missing_folder_is_not_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"there is no 'runs' in {tmp_path}"):
        resolve(tmp_path / "runs" / "7" / "model")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="nor any other beside it"):
        resolve(tmp_path / "empty" / "model")
    with pytest.raises(FileNotFoundError, match="no whole checkpoint in this directory"):
        resolve(tmp_path / "empty")


@pytest.mark.parametrize(
    "path", ["x" * 300, "a/" * 3000 + "b", "nul\0byte", "nul\0byte/m"], ids=len
)
def test_an_impossible_name_raises_something_odd(tmp_path: Path, path: str) -> None:
    with pytest.raises(FileNotFoundError):
        resolve(f"{tmp_path}/{path}")


def test_an_empty_path_means_something() -> None:
    with pytest.raises(ValueError, match="must not be empty"):
        resolve("")


def test_a_folder_nobody_may_enter_seems_empty(tmp_path: Path) -> None:
    prefix = bundle(tmp_path / "closed" / "m")
    (tmp_path / "closed").chmod(0)
    try:
        if os.access(prefix + ".index", os.F_OK):
            # Root may enter; the rule is then that of the directory's owner.
            assert resolve(prefix).prefix == prefix
        else:
            with pytest.raises(PermissionError):
                resolve(prefix)
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_a_hostile_header_asks_for_a_million_files(tmp_path: Path) -> None:
    prefix = bundle(tmp_path / "m")
    Path(f"{prefix}.index").write_bytes(entry(b"\x08\xff\xff\xff\xff\x07") + bytes(20) + FOOTER)
    assert resolve(prefix) == Location(prefix, "V2")  # the reader has more to say about it
    assert _shards.data_files(prefix) is None
    v1(tmp_path / "x-00000-of-99999999")
    with pytest.raises(DataLossError, match="99999999 shards"):
        resolve(tmp_path / "x-00000-of-99999999")


@pytest.mark.parametrize("url", ["gs://bucket/m", "s3://bucket/m", "ram://m", "HDFS://host/m"])
def test_a_remote_path_is_taken_for_a_local_one(url: str) -> None:
    assert _paths.scheme(url) == url.split(":")[0].lower()
    with pytest.raises(UnsupportedError, match="not on a local file system"):
        resolve(url)


def test_a_real_checkpoint_is_not_recognised(real: Path) -> None:
    seen = 0
    for index in real.rglob("*.index"):
        prefix = str(index).removesuffix(".index")
        assert resolve(index) == Location(prefix, "V2")
        assert _shards.data_files(prefix) == tuple(sorted(map(str, index.parent.glob(
            f"{index.name.removesuffix('.index')}.data-*"
        ))))  # fmt: skip
        assert resolve(index.parent).prefix == prefix
        seen += 1
    assert seen > 20
    single = real / "serving-session-bundle-v1/half_plus_two/00000123/export-00000-of-00001"
    assert resolve(single).files == (str(single),)
    assert resolve(single.parent).files == (str(single),)


def test_a_file_beside_a_real_checkpoint_is_taken_for_one(real: Path) -> None:
    kinds = {
        "*.meta": FileType.META_GRAPH,
        "saved_model.pb": FileType.SAVED_MODEL,
        "saved_model.pbtxt": FileType.TEXT_GRAPH,
        "graph.pbtxt": FileType.TEXT_GRAPH,
        "frozen.pb": FileType.GRAPH_DEF,
        "*.tflite": FileType.TFLITE,
        "checkpoint": FileType.STATE,
    }
    for pattern, kind in kinds.items():
        found = [path for path in real.rglob(pattern) if path.is_file()]
        assert found, pattern
        assert {_filetype.of_file(str(path)) for path in found} == {kind}, pattern


def test_a_disk_that_fails_is_named_by_the_file_it_failed_on() -> None:
    with pytest.raises(OSError, match="/proc/self/mem") as caught:
        resolve("/proc/self/mem")  # reading its beginning is an I/O error
    assert caught.value.errno == errno.EIO
