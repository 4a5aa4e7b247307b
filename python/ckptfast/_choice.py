"""Which names a call is about: `include=` and `exclude=`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from . import _patterns, _slots


def left_out(
    names: Sequence[str],
    include: _patterns.Patterns | None,
    exclude: _patterns.Patterns | None,
    *,
    kind: str = "variable",
    slots: Callable[[Sequence[str]], Collection[str]] = _slots.slots,
    also: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The names that `include` does not name (`None` names all) or `exclude` does, and why.

    An exact name beats any other pattern on the other side; of two equals, `exclude` wins. `kind`
    is what has the names, for messages, and `slots` says which of them are an optimizer's;
    `also` has second names, by the first. Raises
    `ValueError` for an `include` that matches nothing.
    """
    wanted, refused = _patterns.listed(include), _patterns.listed(exclude)
    both = {name: {name, also.get(name, name)} if also else {name} for name in names}
    every = list(dict.fromkeys(other for name in names for other in sorted(both[name])))
    _check(wanted, every, kind, given=include is not None)
    for word in refused:
        if isinstance(word, str) and word.startswith(":") and word != _slots.WORD:
            raise ValueError(f"exclude knows the word {_slots.WORD!r}, and not {word!r}")
    of_optimizers = slots(every) if _slots.WORD in refused else ()
    left: dict[str, str] = {}
    for name in names:
        for_it = max(_patterns.match(wanted, other) for other in both[name])
        for_it = _patterns.LOOSE if include is None else for_it
        against = max(_patterns.match(refused, other) for other in both[name])
        if for_it == _patterns.NOT:
            left[name] = "not included"
        elif against >= for_it:
            left[name] = "excluded"
        elif not both[name].isdisjoint(of_optimizers) and for_it != _patterns.EXACT:
            left[name] = "excluded as an optimizer's"
    return left


def _check(
    wanted: Sequence[_patterns.Pattern], names: Sequence[str], kind: str, *, given: bool
) -> None:
    if _slots.WORD in wanted:
        raise ValueError(f"{_slots.WORD!r} is a word for exclude, not for include")
    for pattern in wanted if given else ():
        if not any(_patterns.match([pattern], name) for name in names):
            text = pattern if isinstance(pattern, str) else repr(pattern)
            raise ValueError(f"include: no {kind} matches {text}{_patterns.near(text, names)}")
