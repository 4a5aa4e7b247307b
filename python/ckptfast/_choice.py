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
    own: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The names that `include` does not name (`None` names all) or `exclude` does, and why.

    An exact name beats any other pattern on the other side; of two equals, `exclude` wins. `kind`
    is what has the names, for messages, and `slots` says which of them are an optimizer's;
    `own` has what the bearers of some of the names are called themselves, which is what patterns
    mean; one that matches nothing so called is tried on the names. Raises `ValueError` for an
    `include` that matches nothing.
    """
    wanted, refused = _patterns.listed(include), _patterns.listed(exclude)
    called = {name: own.get(name, name) for name in names} if own else {}
    every = list(dict.fromkeys([*called.values(), *names]))
    _check(wanted, every, kind, given=include is not None)
    for word in refused:
        if isinstance(word, str) and word.startswith(":") and word != _slots.WORD:
            raise ValueError(f"exclude knows the word {_slots.WORD!r}, and not {word!r}")
    of_optimizers = set(slots(every)) if _slots.WORD in refused else set()
    left: dict[str, str] = {}
    including, excluding = _Matcher(wanted, called), _Matcher(refused, called)
    for name in names:
        for_it = _patterns.LOOSE if include is None else including.match(name)
        against = excluding.match(name)
        if for_it == _patterns.NOT:
            left[name] = "not included"
        elif against >= for_it:
            left[name] = "excluded"
        elif {name, called.get(name)} & of_optimizers and for_it != _patterns.EXACT:
            left[name] = "excluded as an optimizer's"
    return left


class _Matcher:
    """Patterns for what is called otherwise than it is named, as `called` says."""

    def __init__(self, patterns: Sequence[_patterns.Pattern], called: Mapping[str, str]) -> None:
        self._called = called
        self._of_called: list[_patterns.Pattern] = []
        self._of_names: list[_patterns.Pattern] = []
        for pattern in patterns:
            is_called = any(_patterns.match([pattern], name) for name in called.values())
            (self._of_called if is_called else self._of_names).append(pattern)

    def match(self, name: str) -> int:
        found = _patterns.match(self._of_names, name)
        if not self._of_called:
            return found
        return max(found, _patterns.match(self._of_called, self._called[name]))


def _check(
    wanted: Sequence[_patterns.Pattern], names: Sequence[str], kind: str, *, given: bool
) -> None:
    if _slots.WORD in wanted:
        raise ValueError(f"{_slots.WORD!r} is a word for exclude, not for include")
    for pattern in wanted if given else ():
        if not any(_patterns.match([pattern], name) for name in names):
            text = pattern if isinstance(pattern, str) else repr(pattern)
            raise ValueError(f"include: no {kind} matches {text}{_patterns.near(text, names)}")
