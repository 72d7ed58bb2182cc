"""Read tensors that are constant: an initializer, a Constant node, or a chain of nodes that needs no graph input.

The ancestors of the wanted tensors alone are run, as a small model in ONNX Runtime. graph-surgeon's fold_constants
would fold the rest of the graph too and turn every Constant node into an initializer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_graphsurgeon as gs

from trtconv.errors import first_line
from trtconv.model.addresses import address_of
from trtconv.model.external_data import read_external_tensor
from trtconv.model.onnx_session import open_session
from trtconv.model.walking import is_onnx
from trtconv.passes.base import NoMatch
from trtconv.passes.graph_edit import shape_of

Value = npt.NDArray[Any] | NoMatch

# What exporters compute pads with. Anything else (a random op, a loop, a custom op) is left to run time.
_EVALUATED_OPS = frozenset(
    {
        *("Constant", "ConstantOfShape", "Identity", "Cast", "Shape", "Size", "Range"),
        *("Concat", "Reshape", "Slice", "Split", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Gather"),
        *("Expand", "Tile", "Where", "Equal", "Less", "Greater", "Not", "And", "Or"),
        *("Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Min", "Max", "Pow", "Sqrt", "Floor", "Ceil", "Round"),
        *("ReduceProd", "ReduceSum"),
    }
)
# Pads are a few numbers; a chain through a tensor that is known to be larger is not about pads.
_MAX_ELEMENTS = 1 << 16


def read_constants(tensors: Iterable[gs.Tensor], opset: int, folder: Path) -> dict[str, Value]:
    """Return each tensor's value by name, or why it has none before run time.

    The tensors stand in one (sub)graph, where names are unique. `folder` is the model's, for external data.
    """
    wanted = list({tensor.name: tensor for tensor in tensors}.values())
    reasons = _reasons_against(wanted)
    values: dict[str, Value] = {}
    computed: list[gs.Tensor] = []
    for tensor in wanted:
        try:
            direct = _direct_value(tensor, folder)
        except Exception as error:  # whatever numpy has to say about damaged data
            values[tensor.name] = NoMatch(f"{tensor.name} cannot be read: {first_line(error)}")
            continue
        if direct is not None:
            values[tensor.name] = direct
        elif (reason := _reason_of(tensor, reasons)) is not None:
            because = "" if reason == tensor.name else f": it depends on {reason}"
            values[tensor.name] = NoMatch(f"{tensor.name} is only known at run time{because}")
        else:
            computed.append(tensor)
    return values | _compute(computed, opset, folder)


def _direct_value(tensor: gs.Tensor, folder: Path) -> npt.NDArray[Any] | None:
    if isinstance(tensor, gs.Constant):
        return _constant_values(tensor, folder)
    if len(tensor.inputs) == 1 and tensor.inputs[0].op == "Constant" and is_onnx(tensor.inputs[0].domain):
        attributes = tensor.inputs[0].attrs
        if isinstance(attributes.get("value"), gs.Constant):
            return _constant_values(attributes["value"], folder)
        for name in ("value_ints", "value_int"):
            if name in attributes:
                return np.array(attributes[name], dtype=np.int64)
    return None


def _constant_values(constant: gs.Constant, folder: Path) -> npt.NDArray[Any]:
    """Return a constant's values; those in an external file are read from there, without a copy in the graph."""
    lazy = constant._values
    if not isinstance(getattr(lazy, "tensor", None), onnx.TensorProto):
        return np.asarray(constant.values)
    proto = lazy.tensor
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        proto = read_external_tensor(proto, folder)
    return onnx.numpy_helper.to_array(proto)


def _reasons_against(tensors: Sequence[gs.Tensor]) -> dict[int, str | None]:
    """Return, by id, what keeps each node that `tensors` depend on from being run before run time, or None."""
    reasons: dict[int, str | None] = {}
    for node in _producers_first(tensors):
        reasons[id(node)] = _reason_against(node, reasons)
    return reasons


def _reason_of(tensor: gs.Tensor, reasons: Mapping[int, str | None]) -> str | None:
    if isinstance(tensor, gs.Constant) or not tensor.name:
        return None
    return reasons.get(id(tensor.inputs[0]), "itself") if tensor.inputs else tensor.name


def _reason_against(node: gs.Node, reasons: Mapping[int, str | None]) -> str | None:
    if not _is_evaluated(node):
        return f"{address_of(node)} ({node.op})"
    large = next((tensor for tensor in node.outputs if _num_elements(tensor) > _MAX_ELEMENTS), None)
    if large is not None:
        return f"{large.name}, which has {_num_elements(large)} elements"
    if _static_shape_result(node) is not None:
        return None
    return next((reason for tensor in node.inputs if (reason := _reason_of(tensor, reasons)) is not None), None)


def _producers_first(tensors: Sequence[gs.Tensor]) -> Iterator[gs.Node]:
    """Yield the nodes that compute `tensors`, each once and behind what it reads."""
    seen: set[int] = set()
    stack = [(tensor, False) for tensor in reversed(tensors)]
    while stack:
        tensor, are_inputs_done = stack.pop()
        if isinstance(tensor, gs.Constant) or not tensor.name or not tensor.inputs:
            continue
        node = tensor.inputs[0]
        if are_inputs_done:
            yield node
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((tensor, True))
            if _is_evaluated(node) and _static_shape_result(node) is None:
                stack.extend((parent, False) for parent in reversed(node.inputs))


def _is_evaluated(node: gs.Node) -> bool:
    return is_onnx(node.domain) and node.op in _EVALUATED_OPS


def _num_elements(tensor: gs.Tensor) -> int:
    """Return how many elements a tensor has as far as its dimensions are known, else 0."""
    dims = shape_of(tensor) or [0]
    sizes = [dim for dim in dims if isinstance(dim, int)]
    return math.prod(sizes) if len(sizes) == len(dims) else 0


def _static_shape_result(node: gs.Node) -> npt.NDArray[np.int64] | None:
    """Return what Shape or Size gives when every dimension that it reads is known."""
    dims = shape_of(node.inputs[0]) if node.op in ("Shape", "Size") and node.inputs else None
    start, end = node.attrs.get("start", 0), node.attrs.get("end")
    if dims is None or not isinstance(start, int) or not isinstance(end, int | None):
        return None
    read = dims[start:end] if node.op == "Shape" else dims
    sizes = [dim for dim in read if isinstance(dim, int)]
    if len(sizes) != len(read):
        return None
    return np.array(sizes if node.op == "Shape" else math.prod(sizes), dtype=np.int64)


def _compute(tensors: Sequence[gs.Tensor], opset: int, folder: Path) -> dict[str, Value]:
    """Run the chains of all tensors together; where that fails, halve them until the bad ones stand alone."""
    if not tensors:
        return {}
    try:
        return _run(tensors, opset, folder)
    except Exception as error:
        if len(tensors) == 1:
            name = tensors[0].name
            return {name: NoMatch(f"{name} could not be computed from its constants: {first_line(error)}")}
    half = len(tensors) // 2
    return _compute(tensors[:half], opset, folder) | _compute(tensors[half:], opset, folder)


def _run(tensors: Sequence[gs.Tensor], opset: int, folder: Path) -> dict[str, Value]:
    """Run what computes `tensors` as one model without inputs."""
    nodes = list(_producers_first(tensors))
    names = [tensor.name for tensor in tensors]
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            [_node_proto(node, folder) for node in nodes],
            "constants",
            inputs=[],
            outputs=[onnx.helper.make_empty_tensor_value_info(name) for name in names],
            initializer=_initializers(nodes, folder),
        ),
        opset_imports=[onnx.helper.make_opsetid("", opset)],
        ir_version=8,
    )
    session = open_session(proto, folder, num_threads=1)
    return dict(zip(names, session.run(names, {}), strict=True))


def _node_proto(node: gs.Node, folder: Path) -> onnx.NodeProto:
    inputs, outputs = [tensor.name for tensor in node.inputs], [tensor.name for tensor in node.outputs]
    static_shape = _static_shape_result(node)
    if static_shape is not None:
        value = onnx.numpy_helper.from_array(static_shape)
        return onnx.helper.make_node("Constant", [], outputs, value=value)
    attributes = {
        name: onnx.numpy_helper.from_array(_constant_values(value, folder)) if isinstance(value, gs.Constant) else value
        for name, value in node.attrs.items()
    }
    return onnx.helper.make_node(node.op, inputs, outputs, **attributes)


def _initializers(nodes: list[gs.Node], folder: Path) -> list[onnx.TensorProto]:
    constants = {
        tensor.name: tensor
        for node in nodes
        if _static_shape_result(node) is None
        for tensor in node.inputs
        if isinstance(tensor, gs.Constant)
    }
    for tensor in constants.values():
        if _num_elements(tensor) > _MAX_ELEMENTS:
            raise ValueError(
                f"{tensor.name} has the shape {list(tensor.shape)}, too large to be part of a pads computation"
            )
    return [onnx.numpy_helper.from_array(_constant_values(tensor, folder), name) for name, tensor in constants.items()]
