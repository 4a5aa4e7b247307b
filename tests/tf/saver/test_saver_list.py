"""Which checkpoints are kept, and what the state file says (C3.8 to C3.11, C7 of the inventory)."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy
import pytest


def steps(folder: Path) -> list[str]:
    return sorted(path.name.removesuffix(".index") for path in folder.glob("*.index"))


def save(saver: Any, session: Any, path: str, *numbers: int, **options: Any) -> list[str]:
    options.setdefault("write_meta_graph", False)
    return [saver.save(session, path, global_step=number, **options) for number in numbers]


def test_the_oldest_are_deleted(Saver: Any, session: Any, here: Path) -> None:
    saver = Saver(max_to_keep=2)
    found = save(saver, session, str(here / "m"), 1, 2, 3, 4, write_meta_graph=True)
    assert saver.last_checkpoints == found[2:]
    assert steps(here) == ["m-3", "m-4"]
    assert sorted(path.name for path in here.glob("*.meta")) == ["m-3.meta", "m-4.meta"]


def test_five_are_kept_by_default(Saver: Any, session: Any, here: Path) -> None:
    save(Saver(), session, "./m", *range(7))
    assert steps(here) == [f"m-{number}" for number in range(2, 7)]


@pytest.mark.parametrize("limit", [0, None])
def test_no_limit_keeps_all_and_lists_the_newest(
    Saver: Any, session: Any, here: Path, limit: int | None
) -> None:
    saver = Saver(max_to_keep=limit)
    save(saver, session, str(here / "m"), *range(8))
    assert saver.last_checkpoints == []
    assert len(steps(here)) == 8
    assert (here / "checkpoint").read_text() == (
        f'model_checkpoint_path: "{here}/m-7"\nall_model_checkpoint_paths: "{here}/m-7"\n'
    )


def test_a_path_saved_again_is_the_newest(Saver: Any, session: Any, here: Path) -> None:
    saver = Saver(max_to_keep=2)
    save(saver, session, "./m", 1, 2, 1)
    assert saver.last_checkpoints == ["./m-2", "./m-1"]
    save(saver, session, "./m", 3)
    assert steps(here) == ["m-1", "m-3"]


def test_a_longer_list_loses_one_per_save(Saver: Any, session: Any, here: Path) -> None:
    saver = Saver(max_to_keep=2)
    save(Saver(max_to_keep=0), session, "./m", *range(5))
    saver.set_last_checkpoints_with_time([(f"./m-{number}", 0.0) for number in range(5)])
    save(saver, session, "./m", 5, 6)
    assert saver.last_checkpoints == [f"./m-{number}" for number in (2, 3, 4, 5, 6)]
    assert steps(here) == [f"m-{number}" for number in (2, 3, 4, 5, 6)]


def test_set_last_checkpoints_without_times(Saver: Any, session: Any, here: Path) -> None:
    saver = Saver(max_to_keep=1)
    save(Saver(max_to_keep=0), session, "./m", 1, 2)
    saver.set_last_checkpoints(["./m-1", "./m-2"])
    save(saver, session, "./m", 3)
    assert saver.last_checkpoints == ["./m-2", "./m-3"]
    assert steps(here) == ["m-1", "m-2", "m-3"]  # an unknown time is never old enough


@pytest.mark.parametrize("what", [("x",), "x", None])
def test_lists_are_lists(Saver: Any, session: Any, what: Any) -> None:
    saver = Saver()
    with pytest.raises(AssertionError):
        saver.set_last_checkpoints(what)
    with pytest.raises(AssertionError):
        saver.set_last_checkpoints_with_time(what)


def test_recovering_the_list(Saver: Any, session: Any, here: Path) -> None:
    found = save(Saver(), session, str(here / "m"), 1, 2, 3)
    os.utime(f"{found[0]}.index", (1e9, 1e9))
    saver = Saver(max_to_keep=3)
    saver.recover_last_checkpoints([*found, str(here / "gone-4")])
    assert saver.last_checkpoints == found
    assert saver._last_checkpoints[0] == (found[0], 1e9)
    save(saver, session, str(here / "m"), 4)
    assert steps(here) == ["m-2", "m-3", "m-4"]


def test_one_every_so_many_hours_is_kept(
    Saver: Any, session: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    now = [1e9]
    monkeypatch.setattr(time, "time", lambda: now[0])
    saver = Saver(max_to_keep=1, keep_checkpoint_every_n_hours=1)
    for number in range(9):
        now[0] += 1300
        save(saver, session, "./m", number)
    # 3600 s after the start the first one that is popped and newer stays, then every 3600 s.
    assert steps(here) == ["m-2", "m-5", "m-8"]
    assert saver.last_checkpoints == ["./m-8"]


def test_an_old_checkpoint_that_is_gone(Saver: Any, session: Any, here: Path) -> None:
    saver = Saver(max_to_keep=1)
    save(saver, session, "./m", 1)
    for path in here.glob("m-1*"):
        path.unlink()
    save(saver, session, "./m", 2)
    assert steps(here) == ["m-2"]


def test_meta_graphs_with_another_suffix_stay(Saver: Any, session: Any, here: Path) -> None:
    saver = Saver(max_to_keep=1)
    save(saver, session, "./m", 1, write_meta_graph=True, meta_graph_suffix="old")
    save(saver, session, "./m", 2, write_meta_graph=True)
    assert sorted(path.name for path in here.glob("m-1*")) == ["m-1.old"]


def state(folder: Path) -> list[str]:
    return [line.split('"')[1] for line in (folder / "checkpoint").read_text().splitlines()]


def test_absolute_paths_in_the_state_file(Saver: Any, session: Any, here: Path) -> None:
    save(Saver(), session, str(here / "k" / "m"), 1, 2)
    path = str(here / "k" / "m")
    assert state(here / "k") == [f"{path}-2", f"{path}-1", f"{path}-2"]


def test_a_relative_folder_makes_relative_paths(Saver: Any, session: Any, here: Path) -> None:
    save(Saver(), session, "k/m", 1, 2)
    assert state(here / "k") == ["m-2", "m-1", "m-2"]


def test_relative_paths_on_request(Saver: Any, session: Any, here: Path, tf: ModuleType) -> None:
    saver = Saver(save_relative_paths=True)
    save(saver, session, str(here / "k" / "m"), 1)
    save(saver, session, str(here / "l" / "m"), 2)
    assert state(here / "l") == ["m-2", "../k/m-1", "m-2"]
    assert tf.train.latest_checkpoint(str(here / "l")) == str(here / "l" / "m-2")


def test_a_bare_name(Saver: Any, session: Any, here: Path, tf: ModuleType) -> None:
    assert save(Saver(), session, "m", 1) == ["m-1"]
    assert state(here) == ["m-1", "m-1"]
    assert tf.train.latest_checkpoint(".") == "./m-1"


def test_names_that_need_escapes(Saver: Any, session: Any, here: Path, tf: ModuleType) -> None:
    path = str(here / 'we"ird\\é')
    saved = save(Saver(), session, path, numpy.int32(1))
    assert tf.train.get_checkpoint_state(str(here)).model_checkpoint_path == saved[0]


def test_no_number_of_hours_keeps_one_alone(Saver: Any, session: Any, here: Path) -> None:
    saver = Saver(max_to_keep=1, keep_checkpoint_every_n_hours=None)
    save(saver, session, "./m", *range(4))
    assert saver.last_checkpoints == ["./m-3"]
    assert steps(here) == ["m-0", "m-1", "m-2", "m-3"]  # each is older than no time at all


def test_a_list_that_was_set_is_another_one(Saver: Any, session: Any, here: Path) -> None:
    saver = Saver(max_to_keep=2)
    given = [("./m-1", 0.0)]
    saver.set_last_checkpoints_with_time(given)
    save(saver, session, "./m", 2, 3)
    assert [path for path, _ in given] == saver.last_checkpoints == ["./m-2", "./m-3"]


def test_a_limit_below_zero_ends_in_an_index_error(
    FastSaver: Any, session: Any, here: Path
) -> None:
    saver = FastSaver(max_to_keep=-2, delete_all_excess=True)
    save(saver, session, "./m", 1, 2)
    assert saver.last_checkpoints == []
    assert steps(here) == []


def test_a_list_costs_the_files_of_another_folder(
    FastSaver: Any, v1: Any, session: Any, here: Path
) -> None:
    """TensorFlow takes `run[1]/m-0` for a pattern, which `run1/m-0` matches."""
    save(v1.train.Saver(), session, "./run1/m", 0)
    saver = FastSaver(max_to_keep=1)
    save(saver, session, "./run[1]/m", 0)
    for path in (here / "run[1]").glob("m-0.*"):
        path.unlink()  # somebody else was faster
    save(saver, session, "./run[1]/m", 1)
    assert steps(here / "run1") == ["m-0"]
    assert steps(here / "run[1]") == ["m-1"]


def test_v1_shards_are_left_behind(Saver: Any, v1: Any, session: Any, here: Path) -> None:
    """Their path in the list is a pattern, and has to stay one."""
    saver = Saver(max_to_keep=1, sharded=True, write_version=v1.train.SaverDef.V1)
    (here / "k").mkdir()
    save(saver, session, "./k/m", 0, 1)
    assert saver.last_checkpoints == ["./k/m-1-?????-of-00001"]
    assert [path.name for path in (here / "k").glob("m-*")] == ["m-1-00000-of-00001"]


def test_the_paths_of_a_file_url_lead_nowhere(
    Saver: Any, session: Any, here: Path, tf: ModuleType
) -> None:
    saver = Saver(max_to_keep=1)
    (_, newest) = save(saver, session, f"file://{here}/k/m", 0, 1)
    text = 'model_checkpoint_path: "m-1"\nall_model_checkpoint_paths: "m-1"\n'
    assert (here / "k" / "checkpoint").read_text() == text
    assert tf.train.latest_checkpoint(here / "k") == str(here / "k" / "m-1")
    assert tf.train.latest_checkpoint(f"file://{here}/k") == newest
    assert steps(here / "k") == ["m-1"]
