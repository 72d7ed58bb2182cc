"""Read a graph as the cost model sees it: its nodes that work on data, and the sizes of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import onnx_graphsurgeon as gs

from trtconv import element_types
from trtconv.costs import work
from trtconv.costs.work import Data, Work
from trtconv.model.addresses import address_of
from trtconv.model.walking import is_onnx
from trtconv.ops.custom_op import DOMAIN
from trtconv.ops.instance_norm_function import RESIDUAL
from trtconv.passes.fusion import read_plugin_node
from trtconv.passes.graph_edit import dtype_of, shape_of

_SHORT_BYTES = 2  # an element of fp16 and of bf16


@dataclass(frozen=True)
class NetworkWork:
    """The works of a graph, branches included, in their order, and its data by name; `given` comes from outside.

    A tensor's name has the path of its branch before it. `operators` are those of the works by their first output.
    """

    works: list[Work] = field(default_factory=list)
    data: dict[str, Data] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)
    operators: dict[str, tuple[str, str]] = field(default_factory=dict)


def read_network(graph: gs.Graph, is_short: bool) -> NetworkWork:
    """Return what a graph does. With `is_short` the engine will hold its floats in 16 bits."""
    network = NetworkWork()
    _read(graph, "", {}, is_short, network)
    return network


def _read(graph: gs.Graph, prefix: str, names: Mapping[int, str], is_short: bool, network: NetworkWork) -> None:
    own = dict(names)
    for tensor in graph.inputs:
        own[id(tensor)] = prefix + tensor.name
        network.given.append(prefix + tensor.name)
        _measure(tensor, prefix + tensor.name, is_short, network)
    for node in graph.nodes:
        for tensor in node.outputs:
            if tensor.name:
                own[id(tensor)] = prefix + tensor.name
                _measure(tensor, prefix + tensor.name, is_short, network)
        inputs = [own[id(tensor)] for tensor in _read_by(node) if id(tensor) in own and _is_data(tensor)]
        outputs = [own[id(tensor)] for tensor in node.outputs if id(tensor) in own and _is_data(tensor)]
        if inputs and outputs:
            address = address_of(node, prefix)
            network.works.append(_work_of(node, address, inputs, outputs))
            network.operators[outputs[0]] = (node.domain or "", node.op)
        for name, value in node.attrs.items():
            if isinstance(value, gs.Graph):
                _read(value, f"{address_of(node, prefix)}/{name}/", own, is_short, network)


def _read_by(node: gs.Node) -> Sequence[gs.Tensor]:
    """Return the inputs of a node that may be large: of a custom op, what has the size of X."""
    plugin = read_plugin_node(node) if node.domain == DOMAIN else None
    if plugin is None:
        return list(node.inputs)
    large = (plugin.op.inputs[0], RESIDUAL)
    return [tensor for role, tensor in plugin.inputs.items() if role in large]


def _work_of(node: gs.Node, address: str, inputs: Sequence[str], outputs: Sequence[str]) -> Work:
    plugin = read_plugin_node(node) if node.domain == DOMAIN else None
    if plugin is not None:
        return Work(address, plugin.op.kind, inputs, outputs, plugin.op, plugin.attributes, tuple(plugin.inputs))
    kind = work.kind_of(node.op) if is_onnx(node.domain) else work.OTHER
    if kind != work.CONVOLUTION:
        return Work(address, kind, inputs, outputs)
    weights = shape_of(node.inputs[1]) if len(node.inputs) > 1 else None
    known = [size for size in weights or () if isinstance(size, int)]
    return Work(
        address,
        kind,
        inputs[:1],
        outputs,
        weights=known,
        is_transposed=node.op.endswith("Transpose"),
        is_uneven=len(set(node.attrs.get("strides", ()))) > 1,
    )


def _measure(tensor: gs.Tensor, name: str, is_short: bool, network: NetworkWork) -> None:
    """Note the size of a tensor, where all of it is known."""
    dtype, dims = dtype_of(tensor), shape_of(tensor)
    sizes = [size for size in dims or () if isinstance(size, int)]
    element = element_types.BY_ONNX.get(dtype or 0)
    if element is None or dims is None or len(sizes) < len(dims):
        return
    num_bytes = element.num_bytes(1)
    network.data[name] = Data(
        tuple(sizes), min(num_bytes, _SHORT_BYTES) if is_short and element.is_float else num_bytes
    )


def _is_data(tensor: gs.Tensor) -> bool:
    """Say whether a tensor is more than a constant, or numbers that say a shape."""
    if isinstance(tensor, gs.Constant) or not tensor.name:
        return False
    element, dims = element_types.BY_ONNX.get(dtype_of(tensor) or 0), shape_of(tensor)
    is_number = element is not None and not element.is_float
    return not (is_number and dims is not None and len(dims) <= 1)
