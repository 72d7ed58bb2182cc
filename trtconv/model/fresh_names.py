"""Names that nothing else has."""

from __future__ import annotations

from collections.abc import Iterable


class FreshNames:
    """Gives out names beside those in use; as many of one name as are wanted take no longer than as many names."""

    def __init__(self, used: Iterable[str]) -> None:
        self._used = set(used)
        self._counts: dict[str, int] = {}

    def new(self, wanted: str) -> str:
        """Return `wanted` where it is free, else with the first number after it that makes it so."""
        name = wanted
        while name in self._used:
            self._counts[wanted] = self._counts.get(wanted, 0) + 1
            name = f"{wanted}_{self._counts[wanted]}"
        self._used.add(name)
        return name
