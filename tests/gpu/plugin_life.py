"""Take one plugin through its whole life, so that TRTCONV_TRACE=1 shows it; each step is named on standard error.

TRTCONV_TRACE=1 python tests/gpu/plugin_life.py ENGINE
"""

from __future__ import annotations

import gc
import sys
from pathlib import Path

import numpy as np
import tensorrt as trt
from polygraphy.backend.trt import TrtRunner

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.plugin_trace import STEP_MARK
from trtconv import load_engine, plugins

SHAPES = [(1, 4, 16, 16), (2, 4, 16, 16), (4, 4, 16, 16)]


def step(name: str) -> None:
    print(f"{STEP_MARK}{name}", file=sys.stderr, flush=True)


def main(path: Path) -> None:
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    x = network.add_input("x", trt.float32, (-1, *SHAPES[0][1:]))
    step("add the plugin to a network")
    layer = plugins.add_instance_norm(network, x, np.ones(4), np.zeros(4), epsilon=1e-5, name="norm")
    layer.get_output(0).name = "y"
    network.mark_output(layer.get_output(0))
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    profile.set_shape("x", *SHAPES)
    config.add_optimization_profile(profile)
    step("build and serialize")
    plan = builder.build_serialized_network(network, config)
    path.write_bytes(plan)
    step("drop network and builder")
    del layer, x, network, config, profile, builder, plan
    gc.collect()
    step("load the engine")
    engine = load_engine(path)
    step("create an execution context")
    runner = TrtRunner(engine)
    runner.activate()
    for shape in (SHAPES[1], SHAPES[1], SHAPES[0]):
        step(f"run with batch {shape[0]}")
        y = runner.infer({"x": np.arange(np.prod(shape), dtype=np.float32).reshape(shape)})["y"]
        assert abs(float(y.std()) - 1) < 0.01
    step("drop the context")
    runner.deactivate()
    del runner
    gc.collect()
    step("drop the engine")
    del engine
    gc.collect()
    step("end")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
