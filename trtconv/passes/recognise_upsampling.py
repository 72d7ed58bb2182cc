"""Recognise  Reshape or Unsqueeze(X) - Tile, Expand, Concat or Mul by ones - Reshape  ->  Resize(X), nearest,
          and  Gather(X, [0, 0, 1, 1, ..])  ->  the same.

Axes of size 1 behind the spatial ones are repeated and joined with them, as generators of the StyleGAN family, exports
of repeat_interleave and Keras write nearest upsampling by whole factors. The copies are the same, bit for bit. Only an
upsampling that a convolution or a custom op may take is worth it.
"""

from __future__ import annotations

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
from trtconv.passes.constant_values import KnownValues, read_constants
from trtconv.passes.copied_elements import (
    Layout,
    Part,
    Wanted,
    factors_of,
    gathered,
    number,
    regrouped,
    size_of,
    tiled,
)
from trtconv.passes.element_counts import Count, count_of, product_of
from trtconv.passes.fusion import given_out, is_op
from trtconv.passes.graph_edit import NewNode, dtype_of, replace, shape_of
from trtconv.passes.view_sizes import SizeReader
from trtconv.passes.views import whole

_FIRST, _LAST = ("Reshape", "Unsqueeze", "Gather"), ("Reshape", "Gather")
_REPEATING = ("Tile", "Expand", "Mul", "Concat", "Gather")
_MAX_NODES = 9  # three axes, one after the other, in three nodes each
_MAX_RANK = 16  # of what the nodes give in between
_MAX_LISTS = 8  # that are joined one after the other to a list of sizes
_MAX_NEIGHBOURS = 3  # from the upsampling to a convolution, or from a custom op to it: activations, a pad
_FIRST_RESIZE, _FIRST_WITH_ROI = 10, 11
_FIRST_SCALES_INPUT = 9  # of Upsample, which has an attribute before


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
    x, chain = first.inputs[0], list(_chain(first, outputs))
    repeats = any(node.op in _REPEATING for node in chain)
    if not repeats or not isinstance(x, gs.Variable) or dtype_of(x) != element_types.FLOAT32.onnx or context.opset < 7:
        return None  # ONNX Runtime resizes no halves
    views = _Views(x, context)
    axes = layout = views.axes
    if axes is None:
        return None
    found: _Match | None = None
    nodes: list[gs.Node] = []
    for node in chain:
        layout = None if layout is None else views.after(node, layout)
        if layout is None:
            break
        nodes.append(node)
        factors = factors_of(layout, axes)
        if factors is not None and factors[:2] == [1, 1] and max(factors) > 1 and is_op(node, *_LAST):
            found = _Match(list(nodes), x, factors)
    return found


def _chain(node: gs.Node, outputs: frozenset[int]) -> Iterator[gs.Node]:
    """Yield a node, and those after it that copy, as long as each is the only reader of the one before."""
    for _ in range(_MAX_NODES):
        if not is_op(node, *_FIRST, *_REPEATING):
            return
        yield node
        y = node.outputs[0]
        readers = {id(reader): reader for reader in y.outputs}
        if len(readers) != 1 or id(y) in outputs:
            return
        node = next(iter(readers.values()))
        if not node.inputs or node.inputs[0] is not y:
            return


class _Views:
    """What the nodes after X give, as layouts of its elements."""

    def __init__(self, x: gs.Tensor, context: PassContext) -> None:
        dims = shape_of(x) or []
        self._context, self._known = context, KnownValues(context.constants)
        self._sizes = SizeReader(dims, lambda tensor: whole(dims) if tensor is x else None, self._value_of)
        sizes = [None if dim is None else product_of([(axis,)], self._sizes) for axis, dim in enumerate(dims)]
        known = [size for size in sizes if size is not None]
        is_known = bool(dims) and len(known) == len(dims)
        self.axes: Layout | None = None
        if is_known:
            self.axes = [[] if size == number(1) else [Part(axis, size)] for axis, size in enumerate(known)]

    def after(self, node: gs.Node, layout: Layout) -> Layout | None:
        """Return how the dimensions of a node's result lie in X, None for a node that does more than copy."""
        if is_op(node, "Concat"):
            rank, is_copy = len(layout), all(each is node.inputs[0] for each in node.inputs)
            if not rank:
                return None
            place = node.attrs["axis"] % rank
            counts = [len(node.inputs) if axis == place else 1 for axis in range(rank)]
            return tiled(layout, counts) if is_copy else None
        if is_op(node, "Expand"):
            return self._expanded(node, layout)
        if is_op(node, "Reshape", "Unsqueeze"):
            wanted = self._wanted(node, layout)
            return None if wanted is None else regrouped(layout, wanted)
        value = self._value_of(node.inputs[1]) if is_op(node, "Gather", "Tile", "Mul") else None
        if value is None:
            return None
        if node.op == "Gather":
            return gathered(layout, int(node.attrs.get("axis", 0)), value)
        if node.op == "Tile":
            return tiled(layout, value.reshape(-1).tolist())
        ones = [*[1] * (len(layout) - value.ndim), *value.shape]
        return tiled(layout, ones) if np.all(value == 1) else None

    def _expanded(self, node: gs.Node, layout: Layout) -> Layout | None:
        sizes = self._entries(node.inputs[1])
        if sizes is None or len(sizes) < len(layout):
            return None
        counts = []
        for own, size in zip([[]] * (len(sizes) - len(layout)) + layout, sizes, strict=True):
            if size is None or (own and size not in (number(1), size_of(own))):
                return None
            if not own and (size.exponents or not size.is_whole):
                return None
            counts.append(1 if own else int(size.number))
        return tiled(layout, counts)

    def _wanted(self, node: gs.Node, layout: Layout) -> list[Wanted] | None:
        """Return what a Reshape or Unsqueeze makes the dimensions of."""
        dims = shape_of(node.outputs[0])
        if node.op == "Unsqueeze" or len(node.inputs) < 2:
            return None if dims is None else [self._size_of(dim) for dim in dims]
        if node.attrs.get("allowzero"):
            return None
        value = self._value_of(node.inputs[1])
        if value is None:
            entries = self._entries(node.inputs[1])
            return None if entries is None else [*entries]
        wanted: list[Wanted] = []
        for index, entry in enumerate(value.reshape(-1).tolist()):
            if entry == 0 and index >= len(layout):
                return None
            wanted.append(layout[index] if entry == 0 else None if entry == -1 else number(entry))
        return wanted

    def _entries(self, tensor: gs.Tensor, depth: int = 0) -> list[Count | None] | None:
        """Return the entries of a list of sizes, None for those that are not known."""
        dims = shape_of(tensor)
        if depth > _MAX_LISTS or dims is None or len(dims) != 1 or not isinstance(dims[0], int) or dims[0] > _MAX_RANK:
            return None
        value = self._value_of(tensor)
        if value is not None:
            return [number(entry) if entry > 0 else None for entry in value.reshape(-1).tolist()]
        writer = tensor.inputs[0] if len(tensor.inputs) == 1 else None
        if writer is not None and is_op(writer, "Concat"):
            parts = [self._entries(each, depth + 1) for each in writer.inputs]
            return None if None in parts else [entry for part in parts for entry in part or ()]
        if shape_of(tensor) == [1]:
            return [count_of(tensor, self._sizes)]
        sizes = self._sizes.read(tensor)
        return None if sizes is None else [product_of([size], self._sizes) for size in sizes]

    def _size_of(self, dim: Dim) -> Count | None:
        return product_of([self._sizes.size_of(dim)], self._sizes)

    def _value_of(self, tensor: gs.Tensor) -> npt.NDArray[Any] | None:
        value = read_constants([tensor], self._context.opset, self._context.folder, self._known)[tensor.name]
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
