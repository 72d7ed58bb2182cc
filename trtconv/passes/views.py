"""How the dimensions of a view lie in the tensor that it is of.

A dimension is a tuple of axes of that tensor, which it runs over in their order; () where its size is 1 (axes of size 1
are left out), and SPREAD where the values do not change along it and its size is not known.
"""

from __future__ import annotations

from collections.abc import Sequence

from trtconv.ops.custom_op import Dim
from trtconv.passes.moments import NotMoments

Axes = tuple[int, ...]
SPREAD: Axes = (-1,)
Size = int | Axes | None  # a number, the product of the sizes of axes, or not known


def whole(dims: Sequence[Dim]) -> list[Axes]:
    """Return the dimensions of the tensor itself."""
    return [() if dim == 1 else (axis,) for axis, dim in enumerate(dims)]


def aligned(one: Sequence[Axes], other: Sequence[Axes]) -> list[Axes]:
    """Return the dimensions of what broadcasting makes of two views."""
    rank = max(len(one), len(other))
    pairs = zip(_padded(one, rank), _padded(other, rank), strict=True)
    return [_broadcast(first, second) for first, second in pairs]


def _padded(view: Sequence[Axes], rank: int) -> list[Axes]:
    return [()] * (rank - len(view)) + list(view)


def _broadcast(one: Axes, other: Axes) -> Axes:
    if one == other or other == () or (other == SPREAD and one != ()):
        return one
    if one in ((), SPREAD):
        return other
    raise NotMoments("it compares two axes with each other")


def reshaped(view: Sequence[Axes], sizes: Sequence[Size], base: Sequence[Dim]) -> list[Axes]:
    """Return the view after a Reshape to `sizes`, of which one may be unknown; `base` are the sizes of the axes.

    Raises NotMoments where a dimension would hold a part of an axis.
    """
    if SPREAD in view:
        raise NotMoments("it reshapes a tensor of unknown size")
    axes = [axis for dimension in view for axis in dimension]
    is_known = [_is_known(size) for size in sizes]
    if is_known.count(False) > 1:
        raise NotMoments("it reshapes to a size that is known at run time only")
    split = is_known.index(False) if False in is_known else len(sizes)
    front = _consume(axes, sizes[:split], base)
    taken = sum(map(len, front))
    back = _consume(axes[taken:][::-1], list(sizes[split + 1 :])[::-1], base, is_reversed=True)[::-1]
    middle = axes[taken : len(axes) - sum(map(len, back))]
    if split == len(sizes):
        if middle:
            raise NotMoments("it reshapes to another number of elements")
        return front
    return [*front, tuple(middle), *back]


def _is_known(size: Size) -> bool:
    return size is not None and size != -1


def _consume(axes: Sequence[int], sizes: Sequence[Size], base: Sequence[Dim], is_reversed: bool = False) -> list[Axes]:
    """Give each size the axes, from the first on, that it is made of."""
    dimensions: list[Axes] = []
    position = 0
    for size in sizes:
        taken: list[int] = []
        while not _is_filled(taken, size, base):
            if position == len(axes):
                raise NotMoments("it reshapes to other sizes than its axes have")
            taken.append(axes[position])
            position += 1
        dimensions.append(tuple(taken[::-1] if is_reversed else taken))
    return dimensions


def _is_filled(taken: Sequence[int], size: Size, base: Sequence[Dim]) -> bool:
    """Say whether axes make up a size; raise NotMoments where they exceed it, or it cannot be told."""
    if isinstance(size, tuple):
        wanted = [axis for axis in size if base[axis] != 1]
        if sorted(taken) == sorted(wanted):
            return True
        if len(taken) >= len(wanted):
            raise NotMoments("it reshapes to other sizes than its axes have")
        return False
    product = 1
    for axis in taken:
        dim = base[axis]
        if not isinstance(dim, int):
            raise NotMoments("it reshapes an axis whose size is known at run time only")
        product *= dim
    if size is None or product > size:
        raise NotMoments("it reshapes to a part of an axis")
    return product == size
