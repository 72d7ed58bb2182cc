"""Give all nodes around connected Q and DQ nodes one type: a Cast between them would stop TensorRT from fusing them.

From opset 19 on, a Q node accepts 16-bit floats with a 16-bit scale, and a DQ node returns them. Such a part becomes
16-bit if a node next to it does, or if only its weights are quantised. A network that is all quantised would gain
nothing: its products are in int8 anyway.
"""

from __future__ import annotations

from collections.abc import Mapping

from trtconv.model.walking import is_onnx
from trtconv.precision.float_graph import FloatGraph
from trtconv.precision.rules import QUANTISED, Reason, Reasons

QUANTISERS = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
_FIRST_IN_16_BITS = 19


def quantised_nodes(graph: FloatGraph) -> set[int]:
    """Return the Q and DQ nodes, the readers of each DQ and the producers of each Q."""
    members: set[int] = set()
    for index, node in enumerate(graph.nodes):
        if node.op_type in QUANTISERS and is_onnx(node.domain):
            members |= {index, *graph.consumers_of(index), *graph.producers_of(index)}
    return members


def quantised_reasons(graph: FloatGraph, members: set[int], reasons: Mapping[int, Reason], elem_type: int) -> Reasons:
    """Return why nodes of `members`, the quantised nodes, stay fp32; `reasons` holds the reasons found so far."""
    kept: Reasons = {}
    left = set(members)
    while left:
        part = _connected(graph, min(left), left)
        left -= part
        around = {each for index in part for each in (*graph.producers_of(index), *graph.consumers_of(index))} - members
        blocking = [each for each in sorted(part) if each in reasons or not _takes(graph, each, elem_type)]
        text = QUANTISED
        if graph.opset < _FIRST_IN_16_BITS:
            text = f"{QUANTISED}, whose scales are fp32 before opset {_FIRST_IN_16_BITS}"
        elif blocking:
            text = f"{QUANTISED}, of which {graph.addresses[blocking[0]]} stays fp32"
        elif _has_float_products(graph, part) or any(graph.slots[each] and each not in reasons for each in around):
            continue
        kept |= dict.fromkeys(part, Reason(text))
    return kept


def _has_float_products(graph: FloatGraph, part: set[int]) -> bool:
    """Say whether only weights are quantised in a part, so that it computes with floats."""
    nodes = [graph.nodes[index] for index in part]
    quantisers = [node for node in nodes if node.op_type in QUANTISERS]
    return len(quantisers) < len(nodes) and all(
        node.op_type == "DequantizeLinear" and node.input[0] in graph.constants for node in quantisers
    )


def _connected(graph: FloatGraph, start: int, members: set[int]) -> set[int]:
    part, stack = {start}, [start]
    while stack:
        index = stack.pop()
        for each in (*graph.producers_of(index), *graph.consumers_of(index)):
            if each in members and each not in part:
                part.add(each)
                stack.append(each)
    return part


def _takes(graph: FloatGraph, index: int, elem_type: int) -> bool:
    if any(attribute.name == "output_dtype" and attribute.i for attribute in graph.nodes[index].attribute):
        return False
    return bool(graph.slots[index]) and graph.takes(index, elem_type)
