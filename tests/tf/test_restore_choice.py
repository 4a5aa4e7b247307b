"""Restoring parts of a checkpoint: `include` and `exclude`."""

from __future__ import annotations

import re
from types import ModuleType
from typing import Any

import pytest
from restore_cases import assert_same
from restore_models import SHAPES, STORED, Model, some


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"include": "vgg/conv/w"}, {"vgg/conv/w"}),
        ({"include": "vgg/conv/"}, {"vgg/conv/w", "vgg/conv/b", "vgg/conv/w/Adam"}),
        ({"include": ["*/b", re.compile("^step$")]}, {"vgg/conv/b", "step"}),
        ({"include": lambda name: name.endswith("b")}, {"vgg/conv/b"}),
        ({"exclude": "vgg/"}, {"step"}),
        ({"exclude": ["*/w", "step"]}, {"vgg/conv/b", "vgg/conv/w/Adam"}),
        ({"exclude": ":slots"}, set(STORED) - {"vgg/conv/w/Adam"}),
        ({"include": "vgg/conv/*", "exclude": ":slots"}, {"vgg/conv/w", "vgg/conv/b"}),
        ({"include": "vgg/", "exclude": "*/w"}, {"vgg/conv/b", "vgg/conv/w/Adam"}),
        # An exact name beats a glob, on either side; of two equals, exclude wins.
        ({"include": ["vgg/conv/w"], "exclude": "vgg/*"}, {"vgg/conv/w"}),
        ({"include": "vgg/*", "exclude": "vgg/conv/w"}, {*STORED} - {"vgg/conv/w", "step"}),
        ({"include": ["step", "vgg/conv/b"], "exclude": "step"}, {"vgg/conv/b"}),
        ({"include": "vgg/conv/w/Adam", "exclude": ":slots"}, {"vgg/conv/w/Adam"}),
    ],
)  # fmt: skip
def test_what_was_not_chosen_keeps_its_value(
    tf: ModuleType, path: str, options: dict[str, Any], expected: set[str]
) -> None:
    model = Model("resource", SHAPES)
    model.initialize()
    before = model.values()
    report = model.restore(path, **options)
    assert set(report.restored) == expected
    assert set(report.skipped) == set(STORED) - expected
    assert_same(model.values(), {**before, **some(*expected)})
    assert report.uninitialized == ()


def test_the_choice_is_the_same_for_all_kinds_of_variables(kind: str, path: str) -> None:
    model = Model(kind, SHAPES)
    report = model.restore(path, include=["vgg/"], exclude=[":slots", "*/fc8/*"])
    assert sorted(report.restored) == ["vgg/conv/b", "vgg/conv/w"]
    assert report.skipped == {
        "step": "not included",
        "vgg/fc8/w": "excluded",
        "vgg/conv/w/Adam": "excluded as an optimizer's",
    }
    assert_same(model.values("vgg/conv/w"), some("vgg/conv/w"))
    empty = () if kind == "eager" else ("step", "vgg/conv/w/Adam", "vgg/fc8/w")
    assert tuple(sorted(report.uninitialized)) == empty


def test_an_include_that_matches_nothing_is_no_empty_restore(tf: ModuleType, path: str) -> None:
    model = Model("resource", SHAPES)
    with pytest.raises(ValueError, match=r"vgg/conv/ww.*nearest: vgg/conv/w"):
        model.restore(path, include=["step", "vgg/conv/ww"])
    with pytest.raises(ValueError, match="leave none"):
        model.restore(path, exclude="*")
    with pytest.raises(ValueError, match="word for exclude"):
        model.restore(path, include=":slots")


def test_a_mistyped_word_excludes_nothing(tf: ModuleType, path: str) -> None:
    with pytest.raises(ValueError, match="the word ':slots', and not ':slot'"):
        Model("resource", SHAPES).restore(path, exclude=["step", ":slot"])
