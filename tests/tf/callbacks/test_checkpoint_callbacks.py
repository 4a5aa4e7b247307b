"""Callbacks that a C++ library gave to TensorFlow's `CheckpointCallbackManager` are run.

TensorFlow's classes and ours did the same in `callback_cases`, and the same is asserted of both.
"""

from __future__ import annotations

from typing import Any

import pytest

# One worker compiles the library and runs the cases.
pytestmark = pytest.mark.xdist_group("callbacks")

SAVE, RESTORE = "save callbacks of C++", "restore callbacks of C++"


@pytest.fixture
def walked(outcomes: dict[str, Any]) -> Any:
    """The outcome of a case; of ckptfast, the runs of TensorFlow's kernels were counted."""

    def look(case: str, saves: int, restores: int) -> Any:
        found = outcomes[case]
        counted = {SAVE: saves, RESTORE: restores}
        ours = {reason: count for reason, count in counted.items() if count}
        assert found["counted"] == (ours if outcomes["kind"] == "ckptfast" else {})
        return found["outcome"]

    return look


def names(folder: str, prefix: str, *others: str) -> list[str]:
    """The files of a save without a step and one with step 5, and others."""
    saved = [
        f"{folder}/{prefix}{step}.{kind}"
        for step in ("", "-5")
        for kind in ("data", "index", "meta")
    ]
    return sorted([*saved, *others, f"{folder}/checkpoint"])


@pytest.mark.parametrize("case", ["unsharded", "sharded"])
def test_a_saver_runs_them_once_per_checkpoint(walked: Any, case: str) -> None:
    """That is: none without a step, and none where their file is there or it was restored last."""
    index = "" if case == "sharded" else " after index"
    assert walked(case, 3, 2) == {
        "plain": [],
        "step": [f"save m-5{index}"],
        "again": [],
        "restore": ["restore m-5: kept"],
        "restore again": [],
        "files": names("a", "m", "a/m-5.cb"),
    }


def test_a_folder_may_be_taken_for_the_checkpoint(walked: Any) -> None:
    found = walked("folder_like_a_checkpoint", 3, 2)
    assert (found["plain"], found["step"]) == (["save run-3"], ["save m-5 after index"])
    assert found["files"] == names("run-3", "m", "run-3.cb", "run-3/m-5.cb")


def test_names_that_look_like_those_of_a_save_under_way(walked: Any) -> None:
    temp, part = walked("name_like_a_temporary_one", 6, 4)
    assert (temp["plain"], temp["step"]) == (["save x-1"], ["save x-1_temp-5 after index"])
    assert temp["files"] == names("a", "x-1_temp", "a/x-1.cb", "a/x-1_temp-5.cb")
    assert (part["plain"], part["step"], part["restore"]) == (
        ["save y-1"],
        [],
        ["restore y-1: kept"],
    )
    temp, part = walked("sharded_name_like_a_temporary_one", 6, 4)
    assert (temp["plain"], temp["step"]) == ([], ["save x-1_temp-5"])
    assert temp["files"] == names("a", "x-1_temp", "a/x-1_temp-5.cb")
    assert (part["plain"], part["step"], part["restore"]) == (
        ["save y-1"],
        [],
        ["restore y-1: kept"],
    )


def test_a_relative_path(walked: Any) -> None:
    log, files = walked("relative", 1, 1)
    assert log == ["save m-1 after index", "restore m-1: kept"]
    assert files == ["checkpoint", "m-1.cb", "m-1.data", "m-1.index", "m-1.meta"]


def test_errors_of_callbacks_fail_neither_save_nor_restore(walked: Any) -> None:
    log, files = walked("errors", 1, 1)
    assert log == [
        "restore m-1: kept",
        "restore m-1: text",
        *["save m-1 after index"] * 2,
    ]
    assert files == ["checkpoint", "m-1.bad", "m-1.cb", "m-1.data", "m-1.index", "m-1.meta"]


def test_none_run_where_a_save_or_restore_fails(walked: Any) -> None:
    assert walked("failed_save", 0, 0) == ["ValueError", [], []]
    assert walked("failed_restore", 0, 0) == [[], ["m-1.cb", "m-1.data", "m-1.index"]]


def test_the_old_format_has_none(outcomes: dict[str, Any]) -> None:
    found = outcomes["v1_format"]
    assert found["outcome"] == []
    assert found["counted"] == ({"V1 format": 1} if outcomes["kind"] == "ckptfast" else {})


def test_a_finalized_graph_saves_a_hundred_times(walked: Any) -> None:
    added, missing, ours, kept = walked("finalized", 100, 100)
    assert (added, missing, ours) == (0, [], [])
    last = [f"m-{step}.{kind}" for step in range(95, 100) for kind in ("data", "index", "meta")]
    assert kept == ["checkpoint", *last]


def test_who_registers_late_is_told_of_the_last_checkpoint(walked: Any) -> None:
    log = walked("registered_after_the_save", 1, 1)
    assert log == ["save m-1 after index", "restore m-1: kept"]


def test_a_saver_in_eager_mode(walked: Any) -> None:
    log, files = walked("eager_saver", 1, 1)
    assert log == ["save m-1 after index", "restore m-1: kept"]
    assert files == ["checkpoint", "m-1.data", "m-1.eager", "m-1.index"]


def test_checkpoints_of_objects(walked: Any) -> None:
    found = walked("checkpoint", 5, 3)
    files = found.pop("files")
    assert found == {
        "save": ["save m-1"],
        "restore": ["restore m-1: kept"],
        "write and read": ["save w-7", "restore w-7: kept"],
        "manager": ["save ckpt-2", "save ckpt-3", "restore ckpt-3: kept"],
        "async": ["save async-"],
    }
    saved = [f"{name}.{kind}" for name in ("m-1", "w-7") for kind in ("data", "eager", "index")]
    managed = [f"managed/{name}" for name in ("checkpoint", "ckpt-2.eager")]
    newest = [f"managed/ckpt-3.{kind}" for kind in ("data", "eager", "index")]
    assert files == sorted(["checkpoint", *saved, *managed, *newest])


def test_checkpoints_of_objects_in_a_graph(outcomes: dict[str, Any]) -> None:
    """Where TensorFlow does everything."""
    found = outcomes["checkpoint_in_a_graph"]
    assert found["outcome"] == ["save m-1", "restore m-1: kept"]
    assert not {SAVE, RESTORE} & set(found["counted"])


def test_a_name_based_checkpoint_into_objects(walked: Any) -> None:
    assert walked("name_based_checkpoint", 1, 1) == [[1.0, 2.0], ["restore m-1: kept"]]


def test_they_run_at_other_times_than_tensorflows_where_documented(
    theirs: dict[str, Any], ours: dict[str, Any]
) -> None:
    """`bad` fails, so it leaves no file; `cb` is called again while its own is not there yet."""
    found = theirs["differences"]["outcome"]
    assert found["sharded"].count("save m-1") >= 3
    assert found["wrong shape"] == ["restore m-1: kept"]
    found = ours["differences"]["outcome"]
    assert found["sharded"] == ["save m-1 after index"] * 2
    assert found["wrong shape"] == []
    assert theirs["object_made_later"]["outcome"] == [[], ["restore m-1: kept"]]
    assert ours["object_made_later"]["outcome"] == [["restore m-1: kept"], []]


# ------------------------------------------------------------------------------- only ckptfast's


def test_restore_runs_them(ours: dict[str, Any]) -> None:
    restored, log, odd, warned = ours["restore_function"]["outcome"]
    assert restored == ["v0", "v1"]
    assert log == ["restore m-1: kept"]
    assert odd == []
    assert len(warned) == 1
    assert "pattern" in warned[0]
    assert ours["restore_function"]["counted"] == {SAVE: 2, RESTORE: 2}


def test_nothing_is_done_where_they_cannot_run(ours: dict[str, Any]) -> None:
    values, messages, files = ours["finalized_too_early"]["outcome"]
    assert values == [0.0]
    assert len(messages) == 3
    assert all("before graph.finalize()" in message for message in messages)
    assert files == ["m-1.data", "m-1.index"]


def test_the_checkpoint_is_whole_where_they_cannot_run(ours: dict[str, Any]) -> None:
    """It was restored; and what lies in the folder that SaveV2 needs for a moment stays."""
    message, log, files = ours["folder_in_the_way"]["outcome"]
    assert message.startswith("/m-1 is written, but the callbacks")
    assert log == ["save m-1 after index"]
    saved = [f"m-1.{kind}" for kind in ("cb", "data", "index", "meta")]
    assert files == ["checkpoint", *saved, "m-1_temp/other"]


def test_weights_of_keras(ours: dict[str, Any]) -> None:
    assert ours["keras_weights"]["outcome"] == ["restore m-1: kept"]
