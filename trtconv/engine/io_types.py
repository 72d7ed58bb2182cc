"""The types that the inputs and outputs of a model have in its engine: TensorRT's parser takes float64 as float32."""

from __future__ import annotations

from collections.abc import Mapping

import onnx

from trtconv.element_types import BY_ONNX, ElementType
from trtconv.model.addresses import list_addresses
from trtconv.model.walking import fed_inputs


def engine_types(proto: onnx.ModelProto) -> dict[str, str]:
    """Return the type, as reports on engines name it, that each input and output has in an engine of `proto`."""
    return {name: each.in_engine.engine_name for name, each in _types(proto).items()}


def notes_on_types(proto: onnx.ModelProto) -> list[str]:
    """Return a note for each type of inputs and outputs that engines do not have."""
    changed: dict[ElementType, list[str]] = {}
    for name, each in _types(proto).items():
        if each.in_engine is not each:
            changed.setdefault(each, []).append(name)
    return [
        f"{list_addresses(names)}: {each.name} in the model, {each.in_engine.name} in the engine, "
        f"because TensorRT has no {each.name}"
        for each, names in changed.items()
    ]


def _types(proto: onnx.ModelProto) -> Mapping[str, ElementType]:
    values = (*fed_inputs(proto.graph), *proto.graph.output)
    return {
        value.name: BY_ONNX[value.type.tensor_type.elem_type]
        for value in values
        if value.type.tensor_type.elem_type in BY_ONNX
    }
