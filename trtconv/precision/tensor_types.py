"""The element types of tensors, and which of them ONNX's schemas let vary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx.defs
from onnx import TensorProto

from trtconv.model.shape_inference import with_shapes
from trtconv.model.walking import is_onnx, opset_of
from trtconv.ops.custom_op import DOMAIN

FLOAT = TensorProto.FLOAT


def infer_types(proto: onnx.ModelProto, constants: Mapping[str, TensorProto], folder: Path) -> dict[str, int]:
    """Return the element types in the main graph: as declared, as shape inference finds them, as schemas give them.

    `folder` is the model's, for external data.
    """
    types = {name: int(tensor.data_type) for name, tensor in constants.items()}
    for value in (*proto.graph.input, *proto.graph.output, *with_shapes(proto, folder).graph.value_info):
        if value.type.HasField("tensor_type") and value.type.tensor_type.elem_type:
            types.setdefault(value.name, int(value.type.tensor_type.elem_type))
    for node in proto.graph.node:
        for slot, name in enumerate(node.output):
            if name and name not in types and (found := _type_by_schema(node, slot, types, opset_of(proto))):
                types[name] = found
    return types


def _type_by_schema(node: onnx.NodeProto, slot: int, types: Mapping[str, int], opset: int) -> int | None:
    """Return the type of an output that shares it with an input."""
    if node.domain == DOMAIN:
        return types.get(node.input[0])
    schema = schema_of(node, opset)
    parameter = _formal(schema.outputs, slot) if schema else None
    if schema is None or parameter is None:
        return None
    same = (name for index, name in enumerate(node.input) if _same_type(_formal(schema.inputs, index), parameter))
    return next((types[name] for name in same if name in types), None)


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


def allows(node: onnx.NodeProto, opset: int, elem_type: int) -> bool:
    """Say whether ONNX has an op in `elem_type`.

    For bfloat16 the newest version of the op counts, since TensorRT's parser looks at the op, not at its version; for
    float16 the model's own version, since ONNX Runtime does look.
    """
    schema = schema_of(node, opset if elem_type == TensorProto.FLOAT16 else onnx.defs.onnx_opset_version())
    wanted = f"tensor({TensorProto.DataType.Name(elem_type).lower()})"
    return schema is not None and any(wanted in each.allowed_type_strs for each in schema.type_constraints)
