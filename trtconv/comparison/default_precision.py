"""Which row of the tolerances a candidate is held to, and why."""

from __future__ import annotations

import onnx

from trtconv.config import BuildConfig, EngineOptions
from trtconv.element_types import BFLOAT16, FLOAT16
from trtconv.manifest import Manifest


def engine_precision(manifest: Manifest | None, model: onnx.ModelProto) -> tuple[str, str]:
    """Return the row of TOLERANCE for an engine, by its manifest if there is one, and why it is that one."""
    in_model = _half_type(model)
    options = EngineOptions() if manifest is None else manifest.options
    if options.precision is not None:
        return options.precision, f"the engine is {options.precision} (from its manifest)"
    if in_model is not None:
        return in_model, f"the model is {in_model}"
    if options.tf32 is False:
        return "fp32", "the engine is fp32 without TF32 (from its manifest)"
    source = "from its manifest" if manifest is not None else "TensorRT's default, as there is no manifest"
    return "tf32", f"the engine is fp32 with TF32 ({source})"


def model_precision(candidate: onnx.ModelProto) -> tuple[str, str]:
    """Return the row of TOLERANCE for a model in ONNX Runtime, and why it is that one."""
    precision = _half_type(candidate) or "fp32"
    return precision, f"the candidate is a model in {precision}"


def built_precision(config: BuildConfig, model: onnx.ModelProto) -> str:
    """Return the row of TOLERANCE for the engine that `config` makes of a model."""
    return config.precision or _half_type(model) or ("fp32" if config.tf32 is False else "tf32")


def _half_type(model: onnx.ModelProto) -> str | None:
    """Return the 16-bit type that a model has weights or tensors in, or None."""
    values = (*model.graph.input, *model.graph.output, *model.graph.value_info)
    types = {tensor.data_type for tensor in model.graph.initializer}
    types |= {value.type.tensor_type.elem_type for value in values}
    return next((each.short for each in (FLOAT16, BFLOAT16) if each.onnx in types), None)
