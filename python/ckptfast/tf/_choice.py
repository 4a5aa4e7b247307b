"""Which of the variables a restore is about: `include=` and `exclude=`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

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
    *,
    own: Mapping[str, str] | None = None,
) -> Choice:
    """Those that `include` names (everything, if it is `None`) and `exclude` does not.

    `own`: see `own_names`; a pattern that matches none of these may match a key of the mapping. An
    exact name beats any other pattern on the other side; of two equals, `exclude` wins. Raises
    `ValueError` for an `include` that matches nothing, and when nothing is left.
    """
    if include is None and exclude is None:
        return Choice(list(targets), [], {})
    names = list(dict.fromkeys(part.name for target in targets for part in target.parts))
    left = _choice.left_out(names, include, exclude, own=own)
    chosen: list[Target] = []
    others: list[Target] = []
    for target in targets:
        is_left = any(part.name in left for part in target.parts)
        (others if is_left else chosen).append(target)
    if not chosen:
        raise ValueError("no variables to restore: include and exclude leave none")
    return Choice(chosen, others, left)


_PART = re.compile(r"/part_\d+\Z")


def own_names(targets: Sequence[Target]) -> dict[str, str]:
    """Of variables that were given in a mapping, by their keys, what they are called themselves."""
    return dict(_own_names(targets))


def _own_names(targets: Sequence[Target]) -> Iterator[tuple[str, str]]:
    for target in targets:
        sink = target.sink
        name = sink.op.name if isinstance(sink, tf.Tensor) else getattr(sink, "_shared_name", None)
        if name is not None and len(target.parts) == 1:
            part = target.parts[0]
            yield part.name, name if part.box is None else _PART.sub("", name)
