"""Rewrite  scale * (X - mean) / sqrt(variance + epsilon) + bias, written out in any way,
        ->  InstanceNormalization(X, scale, bias)  [-> Mul -> Add]

where mean and variance are those of X over all axes behind the channels. scale and bias that are constants, one a
channel, go into the norm; where they are computed at run time, Mul and Add stay after it. Statistics that others read
too stay for them. moments.py has the algebra, written_norms.py the search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx_graphsurgeon as gs

from trtconv.model.native_norms import JUDGED, WRITTEN_OUT
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.passes.base import PassContext, Recognised, Site, walk
from trtconv.passes.constant_values import MAX_ELEMENTS, KnownValues, direct_value, is_evaluated, read_constants
from trtconv.passes.graph_edit import replace, shape_of
from trtconv.passes.norm_nodes import nodes_for, problem_of
from trtconv.passes.written_norms import reason_at, survey


def recognise_instance_norm(graph: gs.Graph, context: PassContext) -> int:
    """Turn written-out norms into InstanceNormalization, which later passes count and decide on.

    Return how many had statistics of groups of channels, and are trtconv::InstanceNorm at once.
    """
    sites: dict[int, list[Site]] = {}
    for site in walk(graph):
        sites.setdefault(id(site.graph), []).append(site)
    values = _Values(context)
    return sum(_recognise_in(inside, context, values) for inside in sites.values())


class _Values:
    """Reads constants, each once."""

    def __init__(self, context: PassContext) -> None:
        self._context = context
        self._known = KnownValues(context.constants)
        self._read: dict[int, tuple[gs.Tensor, npt.NDArray[Any] | None]] = {}
        self.dropped: list[gs.Node] = []  # what is known of them goes by their ids

    def of(self, tensor: gs.Tensor) -> npt.NDArray[Any] | None:
        """Return the value of a constant of moderate size, None for any other tensor."""
        if id(tensor) not in self._read:
            self._read[id(tensor)] = (tensor, self._value_of(tensor))
        return self._read[id(tensor)][1]

    def _value_of(self, tensor: gs.Tensor) -> npt.NDArray[Any] | None:
        dims = [dim for dim in shape_of(tensor) or () if isinstance(dim, int)]
        if math.prod(dims) > MAX_ELEMENTS:
            return None
        direct = direct_value(tensor, self._context.folder)
        if direct is None and tensor.inputs and is_evaluated(tensor.inputs[0]):
            found = read_constants([tensor], self._context.opset, self._context.folder, self._known)[tensor.name]
            direct = found if isinstance(found, np.ndarray) else None
        return direct


def _recognise_in(sites: Sequence[Site], context: PassContext, values: _Values) -> int:
    """Recognise the norms of one graph; return how many are custom ops now."""
    graph, by_node = sites[0].graph, {id(site.node): site for site in sites}
    num_grouped = 0
    read: list[gs.Tensor] = []
    members: set[int] = set()
    found = survey(graph, values.of)
    for site in (site for site in sites if site.node.op in JUDGED):
        context.roots[site.address] = reason_at(site.node, found.failures)
    for norm in found.norms:
        nodes = norm.nodes
        site = by_node[id(nodes[0])]
        context.roots |= {by_node[id(node)].address: "" for node in nodes}
        no_match = context.wish_against(site) or problem_of(norm)
        if no_match is not None:
            context.note(Site(graph, site.node, site.address), None, no_match.reason, no_match.figures, WRITTEN_OUT)
            continue
        read += nodes[0].inputs
        members |= {id(node) for node in nodes}
        written = nodes_for(norm, context.opset)
        replace(graph, nodes[:1], written.nodes)
        made = [tensor.inputs[0] for new in written.nodes for tensor in new.outputs if tensor is not written.normalised]
        context.made |= {id(node): node for node in made}
        reason = f"written out in {len(nodes)} nodes"
        made_of = Recognised(site.address, WRITTEN_OUT, reason, {"nodes": len(nodes)})
        node = written.normalised.inputs[0]
        context.recognised[id(node)] = made_of
        if groups := norm.reading.source.groups:
            figures = {"epsilon": norm.epsilon, "groups": groups}
            reason = f"group norm of {groups} groups, epsilon {norm.epsilon:g}"
            context.rewritten(Site(graph, node, site.address), INSTANCE_NORM, reason, figures)
            num_grouped += 1
    dropped = _unread(graph, read, members)
    values.dropped += dropped
    replace(graph, dropped, [])
    return num_grouped


def _unread(graph: gs.Graph, tensors: Sequence[gs.Tensor], members: set[int]) -> list[gs.Node]:
    """Return what computes tensors that nobody reads any more, and the sizes that it was computed by."""
    inside = {id(node) for node in graph.nodes}
    outer = {id(tensor) for tensor in graph.outputs}
    unread: dict[int, gs.Node] = {}
    stack = list(tensors)
    while stack:
        for writer in stack.pop().inputs:
            is_pure = id(writer) in members or is_evaluated(writer)
            readers = [reader for tensor in writer.outputs for reader in tensor.outputs]
            is_given_out = any(id(tensor) in outer for tensor in writer.outputs)
            if id(writer) not in inside or id(writer) in unread or not is_pure or is_given_out:
                continue
            if all(id(reader) in unread for reader in readers):
                unread[id(writer)] = writer
                stack += writer.inputs
    return list(unread.values())
