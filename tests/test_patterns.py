"""Choosing and renaming names: precedence, scopes, globs, regular expressions, functions."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ckptfast._patterns import EXACT, LOOSE, NOT, Renames, listed, match
from ckptfast._slots import slots


@pytest.mark.parametrize(
    ("patterns", "name", "how"),
    [
        ("a/w", "a/w", EXACT),
        (["a/*", "a/w"], "a/w", EXACT),
        ("a/*", "a/b/w", LOOSE),
        ("a/", "a/w", LOOSE),
        ("a/", "ab/w", NOT),
        ("?/[vw]", "a/w", LOOSE),
        ("[a]", "[a]", EXACT),
        (re.compile("/w$"), "a/w", LOOSE),
        (re.compile("^w"), "a/w", NOT),
        (lambda name: name.startswith("a"), "a/w", LOOSE),
        ("A/*", "a/w", NOT),
        ([], "a/w", NOT),
    ],
)
def test_how_a_name_is_matched(patterns: Any, name: str, how: int) -> None:
    assert match(listed(patterns), name) == how


@pytest.mark.parametrize("scope", ["conv*/", ["a", "conv?/"]])
def test_a_scope_with_wildcards_matches_nothing_without_a_word(scope: Any) -> None:
    with pytest.raises(ValueError, match=r"write 'conv[*?]/\*'"):
        listed(scope)


@pytest.mark.parametrize("wrong", [5, [5], [None]])
def test_what_is_no_pattern_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError):
        listed(wrong)


@pytest.mark.parametrize(
    ("rename", "name", "new"),
    [
        ({"a": "b"}, "a", "b"),
        ({"a": "b"}, "c", "c"),
        ({"vgg/": "backbone/"}, "vgg/conv1/w", "backbone/conv1/w"),
        ({"vgg/": "backbone/"}, "vgg16/w", "vgg16/w"),
        ({"vgg/": ""}, "vgg/conv1/w", "conv1/w"),
        ({"vgg/": "/"}, "vgg/conv1/w", "conv1/w"),
        ({"/": "backbone/"}, "conv1/w", "backbone/conv1/w"),
        ({"/": "x/", "a/": "y/", "a/b/": "z/"}, "a/b/w", "z/w"),
        ({"/": "x/", "a/": "y/", "a/b/": "z/"}, "a/w", "y/w"),
        ({"*/weights": "*/kernel"}, "a/b/weights", "a/b/kernel"),
        ({"layer?/*": "block*/*"}, "layer7/w", "block7/w"),
        ({"layer[0-4]/*": "low*/*"}, "layer3/w", "low3/w"),
        ({"layer[!0-4]/*": "high*/*"}, "layer3/w", "layer3/w"),
        ({"*/fc8/w": "head"}, "vgg/fc8/w", "head"),
        ({re.compile(r"^layer_(\d+)/"): r"block\1/"}, "layer_12/w", "block12/w"),
        ({"a/": "b/", "a/w": "exact"}, "a/w", "exact"),
        ({"*": "glob*", "a/w": "exact"}, "a/w", "exact"),
        ({"a/": None}, "a/w", None),
        ({"*Adam*": None}, "a/w/Adam", None),
        (str.upper, "a", "A"),
        (lambda name: None, "a", None),
    ],
)
def test_what_a_name_becomes(rename: Any, name: str, new: str | None) -> None:
    assert Renames(rename).of(name)[0] == new


@pytest.mark.parametrize(
    ("rename", "error"),
    [
        ({"a/": "b"}, ValueError),
        ({"a*/": "b*/"}, ValueError),
        ({"a": "b/"}, ValueError),
        ({"a": ""}, ValueError),
        ({"*/*": "*"}, ValueError),
        ({1: "a"}, TypeError),
        ({"a": 1}, TypeError),
        ("a", TypeError),
    ],
)
def test_a_rename_that_means_nothing_is_refused(rename: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        Renames(rename)


def test_entries_that_match_nothing_are_known() -> None:
    renames = Renames({"a": "b", "typo": "c", re.compile("^x"): "y", "s/": "t/"})
    for name in ("a", "s/w"):
        renames.of(name)
    assert renames.unused == ["typo", "^x"]


def test_a_function_must_return_a_name() -> None:
    wrong: Any = len
    with pytest.raises(TypeError, match="neither a name nor None"):
        Renames(wrong).of("abc")


def test_slots_are_told_from_variables_and_from_moving_averages() -> None:
    model = {"w", "dense/kernel", "w/ExponentialMovingAverage", "global_step", "momentum", "m/v"}
    optimizers = {
        "w/Adam", "w/Adam_1", "dense/kernel/Momentum", "w/adam_m", "beta1_power", "beta2_power_1",
        "Adam/dense/kernel/m", "training/SGD/dense/kernel/momentum", "Adam/m/w", "Adam/iter",
        "Adam/learning_rate", "train/beta1_power",
    }  # fmt: skip
    assert slots(model | optimizers) == optimizers
    assert slots(model) == set()
