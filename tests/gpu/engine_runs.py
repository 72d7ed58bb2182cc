"""Engines of networks written by hand, and their runs on torch's tensors and streams."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorrt as trt
import torch

# As tests/gpu/test_engines.py has it: a lower level makes the tests faster.
OPT_LEVEL_VARIABLE = "TRTCONV_TEST_OPT_LEVEL"

Shapes = tuple[Sequence[int], Sequence[int], Sequence[int]]  # smallest, usual, largest
TORCH_TYPES = {trt.float32: torch.float32, trt.float16: torch.float16}


class Logger(trt.ILogger):  # type: ignore[misc]
    """Keeps what TensorRT says of errors."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []

    def log(self, severity: Any, message: str) -> None:
        if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
            self.errors.append(message)


LOGGER = Logger()  # one a process: TensorRT keeps the first


def build(path: Path, define: Callable[[Any], None], profiles: Sequence[Mapping[str, Shapes]]) -> bool:
    """Build the engine of the network that `define` writes, and save it; return whether TensorRT could."""
    builder = trt.Builder(LOGGER)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    define(network)
    config = builder.create_builder_config()
    if level := os.environ.get(OPT_LEVEL_VARIABLE):
        config.builder_optimization_level = int(level)
    for shapes in profiles:
        profile = builder.create_optimization_profile()
        for name, (smallest, usual, largest) in shapes.items():
            profile.set_shape(name, tuple(smallest), tuple(usual), tuple(largest))
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is not None:
        path.write_bytes(plan)
    return plan is not None


class Run:
    """One execution context of an engine, with buffers of its own, on a stream of its own."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.context = engine.create_execution_context()
        assert self.context is not None, LOGGER.errors
        self.stream = torch.cuda.Stream()
        self.inputs: dict[str, torch.Tensor] = {}
        self.outputs: dict[str, torch.Tensor] = {}

    def use_profile(self, index: int) -> None:
        assert self.context.set_optimization_profile_async(index, self.stream.cuda_stream)
        self.stream.synchronize()

    def prepare(self, **inputs: torch.Tensor) -> None:
        """Bind copies of the inputs, and outputs full of NaN."""
        torch.cuda.synchronize()
        self.inputs = {name: tensor.clone() for name, tensor in inputs.items()}
        for name, tensor in self.inputs.items():
            assert self.context.set_input_shape(name, tuple(tensor.shape)), LOGGER.errors
            self._bind(name, tensor)
        for index in range(self.engine.num_io_tensors):
            name = self.engine.get_tensor_name(index)
            if self.engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT:
                shape = tuple(self.context.get_tensor_shape(name))
                dtype = TORCH_TYPES[self.engine.get_tensor_dtype(name)]
                self.outputs[name] = torch.full(shape, float("nan"), dtype=dtype, device="cuda")
                self._bind(name, self.outputs[name])
        torch.cuda.synchronize()

    def enqueue(self) -> bool:
        """Enqueue on the run's stream; return whether TensorRT took it."""
        return bool(self.context.execute_async_v3(self.stream.cuda_stream))

    def __call__(self, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run once and return copies of the outputs."""
        self.prepare(**inputs)
        assert self.enqueue(), LOGGER.errors
        self.stream.synchronize()
        return {name: tensor.clone() for name, tensor in self.outputs.items()}

    def _bind(self, name: str, tensor: torch.Tensor) -> None:
        address = tensor.data_ptr() or _SOMEWHERE.data_ptr()  # an empty tensor has no address, TensorRT wants one
        assert self.context.set_tensor_address(name, address), LOGGER.errors


_SOMEWHERE = torch.zeros(256, dtype=torch.uint8, device="cuda")


def fresh_run(engine: Any, profile: int = 0, **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
    """Run once in a context that has run nothing before."""
    run = Run(engine)
    if profile:
        run.use_profile(profile)
    return run(**inputs)
