"""Find the shapes that ONNX's inference does not: those after a node whose shape input is a chain of constants.

PyTorch computes pads, and often the target of a Reshape, Expand or Resize, with a dozen nodes. ONNX's inference cannot
follow these and knows nothing after the first of them, so that the next Shape, and the pads computed from it, are
unknown too. Here such inputs are computed, and each node after them is inferred again, alone and once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx.defs
import onnx.shape_inference
import onnx_graphsurgeon as gs

from trtconv.model.walking import is_onnx
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN, Dim
from trtconv.ops.input_roles import SHAPE_INPUTS
from trtconv.passes.base import PassContext, walk
from trtconv.passes.constant_values import KnownValues, read_constants
from trtconv.passes.graph_edit import dtype_of, given_inputs, operand_of, set_type, shape_of
from trtconv.passes.node_protos import node_proto

_IR_VERSION = 8


def complete_shapes(graph: gs.Graph, context: PassContext) -> None:
    """Give the tensors of a graph, branches included, the types and dimensions that are found beyond ONNX's inference.

    A second run finds nothing more.
    """
    completion = _Completion(context)
    completion.read_ahead(graph)
    completion.run(graph)


class _Completion:
    def __init__(self, context: PassContext) -> None:
        self._opset = context.opset
        self._folder = context.folder
        self._imports = [onnx.helper.make_opsetid("", context.opset)]
        self._known = KnownValues(context.constants)
        self._improved: set[int] = set()

    def read_ahead(self, graph: gs.Graph) -> None:
        """Compute the chains in all branches in one run, where no two tensors share a name: each run has its price."""
        nodes = [site.node for site in walk(graph)]
        names = {id(tensor): tensor.name for node in nodes for tensor in (*node.inputs, *node.outputs) if tensor.name}
        if len(nodes) > len(graph.nodes) and len(set(names.values())) == len(names):
            self._read_first(nodes)

    def run(self, graph: gs.Graph) -> None:
        """Visit the nodes in their order: what a node reads is as complete as it gets."""
        self._read_first(graph.nodes)
        for node in graph.nodes:
            for branch in (value for value in node.attrs.values() if isinstance(value, gs.Graph)):
                self.run(branch)
            if not _is_open(node):
                continue
            if node.domain == DOMAIN and node.op in CUSTOM_OPS:
                self._take_custom(node)
            elif self._has_news(node):
                self._take_inferred(node)

    def _read_first(self, nodes: Sequence[gs.Node]) -> None:
        """Compute together what can be before any shape is found: a run costs more than a chain."""
        self._read([tensor for node in nodes if _is_open(node) for tensor in _shape_inputs(node)])
        self._known.reasons.clear()  # what stood against the others may fall

    def _read(self, tensors: Sequence[gs.Tensor]) -> dict[str, Any]:
        return read_constants(tensors, self._opset, self._folder, self._known) if tensors else {}

    def _has_news(self, node: gs.Node) -> bool:
        is_plain = is_onnx(node.domain) and not any(isinstance(value, gs.Graph) for value in node.attrs.values())
        is_told = any(id(tensor) in self._improved for tensor in node.inputs)
        return is_plain and (is_told or any(_is_computed(tensor) for tensor in _shape_inputs(node)))

    def _take_inferred(self, node: gs.Node) -> None:
        values = self._read(_shape_inputs(node))
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        found = self._infer(node, arrays)
        for tensor in node.outputs:
            if tensor.name in found:
                self._improve(tensor, found[tensor.name])

    def _infer(self, node: gs.Node, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, onnx.TypeProto]:
        types = {tensor.name: _type_of(tensor) for tensor in node.inputs if tensor.name and dtype_of(tensor)}
        data = {name: onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()}
        try:
            proto = node_proto(node, self._folder)
            schema = onnx.defs.get_schema(proto.op_type, self._opset, "")
            found: dict[str, onnx.TypeProto] = onnx.shape_inference.infer_node_outputs(
                schema, proto, types, data, opset_imports=self._imports, ir_version=_IR_VERSION
            )
        except Exception:  # an op of no schema, or an invalid node: others say so
            return {}
        return found

    def _take_custom(self, node: gs.Node) -> None:
        op = CUSTOM_OPS[node.op]
        dims = shape_of(node.inputs[0]) if node.inputs else None
        if dims is not None and node.attrs.keys() >= op.required_attributes:
            attributes = op.complete(node.attrs)
            if op.problem([operand_of(tensor) for tensor in node.inputs], attributes):
                return  # what the plugin refuses has no shape
            dtype = op.output_dtype(dtype_of(node.inputs[0]), attributes)
            self._set(node.outputs[0], dtype, op.output_dims(dims, attributes))

    def _improve(self, tensor: gs.Tensor, found: onnx.TypeProto) -> None:
        kind = found.tensor_type
        dims = [_dim_of(dim) for dim in kind.shape.dim] if kind.HasField("shape") else None
        self._set(tensor, kind.elem_type or None, dims)

    def _set(self, tensor: gs.Tensor, dtype: int | None, dims: Sequence[Dim] | None) -> None:
        if set_type(tensor, dtype, dims):
            self._improved.add(id(tensor))


def _is_open(node: gs.Node) -> bool:
    """Say whether a size of what a node gives is not known."""
    shapes = (shape_of(tensor) for tensor in node.outputs if tensor.name)
    return any(dims is None or not all(isinstance(dim, int) for dim in dims) for dims in shapes)


def _shape_inputs(node: gs.Node) -> list[gs.Tensor]:
    if not is_onnx(node.domain):
        return []
    inputs = given_inputs(node)
    given = (inputs[position] for position in SHAPE_INPUTS.get(node.op, ()) if position < len(inputs))
    return [tensor for tensor in given if tensor is not None]


def _is_computed(tensor: gs.Tensor) -> bool:
    """Say whether other nodes compute a tensor: ONNX's inference knows constants itself."""
    return not isinstance(tensor, gs.Constant) and bool(tensor.inputs) and tensor.inputs[0].op != "Constant"


def _type_of(tensor: gs.Tensor) -> onnx.TypeProto:
    dims = shape_of(tensor)
    return onnx.helper.make_tensor_type_proto(dtype_of(tensor) or 0, dims)


def _dim_of(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    return int(dim.dim_value) if dim.HasField("dim_value") else dim.dim_param or None
