"""TensorFlow's functions for the checkpoints of a directory: its results, and where ours differ."""

from __future__ import annotations

import os
import shutil
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ckptfast
from ckptfast import _checkpoints, _latest
from stand_ins import bundle, state, v1, v1_sharded


@pytest.fixture(scope="session")
def train(tf: ModuleType) -> Any:
    """`tf.compat.v1.train`, without its warnings of deprecation."""
    tf.get_logger().setLevel("ERROR")
    return tf.compat.v1.train


def as_dict(found: Any) -> dict[str, Any] | None:
    """The fields of a state, ours or TensorFlow's."""
    if found is None:
        return None
    return {
        "latest": found.model_checkpoint_path,
        "all": list(found.all_model_checkpoint_paths),
        "times": list(found.all_model_checkpoint_timestamps),
        "preserved": found.last_preserved_timestamp,
    }


NAMES = st.sampled_from(["m-1", "m-2", "m-3", "sub/m-4", "é", "a b", "checkpoint2"])
SAVES = st.fixed_dictionaries(
    {
        "model_checkpoint_path": NAMES,
        "all_model_checkpoint_paths": st.none() | st.lists(NAMES, max_size=3),
        "last_preserved_timestamp": st.none() | st.floats(0, 2e9),
    }
)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory with folders to save to."""
    monkeypatch.chdir(tmp_path)
    for name in ("ours", "theirs", "ours/sub", "theirs/sub"):
        os.makedirs(name)
    yield tmp_path


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(save=SAVES, absolute=st.booleans(), joined=st.booleans(), timed=st.booleans())
def test_a_state_file_differs_from_tensorflows(
    train: Any, folders: Path, save: dict[str, Any], absolute: bool, joined: bool, timed: bool
) -> None:
    # The same folder for both, as its name goes into the file.
    folder = str(folders / "theirs") if absolute else "theirs"
    if joined:
        save["model_checkpoint_path"] = os.path.join(folder, save["model_checkpoint_path"])
        others = save["all_model_checkpoint_paths"]
        save["all_model_checkpoint_paths"] = others and [os.path.join(folder, o) for o in others]
    if timed:
        paths = list(save["all_model_checkpoint_paths"] or [])
        extra = not paths or paths[-1] != save["model_checkpoint_path"]
        save["all_model_checkpoint_timestamps"] = [1.5 * i for i in range(len(paths) + extra)]

    def copied() -> dict[str, Any]:
        return {key: list(v) if isinstance(v, list) else v for key, v in save.items()}

    results = []
    for module in (train, ckptfast):
        generated = module.generate_checkpoint_state_proto(folder, **copied())
        module.update_checkpoint_state(folder, **copied())
        text = Path(folder, "checkpoint").read_bytes()
        results.append((as_dict(generated), text.decode("utf-8")))
    theirs, ours = results
    assert ours[0] == theirs[0]
    # Recent protobuf writes "é" as it is, earlier ones and we in octal.
    assert ours[1] == theirs[1].replace("é", r"\303\251")


def test_the_callers_list_grows() -> None:
    paths = ["a"]
    ckptfast.generate_checkpoint_state_proto("/d", "b", paths)
    assert paths == ["a"]
    found = ckptfast.generate_checkpoint_state_proto("/d", "b", ("a",))
    assert found.all_model_checkpoint_paths == ["a", "b"]


def test_timestamps_of_another_number_are_taken(train: Any, tmp_path: Path) -> None:
    for module in (train, ckptfast):
        with pytest.raises(ValueError, match="Checkpoint timestamps, if provided, must match"):
            module.update_checkpoint_state(
                str(tmp_path), "a", ["b"], all_model_checkpoint_timestamps=[1.0]
            )


def test_a_checkpoint_is_overwritten_by_its_state_file(train: Any, tmp_path: Path) -> None:
    for module in (train, ckptfast):
        with pytest.raises(RuntimeError, match="conflicts with path used for checkpoint state"):
            module.update_checkpoint_state(str(tmp_path), f"{tmp_path}/checkpoint")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("form", ["absolute", "relative", "dot", "empty", "slash"])
def test_another_state_is_read_than_by_tensorflow(train: Any, folders: Path, form: str) -> None:
    folder = {
        "absolute": str(folders / "ours"),
        "relative": "ours",
        "dot": "./ours",
        "empty": "",
        "slash": "ours//",
    }[form]
    for step in (1, 2):
        bundle(Path(folder or ".", f"m-{step}"))
    absolute = str(folders / "theirs" / "m-9")
    bundle(Path(absolute))
    for latest in ("m-2", absolute):
        for name in (None, "other"):
            state(Path(folder, name or "checkpoint"), latest, ["m-1", absolute, "m-2"])
            theirs = train.get_checkpoint_state(folder, name)
            ours = ckptfast.get_checkpoint_state(folder, name)
            assert as_dict(ours) == as_dict(theirs)
            assert ckptfast.latest_checkpoint(folder, name) == train.latest_checkpoint(folder, name)


def test_a_directory_without_state_has_one(train: Any, tmp_path: Path) -> None:
    bundle(tmp_path / "m-1")
    for module in (train, ckptfast):
        for path in (str(tmp_path), str(tmp_path / "nowhere"), str(tmp_path / "m-1.index")):
            assert module.get_checkpoint_state(path) is None
            assert module.latest_checkpoint(path) is None


@pytest.mark.filterwarnings("ignore:.*is ignored")
def test_an_empty_name_of_the_state_file_means_checkpoint(
    tf: ModuleType, train: Any, tmp_path: Path
) -> None:
    state(tmp_path / "checkpoint", bundle(tmp_path / "m-1"), [])
    before = sorted(os.listdir(tmp_path))
    for module in (train, ckptfast):
        assert module.latest_checkpoint(str(tmp_path)) == str(tmp_path / "m-1")
        assert module.get_checkpoint_state(str(tmp_path), "") is None
        assert module.latest_checkpoint(str(tmp_path), "") is None
    with pytest.raises(tf.errors.FailedPreconditionError):
        ckptfast.update_checkpoint_state(tmp_path, str(tmp_path / "m-1"), latest_filename="")
    assert sorted(os.listdir(tmp_path)) == before
    with pytest.raises(tf.errors.FailedPreconditionError):
        train.update_checkpoint_state(str(tmp_path), str(tmp_path / "m-1"), latest_filename="")


def test_a_state_that_names_nothing_is_valid(train: Any, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text('all_model_checkpoint_paths: "a"')
    for module in (train, ckptfast):
        with pytest.raises(ValueError, match="Invalid checkpoint state loaded from"):
            module.get_checkpoint_state(str(tmp_path))
        with pytest.raises(ValueError, match="Invalid checkpoint state loaded from"):
            module.latest_checkpoint(str(tmp_path))


def test_a_broken_state_file_is_an_error(train: Any, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "a"\nnew_field: 1')
    assert train.get_checkpoint_state(str(tmp_path)) is None
    with pytest.warns(RuntimeWarning, match=r"line 2, column 1.* is ignored") as caught:
        assert ckptfast.get_checkpoint_state(tmp_path) is None
    assert caught[0].filename == __file__
    (tmp_path / "checkpoint").unlink()
    (tmp_path / "checkpoint").mkdir()
    with pytest.warns(RuntimeWarning, match="is ignored"):
        assert ckptfast.get_checkpoint_state(tmp_path) is None


def test_a_moved_state_leads_nowhere(tmp_path: Path) -> None:
    bundle(tmp_path / "m-2")
    state(tmp_path / "checkpoint", "/gone/m-2", ["/gone/m-1", "/gone/m-2"])
    found = ckptfast.get_checkpoint_state(tmp_path)
    assert found is not None
    assert found.model_checkpoint_path == f"{tmp_path}/m-2"
    # What exists nowhere stays as it was written.
    assert found.all_model_checkpoint_paths == ["/gone/m-1", f"{tmp_path}/m-2"]
    assert ckptfast.latest_checkpoint(tmp_path) == f"{tmp_path}/m-2"


def test_a_checkpoint_with_a_shard_missing_is_the_latest(train: Any, tmp_path: Path) -> None:
    bundle(tmp_path / "m-1")
    bundle(tmp_path / "m-2", shards=2, missing=[0])
    state(tmp_path / "checkpoint", "m-2", ["m-1", "m-2"])
    assert train.latest_checkpoint(str(tmp_path)) == f"{tmp_path}/m-2"
    with pytest.warns(RuntimeWarning, match=r"m-2 is not whole .*; using .*m-1") as caught:
        assert ckptfast.latest_checkpoint(tmp_path) == f"{tmp_path}/m-1"
    assert caught[0].filename == __file__
    shutil.copy(tmp_path / "m-1.index", tmp_path / "m-2.data-00000-of-00002")
    assert ckptfast.latest_checkpoint(tmp_path) == f"{tmp_path}/m-2"


def test_a_checkpoint_with_a_data_file_cut_short_is_the_latest(tmp_path: Path) -> None:
    whole = bundle(tmp_path / "m-1")
    cut = bundle(tmp_path / "m-2", shards=2)
    state(tmp_path / "checkpoint", "m-2", ["m-1", "m-2"])
    assert ckptfast.latest_checkpoint(tmp_path) == cut
    os.truncate(f"{cut}.data-00001-of-00002", 3)
    with pytest.warns(RuntimeWarning, match="m-2.data-00001-of-00002 is shorter than the 4 bytes"):
        assert ckptfast.latest_checkpoint(tmp_path) == whole


@pytest.mark.parametrize("byte", [1, 20, 40])
def test_a_checkpoint_with_a_damaged_index_is_the_latest(tmp_path: Path, byte: int) -> None:
    whole = bundle(tmp_path / "m-1")
    index = Path(bundle(tmp_path / "m-2", shards=2) + ".index")
    state(tmp_path / "checkpoint", "m-2", ["m-1", "m-2"])
    content = bytearray(index.read_bytes())
    content[byte] ^= 4
    index.write_bytes(content)
    with pytest.warns(RuntimeWarning, match="m-2 is not whole"):
        assert ckptfast.latest_checkpoint(tmp_path) == whole


def test_nothing_whole_is_the_latest(train: Any, tmp_path: Path) -> None:
    state(tmp_path / "checkpoint", "m-2", ["m-1", "m-2"])
    assert train.latest_checkpoint(str(tmp_path)) is None
    with pytest.warns(RuntimeWarning, match="there is no other"):
        assert ckptfast.latest_checkpoint(tmp_path) is None


def test_v1_checkpoints_are_not_the_latest(train: Any, tmp_path: Path) -> None:
    v1(tmp_path / "single")
    v1_sharded(tmp_path / "sharded", 3)
    for name in ("single", "sharded-?????-of-00003"):
        state(tmp_path / "checkpoint", name)
        assert train.latest_checkpoint(str(tmp_path)) == f"{tmp_path}/{name}"
        assert ckptfast.latest_checkpoint(tmp_path) == f"{tmp_path}/{name}"


def test_existence_differs_from_tensorflows(train: Any, tmp_path: Path) -> None:
    bundle(tmp_path / "v2")
    v1(tmp_path / "v1")
    v1_sharded(tmp_path / "sharded", 2)
    names = (
        "v2",
        "v1",
        "sharded-?????-of-00002",
        "v2.index",
        "v?",
        "",
        "x",
        "v2/x",
        "sharded",
        "[",
    )
    for name in names:
        path = str(tmp_path / name) if name else ""
        assert ckptfast.checkpoint_exists(path) == train.checkpoint_exists(path), name
        ours = ckptfast.get_checkpoint_mtimes([path])
        assert ours == train.get_checkpoint_mtimes([path]), name
    several = [f"{tmp_path}/v1", f"{tmp_path}/none", f"{tmp_path}/v2"]
    assert ckptfast.get_checkpoint_mtimes(several) == train.get_checkpoint_mtimes(several)
    assert len(ckptfast.get_checkpoint_mtimes(several)) == 2


def test_a_bracket_in_a_path_hides_a_checkpoint(train: Any, tmp_path: Path) -> None:
    prefix = bundle(tmp_path / "g[1]" / "m")
    state(tmp_path / "g[1]" / "checkpoint", "m")
    assert not train.checkpoint_exists(prefix)  # TensorFlow takes [1] for a pattern
    assert ckptfast.checkpoint_exists(prefix)
    assert ckptfast.latest_checkpoint(tmp_path / "g[1]") == prefix
    assert len(ckptfast.get_checkpoint_mtimes([prefix])) == 1
    decoy = bundle(tmp_path / "g1" / "m")
    ckptfast.remove_checkpoint(prefix)
    assert not ckptfast.checkpoint_exists(f"{tmp_path}/g[2]/m")
    assert os.path.exists(f"{decoy}.index"), "deleted what the pattern matches"
    assert os.listdir(tmp_path / "g[1]") == ["checkpoint"]


LAYOUTS = {
    "v2": lambda d: bundle(d / "m", shards=2),
    "v2 with stale data of its own number": lambda d: bundle(d / "m"),
    "v1": lambda d: v1(d / "m"),
    "v1 sharded": lambda d: (v1_sharded(d / "m", 2), f"{d}/m-?????-of-00002")[1],
    "index gone": lambda d: (bundle(d / "m", shards=2), os.unlink(d / "m.index"), f"{d}/m")[2],
    "nothing": lambda d: f"{d}/m",
    "pattern": lambda d: (bundle(d / "m-1"), bundle(d / "m-2"), f"{d}/m-*")[2],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", ["meta", "other"])
@pytest.mark.parametrize("version", [1, 2])
def test_other_files_are_removed_than_by_tensorflow(
    train: Any, tmp_path: Path, layout: str, suffix: str, version: int
) -> None:
    left = []
    for name, module in (("ours", ckptfast), ("theirs", train)):
        folder = tmp_path / name
        folder.mkdir()
        prefix = LAYOUTS[layout](folder)
        bundle(folder / "m2")
        bundle(folder / "other" / "m")
        for meta in ("m.meta", "m-1.meta", "m.other", "m2.meta", "m.data-x", "m.index.tempstate1"):
            (folder / meta).touch()
        module.remove_checkpoint(prefix, version, meta_graph_suffix=suffix)
        left.append(sorted(os.listdir(folder)))
    assert left[0] == left[1]


def test_data_of_another_save_is_removed(tmp_path: Path) -> None:
    prefix = bundle(tmp_path / "m", shards=2)
    # Another save of this prefix is under way, or left this behind.
    (tmp_path / "m.data-00000-of-00001").touch()
    ckptfast.remove_checkpoint(prefix)
    assert os.listdir(tmp_path) == ["m.data-00000-of-00001"]


def test_data_goes_before_its_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prefix = bundle(tmp_path / "m", shards=2)
    (tmp_path / "m.meta").touch()
    order = []
    monkeypatch.setattr(_checkpoints, "_delete", lambda path: order.append(os.path.basename(path)))
    ckptfast.remove_checkpoint(prefix)
    assert order == ["m.index", "m.data-00000-of-00002", "m.data-00001-of-00002", "m.meta"]


def test_a_file_that_vanishes_stops_the_removal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prefix = bundle(tmp_path / "m", shards=2)
    os.unlink(f"{prefix}.data-00000-of-00002")
    ckptfast.remove_checkpoint(prefix)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("module", ["ours", "theirs"])
def test_new_checkpoints_are_not_yielded(
    request: pytest.FixtureRequest, tmp_path: Path, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_checkpoints, "_POLL_SECONDS", 0.05)
    iterate = ckptfast.checkpoints_iterator
    if module == "theirs":
        iterate = request.getfixturevalue("train").checkpoints_iterator
    for step in (1, 2):
        bundle(tmp_path / f"m-{step}")
    state(tmp_path / "checkpoint", "m-1", ["m-1"])
    found = []
    calls = []

    def give_up() -> bool:
        calls.append(len(found))
        return len(calls) >= 3

    for path in iterate(str(tmp_path), timeout=0.2, timeout_fn=give_up):
        found.append(os.path.basename(path))
        state(tmp_path / "checkpoint", "m-2", ["m-1", "m-2"])
    assert found == ["m-1", "m-2"]
    assert calls == [1, 2, 2]
    assert list(iterate(str(tmp_path / "none"), timeout=0)) == []


def test_the_interval_between_checkpoints_is_ignored(tmp_path: Path) -> None:
    bundle(tmp_path / "m-1")
    state(tmp_path / "checkpoint", "m-1")
    iterator = ckptfast.checkpoints_iterator(tmp_path, min_interval_secs=0.3, timeout=0)
    began = time.monotonic()
    next(iterator)
    assert next(iterator, None) is None
    assert time.monotonic() - began >= 0.25


def test_an_iterator_goes_back_to_an_older_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_checkpoints, "_POLL_SECONDS", 0.02)
    for step in (1, 2):
        bundle(tmp_path / f"m-{step}")
    state(tmp_path / "checkpoint", "m-2", ["m-1", "m-2"])
    iterator = ckptfast.checkpoints_iterator(tmp_path)
    assert next(iterator) == f"{tmp_path}/m-2"
    state(tmp_path / "checkpoint", "m-3", ["m-1", "m-2", "m-3"])
    late = bundle(tmp_path / "m-3", shards=2) + ".data-00001-of-00002"
    os.rename(late, tmp_path / "aside")
    timer = threading.Timer(0.2, os.rename, (tmp_path / "aside", late))
    timer.start()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert next(iterator) == f"{tmp_path}/m-3"
    timer.join()


def test_the_state_of_a_real_checkpoint_is_read_differently(real: Path) -> None:
    import json

    seen = 0
    for path in real.rglob("checkpoint.truth.json"):
        truth = json.loads(path.read_text().replace("<REAL>", str(real)))
        found = ckptfast.get_checkpoint_state(path.parent)
        assert found is not None
        assert found.model_checkpoint_path == truth["model_checkpoint_path"]
        assert found.all_model_checkpoint_paths == truth["all"]
        assert ckptfast.latest_checkpoint(path.parent) == truth["latest_checkpoint"]
        seen += 1
    assert seen > 3


def test_a_name_without_a_step_breaks_the_order() -> None:
    assert [_latest.step(name) for name in ("m", "m-7", "m-?????-of-00002")] == [-1, 7, -1]
    assert _latest.step("m-7-?????-of-00002") == 7
    assert _latest.step("m-" + "9" * 30) == -1


def test_the_closed_folder_a_state_file_was_copied_from_hides_the_copy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle(tmp_path / "m-1")
    state(tmp_path / "checkpoint", "/closed/run/m-1", ["/closed/run/m-0", "/closed/run/m-1"])
    ask = os.stat

    def refused(path: Any, *arguments: Any, **keywords: Any) -> os.stat_result:
        if os.fspath(path).startswith("/closed/"):
            raise PermissionError(13, "Permission denied", path)
        return ask(path, *arguments, **keywords)

    monkeypatch.setattr(os, "stat", refused)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ckptfast.latest_checkpoint(tmp_path) == str(tmp_path / "m-1")
        assert ckptfast.checkpoint_exists("/closed/run/m-1") is False
    state(tmp_path / "checkpoint", "/closed/run/other-2")
    with pytest.warns(RuntimeWarning, match="Permission denied"):
        assert ckptfast.latest_checkpoint(tmp_path) is None


def test_paths_of_a_state_may_be_path_objects_and_are_checked(tmp_path: Path) -> None:
    """They went into the state as they were, and writing it failed without saying why."""
    paths = [tmp_path / "m-1", os.fsencode(tmp_path / "m-2")]
    ckptfast.update_checkpoint_state(
        tmp_path, tmp_path / "m-2", paths, all_model_checkpoint_timestamps=[1, 2]
    )
    found = ckptfast.get_checkpoint_state(tmp_path)
    assert found is not None
    assert found.model_checkpoint_path == f"{tmp_path}/m-2"
    assert found.all_model_checkpoint_paths == [f"{tmp_path}/m-1", f"{tmp_path}/m-2"]
    state = ckptfast.generate_checkpoint_state_proto(
        tmp_path, "m", all_model_checkpoint_timestamps=[1]
    )
    assert str(state.all_model_checkpoint_timestamps) == "[1.0]"
    for latest, others in [(None, []), ("m", [None, "m"])]:
        with pytest.raises(TypeError, match=r"the path of a checkpoint.*None"):
            ckptfast.update_checkpoint_state(tmp_path, latest, others)  # type: ignore[arg-type]
