"""What a checkpoint has for the names of variables: its keys, as they are or renamed."""

from __future__ import annotations

import collections
from collections.abc import Collection, Mapping

from .. import _moving_averages, _object_graph, _patterns
from .._bundle import Reader
from .._cached import cached_property


class Names:
    """The names of a checkpoint's tensors.

    Those are its keys, and in an object-based checkpoint also the plain names that the variables
    had when they were saved.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    @cached_property
    def keys_by_name(self) -> dict[str, list[str]]:
        """Of an object-based checkpoint, the keys for each plain name."""
        graph = self._reader.objects
        return {} if graph is None else graph.keys_by_name()

    def origin(self, name: str) -> str | None:
        """What the checkpoint calls the variable `name`; `None` if certainly nothing."""
        return name

    def keys(self, name: str) -> list[str]:
        """The stored tensors that may be meant by `name`: one, unless it is missing or unclear."""
        origin = self.origin(name)
        if origin is None:
            return []
        if self.number(origin) >= 0:
            return [origin]
        return [key for key in self.keys_by_name.get(origin, ()) if self.number(key) >= 0]

    def beside(self, name: str) -> list[str]:
        """Keys that belong to a variable, though its value comes from another."""
        return []

    def is_taken_away(self, name: str) -> bool:
        """Whether the checkpoint has the name, and a renaming dropped it or gave it another."""
        return False

    def number(self, key: str) -> int:
        """The position of a key in the index, -1 if it is not there."""
        return self._reader._native.find(key)


class NewNames(Names):
    """Names after a renaming, and with moving averages in the place of what they average."""

    def __init__(
        self,
        reader: Reader,
        rename: _patterns.Rename | None,
        *,
        moving_averages: bool,
        own: Mapping[str, str] | None = None,
    ) -> None:
        """`own`: of variables that a mapping gives other names, the names they bear themselves.

        A renaming means those; a name that no variable bears may be one that the mapping gives.
        """
        super().__init__(reader)
        self._averages = moving_averages
        bearers = collections.Counter((own or {}).values())
        self._own = {name: by for name, by in (own or {}).items() if bearers[by] == 1}
        self._borne = set(self._own.values())
        self._stored = {*reader, *self.keys_by_name} - {_object_graph.KEY, ""}
        self._renamed = _patterns.Renamed({}, self._stored, [])
        if rename is not None:
            self._renamed = _patterns.renamed(rename, sorted(self._stored))
        given = {old for several in self._renamed.given.values() for old in several}
        self._left = given | self._renamed.kept

    @property
    def unused(self) -> list[str]:
        """Entries of the renaming that match nothing in the checkpoint."""
        return self._renamed.unused

    def origin(self, name: str) -> str | None:
        """As `Names.origin`. `ValueError` where two names of the checkpoint become this one."""
        found = self._plain(name)
        if not self._averages:
            return found
        # A renaming may have moved the shadow as well, or only its variable.
        shadow = self._plain(name, _moving_averages.SUFFIX)
        if shadow is not None or found is None:
            return shadow
        return _moving_averages.key_of(self._left, found)

    def beside(self, name: str) -> list[str]:
        plain = self._plain(name) if self._averages else None
        return [plain] if plain is not None and self.number(plain) >= 0 else []

    def is_taken_away(self, name: str) -> bool:
        return name in self._stored and self.origin(name) is None

    def renamed(self, name: str) -> str | None:
        """The checkpoint's name for a variable where the renaming gave it another; else `None`."""
        origin = self.origin(name)
        suffix = _moving_averages.SUFFIX if self.is_average(name) else ""
        return None if origin == name + suffix else origin

    def is_average(self, name: str) -> bool:
        """Whether the variable's value comes from a shadow variable."""
        origin = self.origin(name)
        return origin is not None and origin != self._plain(name)

    def _plain(self, name: str, suffix: str = "") -> str | None:
        given, own = self._renamed.given, self._own.get(name, name)
        if own + suffix in given:
            return self._one(own + suffix, given[own + suffix])
        if name + suffix in given and name not in self._borne:
            return self._one(name + suffix, given[name + suffix])
        return name + suffix if name + suffix in self._renamed.kept else None

    def _one(self, name: str, origins: Collection[str]) -> str:
        if len(origins) > 1:
            raise _patterns.clash(name, origins, self._reader.prefix)
        (origin,) = origins
        return origin
