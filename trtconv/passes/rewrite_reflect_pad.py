"""Rewrite  Pad(X, pads, mode="reflect")  ->  trtconv::ReflectPad(X, pads=[...]).

pads may be an attribute, an initializer, a Constant node or computed from constants, each with or without `axes`. Where
some are negative, a Slice crops X first. Pads that are computed from sizes known at run time only become the dimensions
of two tensors:  trtconv::DynamicReflectPad(X, ConstantOfShape(begins), ConstantOfShape(ends), rank=[...]).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

import numpy as np
import onnx_graphsurgeon as gs
from onnx import TensorProto, numpy_helper

from trtconv.errors import ModelError
from trtconv.ops.custom_op import DOMAIN, Dim, Operand
from trtconv.ops.dynamic_reflect_pad import DYNAMIC_REFLECT_PAD
from trtconv.ops.output_map import find_bad_pad, padded_dims
from trtconv.ops.reflect_pad import REFLECT_PAD
from trtconv.passes.base import NoMatch, PassContext, Site, walk
from trtconv.passes.constant_values import FromSizes, Value
from trtconv.passes.graph_edit import (
    NewNode,
    dtype_of,
    plugin_node,
    replace,
    require_x,
    set_type,
    shape_of,
)
from trtconv.passes.pad_values import PADS, KnownPads, find_axes, find_pads, read_pad_inputs

_SLICE_INPUTS_OPSET = 10  # before it, the bounds of Slice are attributes
_LAST = np.iinfo(np.int64).max


class BadPad(NamedTuple):
    """A pad that reaches beyond the axis that it reflects, which ONNX forbids."""

    site: Site
    axis: int
    pad: int
    size: int


class _RunTimeMatch(NamedTuple):
    """Pads that are known at run time, for `axes` of X or, with None, for all of them."""

    rank: int
    axes: list[int] | None


def rewrite_reflect_pad(graph: gs.Graph, context: PassContext) -> int:
    """Return how many Pad(mode=reflect) nodes became a custom op.

    Raises ModelError when a pad is known to reach beyond its dimension, which ONNX forbids.
    """
    sites = context.nodes(graph, is_reflect_pad)
    values = read_pad_inputs(sites, context)
    bodies = set(_graphs_in_loops(graph, is_inside=False))
    num_rewritten = 0
    for site in sites:
        match = _match(site, values.get(id(site.graph), {}), context.opset)  # it raises of one that stays native too
        if isinstance(match, _RunTimeMatch) and id(site.graph) in bodies:
            match = NoMatch("its pads are computed inside a loop, where sizes may change from one pass to the next")
        match = context.wish_against(site) or match
        if isinstance(match, NoMatch):
            context.keep(site, REFLECT_PAD, match)
            continue
        if isinstance(match, _RunTimeMatch):
            _rewrite_run_time(site, match, context)
        else:
            _rewrite_known(site, match, context)
        num_rewritten += 1
    return num_rewritten


def _graphs_in_loops(graph: gs.Graph, is_inside: bool) -> Iterator[int]:
    """Yield the ids of the bodies of loops, and of what is inside them."""
    for node in graph.nodes:
        is_loop = is_inside or node.op in ("Loop", "Scan")
        for inner in (value for value in node.attrs.values() if isinstance(value, gs.Graph)):
            if is_loop:
                yield id(inner)
            yield from _graphs_in_loops(inner, is_loop)


def is_reflect_pad(node: gs.Node) -> bool:
    """Say whether a node pads by reflection."""
    return bool(node.op == "Pad" and node.attrs.get("mode") == "reflect")


def has_reflect_pads(graph: gs.Graph) -> bool:
    """Say whether a graph pads by reflection, with ONNX's operator or the custom op."""
    return any(is_reflect_pad(site.node) or _is_plugin(site.node) for site in walk(graph))


def find_bad_pads(graph: gs.Graph, context: PassContext) -> list[BadPad]:
    """Return the reflect pads that the known sizes of a graph do not allow; one that is malformed is left out."""
    sites = context.nodes(graph, is_reflect_pad)
    values = read_pad_inputs(sites, context)
    found = [bad for site in walk(graph) if _is_plugin(site.node) and (bad := _bad_pad(site, _of_plugin(site.node)))]
    for site in sites:
        try:
            match = find_pads(site, values.get(id(site.graph), {}), context.opset)
        except ModelError:
            continue
        bad = _bad_pad(site, match) if isinstance(match, KnownPads) else None
        found += [] if bad is None else [bad]
    return found


def _is_plugin(node: gs.Node) -> bool:
    return node.op == REFLECT_PAD.name and node.domain == DOMAIN and isinstance(node.attrs.get("pads"), list)


def _of_plugin(node: gs.Node) -> KnownPads:
    return KnownPads(node.attrs["pads"], "an attribute")


def _rewrite_known(site: Site, match: KnownPads, context: PassContext) -> None:
    x, y = site.node.inputs[0], site.node.outputs[0]
    dtype, dims = dtype_of(x), shape_of(x) or [None] * (len(match.pads) // 2)
    new: list[NewNode] = []
    if any(match.cropped):
        dims = _cropped_dims(dims, match.cropped)
        inside = gs.Variable(f"{y.name}_cropped", x.dtype, dims)
        new.append(_crop(x, inside, match.cropped, context.opset))
        x = inside
    new.append(plugin_node(REFLECT_PAD, [x], [y], {"pads": match.added}, context.opset))
    replace(site.graph, [site.node], new)
    set_type(y, dtype, padded_dims(dims, match.added))
    crop = " of what a Slice leaves" if any(match.cropped) else ""
    reason = f"pads {_short(match.pads)} from {match.source}{crop}"
    context.rewritten(site, REFLECT_PAD, reason, {"pads": match.pads, "source": match.source})


def _crop(x: gs.Tensor, inside: gs.Tensor, cropped: list[int], opset: int) -> NewNode:
    rank = len(cropped) // 2
    starts, ends = cropped[:rank], [-end if end else _LAST for end in cropped[rank:]]
    if opset < _SLICE_INPUTS_OPSET:
        return NewNode("Slice", [x], [inside], {"starts": starts, "ends": ends, "axes": list(range(rank))})
    bounds = [_constant(f"{inside.name}_{what}", values) for what, values in (("starts", starts), ("ends", ends))]
    return NewNode("Slice", [x, *bounds], [inside])


def _rewrite_run_time(site: Site, match: _RunTimeMatch, context: PassContext) -> None:
    """Make the pads the dimensions of two tensors, which a plugin is told; nobody reads the zeros in them."""
    x, pads, y, rank = site.node.inputs[0], site.node.inputs[PADS], site.node.outputs[0], match.rank
    new: list[NewNode] = []
    if match.axes is not None:  # a zero after the pads is what the other axes take
        zero, extended = _constant(f"{y.name}_no_pad", [0]), gs.Variable(f"{y.name}_pads_and_0", np.int64)
        new.append(NewNode("Concat", [pads, zero], [extended], {"axis": 0}))
    for half, what in enumerate(("begins", "ends")):
        dims = gs.Variable(f"{y.name}_{what}", np.int64, [rank])
        if match.axes is None:
            bounds = [[half * rank], [(half + 1) * rank]]
            limits = [_constant(f"{dims.name}_{index}", bound) for index, bound in enumerate(bounds)]
            new.append(NewNode("Slice", [pads, *limits], [dims]))
        else:
            count = len(match.axes)
            places = {axis: half * count + position for position, axis in enumerate(match.axes)}
            wanted = _constant(f"{dims.name}_places", [places.get(axis, 2 * count) for axis in range(rank)])
            new.append(NewNode("Gather", [extended, wanted], [dims], {"axis": 0}))
        carrier = gs.Variable(f"{dims.name}_as_dims", np.int32, [None] * rank)
        zeros = numpy_helper.from_array(np.zeros(1, np.int32))
        new.append(NewNode("ConstantOfShape", [dims], [carrier], {"value": zeros}))
    carriers = [node.outputs[0] for node in new if node.op == "ConstantOfShape"]
    new.append(plugin_node(DYNAMIC_REFLECT_PAD, [x, *carriers], [y], {"rank": [rank]}, context.opset))
    replace(site.graph, [site.node], new)
    set_type(y, dtype_of(x), [None] * rank)
    context.rewritten(site, DYNAMIC_REFLECT_PAD, "pads computed at run time from the sizes of tensors")


def _constant(name: str, values: Sequence[int]) -> gs.Constant:
    return gs.Constant(name, np.array(values, dtype=np.int64))


def _match(site: Site, values: dict[str, Value], opset: int) -> KnownPads | _RunTimeMatch | NoMatch:
    x = require_x(site)
    dtype, shape = dtype_of(x), shape_of(x)
    found = find_pads(site, values, opset)
    if isinstance(found, KnownPads) and (bad := _bad_pad(site, found)):
        raise ModelError(
            f"reflect pad of {bad.pad} on axis {bad.axis} of size {bad.size}: "
            f"ONNX allows at most {max(bad.size - 1, 0)}",
            where=site.address,
            hint="feed a larger input, or export the model with smaller pads",
        )
    if dtype is not None and (problem := REFLECT_PAD.problem_of_dtype(dtype)):
        return NoMatch(problem)
    if isinstance(found, FromSizes):
        return _run_time_match(site, values, found)
    if isinstance(found, NoMatch):
        return found
    if not any(found.pads):
        return NoMatch("all pads are zero: TensorRT removes the node")
    if not any(found.added):
        return NoMatch(f"pads {_short(found.pads)} are negative: they only crop", {"pads": found.pads})
    dims = _cropped_dims(shape or [None] * (len(found.pads) // 2), found.cropped)
    problem = REFLECT_PAD.problem([Operand(dtype, dims)], {"pads": found.added})
    return found if problem is None else NoMatch(problem)


def _run_time_match(site: Site, values: dict[str, Value], why: FromSizes) -> _RunTimeMatch | NoMatch:
    x = site.node.inputs[0]
    dtype, shape = dtype_of(x), shape_of(x)
    if shape is None:
        return NoMatch(f"{why.reason}, and the rank of X is unknown")
    axes = find_axes(site, values, len(shape))
    if isinstance(axes, NoMatch):
        return axes
    carrier = Operand(TensorProto.INT32, None)
    problem = DYNAMIC_REFLECT_PAD.problem([Operand(dtype, shape), carrier, carrier], {"rank": [len(shape)]})
    return _RunTimeMatch(len(shape), axes) if problem is None else NoMatch(problem)


def _bad_pad(site: Site, match: KnownPads) -> BadPad | None:
    rank = len(match.pads) // 2
    dims = _cropped_dims(shape_of(site.node.inputs[0]) or [None] * rank, match.cropped)
    axis = find_bad_pad(dims, match.added)
    if axis is None:
        return None
    return BadPad(site, axis, max(match.added[axis], match.added[axis + rank]), cast(int, dims[axis]))


def _cropped_dims(dims: Sequence[Dim], cropped: list[int]) -> list[Dim]:
    return padded_dims(dims, [-amount for amount in cropped])


def _short(pads: list[int]) -> str:
    return "[" + ",".join(map(str, pads)) + "]"
