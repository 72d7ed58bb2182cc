"""Which groups of channels the statistics of a written-out norm may be of: what the views before them say."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import onnx_graphsurgeon as gs

from trtconv.ops.custom_op import Dim
from trtconv.passes.graph_edit import shape_of

_MAX_CANDIDATES = 4  # each is tried: a view has few sizes that are not those of X


def find_groups(x: gs.Tensor, reduction: gs.Node) -> list[tuple[int, int]]:
    """Return pairs of an axis of the channels of X and a number of groups, which divides them."""
    dims = shape_of(x) or []
    found: dict[tuple[int, int], None] = {}
    for view in _views_before(reduction, x):
        candidates = [groups for dim in _own_sizes(view, dims) for groups in _candidates(dim, dims)]
        for axis in (1, len(dims) - 1):
            channels = dims[axis]
            if isinstance(channels, int):
                fitting = (each for each in candidates if 1 < each < channels and channels % each == 0)
                found |= dict.fromkeys((axis, each) for each in fitting)
    return list(found)[:_MAX_CANDIDATES]


def _views_before(reduction: gs.Node, x: gs.Tensor) -> Iterator[Sequence[Dim]]:
    """Yield the sizes of what a reduction reads, and of what that is a view of, up to X."""
    tensor = reduction.inputs[0]
    while tensor is not x and tensor.inputs:
        writer = tensor.inputs[0]
        if writer.op == "Reshape":
            yield shape_of(tensor) or []
        tensor = writer.inputs[0]


def _own_sizes(view: Sequence[Dim], dims: Sequence[Dim]) -> list[int]:
    """Return the sizes of a view without those that it begins or ends with as the tensor does."""
    first = next((index for index, (own, of_x) in enumerate(zip(view, dims, strict=False)) if own != of_x), 0)
    pairs = zip(view[:first:-1], dims[:first:-1], strict=False)
    num_last = next((index for index, (own, of_x) in enumerate(pairs) if own != of_x), 0)
    return [dim for dim in view[first : len(view) - num_last] if isinstance(dim, int) and dim > 0]


def _candidates(dim: int, dims: Sequence[Dim]) -> Iterator[int]:
    """Yield how many groups a size may stand for: itself, without the images, or by the elements of each group."""
    batch, *rest = dims
    sizes = [size for size in rest if isinstance(size, int)]
    yield dim
    if isinstance(batch, int) and batch > 1 and dim % batch == 0:
        yield dim // batch
    if len(sizes) == len(rest) and math.prod(sizes) % dim == 0:
        yield math.prod(sizes) // dim
