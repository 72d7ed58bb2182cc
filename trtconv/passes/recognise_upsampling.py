"""Recognise  Reshape or Unsqueeze(X) - Tile, Expand, Concat or Mul by ones - Reshape  ->  Resize(X), nearest,
          and  Gather(X, [0, 0, 1, 1, ..])  ->  the same.

Axes of size 1 behind the spatial ones are repeated and joined with them, as generators of the StyleGAN family, exports
of repeat_interleave and Keras write nearest upsampling by whole factors. The copies are the same, bit for bit. Only an
upsampling that a convolution or a custom op may take is worth it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_graphsurgeon as gs

from trtconv import element_types
from trtconv.decisions import REWRITTEN
from trtconv.ops.custom_op import DOMAIN, Dim
from trtconv.passes.base import PassContext, Site
from trtconv.passes.constant_values import read_constants
from trtconv.passes.fusion import given_out, is_op
from trtconv.passes.graph_edit import NewNode, dtype_of, replace, shape_of

_FIRST, _LAST = ("Reshape", "Unsqueeze", "Gather"), ("Reshape", "Gather")
_MAX_NODES = 9  # three axes, one after the other, in three nodes each
_MAX_NEIGHBOURS = 3  # from the upsampling to a convolution, or from a custom op to it: activations, a pad
_FIRST_RESIZE, _FIRST_WITH_ROI = 10, 11
_FIRST_SCALES_INPUT = 9  # of Upsample, which has an attribute before


@dataclass(frozen=True)
class _Part:
    """What a dimension runs over: an axis of X, or copies, where `axis` is None."""

    axis: int | None
    size: Dim


_Layout = list[list[_Part]]  # the parts of each dimension, the slowest first; none where its size is 1


@dataclass(frozen=True)
class _Match:
    """Nodes that upsample X by a factor for each of its axes."""

    nodes: Sequence[gs.Node]
    x: gs.Tensor
    factors: Sequence[int]


def recognise_upsampling(graph: gs.Graph, context: PassContext) -> int:
    """Turn written-out upsamplings into Resize or Upsample, which later passes count where they take them; return 0."""
    sites, outputs = context.sites(graph), given_out(graph)
    taken: set[int] = set()
    for site in list(sites.where(lambda node: is_op(node, *_FIRST))):
        match = None if id(site.node) in taken else _match(site.node, outputs, context)
        if match is None or not _is_of_use(match):
            continue
        members = [sites[id(node)] for node in match.nodes]
        kept = [(each, wish) for each in members if (wish := context.wish_against(each, REWRITTEN))]
        for each, wish in kept:
            context.note(each, None, wish.reason, wish.figures)
        if not kept and all(each.graph is site.graph for each in members):
            taken |= {id(node) for node in match.nodes}
            _rewrite(match, members[-1], context)
    return 0


def _match(first: gs.Node, outputs: frozenset[int], context: PassContext) -> _Match | None:
    """Return the longest upsampling that begins with a node, None where there is none."""
    x = first.inputs[0]
    dims = shape_of(x)
    if dims is None or dtype_of(x) != element_types.FLOAT32.onnx or context.opset < 7:
        return None  # ONNX Runtime resizes no halves
    layout: _Layout | None = [[] if dim == 1 else [_Part(axis, dim)] for axis, dim in enumerate(dims)]
    found: _Match | None = None
    nodes: list[gs.Node] = []
    for node in _chain(first, outputs):
        layout = None if layout is None else _after(node, layout, context)
        if layout is None:
            break
        nodes.append(node)
        factors = _factors(layout, dims)
        if factors is not None and factors[:2] == [1, 1] and max(factors) > 1 and is_op(node, *_LAST):
            found = _Match(list(nodes), x, factors)
    return found


def _chain(node: gs.Node, outputs: frozenset[int]) -> Iterator[gs.Node]:
    """Yield a node, and those after it as long as each is the only reader of the one before."""
    for _ in range(_MAX_NODES):
        yield node
        y = node.outputs[0]
        readers = {id(reader): reader for reader in y.outputs}
        if len(readers) != 1 or id(y) in outputs:
            return
        node = next(iter(readers.values()))
        if len(node.outputs) != 1 or node.inputs[0] is not y:
            return


def _factors(layout: _Layout, dims: Sequence[Dim]) -> list[int] | None:
    """Return how often each element of X is repeated along each axis, None where it is not, one after the other."""
    if len(layout) != len(dims):
        return None
    factors = []
    for axis, parts in enumerate(layout):
        own = [part for part in parts if part.axis is not None]
        if [part.axis for part in own] != ([] if dims[axis] == 1 else [axis]) or parts[: len(own)] != own:
            return None
        factors.append(math.prod(part.size for part in parts if part.axis is None and isinstance(part.size, int)))
    return factors


def _after(node: gs.Node, layout: _Layout, context: PassContext) -> _Layout | None:
    """Return how the dimensions of a node's result lie in X, None for a node that does more than copy."""
    dims = shape_of(node.outputs[0])
    if dims is None or not is_op(node, *_FIRST, "Tile", "Expand", "Mul", "Concat"):
        return None
    value = _value_of(node.inputs[1], context) if node.op in ("Reshape", "Tile", "Mul", "Gather") else None
    if node.op in ("Reshape", "Unsqueeze"):
        return None if node.attrs.get("allowzero") else _regrouped(layout, dims, value)
    if node.op == "Gather":
        return None if value is None else _gathered(layout, int(node.attrs.get("axis", 0)), value)
    if node.op == "Tile":
        return None if value is None or value.size != len(layout) else _tiled(layout, value.reshape(-1).tolist())
    is_copy = all(each is node.inputs[0] for each in node.inputs) if node.op == "Concat" else node.op == "Expand"
    is_product = node.op == "Mul" and value is not None and bool(np.all(value == 1))
    return _repeated([[]] * (len(dims) - len(layout)) + layout, dims) if is_copy or is_product else None


def _gathered(layout: _Layout, axis: int, indices: npt.NDArray[Any]) -> _Layout | None:
    """Return a layout in which each element of a dimension follows its own copies; None for other indices."""
    place = axis % len(layout)
    size = _size(layout[place])
    if not isinstance(size, int) or size < 1 or indices.ndim != 1 or indices.size % size:
        return None
    count = indices.size // size
    if not np.array_equal(indices % size, np.repeat(np.arange(size), count)) or np.any(indices < -size):
        return None
    copies = [_Part(None, count)] if count > 1 else []
    return [*layout[:place], [*layout[place], *copies], *layout[place + 1 :]]


def _tiled(layout: _Layout, counts: Sequence[int]) -> _Layout | None:
    """Return a layout whose dimensions of 1 are repeated; None where others are."""
    if any(count < 1 or (count > 1 and parts) for parts, count in zip(layout, counts, strict=True)):
        return None
    return [parts if count == 1 else [_Part(None, count)] for parts, count in zip(layout, counts, strict=True)]


def _repeated(layout: _Layout, dims: Sequence[Dim]) -> _Layout | None:
    """Return a layout whose dimensions of 1 were repeated up to `dims`; None where others have another size."""
    result: _Layout = []
    for parts, dim in zip(layout, dims, strict=True):
        if not parts and isinstance(dim, int):
            result.append([] if dim == 1 else [_Part(None, dim)])
        elif dim is not None and _size(parts) == dim:
            result.append(parts)
        else:
            return None
    return result


def _regrouped(layout: _Layout, dims: Sequence[Dim], given: npt.NDArray[Any] | None) -> _Layout | None:
    """Return the dimensions of a view of sizes `dims`, as `given` asks for: 0 keeps a dimension, one may be the rest.

    None where a dimension would hold a piece of a part.
    """
    entries = [*dims] if given is None else [int(entry) for entry in given.reshape(-1)]
    wanted: list[Dim | list[_Part]] = []
    for index, (entry, dim) in enumerate(zip(entries, dims, strict=True)):
        is_kept = given is not None and entry == 0
        wanted.append(layout[index] if is_kept and index < len(layout) else dim if isinstance(dim, int) else entry)
    parts = [part for own in layout for part in own]
    open_at = next((index for index, each in enumerate(wanted) if each in (None, -1)), len(wanted))
    front = _taken(parts, wanted[:open_at])
    if front is None or open_at == len(wanted):
        return front if front is None or sum(map(len, front)) == len(parts) else None
    rest = parts[sum(map(len, front)) :]
    back = _taken(rest[::-1], wanted[:open_at:-1])
    if back is None:
        return None
    middle = rest[: len(rest) - sum(map(len, back))]
    return [*front, middle, *(own[::-1] for own in back[::-1])]


def _taken(parts: Sequence[_Part], wanted: Sequence[Dim | list[_Part]]) -> _Layout | None:
    """Return the parts, from the first on, that make up each of the sizes; some are given as parts."""
    waiting = list(parts)
    result: _Layout = []
    for size in wanted:
        own: list[_Part] = []
        while own != size and _size(own) != size:
            product = _size(own)
            is_too_large = isinstance(product, int) and isinstance(size, int) and product > size
            if size in (None, -1) or product is None or is_too_large or not waiting:
                return None
            own.append(waiting.pop(0))
        result.append(own)
    return result


def _size(parts: Sequence[_Part]) -> Dim:
    """Return the product of the sizes of parts: a number, a symbol that stands alone, or None where it has no name."""
    sizes = [part.size for part in parts]
    if len(sizes) == 1:
        return sizes[0]
    numbers = [size for size in sizes if isinstance(size, int)]
    return math.prod(numbers) if len(numbers) == len(sizes) else None


def _value_of(tensor: gs.Tensor, context: PassContext) -> npt.NDArray[Any] | None:
    value = read_constants([tensor], context.opset, context.folder)[tensor.name]
    return value if isinstance(value, np.ndarray) else None


def _is_of_use(match: _Match) -> bool:
    """Say whether a convolution comes soon after an upsampling, or a custom op lies close before it."""
    node: gs.Node | None = match.nodes[-1]
    for _ in range(_MAX_NEIGHBOURS):
        readers = [] if node is None else node.outputs[0].outputs
        node = readers[0] if len(readers) == 1 else None
        if node is not None and is_op(node, "Conv"):
            return True
    tensor = match.x
    for _ in range(_MAX_NEIGHBOURS):
        if len(tensor.inputs) != 1 or not tensor.inputs[0].inputs:
            return False
        if tensor.inputs[0].domain == DOMAIN:
            return True
        tensor = tensor.inputs[0].inputs[0]
    return False


def _rewrite(match: _Match, last: Site, context: PassContext) -> None:
    """Put a Resize, before opset 10 an Upsample, in the place of the nodes."""
    y = match.nodes[-1].outputs[0]
    scales = np.array(match.factors, dtype=np.float32)
    given = gs.Constant(f"{y.name}_scales", scales)
    if context.opset >= _FIRST_WITH_ROI:
        inputs = [match.x, gs.Constant(f"{y.name}_roi", np.zeros(0, dtype=np.float32)), given]
        attributes = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        by = NewNode("Resize", inputs, [y], {"mode": "nearest", **attributes})
    elif context.opset >= _FIRST_SCALES_INPUT:
        op = "Resize" if context.opset >= _FIRST_RESIZE else "Upsample"
        by = NewNode(op, [match.x, given], [y], {"mode": "nearest"})
    else:
        by = NewNode("Upsample", [match.x], [y], {"mode": "nearest", "scales": scales.tolist()})
    title, count = last.node.op, len(match.nodes)
    replace(last.graph, match.nodes, by)
    shown = "x".join(map(str, match.factors[2:]))
    context.note(last, REWRITTEN, f"nearest upsampling by {shown}, written out in {count} nodes", title=title)
