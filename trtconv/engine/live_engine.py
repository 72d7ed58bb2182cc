"""Ask a loaded engine what it holds. The functions take TensorRT's own objects and import no TensorRT module."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv.engine.inspector_json import EngineInformation, dtype_name, parse_engine_information, short_format
from trtconv.errors import ConfigError
from trtconv.manifest import Manifest
from trtconv.shapes import Kind, Profile, ShapeRange, format_dims


@dataclass(frozen=True)
class EngineTensor:
    """An input or output of an engine; `profiles` holds an input's range in each profile."""

    name: str
    direction: str
    dtype: str
    shape: Sequence[int]
    format: str | None = None
    profiles: Sequence[ShapeRange] = ()


@dataclass(frozen=True)
class LiveEngine:
    """What only a loaded engine tells."""

    tensors: Sequence[EngineTensor]
    num_profiles: int
    device_memory_bytes: int
    information: EngineInformation


def tensors_of(manifest: Manifest | None) -> list[EngineTensor]:
    """Return the inputs and outputs that a manifest names."""
    if manifest is None:
        return []
    tensors = []
    for direction, named in (("input", manifest.inputs), ("output", manifest.outputs)):
        for each in named:
            given = [profile[each.name] for profile in manifest.profiles if each.name in profile]
            tensors.append(EngineTensor(each.name, direction, dtype_name(each.dtype), each.shape, None, given))
    return tensors


def read_engine(engine: Any) -> LiveEngine:
    """Describe a TensorRT ICudaEngine."""
    trt = sys.modules[type(engine).__module__]  # the module that the engine comes from: tensorrt or tensorrt_rtx
    tensors = [_tensor(engine, engine.get_tensor_name(index)) for index in range(engine.num_io_tensors)]
    return LiveEngine(
        tensors=tensors,
        num_profiles=int(engine.num_optimization_profiles),
        device_memory_bytes=device_memory_bytes(engine),
        information=_information(trt, engine, tensors),
    )


def device_memory_bytes(engine: Any) -> int:
    """Return the bytes on the GPU that each execution context of an engine needs, the weights left out."""
    memory = getattr(engine, "device_memory_size_v2", None)  # since 10.1; 11 has no other
    return int(engine.device_memory_size if memory is None else memory)


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


def _range(engine: Any, name: str, profile: int) -> ShapeRange:
    """Return the shapes of an input in a profile, or the values where it is a shape tensor."""
    values = engine.get_tensor_profile_values(profile, name) if engine.is_shape_inference_io(name) else None
    kind: Kind = "values" if values else "shape"
    points = values or engine.get_tensor_profile_shape(name, profile)
    low, usual, high = (tuple(int(each) for each in point) for point in points)
    return ShapeRange(low, usual, high, kind)


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
        if tensor.profiles and -1 in tensor.shape and tensor.profiles[0].kind == "shape":
            context.set_input_shape(tensor.name, tuple(tensor.profiles[0].opt))
    return context


def read_profiles(engine: Any) -> list[Profile]:
    """Return what each profile says of the inputs that have a choice: dynamic shapes, values of shape tensors."""
    return [_read_profile(engine, index) for index in range(engine.num_optimization_profiles)]


def shapes_taken(engine: Any) -> list[Profile]:
    """Return what each profile says of every input; one whose shape is fixed in the engine has that in each."""
    fixed = {
        name: ShapeRange(dims, dims, dims)
        for name in _inputs(engine)
        if -1 not in (dims := tuple(int(size) for size in engine.get_tensor_shape(name)))
    }
    return [{**fixed, **profile} for profile in read_profiles(engine)]


def is_of_rtx(engine: Any) -> bool:
    """Say whether an engine is TensorRT-RTX's."""
    return type(engine).__module__.startswith("tensorrt_rtx")


def choose_profile(engine: Any, feed: Mapping[str, npt.NDArray[Any]], title: str) -> int | None:
    """Return the first profile that holds these inputs, None where there is one profile alone, which needs no choice.

    Raises ConfigError where none does.
    """
    profiles = read_profiles(engine)
    for name, values in feed.items():
        dims = tuple(engine.get_tensor_shape(name))
        if len(dims) != values.ndim or any(-1 != dim != size for dim, size in zip(dims, values.shape, strict=True)):
            expected = format_dims([None if dim == -1 else dim for dim in dims])
            raise ConfigError(f"input {name} is {format_dims(values.shape)}, expected {expected}", where=title)
    for index, profile in enumerate(profiles):
        if all(_holds(shapes, feed[name]) for name, shapes in profile.items() if name in feed):
            return index if len(profiles) > 1 else None
    given = ", ".join(f"{name}={format_dims(values.shape)}" for name, values in feed.items())
    known = "; ".join(", ".join(f"{name}={shapes}" for name, shapes in profile.items()) for profile in profiles)
    raise ConfigError(f"no profile of the engine holds {given}", where=title, hint=f"its profiles are: {known}")


def _read_profile(engine: Any, index: int) -> dict[str, ShapeRange]:
    inputs = _inputs(engine)
    is_dynamic = {name: -1 in tuple(engine.get_tensor_shape(name)) for name in inputs}
    asked = [name for name in inputs if is_dynamic[name] or engine.is_shape_inference_io(name)]
    ranges = {name: _range(engine, name, index) for name in asked}
    return {name: given for name, given in ranges.items() if is_dynamic[name] or given.kind == "values"}


def _inputs(engine: Any) -> list[str]:
    names = [engine.get_tensor_name(position) for position in range(engine.num_io_tensors)]
    return [name for name in names if engine.get_tensor_mode(name).name == "INPUT"]


def _holds(shapes: ShapeRange, values: npt.NDArray[Any]) -> bool:
    given = values.shape if shapes.kind == "shape" else tuple(np.ravel(values).tolist())
    if len(given) != len(shapes.opt):
        return False
    return all(low <= each <= high for low, each, high in zip(shapes.min, given, shapes.max, strict=True))
