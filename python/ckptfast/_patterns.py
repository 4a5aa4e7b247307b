"""Which names are meant: exact names, globs, scopes, regular expressions, functions; and renames.

One set of rules for all who choose or rename: an exact name beats every other kind, whatever order
they stand in. A string is an exact name where something has that name; otherwise a scope if it ends
in "/", which no name does, else a glob (`*`, `?`, `[…]`; `*` also matches "/"). A regular
expression is a compiled one, and is searched for: `^` and `$` tie it to the ends.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final, NamedTuple

from ._nearest import Nearest

Pattern = str | re.Pattern[str] | Callable[[str], bool]
Patterns = Pattern | Iterable[Pattern]
Rename = Mapping[str | re.Pattern[str], str | None] | Callable[[str], str | None]

EXACT: Final = 2
LOOSE: Final = 1
NOT: Final = 0
"""How a name was matched: what is higher wins."""

ROOT: Final = "/"
"""The scope of everything, in a rename."""


def listed(patterns: Patterns | None) -> list[Pattern]:
    """One pattern or several, as a list.

    `TypeError` for what is no pattern, `ValueError` for a scope with wildcards.
    """
    if patterns is None:
        return []
    several = [patterns] if isinstance(patterns, str | re.Pattern) else patterns
    found: list[Pattern] = [several] if callable(several) else list(several)
    for pattern in found:
        if not isinstance(pattern, str | re.Pattern) and not callable(pattern):
            raise TypeError(
                "names are chosen by strings, compiled regular expressions or functions, "
                f"not {pattern!r}"
            )
        if isinstance(pattern, str):
            _check_scope(pattern)
    return found


def _check_scope(pattern: str) -> None:
    """A `*` in a scope is never what it looks like, and no name of TensorFlow's has one."""
    if pattern.endswith("/") and ("*" in pattern or "?" in pattern):
        raise ValueError(
            f"{pattern!r} ends in '/' and so is a scope, in which '*' and '?' stand for themselves:"
            f" write {pattern + '*'!r}"
        )


def match(patterns: Collection[Pattern], name: str) -> int:
    """How the best of the patterns matches a name: `EXACT`, `LOOSE` or `NOT`."""
    if name in [pattern for pattern in patterns if isinstance(pattern, str)]:
        return EXACT
    return LOOSE if any(_is_loose(pattern, name) for pattern in patterns) else NOT


def _is_loose(pattern: Pattern, name: str) -> bool:
    if isinstance(pattern, str):
        if pattern.endswith("/"):
            return name.startswith(pattern)
        return fnmatch.fnmatchcase(name, pattern)
    if isinstance(pattern, re.Pattern):
        return pattern.search(name) is not None
    return bool(pattern(name))


class Renames:
    """What each name becomes.

    Of several entries that match a name, an exact one is taken, then the longest scope, then the
    first of the others. `None` drops a name. In the new name for a glob, each `*` stands for what
    the wildcard at its place matched; for a regular expression, `\\1` and the like do.
    """

    def __init__(self, rename: Rename) -> None:
        if not isinstance(rename, Mapping) and not callable(rename):
            raise TypeError(f"rename is a mapping or a function, not {rename!r}")
        self._function = None if isinstance(rename, Mapping) else rename
        entries = rename if isinstance(rename, Mapping) else {}
        for old, new in entries.items():
            _check(old, new)
        self._exact = {old: new for old, new in entries.items() if isinstance(old, str)}
        scopes = [old for old in self._exact if old.endswith("/")]
        self._scopes = sorted(scopes, key=lambda scope: (scope != ROOT, len(scope)), reverse=True)
        self._loose = [
            (old, _expression(old), new)
            for old, new in entries.items()
            if not isinstance(old, str) or not old.endswith("/")
        ]
        self._unused = dict.fromkeys(entries)

    def of(self, name: str) -> tuple[str | None, int]:
        """What a name becomes (`None`: it is dropped), and by which kind of entry."""
        if self._function is not None:
            new = self._function(name)
            if new is not None and not isinstance(new, str):
                raise TypeError(f"rename({name!r}) returned {new!r}, neither a name nor None")
            return new, NOT if new == name else EXACT
        if name in self._exact:
            self._unused.pop(name, None)
            return self._exact[name], EXACT
        for scope in self._scopes:
            if scope == ROOT or name.startswith(scope):
                self._unused.pop(scope, None)
                return _moved(name, scope, self._exact[scope]), LOOSE
        for old, expression, new in self._loose:
            found = expression.search(name)
            if found is not None:
                self._unused.pop(old, None)
                if new is None:
                    return None, LOOSE
                if isinstance(old, str):
                    return _filled(new, found), LOOSE
                return expression.sub(new, name), LOOSE
        return name, NOT

    @property
    def unused(self) -> list[str]:
        """The entries that have matched no name so far, as the caller wrote them."""
        return [old if isinstance(old, str) else old.pattern for old in self._unused]


class Renamed(NamedTuple):
    """What a renaming does to some names.

    - `given`: what each new name was before; several, where they are as good as each other: see
      `clash`.
    - `kept`: the names that stay what they are.
    - `unused`: the entries of the renaming that match nothing.
    """

    given: dict[str, list[str]]
    kept: set[str]
    unused: list[str]


def renamed(rename: Rename, names: Iterable[str]) -> Renamed:
    """What the names become. A name that was given to something beats one that something has."""
    renames = Renames(rename)
    found: dict[str, tuple[int, list[str]]] = {}
    kept = set()
    for name in names:
        new, how = renames.of(name)
        if new is None:
            continue
        if how == NOT:
            kept.add(name)
            continue
        best, several = found.get(new, (how, []))
        if how > best:
            found[new] = (how, [name])
        elif how == best:
            found[new] = (best, [*several, name])
    given = {new: several for new, (_, several) in found.items()}
    return Renamed(given, kept, renames.unused)


def clash(name: str, several: Iterable[str], path: str) -> ValueError:
    """The error for a new name that several tensors would have."""
    return ValueError(
        f"rename: {' and '.join(map(repr, several))} of {path} would all become {name!r}"
    )


def unmatched(entries: Iterable[str], names: Collection[str]) -> str:
    """A line for each entry of a renaming that matches nothing, with the nearest names."""
    scopes = {name[: found.end()] for name in names for found in re.finditer("/", name)}
    return "".join(
        f"\n  {entry}{near(entry, scopes if entry.endswith('/') else names)}" for entry in entries
    )


def _check(old: object, new: object) -> None:
    if not isinstance(old, str | re.Pattern) or not isinstance(new, str | None):
        raise TypeError(f"rename maps names to names or None, not {old!r} to {new!r}")
    if isinstance(old, str):
        _check_scope(old)
    if not isinstance(old, str) or new is None:
        return
    if old.endswith("/") != (new.endswith("/") or not new):
        raise ValueError(f"rename maps a scope to a scope, both with a '/' at the end: {old!r}")
    if not old.endswith("/") and new.count("*") not in (0, len(_WILDCARD.findall(old))):
        raise ValueError(
            f"rename: {new!r} has {new.count('*')} '*', and {old!r} another number of wildcards"
        )


def _moved(name: str, old: str, new: str | None) -> str | None:
    if new is None:
        return None
    return ("" if new == ROOT else new) + (name if old == ROOT else name[len(old) :])


_WILDCARD = re.compile(r"\*|\?|\[!?\]?[^\]]*\]")


def _expression(old: str | re.Pattern[str]) -> re.Pattern[str]:
    """The regular expression of a glob, with a group for every wildcard."""
    if isinstance(old, re.Pattern):
        return old
    parts, at = [], 0
    for wildcard in _WILDCARD.finditer(old):
        text = wildcard.group()
        parts.append(re.escape(old[at : wildcard.start()]))
        parts.append({"*": "(.*)", "?": "(.)"}.get(text) or f"([{_class(text)}])")
        at = wildcard.end()
    parts.append(re.escape(old[at:]))
    return re.compile(r"(?s:\A" + "".join(parts) + r"\Z)")


def _class(text: str) -> str:
    """The inside of a glob's `[…]` as a regular expression has it."""
    inside = text[1:-1].replace("\\", r"\\").replace("[", r"\[")
    return "^" + inside[1:] if inside.startswith("!") else inside.replace("^", r"\^")


def _filled(new: str, found: re.Match[str]) -> str:
    matched = iter(found.groups())
    return re.sub(r"\*", lambda _: next(matched), new)


def near(name: str, names: Iterable[str]) -> str:
    """A hint for a name that is not there: " (nearest: …)", or nothing."""
    found = Nearest(names).to(name)
    return f" (nearest: {', '.join(found)})" if found else ""
