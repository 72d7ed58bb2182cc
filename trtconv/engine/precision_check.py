"""Read an engine's types back: one that is not what was asked for is an error, never a silent fp32."""

from __future__ import annotations

import onnx

from trtconv.config import Precision
from trtconv.element_types import BY_SHORT
from trtconv.engine.building import Plan
from trtconv.engine.inspector_json import dtype_name
from trtconv.engine.io_types import engine_types
from trtconv.engine.live_engine import EngineTensor, LiveEngine
from trtconv.errors import BackendError
from trtconv.manifest import IoTensor


def require_precision(precision: Precision, plan: Plan, live: LiveEngine | None, proto: onnx.ModelProto) -> None:
    """Raise BackendError unless the network, and the loaded engine where there is one, compute in `precision`.

    `plan` has the types of TensorRT's network, strongly typed as the engine is; `live` is None where no GPU can load
    the engine. Inputs and outputs must have the types that those of `proto`, the prepared model, have in an engine.
    """
    wanted = BY_SHORT[precision].engine_name
    if wanted not in {dtype_name(name) for name in plan.types}:
        raise BackendError(f"asked for {precision}, but TensorRT's network has only {', '.join(plan.types)}")
    expected = engine_types(proto)
    tensors: list[IoTensor | EngineTensor] = [*plan.inputs, *plan.outputs, *(live.tensors if live is not None else ())]
    for tensor in tensors:
        if tensor.name in expected and tensor.dtype != expected[tensor.name]:
            what = f"asked for {tensor.name} in {expected[tensor.name]}, but the engine has it in {tensor.dtype}"
            raise BackendError(what)
    if live is None:
        return
    found = {
        entry.dtype for layer in live.information.layers for entry in (*layer.inputs, *layer.outputs) if entry.dtype
    }
    if found and wanted not in found:
        raise BackendError(f"asked for {precision}, but the engine's layers have only {', '.join(sorted(found))}")
