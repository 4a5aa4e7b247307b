"""Where ours is deliberately better, one test for each row of docs/compatibility.md."""

from __future__ import annotations

import errno
import os
import pickle
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest

import ckptfast


def data_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.data-*"))


def test_overwriting_never_reuses_a_data_file(FastSaver: Any, session: Any, here: Path) -> None:
    saver = FastSaver()
    seen = []
    for _ in range(3):
        saver.save(session, "./m", write_meta_graph=False)
        seen.append(len(data_files(here)))
    assert seen == [1, 2, 1]
    strict = FastSaver(compat="strict-tensorflow")
    for _ in range(2):
        strict.save(session, "./m", write_meta_graph=False)
        assert data_files(here) == ["m.data-00000-of-00001"]


def test_overwriting_shards_never_reuses_a_data_file(
    FastSaver: Any, v1: Any, tf: ModuleType, here: Path
) -> None:
    """A crash between two renames must leave the old checkpoint, also with several devices."""
    for number in range(2):
        with tf.device(f"/cpu:{number}"):
            v1.get_variable(f"v{number}", initializer=[float(number)] * (5 - number))
    with tf.device("/cpu:0"):
        v1.get_variable("w", initializer=[7.0] * 10)
    saver, strict = FastSaver(sharded=True), FastSaver(sharded=True, compat="strict-tensorflow")
    with v1.Session(config=v1.ConfigProto(device_count={"CPU": 2})) as session:
        session.run(v1.global_variables_initializer())
        for shards in (2, 3, 2):
            saver.save(session, "./m", write_meta_graph=False)
            files = [f"m.data-{number:05}-of-{shards:05}" for number in range(shards)]
            assert data_files(here) == files
            v1.train.Saver().restore(session, "./m")
        before = ckptfast.stats().fallbacks
        strict.save(session, "./m", write_meta_graph=False)
        assert data_files(here) == files
        assert ckptfast.stats().fallbacks == before
        v1.train.Saver().restore(session, "./m")
    with ckptfast.open("./m") as reader:
        assert [reader.info(name).shard for name in reader] == [0, 1, 0]


def test_alignment(FastSaver: Any, v1: Any, here: Path) -> None:
    for number in range(3):
        v1.get_variable(f"v{number}", initializer=[1.0])
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        offsets = []
        for align in (64, 1):
            prefix = FastSaver(align=align).save(session, f"./m{align}", write_meta_graph=False)
            with ckptfast.open(prefix) as reader:
                offsets.append([reader.info(name).offset for name in reader])
        v1.train.Saver().save(session, "./tf", write_meta_graph=False)
    assert offsets == [[0, 64, 128], [0, 4, 8]]
    for suffix in (".index", ".data-00000-of-00001"):
        assert (here / f"m1{suffix}").read_bytes() == (here / f"tf{suffix}").read_bytes()


def test_slices_in_a_later_data_file_have_tensorflows_index(
    FastSaver: Any, v1: Any, here: Path
) -> None:
    """The entry of the whole names the data file of its first slice."""
    with v1.device("/cpu:0"):
        v1.get_variable("a", initializer=[1.0])
    with v1.device("/cpu:1"):
        half = v1.fixed_size_partitioner(2)
        v1.get_variable("p", [4], initializer=v1.zeros_initializer(), partitioner=half)
    two = v1.ConfigProto(device_count={"CPU": 2})
    with v1.Session(config=two) as session:
        session.run(v1.global_variables_initializer())
        FastSaver(sharded=True, align=1).save(session, "./m", write_meta_graph=False)
        v1.train.Saver(sharded=True).save(session, "./tf", write_meta_graph=False)
    assert data_files(here) == [
        f"{name}.data-0000{shard}-of-00002" for name in ("m", "tf") for shard in (0, 1)
    ]
    assert (here / "m.index").read_bytes() == (here / "tf.index").read_bytes()


def test_a_wrong_shape_is_an_error(FastSaver: Any, v1: Any, tf: ModuleType, here: Path) -> None:
    a = v1.get_variable("a", initializer=[1.0, 2.0], use_resource=True)
    ckptfast.save("m", {"a": numpy.float32([1, 2, 3])}, durability="none")
    with v1.Session() as session:
        session.run(a.initializer)
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"\[2\] rhs shape= \[3\]"):
            FastSaver().restore(session, "m")
        assert session.run(a).tolist() == [1.0, 2.0]
        FastSaver(compat="strict-tensorflow").restore(session, "m")
        assert session.run(a).tolist() == [1.0, 2.0, 3.0]


def test_all_missing_names_are_listed(
    FastSaver: Any, v1: Any, tf: ModuleType, session: Any, here: Path
) -> None:
    prefix = FastSaver().save(session, "./m")
    v1.get_variable("aa", [2])
    v1.get_variable("zz", [2])
    with pytest.raises(tf.errors.NotFoundError) as caught:
        FastSaver().restore(session, prefix)
    assert "Key aa not found in checkpoint (nearest: a)" in str(caught.value)
    assert "Key zz not found in checkpoint" in str(caught.value)
    assert isinstance(caught.value, ckptfast.NotFoundError)


def test_a_folder_and_any_file_of_a_checkpoint(FastSaver: Any, session: Any, here: Path) -> None:
    saver = FastSaver()
    saver.save(session, str(here / "k" / "m"), write_meta_graph=False)
    for path in ("k", "k/m.index", "k/m.data-00000-of-00001", "k/checkpoint"):
        saver.restore(session, str(here / path))


def test_brackets_in_a_path(FastSaver: Any, session: Any, here: Path) -> None:
    saver = FastSaver(max_to_keep=1)
    for step in range(2):
        saver.restore(session, saver.save(session, str(here / "run[1]" / "m"), global_step=step))
    assert sorted(path.name for path in (here / "run[1]").glob("*.index")) == ["m-1.index"]


def test_one_missing_folder_is_made_for_shards_too(
    FastSaver: Any, v1: Any, tf: ModuleType, here: Path
) -> None:
    v1.get_variable("a", initializer=[1.0])
    with v1.Session() as session:
        session.run(v1.global_variables_initializer())
        saver = FastSaver(sharded=True)
        saver.restore(session, saver.save(session, "new/m"))


def test_an_uninitialised_variable_and_a_bare_name(
    FastSaver: Any, v1: Any, tf: ModuleType, here: Path
) -> None:
    """TensorFlow says that the parent directory doesn't exist."""
    v1.get_variable("un", [2])
    with v1.Session() as session, pytest.raises(tf.errors.FailedPreconditionError, match="un"):
        FastSaver().save(session, "bare")


def test_a_moved_folder(FastSaver: Any, session: Any, here: Path) -> None:
    saver = FastSaver()
    saver.save(session, str(here / "old" / "m"))
    shutil.move(here / "old", here / "new")
    found = ckptfast.latest_checkpoint(here / "new")
    assert found == str(here / "new" / "m")
    saver.restore(session, str(found))


def test_all_excess_can_go_at_once(FastSaver: Any, session: Any, here: Path) -> None:
    found = [FastSaver(max_to_keep=0).save(session, "./m", global_step=step) for step in range(6)]
    saver = FastSaver(max_to_keep=2, delete_all_excess=True)
    saver.recover_last_checkpoints(found)
    (here / "m-x.index").write_text("not in the list")
    os.utime("m-0.index", (0, 0))
    saver.save(session, "./m", global_step=6)
    assert sorted(path.name for path in here.glob("*.index")) == [
        "m-5.index",
        "m-6.index",
        "m-x.index",
    ]


def test_a_failed_save_leaves_no_file(
    FastSaver: Any, session: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = FastSaver()
    (here / "m.index").mkdir()
    before = sorted(path.name for path in here.iterdir())
    with pytest.raises((OSError, ckptfast.CheckpointError)):
        saver.save(session, "./m")
    assert sorted(path.name for path in here.iterdir()) == before


def test_a_full_disk_leaves_half_a_meta_graph(
    FastSaver: Any, session: Any, tf: ModuleType, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saver = FastSaver()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(tf.errors.ResourceExhaustedError, match=r"m\.meta"):
            saver.export_meta_graph("new/m.meta")
    assert list((here / "new").iterdir()) == []
    saver.export_meta_graph("new/m.meta", as_text=True)
    assert [path.name for path in (here / "new").iterdir()] == ["m.meta"]


def test_defaults_are_configured(FastSaver: Any, session: Any, here: Path) -> None:
    from ckptfast.tf.saver import configure

    configure(align=1, durability="none")
    try:
        assert FastSaver()._file_options.align == 1
        assert FastSaver(align=128)._file_options.align == 128
        configure(align=64)
        assert FastSaver()._file_options.durability == "none"
    finally:
        configure(align=64, durability="full")
    for wrong in ({"align": 3}, {"durability": "some"}, {"compat": "v1"}, {"verify": "no"}):
        with pytest.raises(ValueError, match=re.escape(next(iter(wrong)))):
            configure(**wrong)  # type: ignore[arg-type]


def test_verification_can_be_left_out(
    FastSaver: Any, session: Any, here: Path, tf: ModuleType
) -> None:
    prefix = FastSaver().save(session, "./m")
    (here / "m.data-00000-of-00001").write_bytes(bytes(8))
    with pytest.raises(tf.errors.DataLossError):
        FastSaver().restore(session, prefix)
    FastSaver(verify=False).restore(session, prefix)


def test_what_tensorflow_did_is_counted(FastSaver: Any, v1: Any, session: Any, here: Path) -> None:
    before = ckptfast.stats().fallbacks
    saver = FastSaver()
    saver.restore(session, saver.save(session, "./m"))
    assert ckptfast.stats().fallbacks == before
    FastSaver(write_version=v1.train.SaverDef.V1).save(session, "./v1")
    after = ckptfast.stats().fallbacks
    assert after["V1 format"] == before.get("V1 format", 0) + 1


def test_a_full_disk_is_another_error(tf: ModuleType) -> None:
    from ckptfast.tf._errors import combined

    error = combined(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/there/m.index"))
    assert isinstance(error, OSError)
    assert isinstance(error, tf.errors.ResourceExhaustedError)
    again = pickle.loads(pickle.dumps(error))
    assert isinstance(again, tf.errors.ResourceExhaustedError)
    assert (again.errno, again.filename) == (errno.ENOSPC, "/there/m.index")


@pytest.mark.parametrize("who_writes", ["we", "TensorFlow", "TensorFlow, of objects"])
def test_a_fingerprint_tells_of_other_variables(
    FastSaver: Any, v1: Any, here: Path, tf: ModuleType, who_writes: str
) -> None:
    from tensorflow.python.eager import context
    from tensorflow.python.saved_model import fingerprinting
    from tensorflow.python.training import saver as stock

    class Builder(stock.BulkSaverBuilder):  # type: ignore[misc]
        """A builder of the user's own, which only TensorFlow can run."""

    module = tf.Module()
    with context.eager_mode():
        module.v = tf.Variable([1.0])
        tf.saved_model.save(module, "model")
    old = fingerprinting.read_fingerprint("model").checkpoint_hash
    v1.get_variable("v", initializer=[7.0])
    before = sum(ckptfast.stats().fallbacks.values())
    prefix = "model/variables/variables"
    if who_writes == "TensorFlow, of objects":
        with context.eager_mode(), tf.distribute.MirroredStrategy(["CPU:0"]).scope():
            ckptfast.Checkpoint(v=tf.Variable([7.0])).write(prefix)
    else:
        builder = Builder() if who_writes == "TensorFlow" else None
        with v1.Session() as session:
            session.run(v1.global_variables_initializer())
            FastSaver(builder=builder).save(
                session, prefix, write_meta_graph=False, write_state=False
            )
    assert (sum(ckptfast.stats().fallbacks.values()) > before) is (who_writes != "we")
    new = fingerprinting.read_fingerprint("model").checkpoint_hash
    index = (here / "model" / "variables" / "variables.index").read_bytes()
    assert new != old
    assert new == ckptfast._native.fingerprint64(index)


def test_a_graph_that_is_too_large_costs_the_weights(
    FastSaver: Any, session: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ckptfast.tf.graphs import _size

    saver = FastSaver()
    with monkeypatch.context() as patch:
        patch.setattr(_size, "LIMIT", 100)  # 2 GiB take long to make
        with pytest.raises(ValueError, match=r"larger than 2GB.* the checkpoint \./m-7 is valid"):
            saver.save(session, "./m", global_step=7)
    assert saver.last_checkpoints == ["./m-7"]
    assert not (here / "m-7.meta").exists()
    assert ckptfast.latest_checkpoint(here) == str(here / "m-7")
    saver.restore(session, "./m-7")
