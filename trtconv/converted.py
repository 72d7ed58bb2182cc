"""Fields of options that take what Python callers have at hand: paths as text, one pattern for a list of patterns."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

Given = TypeVar("Given")
Kept = TypeVar("Kept")

AnyPath: TypeAlias = "str | os.PathLike[str]"


class Converted(Generic[Given, Kept]):
    """The default of a dataclass's field that holds what `convert` makes of what it is given; type checkers see both.

    `convert` leaves alone what it made: `dataclasses.replace` hands it over again.
    """

    def __init__(self, convert: Callable[[Given], Kept], default: Given) -> None:
        self._convert = convert
        self._default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, instance: object | None, owner: type | None = None) -> Kept:
        if instance is None:  # the dataclass asks for the default
            return self._default  # type: ignore[return-value]
        value: Kept = instance.__dict__[self._name]
        return value

    def __set__(self, instance: object, value: Given) -> None:
        instance.__dict__[self._name] = self._convert(value)


class OptionalPath(Converted["AnyPath | None", "Path | None"]):
    """A path, or None."""

    def __init__(self) -> None:
        super().__init__(lambda given: None if given is None else Path(given), None)


class Paths(Converted["AnyPath | Iterable[AnyPath]", "tuple[Path, ...]"]):
    """Any number of paths, or a single one."""

    def __init__(self) -> None:
        super().__init__(_as_paths, ())


class Patterns(Converted["str | Iterable[str]", "tuple[str, ...]"]):
    """Any number of patterns, or a single one."""

    def __init__(self) -> None:
        super().__init__(lambda given: (given,) if isinstance(given, str) else tuple(given), ())


def _as_paths(given: AnyPath | Iterable[AnyPath]) -> tuple[Path, ...]:
    return (Path(given),) if isinstance(given, (str, os.PathLike)) else tuple(map(Path, given))
