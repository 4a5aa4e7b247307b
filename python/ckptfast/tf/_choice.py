"""Which of the variables a restore is about: `include=` and `exclude=`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .. import _choice, _patterns
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
    left = _choice.left_out(names, include, exclude)
    chosen: list[Target] = []
    others: list[Target] = []
    for target in targets:
        is_left = any(part.name in left for part in target.parts)
        (others if is_left else chosen).append(target)
    if not chosen:
        raise ValueError("no variables to restore: include and exclude leave none")
    return Choice(chosen, others, left)
