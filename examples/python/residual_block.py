"""A residual block written by hand, with both plugins: build it, save it, load it, run it, check it with numpy.

    y = relu(instance_norm(conv3x3(reflect_pad(x))) + x)

The sum and the activation are the norm plugin's own: between two convolutions there is one layer.

    python examples/python/residual_block.py [ENGINE]

Needs an NVIDIA GPU, TensorRT 10.6 or later, trtconv and polygraphy.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tensorrt as trt
from polygraphy.backend.trt import TrtRunner

import trtconv
from trtconv.plugins import add_instance_norm, add_reflect_pad

CHANNELS, HEIGHT, WIDTH = 16, 40, 56
EPSILON = 1e-5
PADS = [0, 0, 1, 1, 0, 0, 1, 1]  # ONNX's order: the begins of N, C, H, W, then their ends
TOLERANCE = 1e-4  # of max|y|; everything is fp32


def build(weights: dict[str, np.ndarray]) -> memoryview:
    """Return the serialized engine of the block."""
    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    # Strongly typed: the tensors have the types that are written here. TensorRT 11 has no other networks.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))

    x = network.add_input("x", trt.float32, (-1, CHANNELS, HEIGHT, WIDTH))
    padded = add_reflect_pad(network, x, PADS, name="pad").get_output(0)
    conv = network.add_convolution_nd(padded, CHANNELS, (3, 3), weights["kernel"], weights["kernel_bias"])
    norm = add_instance_norm(
        network,
        conv.get_output(0),
        weights["scale"],
        weights["bias"],
        epsilon=EPSILON,
        residual=x,
        activation="relu",
        name="norm",
    )
    y = norm.get_output(0)
    y.name = "y"
    network.mark_output(y)

    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # TensorRT would round the convolution's inputs to 10 bits
    profile = builder.create_optimization_profile()
    shapes = [(batch, CHANNELS, HEIGHT, WIDTH) for batch in (1, 2, 4)]  # smallest, usual, largest
    profile.set_shape("x", *shapes)
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        sys.exit("TensorRT could not build the engine; its log says why")
    return memoryview(plan)


def reference(x: np.ndarray, weights: dict[str, np.ndarray]) -> np.ndarray:
    """Return the block's output in float64."""
    x = x.astype(np.float64)
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    conv = np.einsum("nchwij,kcij->nkhw", windows, weights["kernel"].astype(np.float64), optimize=True)
    conv += per_channel(weights["kernel_bias"])
    deviation = conv - conv.mean(axis=(2, 3), keepdims=True)
    normalised = deviation / np.sqrt(np.square(deviation).mean(axis=(2, 3), keepdims=True) + EPSILON)
    return np.maximum(per_channel(weights["scale"]) * normalised + per_channel(weights["bias"]) + x, 0)


def per_channel(values: np.ndarray) -> np.ndarray:
    """Return one value a channel, in a shape that numpy spreads over [N, C, H, W]."""
    return values.astype(np.float64).reshape(1, -1, 1, 1)


def main() -> int:
    """Build, save, load, run and check; return 1 when the engine is wrong."""
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "residual_block.engine")
    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.normal(size=(CHANNELS, CHANNELS, 3, 3)).astype(np.float32),
        "kernel_bias": rng.normal(size=CHANNELS).astype(np.float32),
        "scale": rng.normal(size=CHANNELS).astype(np.float32),
        "bias": rng.normal(size=CHANNELS).astype(np.float32),
    }
    path.write_bytes(build(weights))

    # load_engine loads the plugin library first: TensorRT creates the plugins of the engine while it deserialises it.
    engine = trtconv.load_engine(path)
    x = rng.normal(size=(3, CHANNELS, HEIGHT, WIDTH)).astype(np.float32)
    with TrtRunner(engine) as runner:
        y = runner.infer({"x": x})["y"]

    expected = reference(x, weights)
    error, largest = np.abs(y - expected).max(), np.abs(expected).max()
    is_right = y.shape == expected.shape and error <= TOLERANCE * largest  # false for NaN, too
    print(f"{'right' if is_right else 'WRONG'}: max|error| {error:.2g}, max|y| {largest:.3g}, tolerance {TOLERANCE:g}")
    return 0 if is_right else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except trtconv.TrtconvError as problem:
        sys.exit(f"error: {problem}" + (f"\nhint: {problem.hint}" if problem.hint else ""))
