"""Rewrite  Pad(X, pads, mode="reflect")  ->  trtconv::ReflectPad(X, pads=[...]).

pads may be an attribute, an initializer, a Constant node or computed from constants, each with or without `axes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import onnx_graphsurgeon as gs

from trtconv.errors import ModelError
from trtconv.ops.custom_op import Dim, Operand
from trtconv.ops.reflect_pad import REFLECT_PAD, find_bad_pad, padded_dims
from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.constant_values import KnownValues, Value, read_constants
from trtconv.passes.graph_edit import (
    dtype_of,
    given_inputs,
    plugin_node,
    replace,
    require_x,
    set_type,
    shape_of,
)

_PADS, _AXES = 1, 3  # input positions


@dataclass(frozen=True)
class _Match:
    pads: list[int]
    source: str


def rewrite_reflect_pad(graph: gs.Graph, context: PassContext) -> int:
    """Return how many Pad(mode=reflect) nodes became trtconv::ReflectPad.

    Raises ModelError when a pad is known to reach beyond its dimension, which ONNX forbids.
    """
    sites = context.candidates(graph, REFLECT_PAD, _is_reflect_pad)
    values = _read_parameters(sites, context)
    num_rewritten = 0
    for site in sites:
        match = _match(site, values.get(id(site.graph), {}), context.opset)
        if isinstance(match, NoMatch):
            context.keep(site, REFLECT_PAD, match)
            continue
        x, y = site.node.inputs[0], site.node.outputs[0]
        replace(site.graph, [site.node], plugin_node(REFLECT_PAD, [x], [y], {"pads": match.pads}, context.opset))
        set_type(y, dtype_of(x), padded_dims(shape_of(x) or [None] * (len(match.pads) // 2), match.pads))
        reason = f"pads {_short(match.pads)} from {match.source}"
        context.rewritten(site, REFLECT_PAD, reason, {"pads": match.pads, "source": match.source})
        num_rewritten += 1
    return num_rewritten


def _is_reflect_pad(node: gs.Node) -> bool:
    mode = node.attrs.get("mode")
    return node.op == "Pad" and isinstance(mode, str) and mode == "reflect"


def _read_parameters(sites: Sequence[Site], context: PassContext) -> dict[int, dict[str, Value]]:
    """Read pads and axes of all nodes, one run for each (sub)graph: {id of graph: {tensor name: value}}."""
    wanted: dict[int, list[gs.Tensor]] = {}
    for site in sites:
        inputs = given_inputs(site.node)
        parameters = [inputs[index] for index in (_PADS, _AXES) if index < len(inputs)]
        wanted.setdefault(id(site.graph), []).extend(tensor for tensor in parameters if tensor is not None)
    known = KnownValues(context.constants)
    return {graph: read_constants(tensors, context.opset, context.folder, known) for graph, tensors in wanted.items()}


def _match(site: Site, values: dict[str, Value], opset: int) -> _Match | NoMatch:
    x = require_x(site)
    dtype, shape = dtype_of(x), shape_of(x)
    if dtype is not None and (problem := REFLECT_PAD.problem_of_dtype(dtype)):
        return NoMatch(problem)
    found = _find_pads(site, values, opset)
    if isinstance(found, NoMatch):
        return found
    axes = _find_axes(site, values, rank=None if shape is None else len(shape))
    if isinstance(axes, NoMatch):
        return axes
    pads = _spread(found.pads, axes, rank=None if shape is None else len(shape), where=site.address)
    if any(pad < 0 for pad in pads):
        return NoMatch(f"pads {_short(pads)} are negative: they crop", {"pads": pads})
    dims = shape or [None] * (len(pads) // 2)
    if not any(pads):
        return NoMatch("all pads are zero: TensorRT removes the node")
    _require_within(pads, dims, where=site.address)
    problem = REFLECT_PAD.problem([Operand(dtype, dims)], {"pads": pads})
    return _Match(pads, found.source) if problem is None else NoMatch(problem)


def _find_pads(site: Site, values: dict[str, Value], opset: int) -> _Match | NoMatch:
    """Return the pads as they are given, without regard to axes."""
    if opset < 11:
        attribute = "paddings" if opset < 2 else "pads"
        pads = site.node.attrs.get(attribute)
        if not isinstance(pads, list) or not all(isinstance(pad, int) for pad in pads):
            raise ModelError(f"Pad needs an attribute {attribute} that is a list of integers", where=site.address)
        return _Match(pads, "an attribute")
    inputs = given_inputs(site.node)
    tensor = inputs[_PADS] if len(inputs) > _PADS else None
    if tensor is None:
        raise ModelError("Pad has no pads", where=site.address)
    value = values[tensor.name]
    if isinstance(value, NoMatch):
        return value
    if value.ndim != 1 or not np.issubdtype(value.dtype, np.integer):
        raise ModelError(
            f"pads have shape {list(value.shape)} of {value.dtype}, expected [2 * rank] of int64", where=site.address
        )
    return _Match([int(pad) for pad in value], _describe_source(tensor))


def _find_axes(site: Site, values: dict[str, Value], rank: int | None) -> list[int] | NoMatch | None:
    """Return the axes that pads speak of, counted from the front, or None for all of them (input since opset 18)."""
    inputs = given_inputs(site.node)
    tensor = inputs[_AXES] if len(inputs) > _AXES else None
    if tensor is None:
        return None
    value = values[tensor.name]
    if isinstance(value, NoMatch):
        return value
    if rank is None:
        return NoMatch("the rank of X is unknown, and pads are given for some axes only")
    axes = [int(axis) + rank if axis < 0 else int(axis) for axis in value.reshape(-1)]
    if len(set(axes)) != len(axes) or not all(0 <= axis < rank for axis in axes):
        raise ModelError(f"axes {value.reshape(-1).tolist()} do not fit X of rank {rank}", where=site.address)
    return axes


def _spread(given: list[int], axes: list[int] | None, rank: int | None, where: str) -> list[int]:
    """Return pads for all axes: begins, then ends. An unknown rank is taken from the number of pads."""
    if axes is None:
        axes = list(range(len(given) // 2 if rank is None else rank))
    rank = len(axes) if rank is None else rank
    if len(given) != 2 * len(axes):
        raise ModelError(
            f"{len(given)} pads for {len(axes)} axes of X of rank {rank}, expected {2 * len(axes)}", where=where
        )
    pads = [0] * (2 * rank)
    for position, axis in enumerate(axes):
        pads[axis], pads[axis + rank] = given[position], given[position + len(axes)]
    return pads


def _require_within(pads: list[int], shape: list[Dim], where: str) -> None:
    axis = find_bad_pad(shape, pads)
    if axis is not None:
        pad, dim = max(pads[axis], pads[axis + len(shape)]), cast(int, shape[axis])
        raise ModelError(
            f"reflect pad of {pad} on axis {axis} of size {dim}: ONNX allows at most {max(dim - 1, 0)}",
            where=where,
            hint="feed a larger input, or export the model with smaller pads",
        )


def _describe_source(tensor: gs.Tensor) -> str:
    if isinstance(tensor, gs.Constant):
        return "an initializer"
    return "a Constant node" if tensor.inputs[0].op == "Constant" else "a chain of constants"


def _short(pads: list[int]) -> str:
    return "[" + ",".join(map(str, pads)) + "]"
