"""Find the smallest part of a network for which something holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trtconv.reduction.subgraph import Part, Parts

_MAX_SINGLE_STEPS = 64  # nodes that are tried one by one


def smallest(parts: Parts, tensor: str, holds: Callable[[Part], bool]) -> Part | None:
    """Return a part that computes `tensor`, and for which `holds`, of which no node can be left out; None without one.

    First the number of levels before the tensor is found, taken to be monotonic, then nodes are left out one by one.
    """
    levels = list(parts.levels(tensor))
    found = _first(levels, holds)
    if found is None or len(found) > _MAX_SINGLE_STEPS:
        return found
    for place in sorted(found):
        if place in found and len(found) > 1:
            less = parts.without(found, place, tensor)
            if less and less < found and holds(less):
                found = less
    return found


def _first(levels: Sequence[Part], holds: Callable[[Part], bool]) -> Part | None:
    """Return the first of growing parts that holds: found by doubling, then by halving."""
    if not levels:
        return None
    below, above = -1, 0
    while not holds(levels[above]):
        if above == len(levels) - 1:
            return None
        below, above = above, min(2 * above + 1, len(levels) - 1)
    while above - below > 1:
        middle = (above + below) // 2
        below, above = (below, middle) if holds(levels[middle]) else (middle, above)
    return levels[above]
