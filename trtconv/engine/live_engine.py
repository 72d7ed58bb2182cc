"""Ask a loaded engine what it holds. The functions take TensorRT's own objects and import no TensorRT module."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trtconv.engine.inspector_json import EngineInformation, dtype_name, parse_engine_information, short_format


@dataclass(frozen=True)
class ProfileRange:
    """The shapes of an input in one optimisation profile, or the values of a shape tensor."""

    min: Sequence[int]
    opt: Sequence[int]
    max: Sequence[int]
    is_values: bool = False


@dataclass(frozen=True)
class EngineTensor:
    """An input or output of an engine; `profiles` holds an input's range in each profile."""

    name: str
    direction: str
    dtype: str
    shape: Sequence[int]
    format: str | None = None
    profiles: Sequence[ProfileRange] = ()


@dataclass(frozen=True)
class LiveEngine:
    """What only a loaded engine tells."""

    tensors: Sequence[EngineTensor]
    num_profiles: int
    device_memory_bytes: int
    information: EngineInformation


def read_engine(engine: Any) -> LiveEngine:
    """Describe a TensorRT ICudaEngine."""
    trt = sys.modules[type(engine).__module__]  # the module that the engine comes from: tensorrt or tensorrt_rtx
    tensors = [_tensor(engine, engine.get_tensor_name(index)) for index in range(engine.num_io_tensors)]
    memory = getattr(engine, "device_memory_size_v2", None)  # since 10.1; 11 has no other
    return LiveEngine(
        tensors=tensors,
        num_profiles=int(engine.num_optimization_profiles),
        device_memory_bytes=int(engine.device_memory_size if memory is None else memory),
        information=_information(trt, engine, tensors),
    )


def _tensor(engine: Any, name: str) -> EngineTensor:
    is_input = engine.get_tensor_mode(name).name == "INPUT"
    ranges = [_range(engine, name, index) for index in range(engine.num_optimization_profiles)] if is_input else []
    return EngineTensor(
        name=name,
        direction="input" if is_input else "output",
        dtype=dtype_name(engine.get_tensor_dtype(name).name),
        shape=list(engine.get_tensor_shape(name)),
        format=short_format(str(engine.get_tensor_format_desc(name))),
        profiles=ranges,
    )


def _range(engine: Any, name: str, profile: int) -> ProfileRange:
    if engine.is_shape_inference_io(name):
        values = engine.get_tensor_profile_values(profile, name)
        if values:
            low, usual, high = (list(each) for each in values)
            return ProfileRange(low, usual, high, is_values=True)
    low, usual, high = (list(shape) for shape in engine.get_tensor_profile_shape(name, profile))
    return ProfileRange(low, usual, high)


def _information(trt: Any, engine: Any, tensors: Sequence[EngineTensor]) -> EngineInformation:
    """Ask the inspector, with the usual shapes of the first profile set: without shapes it tells no formats."""
    inspector = engine.create_engine_inspector()
    context = None
    with contextlib.suppress(Exception):  # formats are then missing where shapes are dynamic, and nothing else
        context = _context(trt, engine, tensors)
        inspector.execution_context = context
    text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    del inspector, context  # in this order: the inspector refers to the context
    return parse_engine_information(text)


def _context(trt: Any, engine: Any, tensors: Sequence[EngineTensor]) -> Any:
    """Return an execution context without device memory, its input shapes set."""
    context = engine.create_execution_context(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
    for tensor in tensors:
        if tensor.profiles and -1 in tensor.shape and not tensor.profiles[0].is_values:
            context.set_input_shape(tensor.name, tuple(tensor.profiles[0].opt))
    return context
