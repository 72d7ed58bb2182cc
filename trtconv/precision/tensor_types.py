"""The element types of tensors, and which of them ONNX's schemas let vary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx.defs
from onnx import TensorProto

from trtconv.model.shape_inference import with_shapes
from trtconv.model.walking import is_onnx, opset_of, walk_graphs
from trtconv.ops.custom_op import DOMAIN
from trtconv.precision.scopes import FlatGraph, outer_name

FLOAT = TensorProto.FLOAT


def infer_types(
    proto: onnx.ModelProto, flat: FlatGraph, constants: Mapping[str, TensorProto], folder: Path
) -> dict[str, int]:
    """Return the element types of all tensors: as declared, as shape inference finds them, as schemas give them.

    `flat` is the model's; `folder` is the model's, for external data.
    """
    types = {name: int(tensor.data_type) for name, tensor in constants.items()}
    inferred = with_shapes(proto, folder)
    declared = [value for scope in flat.scopes for value in (*scope.graph.input, *scope.graph.output)]
    for graph in walk_graphs(inferred.graph):
        declared += (*graph.input, *graph.output, *graph.value_info)
    for value in declared:
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type:
            types.setdefault(value.name, int(value.type.tensor_type.elem_type))
    num_before = -1
    while len(types) != num_before:  # again for the inputs of a body, whose owner comes after it
        num_before = len(types)
        _add_types_across_borders(flat, types)
        for node in flat.nodes:
            for slot, name in enumerate(node.output):
                if name and name not in types and (found := _type_by_schema(node, slot, types, opset_of(proto))):
                    types[name] = found
    return types


def _add_types_across_borders(flat: FlatGraph, types: dict[str, int]) -> None:
    """Pass types from the inputs of a Loop or Scan into its body, and from branches and bodies to their owner."""
    for scope in flat.scopes:
        if scope.owner is None:
            continue
        node = flat.nodes[scope.owner]
        pairs = [(value.name, outer_name(node, slot)) for slot, value in enumerate(scope.graph.input)]
        left = [value.name for value in scope.graph.output][node.op_type == "Loop" :]
        for name, other in (*pairs, *zip(node.output, left, strict=False)):
            if name and name not in types and other in types:
                types[name] = types[other]


def _type_by_schema(node: onnx.NodeProto, slot: int, types: Mapping[str, int], opset: int) -> int | None:
    """Return the type of an output that shares it with an input, or that an attribute of a custom op says."""
    if node.domain == DOMAIN:
        return target_of(node) or types.get(node.input[0])
    schema = schema_of(node, opset)
    parameter = _formal(schema.outputs, slot) if schema else None
    if schema is None or parameter is None:
        return None
    same = (name for index, name in enumerate(node.input) if _same_type(_formal(schema.inputs, index), parameter))
    return next((types[name] for name in same if name in types), None)


def target_of(node: onnx.NodeProto) -> int:
    """Return the element type that a custom op is told to give, 0 where it gives that of X."""
    return next((int(each.i) for each in node.attribute if each.name == "to"), 0) if node.domain == DOMAIN else 0


def _same_type(first: Any, second: Any) -> bool:
    return first is not None and first.type_str == second.type_str


def schema_of(node: onnx.NodeProto, opset: int) -> Any | None:
    """Return the ONNX schema of a node in an opset, None for another domain or an op that ONNX never had."""
    op_type = node.op_type
    if op_type == "Upsample" and opset > 9:  # withdrawn in favour of Resize
        op_type = "Resize"
    try:
        return onnx.defs.get_schema(op_type, opset, "") if is_onnx(node.domain) else None
    except onnx.defs.SchemaError:
        return None


def _formal(parameters: Any, slot: int) -> Any | None:
    """Return the formal parameter of an input or output; the last one may be repeated."""
    if slot < len(parameters):
        return parameters[slot]
    last = parameters[-1] if parameters else None
    return last if last is not None and last.option == onnx.defs.OpSchema.FormalParameterOption.Variadic else None


def is_flexible(parameters: Any, slot: int) -> bool:
    """Say whether a schema allows both float32 and float16 for an input or output."""
    formal = _formal(parameters, slot)
    return formal is not None and {"tensor(float)", "tensor(float16)"} <= set(formal.types)


def allows(node: onnx.NodeProto, opset: int, elem_type: int, inputs: Iterable[int], outputs: Iterable[int]) -> bool:
    """Say whether ONNX has an op with these inputs and outputs in `elem_type`.

    For bfloat16 the newest version of the op counts, since TensorRT's parser looks at the op, not at its version; for
    float16 the model's own version, since ONNX Runtime does look.
    """
    schema = schema_of(node, opset if elem_type == TensorProto.FLOAT16 else onnx.defs.onnx_opset_version())
    if schema is None:
        return False
    wanted = f"tensor({TensorProto.DataType.Name(elem_type).lower()})"
    formals = [_formal(schema.inputs, slot) for slot in inputs] + [_formal(schema.outputs, slot) for slot in outputs]
    return all(formal is not None and wanted in formal.types for formal in formals)
