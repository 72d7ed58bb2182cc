"""Where the parameters of a node come from: an attribute, an initializer, constants, or the run of the network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import onnx_graphsurgeon as gs

from trtconv.model.walking import is_onnx
from trtconv.ops import BY_ONNX_OP, CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN
from trtconv.passes.base import NoMatch, Site
from trtconv.passes.constant_values import read_constants
from trtconv.passes.graph_edit import given_inputs

Source = Literal["attribute", "initializer", "constant_node", "computed", "run_time"]

SOURCE_TEXTS: Mapping[Source, str] = {
    "attribute": "attribute",
    "initializer": "initializer",
    "constant_node": "Constant node",
    "computed": "computed from constants",
    "run_time": "known at run time",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a node. `value` is None for a tensor of many elements, and before run time."""

    name: str
    source: Source
    value: Any = None

    @property
    def value_text(self) -> str:
        """The value as the passes write it."""
        return _short(self.value)


def read_parameters(sites: Sequence[Site], opset: int, folder: Path) -> list[list[Parameter]]:
    """Return the parameters of each node, as it stands before any pass."""
    values = _read_inputs(sites, opset, folder)
    return [[*_from_attributes(site.node), *_from_inputs(site, values.get(id(site.graph), {}))] for site in sites]


def _read_inputs(sites: Sequence[Site], opset: int, folder: Path) -> dict[int, dict[str, Any]]:
    """Ask the pass's own reader for values, one run for each (sub)graph."""
    wanted: dict[int, list[gs.Tensor]] = {}
    for site in sites:
        for name, tensor in _parameter_inputs(site.node):
            if _is_shown(site.node, name) or _direct_source(tensor) is None:
                wanted.setdefault(id(site.graph), []).append(tensor)
    return {graph: read_constants(tensors, opset, folder) for graph, tensors in wanted.items()}


def _parameter_inputs(node: gs.Node) -> list[tuple[str, gs.Tensor]]:
    inputs = given_inputs(node)
    positions = BY_ONNX_OP[node.op].form.inputs if is_onnx(node.domain) and node.op in BY_ONNX_OP else {}
    pairs = ((name, inputs[index]) for name, index in positions.items() if index < len(inputs))
    return [(name, tensor) for name, tensor in pairs if tensor is not None]


def _is_shown(node: gs.Node, name: str) -> bool:
    """Say whether an input holds a few numbers; scale and bias hold one a channel."""
    return name in BY_ONNX_OP[node.op].form.small_inputs


def _from_attributes(node: gs.Node) -> list[Parameter]:
    names: Iterable[str] = ()
    if is_onnx(node.domain) and node.op in BY_ONNX_OP:
        names = BY_ONNX_OP[node.op].form.attributes
    elif node.domain == DOMAIN and node.op in CUSTOM_OPS:
        names = CUSTOM_OPS[node.op].attributes
    return [Parameter(name, "attribute", _plain(node.attrs[name])) for name in names if name in node.attrs]


def _from_inputs(site: Site, values: Mapping[str, Any]) -> list[Parameter]:
    parameters = []
    for name, tensor in _parameter_inputs(site.node):
        value = values.get(tensor.name)
        source = _direct_source(tensor) or ("run_time" if isinstance(value, NoMatch) else "computed")
        is_shown = _is_shown(site.node, name) and not isinstance(value, NoMatch)
        parameters.append(Parameter(name, source, _plain(value) if is_shown else None))
    return parameters


def _direct_source(tensor: gs.Tensor) -> Source | None:
    """Return where a tensor comes from that needs no evaluation, None for one that other nodes compute."""
    if isinstance(tensor, gs.Constant):
        return "initializer"
    if not tensor.inputs:
        return "run_time"
    return "constant_node" if tensor.inputs[0].op == "Constant" and is_onnx(tensor.inputs[0].domain) else None


def _plain(value: Any) -> Any:
    """Return a value in the types of JSON."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return value if isinstance(value, (int, float, str, list)) else str(value)


def _short(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ",".join(map(_short, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)
