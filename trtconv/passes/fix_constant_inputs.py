"""Rewrite  Reduce(X, <computed from constants>)  ->  Reduce(X, <constant>), and the like.

TensorRT's parsers want some inputs as constants and refuse a chain of nodes that computes them from constants, which
PyTorch's exporter writes without its optimiser. The chain itself stays for its other readers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import onnx_graphsurgeon as gs

from trtconv.decisions import CONSTANT_INPUT
from trtconv.ops.input_roles import CONSTANT_INPUTS
from trtconv.passes.base import PassContext, Site
from trtconv.passes.constant_values import KnownValues, Value, read_constants
from trtconv.passes.graph_edit import NewNode, given_inputs, replace

_MAX_SHOWN = 8


def fix_constant_inputs(graph: gs.Graph, context: PassContext) -> int:
    """Return how many nodes got a constant for an input that other nodes compute from constants."""
    sites = context.nodes(graph, lambda node: any(_computed_inputs(node)))
    values = _read(sites, context)
    num_edits = 0
    for site in sites:
        found = values.get(id(site.graph), {})
        inputs = list(site.node.inputs)
        told = []
        for position, name in _computed_inputs(site.node):
            value = found.get(inputs[position].name)
            if isinstance(value, np.ndarray):
                inputs[position] = gs.Constant(f"{inputs[position].name}_value", value)
                told.append(f"{name} {_short(value)}")
        if told:
            node = site.node
            replace(site.graph, [node], NewNode(node.op, inputs, node.outputs, dict(node.attrs), node.domain or ""))
            what = " and ".join(told)
            context.note(site, CONSTANT_INPUT, f"{what} from a chain of constants, which TensorRT refuses")
            num_edits += 1
    return num_edits


def _computed_inputs(node: gs.Node) -> Iterator[tuple[int, str]]:
    """Yield the position and name of each input that TensorRT wants as a constant and that nodes compute."""
    inputs = given_inputs(node)
    for position, name in CONSTANT_INPUTS.get(node.op, {}).items():
        tensor = inputs[position] if position < len(inputs) else None
        if tensor is None or isinstance(tensor, gs.Constant) or not tensor.inputs:
            continue
        if tensor.inputs[0].op != "Constant":
            yield position, name


def _read(sites: list[Site], context: PassContext) -> Mapping[int, Mapping[str, Value]]:
    """Read the inputs of all nodes, one run for each (sub)graph."""
    wanted: dict[int, list[gs.Tensor]] = {}
    for site in sites:
        tensors = [site.node.inputs[position] for position, _ in _computed_inputs(site.node)]
        wanted.setdefault(id(site.graph), []).extend(tensors)
    known = KnownValues(context.constants)
    return {graph: read_constants(tensors, context.opset, context.folder, known) for graph, tensors in wanted.items()}


def _short(value: npt.NDArray[np.int64]) -> str:
    values = value.reshape(-1).tolist()
    shown = ",".join(map(str, values[:_MAX_SHOWN])) + (",..." if len(values) > _MAX_SHOWN else "")
    return shown if value.ndim == 0 else f"[{shown}]"
