"""How the dimensions of a tensor that repeats elements of X lie in X: each runs over axes of X and over copies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv.passes.element_counts import Count


@dataclass(frozen=True)
class Part:
    """What a dimension runs over: an axis of X, or copies, where `axis` is None."""

    axis: int | None
    size: Count


Layout = list[list[Part]]  # the parts of each dimension, the slowest first; none where its size is 1
# What a view asks of a dimension: its size, the parts that it keeps, or what the others leave.
Wanted = Count | list[Part] | None


def copies(count: int) -> list[Part]:
    """Return the parts of a dimension of copies."""
    return [Part(None, number(count))] if count > 1 else []


def number(value: int) -> Count:
    """Return a number as a count."""
    return Count(Fraction(value))


def factors_of(layout: Layout, axes: Layout) -> list[int] | None:
    """Return how often each element is repeated along each of the `axes` of X, one copy after the other; else None."""
    if len(layout) != len(axes):
        return None
    factors = []
    for parts, own in zip(layout, axes, strict=True):
        behind = parts[len(own) :]
        if parts[: len(own)] != own or any(part.axis is not None for part in behind):
            return None
        factors.append(int(size_of(behind).number))
    return factors


def gathered(layout: Layout, axis: int, indices: npt.NDArray[Any]) -> Layout | None:
    """Return a layout in which each element of a dimension follows its own copies; None for other indices."""
    if not layout or indices.ndim != 1 or not indices.size:
        return None
    place = axis % len(layout)
    size = size_of(layout[place])
    length = int(size.number)
    if size.exponents or indices.size % length or np.any((indices < -length) | (indices >= length)):
        return None
    count = indices.size // length
    if not np.array_equal(indices % length, np.repeat(np.arange(length), count)):
        return None
    return [*layout[:place], [*layout[place], *copies(count)], *layout[place + 1 :]]


def tiled(layout: Layout, counts: Sequence[int]) -> Layout | None:
    """Return a layout whose dimensions of 1 are repeated, those before the first with it; None where others are."""
    before: Layout = [[]] * (len(counts) - len(layout))
    pairs = list(zip([*before, *layout], counts, strict=False))
    if len(layout) > len(counts) or any(count < 1 or (count > 1 and own) for own, count in pairs):
        return None
    return [own or copies(count) for own, count in pairs]


def regrouped(layout: Layout, wanted: Sequence[Wanted]) -> Layout | None:
    """Return the dimensions of a view, of which one may be left open; None where one would hold a piece of a part."""
    parts = [part for own in layout for part in own]
    open_at = next((index for index, each in enumerate(wanted) if each is None), len(wanted))
    front = _taken(parts, wanted[:open_at])
    if front is None:
        return None
    rest = parts[sum(map(len, front)) :]
    if open_at == len(wanted):
        return None if rest else front
    back = _taken(rest[::-1], [each[::-1] if isinstance(each, list) else each for each in wanted[:open_at:-1]])
    if back is None:
        return None
    middle = rest[: len(rest) - sum(map(len, back))]
    return [*front, middle, *(own[::-1] for own in back[::-1])]


def size_of(parts: Sequence[Part]) -> Count:
    """Return the product of the sizes of parts."""
    result = Count()
    for part in parts:
        result = result.times(part.size)
    return result


def _taken(parts: Sequence[Part], wanted: Sequence[Wanted]) -> Layout | None:
    """Return the parts, from the first on, that make up each of the sizes; None where there are no such parts."""
    waiting = list(parts)
    result: Layout = []
    for each in wanted:
        own: list[Part] = []
        while own != each and size_of(own) != each:
            if each is None or not waiting:
                return None
            own.append(waiting.pop(0))
        result.append(own)
    return result
