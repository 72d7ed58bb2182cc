"""The pads of an ONNX Pad node, however they are given: as an attribute or by constants, for some axes or for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import onnx_graphsurgeon as gs

from trtconv.errors import ModelError
from trtconv.passes.base import NoMatch, PassContext, Site
from trtconv.passes.constant_values import KnownValues, Value, read_constants
from trtconv.passes.graph_edit import given_inputs, require_x, shape_of

PADS, _AXES = 1, 3  # input positions
PADS_INPUT_OPSET = 11  # the first in which pads are an input
_MOST_NEGATIVE = int(np.iinfo(np.int64).min)


class KnownPads(NamedTuple):
    """Pads for all axes, begins and then ends; negative ones crop."""

    pads: list[int]
    source: str

    @property
    def added(self) -> list[int]:
        """What is added at each end."""
        return [max(pad, 0) for pad in self.pads]

    @property
    def cropped(self) -> list[int]:
        """What is taken away at each end."""
        return [max(-pad, 0) for pad in self.pads]


def read_pad_inputs(sites: Sequence[Site], context: PassContext) -> dict[int, dict[str, Value]]:
    """Read pads and axes of all nodes, one run for each (sub)graph: {id of graph: {tensor name: value}}."""
    wanted: dict[int, list[gs.Tensor]] = {}
    for site in sites:
        inputs = given_inputs(site.node)
        parameters = [inputs[index] for index in (PADS, _AXES) if index < len(inputs)]
        wanted.setdefault(id(site.graph), []).extend(tensor for tensor in parameters if tensor is not None)
    known = KnownValues(context.constants)
    return {graph: read_constants(tensors, context.opset, context.folder, known) for graph, tensors in wanted.items()}


def find_pads(site: Site, values: dict[str, Value], opset: int) -> KnownPads | NoMatch:
    """Return the pads for all axes, as far as they are known before run time."""
    shape = shape_of(require_x(site))
    found = _find_given(site, values, opset)
    if isinstance(found, NoMatch):
        return found
    if _MOST_NEGATIVE in found.pads:  # what it crops is beyond int64, in which the bounds of a Slice are written
        raise ModelError(f"pads of {_MOST_NEGATIVE} crop more than any tensor has", where=site.address)
    axes = find_axes(site, values, rank=None if shape is None else len(shape))
    if isinstance(axes, NoMatch):
        return axes
    pads = _spread(found.pads, axes, rank=None if shape is None else len(shape), where=site.address)
    return KnownPads(pads, found.source)


def _find_given(site: Site, values: dict[str, Value], opset: int) -> KnownPads | NoMatch:
    """Return the pads as they are given, without regard to axes."""
    if opset < PADS_INPUT_OPSET:
        return KnownPads(site.node.attrs["paddings" if opset < 2 else "pads"], "an attribute")
    inputs = given_inputs(site.node)
    tensor = inputs[PADS] if len(inputs) > PADS else None
    if tensor is None:
        raise ModelError("Pad has no pads", where=site.address)
    value = values[tensor.name]
    if isinstance(value, NoMatch):
        return value
    if value.ndim != 1 or not np.issubdtype(value.dtype, np.integer):
        raise ModelError(
            f"pads have shape {list(value.shape)} of {value.dtype}, expected [2 * rank] of int64", where=site.address
        )
    return KnownPads([int(pad) for pad in value], _describe_source(tensor))


def find_axes(site: Site, values: dict[str, Value], rank: int | None) -> list[int] | NoMatch | None:
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
    if not np.issubdtype(value.dtype, np.integer):
        raise ModelError(f"axes are of {value.dtype}, expected int64", where=site.address)
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


def _describe_source(tensor: gs.Tensor) -> str:
    if isinstance(tensor, gs.Constant):
        return "an initializer"
    return "a Constant node" if tensor.inputs[0].op == "Constant" else "a chain of constants"
