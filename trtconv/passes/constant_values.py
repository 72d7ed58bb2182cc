"""Read tensors that are constant: an initializer, a Constant node, or a chain of nodes that needs no graph input.

The ancestors of the wanted tensors alone are run, as a small model in ONNX Runtime. graph-surgeon's fold_constants
would fold the rest of the graph too and turn every Constant node into an initializer.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_graphsurgeon as gs
from onnx.external_data_helper import load_external_data_for_tensor

from trtconv.passes.base import NoMatch, address_of, is_onnx

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
# Pads are a few numbers; a larger chain is not about pads, and a crafted one could ask for any amount of memory.
_MAX_ELEMENTS = 1 << 16


def read_constants(tensors: Iterable[gs.Tensor], opset: int, folder: Path) -> dict[str, Value]:
    """Return each tensor's value by name, or why it has none before run time.

    The tensors stand in one (sub)graph, where names are unique. `folder` is the model's, for external data.
    """
    values: dict[str, Value] = {}
    chains: dict[str, list[gs.Node]] = {}
    for tensor in {tensor.name: tensor for tensor in tensors}.values():
        direct = _direct_value(tensor, folder)
        if direct is not None:
            values[tensor.name] = direct
            continue
        chain = _ancestors(tensor)
        if isinstance(chain, NoMatch):
            values[tensor.name] = chain
        else:
            chains[tensor.name] = chain
    try:
        values.update(_run(chains, opset, folder))
    except Exception:  # one bad chain spoils the common run: then each on its own
        for name, chain in chains.items():
            try:
                values.update(_run({name: chain}, opset, folder))
            except Exception as error:
                values[name] = NoMatch(f"{name} could not be computed from its constants: {_first_line(error)}")
    return values


def _direct_value(tensor: gs.Tensor, folder: Path) -> npt.NDArray[Any] | None:
    if isinstance(tensor, gs.Constant):
        return _constant_values(tensor, folder)
    if len(tensor.inputs) == 1 and tensor.inputs[0].op == "Constant" and is_onnx(tensor.inputs[0]):
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
        proto = onnx.TensorProto()
        proto.CopyFrom(lazy.tensor)
        load_external_data_for_tensor(proto, str(folder))
    return onnx.numpy_helper.to_array(proto)


def _ancestors(tensor: gs.Tensor) -> list[gs.Node] | NoMatch:
    """Return the nodes that compute `tensor`, producers first, or why it cannot be computed before run time."""
    ordered: dict[int, gs.Node] = {}
    stack: list[tuple[gs.Tensor, bool]] = [(tensor, False)]
    while stack:
        current, inputs_done = stack.pop()
        if isinstance(current, gs.Constant) or not current.name:
            continue
        if not current.inputs:
            return NoMatch(f"{tensor.name} is only known at run time: it depends on {current.name}")
        node = current.inputs[0]
        if id(node) in ordered:
            continue
        if not is_onnx(node) or node.op not in _EVALUATED_OPS:
            return NoMatch(f"{tensor.name} is only known at run time: it depends on {address_of(node)} ({node.op})")
        if _num_elements(current) > _MAX_ELEMENTS:
            return NoMatch(
                f"{tensor.name} is computed through {current.name}, which has {_num_elements(current)} elements"
            )
        if inputs_done or _static_shape_result(node) is not None:
            ordered[id(node)] = node
            continue
        if len(ordered) + len(stack) > _MAX_ELEMENTS:
            return NoMatch(f"{tensor.name} is computed by too many nodes")
        stack.append((current, True))
        stack.extend((parent, False) for parent in node.inputs)
    return list(ordered.values())


def _num_elements(tensor: gs.Tensor) -> int:
    """Return how many elements a tensor has as far as its dimensions are known, else 0."""
    dims = tensor.shape or []
    return int(np.prod(dims, dtype=np.float64)) if all(isinstance(dim, int) for dim in dims) else 0


def _static_shape_result(node: gs.Node) -> npt.NDArray[np.int64] | None:
    """Return what Shape or Size gives when every dimension that it reads is known."""
    if node.op not in ("Shape", "Size") or node.inputs[0].shape is None:
        return None
    dims = list(node.inputs[0].shape)
    if node.op == "Shape":
        dims = dims[node.attrs.get("start", 0) : node.attrs.get("end")]
    if not all(isinstance(dim, int) for dim in dims):
        return None
    return np.array(dims if node.op == "Shape" else np.prod(dims, dtype=np.int64), dtype=np.int64)


def _run(chains: dict[str, list[gs.Node]], opset: int, folder: Path) -> dict[str, npt.NDArray[Any]]:
    """Run the chains as one model without inputs and return the tensors that name them."""
    if not chains:
        return {}
    import onnxruntime

    nodes = list({id(node): node for chain in chains.values() for node in chain}.values())
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            [_node_proto(node, folder) for node in nodes],
            "constants",
            inputs=[],
            outputs=[onnx.helper.make_empty_tensor_value_info(name) for name in chains],
            initializer=_initializers(nodes, folder),
        ),
        opset_imports=[onnx.helper.make_opsetid("", opset)],
        ir_version=8,
    )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(chains, session.run(list(chains), {}), strict=True))


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


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
