"""Launch every kernel once, for NVIDIA's compute-sanitizer:  compute-sanitizer python -m tests.gpu.sanitized_launches

It runs without torch, whose own kernels would be watched too. Every tensor is an allocation of its own, of the very
size, so that an access beside it is an error. With --short the last bytes of each output are missing: then memcheck has
to find errors.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

import numpy as np

from trtconv.benchmark import kernels
from trtconv.benchmark.cases import Case, make_values, pack
from trtconv.benchmark.kernels import Tensors
from trtconv.gpu import device as gpu_device
from trtconv.plugins.kernels import LAYOUTS, KernelLibrary, Launch, NormOptions, load_kernels

SHORT = "--short"

# What an H100 launches; other GPUs take some of these another way.
CASES = (
    Case("InstanceNorm", (2, 9, 7, 7), "fp16"),  # parts of a warp, edges
    Case("InstanceNorm", (600, 9, 8, 8), "fp16"),  # more slices than blocks
    Case("InstanceNorm", (3, 5, 1000), "fp32"),  # a block
    Case("InstanceNorm", (2, 3, 4096), "bf16"),
    Case("InstanceNorm", (1, 3, 70001), "fp16"),  # clusters
    Case("InstanceNorm", (1, 3, 256, 256), "fp32"),  # in registers, two full tiles a thread
    Case("InstanceNorm", (1, 3, 128, 256), "bf16"),  # one
    Case("InstanceNorm", (1, 300, 40000), "fp16"),  # streamed, a block a slice, slices in turn
    Case("InstanceNorm", (1, 40, 400003), "fp16"),  # streamed, several blocks a slice, slices in turn
    Case("InstanceNorm", (1, 3, 400003), "fp32"),
    Case("InstanceNorm", (1, 1, 17000001), "fp16"),  # split
    Case("InstanceNorm", (2, 20, 3, 3), "fp16", 0, "channels_last"),  # a block
    Case("InstanceNorm", (2, 64, 40, 40), "fp16", 0, "channels_last"),  # clusters
    Case("InstanceNorm", (1, 36, 40, 40), "fp32", 0, "channels_last"),
    Case("InstanceNorm", (2, 60, 300, 301), "fp16", 0, "channels_last"),  # streamed, columns side by side
    Case("InstanceNorm", (1, 60, 256, 256), "fp16", 0, "channels_last"),  # a cooperative grid
    Case("InstanceNorm", (2, 60, 450, 450), "fp16", 0, "channels_last"),  # streamed in turn, parts of each read again
    Case("InstanceNorm", (27, 90, 87, 96), "fp16", 0, "channels_last"),  # likewise, few blocks a column
    Case("ReflectPad", (2, 3, 50, 61), "fp32", 4),  # by planes
    Case("ReflectPad", (2, 3, 64, 64), "fp16", 3),
    Case("ReflectPad", (1, 5, 9, 10, 11), "int8", 2),
    Case("ReflectPad", (1, 2, 600, 901), "fp32", 4),  # by vectors
    Case("ReflectPad", (1, 2, 700, 801), "fp16", 3),
    Case("ReflectPad", (1, 2, 40, 100, 151), "int8", 2),
    Case("ReflectPad", (1, 20, 33, 31), "fp16", 3, "channels_last"),
    Case("ReflectPad", (1, 20, 9, 10, 11), "fp16", 2, "channels_last"),
    Case("ReflectPad", (1, 7, 33, 31), "int8", 3, "chw4"),
    Case("ReflectPad", (1, 40, 33, 31), "int8", 3, "chw32"),
)


# The same launches with an epilogue; and groups of channels: each thing that a kernel may do with them.
FUSED_CASES = (
    (Case("InstanceNorm", (2, 9, 7, 7), "fp16"), NormOptions(activation="silu")),
    (Case("InstanceNorm", (3, 5, 1000), "fp32"), NormOptions(activation="prelu")),
    (Case("InstanceNorm", (2, 3, 4096), "bf16"), NormOptions(activation="elu", alpha=1.0)),
    (Case("InstanceNorm", (1, 3, 70001), "fp16"), NormOptions(activation="relu")),
    (Case("InstanceNorm", (1, 3, 256, 256), "fp32"), NormOptions(activation="tanh")),
    (Case("InstanceNorm", (1, 300, 40000), "fp16"), NormOptions(activation="relu")),
    (Case("InstanceNorm", (1, 3, 400003), "fp32"), NormOptions(activation="silu")),
    (Case("InstanceNorm", (1, 1, 17000001), "fp16"), NormOptions(activation="leaky_relu", alpha=0.1)),
    (Case("InstanceNorm", (2, 20, 3, 3), "fp16", 0, "channels_last"), NormOptions(activation="prelu")),
    (Case("InstanceNorm", (2, 64, 40, 40), "fp16", 0, "channels_last"), NormOptions(activation="relu")),
    (Case("InstanceNorm", (1, 60, 256, 256), "fp16", 0, "channels_last"), NormOptions(activation="silu")),
    (Case("InstanceNorm", (2, 60, 450, 450), "fp16", 0, "channels_last"), NormOptions(activation="relu")),
    (Case("InstanceNorm", (2, 12, 7, 7), "fp16"), NormOptions(groups=3)),
    (Case("InstanceNorm", (1, 64, 64, 64), "fp16"), NormOptions(groups=4)),
    (Case("InstanceNorm", (1, 40, 100, 1000), "fp32"), NormOptions(groups=4, activation="silu")),
    (Case("InstanceNorm", (1, 60, 256, 256), "fp16", 0, "channels_last"), NormOptions(groups=15)),
    (Case("InstanceNorm", (1, 60, 450, 450), "fp16", 0, "channels_last"), NormOptions(groups=15)),
    (Case("InstanceNorm", (2, 320, 16, 16), "fp16", 0, "channels_last"), NormOptions(groups=32)),
)
NUM_LAUNCHES = len(CASES) + 2 * len(FUSED_CASES)


def main() -> None:
    device = gpu_device.open_device()
    library, _ = load_kernels()
    missing = 16 if SHORT in sys.argv[1:] else 0
    for case in CASES:
        with ExitStack() as until:
            kernels.bind(library, case, allocate(device, library, case, missing, until))(device.stream)
            device.synchronize()
        print(case.name, flush=True)
    for case, options in FUSED_CASES:
        for has_residual in (False, True):
            with ExitStack() as until:
                tensors = allocate(device, library, case, missing, until, options.groups)
                bind_fused(library, case, tensors, fused_options(device, case, options, has_residual, tensors, until))(
                    device.stream
                )
                device.synchronize()
        print(case.name, options, flush=True)
    print(f"launched {NUM_LAUNCHES}")


def fused_options(
    device: gpu_device.Device,
    case: Case,
    options: NormOptions,
    has_residual: bool,
    tensors: Tensors,
    until: ExitStack,
) -> NormOptions:
    """Give the options a residual of its own, and the scale as slope."""
    packed = pack(case, make_values(case).x)
    residual = upload(device, packed, until) if has_residual else 0
    return options._replace(residual=residual, slope=tensors.scale)


def bind_fused(library: KernelLibrary, case: Case, tensors: Tensors, options: NormOptions) -> Launch:
    layout = LAYOUTS[case.format]
    return library.bind_instance_norm(
        *(tensors.x, tensors.scale, tensors.bias, tensors.y),
        shape=case.shape,
        element_type=case.element_type,
        epsilon=1e-5,
        layout=layout,
        workspace=tensors.workspace,
        workspace_bytes=library.workspace_bytes(case.shape, layout, options.groups),
        options=options,
    )


def allocate(
    device: gpu_device.Device, library: KernelLibrary, case: Case, missing: int, until: ExitStack, groups: int = 0
) -> Tensors:
    """Put a case's inputs on the device; its output lacks `missing` bytes."""
    values = make_values(case)
    x, scale, bias = (
        0 if array is None else upload(device, array, until)
        for array in (pack(case, values.x), values.scale, values.bias)
    )
    y = device.allocate(case.output_bytes - missing, until)
    workspace_bytes = kernels.workspace_bytes(library, case)
    if groups:
        workspace_bytes = library.workspace_bytes(case.shape, LAYOUTS[case.format], groups)
    workspace = device.allocate(workspace_bytes, until) if workspace_bytes else 0
    return Tensors(x, y, scale, bias, workspace)


def upload(device: gpu_device.Device, array: np.ndarray, until: ExitStack) -> int:  # type: ignore[type-arg]
    address = device.allocate(array.nbytes, until)
    device.upload(address, array)
    return address


if __name__ == "__main__":
    main()
