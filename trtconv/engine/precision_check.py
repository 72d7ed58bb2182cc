"""Read an engine's types back: one that is not what was asked for is an error, never a silent fp32."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from trtconv.config import Precision
from trtconv.element_types import BY_ONNX, BY_SHORT
from trtconv.engine.inspector_json import dtype_name
from trtconv.engine.live_engine import LiveEngine
from trtconv.errors import BackendError


def require_precision(
    precision: Precision, network_types: Sequence[str], live: LiveEngine | None, proto: onnx.ModelProto
) -> None:
    """Raise BackendError unless the network, and the loaded engine where there is one, compute in `precision`.

    `network_types` are the types of TensorRT's network, strongly typed as the engine will be; `live` is None where no
    GPU can load the engine. Inputs and outputs must have the types of `proto`.
    """
    wanted = BY_SHORT[precision].engine_name
    if wanted not in {dtype_name(name) for name in network_types}:
        raise BackendError(f"asked for {precision}, but TensorRT's network has only {', '.join(network_types)}")
    if live is None:
        return
    expected = _io_types(proto)
    for tensor in live.tensors:
        if tensor.name in expected and tensor.dtype != expected[tensor.name]:
            what = f"asked for {tensor.name} in {expected[tensor.name]}, but the engine has it in {tensor.dtype}"
            raise BackendError(what)
    found = {
        entry.dtype for layer in live.information.layers for entry in (*layer.inputs, *layer.outputs) if entry.dtype
    }
    if found and wanted not in found:
        raise BackendError(f"asked for {precision}, but the engine's layers have only {', '.join(sorted(found))}")


def _io_types(proto: onnx.ModelProto) -> dict[str, str]:
    return {
        value.name: BY_ONNX[value.type.tensor_type.elem_type].engine_name
        for value in (*proto.graph.input, *proto.graph.output)
        if value.type.HasField("tensor_type")
    }
