"""Any sequence of saves, merges and reads of one prefix, by us and by TensorFlow in turn."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import ckptfast
from helpers import tf_io, values
from helpers.values import assert_same

Tensors = dict[str, values.Array]


@st.composite
def tensors(draw: st.DrawFn) -> Tensors:
    """A few float tensors, and one of strings at times."""
    names = draw(st.sets(st.sampled_from("abcdefg"), min_size=1, max_size=5))
    sizes = st.integers(0, 50)
    found: Tensors = {
        name: np.full(draw(sizes), draw(st.integers(0, 1000)), np.float32) for name in names
    }
    if draw(st.booleans()):
        found["strings"] = values.strings((draw(st.integers(0, 5)),))
    return found


class OnePrefix(RuleBasedStateMachine):
    """The files of a prefix, and what they should hold."""

    tf: ModuleType

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.prefix = self.folder / "m"
        self.expected: Tensors = {}
        self.held: list[tuple[Tensors, Tensors]] = []

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(new=tensors(), align=st.sampled_from([1, 64]))
    def save(self, new: Tensors, align: int) -> None:
        ckptfast.save(self.prefix, new, align=align, durability="none")
        self.expected = new

    @rule(new=tensors(), shards=st.integers(1, 3))
    def save_with_so_many_shards(self, new: Tensors, shards: int) -> None:
        ckptfast.save(self.prefix, new, shards=min(shards, len(new)), durability="none")
        self.expected = new

    @rule(new=tensors(), extra=st.none() | st.just("\0"))
    def fail_to_save(self, new: Tensors, extra: str | None) -> None:
        bad: dict[Any, Any] = {**new, "bad": object()} if extra is None else {**new, extra: 1}
        try:
            ckptfast.save(self.prefix, bad)
        except (TypeError, ValueError):
            return
        raise AssertionError("was saved")

    @rule(new=tensors())
    def tensorflow_saves(self, new: Tensors) -> None:
        tf_io.save(self.tf, self.prefix, new)
        for path in self.folder.glob("m.data-*-of-*"):
            if not path.name.endswith("-of-00001"):
                path.unlink()  # which TensorFlow leaves behind
        self.expected = new

    @rule(new=tensors(), more=tensors())
    def merge(self, new: Tensors, more: Tensors) -> None:
        more = {f"{name}2": value for name, value in more.items()}
        parts = [self.folder / "t" / "one", self.folder / "t" / "two"]
        for part, content in zip(parts, [new, more], strict=True):
            ckptfast.save(part, content, durability="none")
        ckptfast.merge(parts, self.prefix, durability="none")
        self.expected = new | more

    @rule(copy=st.sampled_from([None, True]), backend=st.sampled_from(["mmap", "pread"]))
    def load_and_keep(self, copy: bool | None, backend: Any) -> None:
        if self.expected:
            loaded = ckptfast.load(self.prefix, copy=copy, backend=backend)
            self.held.append((loaded, self.expected))

    @invariant()
    def the_prefix_holds_what_was_saved_last(self) -> None:
        if not self.expected:
            return
        loaded = ckptfast.load(self.prefix)
        assert loaded.keys() == self.expected.keys()
        for name, value in self.expected.items():
            assert_same(loaded[name], value, name)
        names = list(self.expected)
        dtypes = ["string" if self.expected[name].dtype == object else "float32" for name in names]
        restored = tf_io.restore(self.tf, self.prefix, names, dtypes)
        for name, value in zip(names, restored, strict=True):
            assert_same(value, self.expected[name], name)

    @invariant()
    def no_file_is_left_over(self) -> None:
        if self.expected:
            with ckptfast.open(self.prefix) as reader:
                count = reader.num_shards
            files = {f"m.data-{shard:05}-of-{count:05}" for shard in range(count)} | {"m.index"}
            assert {path.name for path in self.folder.iterdir()} == files

    @invariant()
    def what_was_loaded_stays_as_it_was(self) -> None:
        for loaded, expected in self.held:
            for name, value in expected.items():
                assert_same(loaded[name], value, name)


def test_any_sequence_of_changes(tf: ModuleType) -> None:
    OnePrefix.tf = tf
    options = settings(max_examples=40, stateful_step_count=15, deadline=None)
    run_state_machine_as_test(OnePrefix, settings=options)
