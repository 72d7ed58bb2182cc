"""How large tensors can get by the numbers that a model states: onnx's shape inference takes memory by them.

It keeps a value for each element of a tensor that it takes for shape data, so a file of 300 bytes can ask for 2^62.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import onnx

from trtconv.errors import ModelError
from trtconv.model.addresses import address_of
from trtconv.model.light_copy import lacks_data
from trtconv.model.walking import branches, is_onnx, walk_addresses, walk_graphs

# No machine holds a tensor of so many elements; one that a single node fills or repeats is in memory during a build.
MAX_ELEMENTS = 1 << 40
MAX_FILLED_ELEMENTS = 1 << 28
_FILLING_OPS = frozenset({"ConstantOfShape", "Expand", "OneHot", "Range", "Tile"})
_MAX_NAMED = 3
_SMALL_BITS = 20
# What a node of these ops gives has no more elements, and no larger integers, than what it reads.
_KEEPING_OPS = frozenset(
    {
        *("Abs", "Cast", "Clip", "Constant", "Gather", "Identity", "LeakyRelu", "Neg", "Relu"),
        *("Shape", "Sigmoid", "Slice", "Squeeze", "Transpose", "Unsqueeze"),
    }
)


def stays_small(proto: onnx.ModelProto) -> bool:
    """Say whether no tensor of a model without branches can have more than a million elements.

    What a node reads it can at most multiply with itself: a number of b bits becomes one of 2b.
    """
    graph = proto.graph
    if proto.functions or any(any(branches(node)) for node in graph.node):
        return False
    num_growing = sum(not (is_onnx(node.domain) and node.op_type in _KEEPING_OPS) for node in graph.node)
    if num_growing >= _SMALL_BITS.bit_length():
        return False
    return all(number.bit_length() << num_growing <= _SMALL_BITS for number in numbers_of(graph))


def filling_nodes(graph: onnx.GraphProto) -> list[str]:
    """Return the addresses of the first nodes that make a tensor of a size that other tensors hold."""
    found = (address for address, node in walk_addresses(graph) if _is_filling(node))
    return [address for address, _ in zip(found, range(_MAX_NAMED), strict=False)]


def require_possible_sizes(graph: onnx.GraphProto, path: Path) -> None:
    """Raise ModelError for a tensor that no machine can hold, as far as `graph` declares shapes."""
    for each in walk_graphs(graph):
        filled = {name for node in each.node if _is_filling(node) for name in node.output}
        for value in (*each.input, *each.value_info, *each.output):
            num_elements = math.prod(max(dim.dim_value, 1) for dim in value.type.tensor_type.shape.dim)
            most = MAX_FILLED_ELEMENTS if value.name in filled else MAX_ELEMENTS
            if num_elements > most:
                address = _writers(each).get(value.name)
                what = f"tensor {value.name} has {num_elements} elements, at most {most} can be built"
                where = f"{path}: node {address}" if address else str(path)
                raise ModelError(what, where=where, hint="correct the sizes where the model is exported")


def _writers(graph: onnx.GraphProto) -> Mapping[str, str]:
    return {name: address_of(node) for node in graph.node for name in node.output}


def _is_filling(node: onnx.NodeProto) -> bool:
    return node.op_type in _FILLING_OPS and is_onnx(node.domain)


def numbers_of(graph: onnx.GraphProto) -> Iterator[int]:
    """Yield how many elements tensors have, and the integers that sizes can be computed from."""
    for value in (*graph.input, *graph.value_info, *graph.output):
        yield math.prod(max(dim.dim_value, 1) for dim in value.type.tensor_type.shape.dim)
    for tensor in graph.initializer:
        yield from _tensor_numbers(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (attribute.i, *attribute.ints)
            if attribute.HasField("t"):
                yield from _tensor_numbers(attribute.t)


def _tensor_numbers(tensor: onnx.TensorProto) -> Iterable[int]:
    if lacks_data(tensor) or tensor.data_location == onnx.TensorProto.EXTERNAL:
        return [1 << 62]
    values = onnx.numpy_helper.to_array(tensor)
    numbers = values.reshape(-1).tolist() if values.dtype.kind in "iu" else ()
    return [math.prod(tensor.dims), *numbers]
