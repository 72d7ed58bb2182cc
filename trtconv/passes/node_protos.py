"""Nodes and constants as ONNX has them, to be computed or inferred alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_graphsurgeon as gs

from trtconv.model.external_data import read_external_tensor
from trtconv.passes.graph_edit import dtype_of


def read_by(node: gs.Node) -> Sequence[gs.Tensor]:
    """Return what a node computes with: of a CastLike not what tells the type, where that is known."""
    is_typed = node.op == "CastLike" and len(node.inputs) == 2 and dtype_of(node.inputs[1]) is not None
    return list(node.inputs)[:1] if is_typed else list(node.inputs)


def node_proto(node: gs.Node, folder: Path) -> onnx.NodeProto:
    """Return a node without branches as ONNX has it; its constant attributes come from `folder` where external."""
    outputs = [tensor.name for tensor in node.outputs]
    if node.op == "CastLike" and len(read_by(node)) == 1:
        to = dtype_of(node.inputs[1])
        return onnx.helper.make_node("Cast", [node.inputs[0].name], outputs, to=to)
    attributes = {
        name: onnx.numpy_helper.from_array(values_of(value, folder)) if isinstance(value, gs.Constant) else value
        for name, value in node.attrs.items()
    }
    inputs = [tensor.name for tensor in node.inputs]
    return onnx.helper.make_node(node.op, inputs, outputs, domain=node.domain, **attributes)


def values_of(constant: gs.Constant, folder: Path) -> npt.NDArray[Any]:
    """Return a constant's values; those in an external file are read from there, without a copy in the graph."""
    lazy = constant._values
    if not isinstance(getattr(lazy, "tensor", None), onnx.TensorProto):
        return np.asarray(constant.values)
    proto = lazy.tensor
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        proto = read_external_tensor(proto, folder)
    return onnx.numpy_helper.to_array(proto)
