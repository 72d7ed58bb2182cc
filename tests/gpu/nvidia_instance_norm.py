"""Run NVIDIA's own plugin InstanceNormalization_TRT on every input set of a file, in fp16.

    nvidia_instance_norm.py INPUTS.npz OUTPUTS.npz

INPUTS holds scale, bias and any number of input sets. A process of its own: the plugin needs cuDNN, and what it does
without is not to be trusted. The reason for which it does not run goes to standard error.
"""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import numpy as np
import tensorrt as trt
from polygraphy.backend.trt import TrtRunner

EPSILON = 1e-5
NAME, VERSION = "InstanceNormalization_TRT", "3"


def main(inputs_path: Path, outputs_path: Path) -> None:
    logger = trt.Logger(trt.Logger.ERROR)
    with np.load(inputs_path) as file:
        feeds = dict(file)
    scale, bias = feeds.pop("scale"), feeds.pop("bias")
    builder = trt.Builder(logger)
    library = ctypes.CDLL(f"libnvinfer_plugin.so.{trt.__version__.split('.')[0]}")
    library.initLibNvInferPlugins.restype = ctypes.c_bool
    if not library.initLibNvInferPlugins(None, b""):
        sys.exit("NVIDIA's plugins do not register")
    creator = trt.get_plugin_registry().get_creator(NAME, VERSION, "")
    if creator is None:
        sys.exit(f"there is no {NAME} version {VERSION}")
    values = {"epsilon": [EPSILON], "scales": scale, "bias": bias, "alpha": [0.0]}
    fields = [
        trt.PluginField(name, np.array(value, dtype=np.float32), trt.PluginFieldType.FLOAT32)
        for name, value in values.items()
    ]
    fields.append(trt.PluginField("relu", np.array([0], dtype=np.int32), trt.PluginFieldType.INT32))
    plugin = creator.create_plugin("norm", trt.PluginFieldCollection(fields), trt.TensorRTPhase.BUILD)
    if plugin is None:
        sys.exit(f"{NAME} is not created")

    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    x = network.add_input("x", trt.float16, next(iter(feeds.values())).shape)
    layer = network.add_plugin_v3([x], [], plugin)
    if layer is None:
        sys.exit(f"{NAME} is not added")
    layer.get_output(0).name = "y"
    network.mark_output(layer.get_output(0))
    plan = builder.build_serialized_network(network, builder.create_builder_config())
    if plan is None:
        sys.exit(f"no engine with {NAME} is built")
    engine = trt.Runtime(logger).deserialize_cuda_engine(plan)
    if engine is None:
        sys.exit(f"the engine with {NAME} does not load")
    with TrtRunner(engine) as runner:
        np.savez(outputs_path, **{name: runner.infer({"x": feed})["y"].copy() for name, feed in feeds.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
