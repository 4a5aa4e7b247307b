"""The state file: what protobuf's text format allows is read, and what it writes is written."""

from __future__ import annotations

import contextlib
import math
import os
import stat
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckptfast import DataLossError, _state
from ckptfast._state import CheckpointState

PATHS = st.text(st.characters(codec="utf-8"), max_size=30)
STATES = st.builds(
    CheckpointState,
    PATHS,
    st.lists(PATHS, max_size=4),
    st.lists(st.floats(), max_size=4),
    st.floats(),
)


@pytest.fixture(scope="session")
def proto(tf: ModuleType) -> Any:
    """TensorFlow's message and protobuf's text format, as functions."""
    from google.protobuf import text_format
    from tensorflow.python.training.checkpoint_state_pb2 import CheckpointState as Message

    class Proto:
        ParseError = text_format.ParseError

        @staticmethod
        def message(state: CheckpointState) -> Any:
            return Message(
                model_checkpoint_path=state.model_checkpoint_path,
                all_model_checkpoint_paths=state.all_model_checkpoint_paths,
                all_model_checkpoint_timestamps=state.all_model_checkpoint_timestamps,
                last_preserved_timestamp=state.last_preserved_timestamp,
            )

        @staticmethod
        def parse(text: str) -> CheckpointState:
            found = text_format.Merge(text, Message())
            return CheckpointState(
                found.model_checkpoint_path,
                list(found.all_model_checkpoint_paths),
                list(found.all_model_checkpoint_timestamps),
                found.last_preserved_timestamp,
            )

        @staticmethod
        def text(state: CheckpointState) -> bytes:
            text = text_format.MessageToString(Proto.message(state), as_utf8=False)
            return bytes(text, "ascii")

    return Proto


def same(left: CheckpointState, right: CheckpointState) -> bool:
    """Equality in which NaN equals itself and 0.0 differs from -0.0."""
    return repr(left) == repr(right)


@given(state=STATES)
def test_what_is_written_differs_from_protobuf(proto: Any, state: CheckpointState) -> None:
    assert _state.format(state) == proto.text(state)


@given(state=STATES)
def test_a_state_changes_on_its_way_through_a_file(state: CheckpointState) -> None:
    assert same(_state.parse(_state.format(state)), state)


@given(state=STATES)
def test_protobuf_reads_another_state_than_was_written(proto: Any, state: CheckpointState) -> None:
    assert same(proto.parse(_state.format(state).decode()), state)


def test_a_path_that_is_not_utf8_is_lost() -> None:
    path = os.fsdecode(b"caf\xe9/model")
    written = _state.format(CheckpointState(path))
    assert written == b'model_checkpoint_path: "caf\\351/model"\n'
    assert _state.parse(written).model_checkpoint_path == path
    assert _state.parse(b'model_checkpoint_path: "caf\xe9/model"').model_checkpoint_path == path


# Written by hand, or by other implementations of the text format.
READABLE = [
    "",
    "  \n\t\n",
    "# only a comment",
    'model_checkpoint_path: "a"',
    "model_checkpoint_path: 'a'",
    "model_checkpoint_path:'a'#comment",
    'model_checkpoint_path : "a"',
    'all_model_checkpoint_paths: "b" model_checkpoint_path: "a"',
    'model_checkpoint_path: "a"; all_model_checkpoint_paths: "b", all_model_checkpoint_paths: "c"',
    'model_checkpoint_path: "one" "two" \'three\'',
    'model_checkpoint_path: "one" # comment\n  "two"',
    'model_checkpoint_path: "first"\nmodel_checkpoint_path: "second"',
    'all_model_checkpoint_paths: ["a", "b" "c"]',
    "all_model_checkpoint_paths: []",
    "all_model_checkpoint_timestamps: [1, 2.5, -3e2]",
    "all_model_checkpoint_timestamps: .5 all_model_checkpoint_timestamps: 1.",
    "last_preserved_timestamp: 1.5f",
    "last_preserved_timestamp: 1E+3F",
    "last_preserved_timestamp: -inf",
    "last_preserved_timestamp: Infinity",
    "last_preserved_timestamp: nan",
    "last_preserved_timestamp: -0",
    "last_preserved_timestamp: +7",
    "last_preserved_timestamp: 1e999",
    r'model_checkpoint_path: "\a\b\f\n\r\t\v\\\'\""',
    r'model_checkpoint_path: "\303\251 \1 \12 \0"',
    r'model_checkpoint_path: "\xc3\xa9 \x9"',
    r'model_checkpoint_path: "\u00e9 \U0001F600"',
    r'model_checkpoint_path: "C:\\train\\model.ckpt-1"',
    'model_checkpoint_path: "é ☃"',
    'model_checkpoint_path: "it\'s" all_model_checkpoint_paths: \'say "hi"\'',
    "\r\nmodel_checkpoint_path: 'a'\r\n",
]


@pytest.mark.parametrize("text", READABLE)
def test_a_hand_written_file_is_read_differently(proto: Any, text: str) -> None:
    assert same(_state.parse(text.encode()), proto.parse(text))


UNREADABLE = [
    "model_checkpoint_path",
    "model_checkpoint_path:",
    'model_checkpoint_path "a"',
    "model_checkpoint_path: a",
    "model_checkpoint_path: 1",
    'model_checkpoint_path: "a',
    "model_checkpoint_path: \"a'",
    'model_checkpoint_path: "a\nb"',
    'model_checkpoint_path: ["a"]',
    r'model_checkpoint_path: "\400"',
    r'model_checkpoint_path: "\ud800"',
    r'model_checkpoint_path: "\U00110000"',
    'all_model_checkpoint_paths: ["a" "b", ]',
    'all_model_checkpoint_paths: ["a"',
    'all_model_checkpoint_paths: ["a"; "b"]',
    "last_preserved_timestamp: 'a'",
    "last_preserved_timestamp: 01",
    "last_preserved_timestamp: 1.2.3",
    "last_preserved_timestamp: 1x",
    "last_preserved_timestamp: --1",
    "last_preserved_timestamp: infinite",
    'unknown_field: "a"',
    'model_checkpoint_path: "a" extra { }',
    'model_checkpoint_path: "a" ;;',
    '"model_checkpoint_path": "a"',
    "<!DOCTYPE html>",
    "version https://git-lfs.github.com/spec/v1",
    "\ufeffmodel_checkpoint_path: 'a'",
]


@pytest.mark.parametrize("text", UNREADABLE)
def test_a_malformed_file_is_taken_for_a_state(proto: Any, text: str) -> None:
    with pytest.raises(proto.ParseError):
        proto.parse(text)
    with pytest.raises(DataLossError, match=r"not a state file: line \d+, column \d+"):
        _state.parse(text.encode())


def test_an_unknown_escape_is_guessed() -> None:
    # Python's protobuf keeps the backslash, C++'s refuses the file. A guess opens another file.
    with pytest.raises(DataLossError, match="escape"):
        _state.parse(rb'model_checkpoint_path: "C:\new\Project"')


def test_the_place_of_an_error_is_wrong() -> None:
    with pytest.raises(DataLossError, match=r"line 3, column 4: .* found 'oops'"):
        _state.parse(b'model_checkpoint_path: "a"\n# note\n   oops: 1\n')


@given(data=st.binary(max_size=300))
def test_hostile_bytes_raise_something_else(data: bytes) -> None:
    with contextlib.suppress(DataLossError):
        _state.parse(data)


@given(
    data=st.lists(
        st.sampled_from(
            [b"model_checkpoint_path", b"all_model_checkpoint_timestamps", b":", b"[", b"]", b",",
             b";", b'"', b"'", b"\\", b"\\x", b"\\7", b"1", b"-", b".", b"e", b"inf", b"#", b"\n",
             b" ", b"\xff", b"\0"]
        ),
        max_size=40,
    ).map(b"".join)
)  # fmt: skip
def test_hostile_tokens_raise_something_else(data: bytes) -> None:
    with contextlib.suppress(DataLossError):
        _state.parse(data)


@pytest.mark.parametrize(
    "unit",
    [b" ", b"#", b"# \n", b"\\", b"\\\\", b"'", b"'\\", b"1", b"1.", b"1e", b".", b"[", b"a",
     b"''", b"'a' ", b"all_model_checkpoint_paths:''\n", b"\xff", b"\0"],
)  # fmt: skip
@pytest.mark.parametrize("start", [b"", b"model_checkpoint_path:'", b"last_preserved_timestamp:"])
def test_a_long_hostile_file_takes_more_than_linear_time(start: bytes, unit: bytes) -> None:
    data = start + unit * (1_000_000 // len(unit))
    began = time.process_time()
    with contextlib.suppress(DataLossError):
        _state.parse(data)
    assert time.process_time() - began < 60  # it takes one; squared, it would take days


def test_a_huge_file_is_parsed() -> None:
    with pytest.raises(DataLossError, match="bytes long"):
        _state.parse(b" " * (_state.MAX_BYTES + 1))


def test_printing_a_state_hides_what_the_file_says() -> None:
    state = CheckpointState("m-2", ["m-1", "m-2"], [1.5, math.inf], 7.0)
    assert str(state).encode() == _state.format(state)


@pytest.mark.parametrize("durability", ["full", "rename", "none"])
def test_a_write_leaves_anything_but_the_new_state(tmp_path: Path, durability: Any) -> None:
    path = tmp_path / "checkpoint"
    for name in ("a", "b"):
        _state.write(str(path), CheckpointState(name), durability=durability)
        assert _state.read(str(path)) == CheckpointState(name)
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_an_unknown_durability_is_taken(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="durability"):
        _state.write(str(tmp_path / "checkpoint"), CheckpointState("a"), durability="fsync")  # type: ignore[arg-type]
    assert os.listdir(tmp_path) == []


def test_the_mode_ignores_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    before = os.umask(0o027)
    try:
        _state.write(str(path), CheckpointState("a"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_write_harms_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "checkpoint"
    _state.write(str(path), CheckpointState("old"))

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space left"):
        _state.write(str(path), CheckpointState("new"))
    assert _state.read(str(path)) == CheckpointState("old")
    assert os.listdir(tmp_path) == ["checkpoint"]


def test_a_level_of_durability_flushes_the_wrong_things_or_in_the_wrong_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def record(*arguments: Any, name: str = name, real: Any = real) -> None:
            kind = ""
            if name == "fsync":
                kind = " directory" if stat.S_ISDIR(os.fstat(arguments[0]).st_mode) else " file"
            calls.append(name + kind)
            real(*arguments)

        monkeypatch.setattr(os, name, record)
    expected: dict[_state.Durability, list[str]] = {
        "full": ["fsync file", "replace", "fsync directory"],
        # Renamed before its content is on disk, a power failure would leave an empty state file.
        "rename": ["fsync file", "replace"],
        "none": ["replace"],
    }
    for durability, order in expected.items():
        calls.clear()
        _state.write(str(tmp_path / "checkpoint"), CheckpointState("a"), durability=durability)
        assert calls == order, durability


def test_an_error_does_not_name_its_file(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(b"oops")
    with pytest.raises(DataLossError) as caught:
        _state.read(str(path))
    assert str(path) in str(caught.value)
    assert caught.value.path == str(path)
