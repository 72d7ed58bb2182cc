"""Parse, build and serialize: from a prepared model to a plan."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from trtconv.config import BuildConfig
from trtconv.engine.backends import Backend
from trtconv.engine.build_errors import build_error
from trtconv.engine.builder_options import add_profiles, apply_options
from trtconv.engine.inspector_json import dtype_name
from trtconv.engine.io_types import notes_on_types
from trtconv.engine.logger import make_logger
from trtconv.engine.monitored_build import build_serialized
from trtconv.engine.network_parsing import parse, set_io_format
from trtconv.engine.rtx_turns import turn_of
from trtconv.engine.timing_cache import save_timing_cache, use_timing_cache
from trtconv.manifest import IoTensor
from trtconv.plugins.library import PluginLibrary
from trtconv.progress import Progress, announce


@dataclass(frozen=True)
class Plan:
    """A serialized engine, the tensors that go in and out of it, and the plugin library that it needs, if any.

    `types` are those of all tensors of the network that it was built from.
    """

    data: memoryview
    inputs: Sequence[IoTensor]
    outputs: Sequence[IoTensor]
    library: PluginLibrary | None
    types: Sequence[str]


def build(
    proto: onnx.ModelProto,
    model_path: Path,
    config: BuildConfig,
    backend: Backend,
    progress: Progress,
    notes: list[str],
    log: Callable[[str], None] | None = None,
    io_format: str | None = None,
) -> Plan:
    """Parse `proto`, whose external tensors lie beside `model_path`, and build its engine.

    `notes` gets what a user should know of, `log` TensorRT's own messages. `io_format` is how inputs and outputs lie in
    memory, linear by default. Raises ModelError for what the parser refuses, BackendError when TensorRT fails,
    Interrupted on Ctrl-C.
    """
    trt = backend.trt
    logger = make_logger(trt, log)
    library, builder, network, parser = parse(proto, model_path, backend, logger)
    if io_format is not None:
        set_io_format(trt, network, io_format)
    builder_config = builder.create_builder_config()
    apply_options(builder_config, config, trt)
    add_profiles(builder, builder_config, network, config.profiles)
    if config.embed_plugins and library is not None:
        builder_config.plugins_to_serialize = [str(library.path)]
    if config.timing_cache is not None:
        use_timing_cache(builder_config, config.timing_cache, notes)
    announce(f"building the engine of {model_path.name} in {backend.title}")
    with turn_of(backend):
        _choose_architecture(builder_config, backend)
        data = build_serialized(trt, builder, network, builder_config, parser, progress)
    if data is None:
        raise build_error(backend.title, logger.last_error(), proto, model_path, config, trt.__version__)
    if config.timing_cache is not None:
        save_timing_cache(builder_config, config.timing_cache, notes)
    notes += notes_on_types(proto)
    inputs = [_describe(network.get_input(index)) for index in range(network.num_inputs)]
    outputs = [_describe(network.get_output(index)) for index in range(network.num_outputs)]
    return Plan(memoryview(data), inputs, outputs, library, _types(network))


def _choose_architecture(builder_config: Any, backend: Backend) -> None:
    if backend.key == "tensorrt-rtx":
        builder_config.num_compute_capabilities = 1
        name = backend.arch.upper().replace("_", "")
        builder_config.set_compute_capability(getattr(backend.trt.ComputeCapability, name), 0)


def _types(network: Any) -> list[str]:
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    return sorted({layer.get_output(index).dtype.name for layer in layers for index in range(layer.num_outputs)})


def _describe(tensor: Any) -> IoTensor:
    return IoTensor(tensor.name, dtype_name(tensor.dtype.name), tuple(tensor.shape))
