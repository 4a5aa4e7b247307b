"""Which of the variables a restore is about: `include=` and `exclude=`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .. import _patterns, _slots
from ._targets import Target


class Choice(NamedTuple):
    """The targets to restore, the others, and the names of those with the reason."""

    targets: list[Target]
    others: list[Target]
    left: dict[str, str]


def choose(
    targets: Sequence[Target],
    include: _patterns.Patterns | None,
    exclude: _patterns.Patterns | None,
) -> Choice:
    """Those that `include` names (everything, if it is `None`) and `exclude` does not.

    An exact name beats any other pattern on the other side; of two equals, `exclude` wins. Raises
    `ValueError` for an `include` that matches nothing, and when nothing is left.
    """
    if include is None and exclude is None:
        return Choice(list(targets), [], {})
    names = list(dict.fromkeys(part.name for target in targets for part in target.parts))
    wanted, refused = _patterns.listed(include), _patterns.listed(exclude)
    _check(wanted, names, given=include is not None)
    for word in refused:
        if isinstance(word, str) and word.startswith(":") and word != _slots.WORD:
            raise ValueError(f"exclude knows the word {_slots.WORD!r}, and not {word!r}")
    slots = _slots.slots(names) if _slots.WORD in refused else set()
    left: dict[str, str] = {}
    for name in names:
        for_it = _patterns.LOOSE if include is None else _patterns.match(wanted, name)
        against = _patterns.match(refused, name)
        if for_it == _patterns.NOT:
            left[name] = "not included"
        elif against >= for_it:
            left[name] = "excluded"
        elif name in slots and for_it != _patterns.EXACT:
            left[name] = "excluded as an optimizer's"
    chosen: list[Target] = []
    others: list[Target] = []
    for target in targets:
        is_left = any(part.name in left for part in target.parts)
        (others if is_left else chosen).append(target)
    if not chosen:
        raise ValueError("no variables to restore: include and exclude leave none")
    return Choice(chosen, others, left)


def _check(wanted: Sequence[_patterns.Pattern], names: Sequence[str], *, given: bool) -> None:
    if _slots.WORD in wanted:
        raise ValueError(f"{_slots.WORD!r} is a word for exclude, not for include")
    for pattern in wanted if given else ():
        if not any(_patterns.match([pattern], name) for name in names):
            text = pattern if isinstance(pattern, str) else repr(pattern)
            raise ValueError(f"include: no variable matches {text}{_patterns.near(text, names)}")
