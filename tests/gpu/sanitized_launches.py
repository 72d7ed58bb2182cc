"""Launch every kernel once, for NVIDIA's compute-sanitizer:  compute-sanitizer python -m tests.gpu.sanitized_launches

It runs without torch, whose own kernels would be watched too. Every tensor is an allocation of its own, of the very
size, so that an access beside it is an error. With --short the last bytes of each output are missing: then memcheck has
to find errors.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from trtconv.benchmark import kernels
from trtconv.benchmark.cases import Case, make_values, pack
from trtconv.benchmark.kernels import Tensors
from trtconv.element_types import FLOAT16, FLOAT32, ElementType
from trtconv.gpu import device as gpu_device
from trtconv.plugins.kernels import LAYOUTS, KernelLibrary, Launch, NormOptions, NormPlace, OutputMap, load_kernels

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


@dataclass(frozen=True)
class MapCase:
    """A pad of an image or a volume [N, C, D1..Dk] by an output map, all pads alike."""

    shape: tuple[int, ...]
    pad: int
    x_type: ElementType
    x_layout: str
    output_map: OutputMap

    @property
    def x_bytes(self) -> int:
        return stored_bytes(self.shape, self.x_type, LAYOUTS[self.x_layout])

    @property
    def y_bytes(self) -> int:
        factors = self.output_map.upsample or (1,) * len(self.shape)
        whole = interleaved(self.shape, self.output_map.phases[2:], self.output_map.crop[2:])
        sizes = (s * f + 2 * self.pad for s, f in zip(whole[2:], factors[2:], strict=True))
        layout = self.output_map.y_layout
        y_layout = LAYOUTS[self.x_layout] if layout is None else layout
        return stored_bytes((*whole[:2], *sizes), self.output_map.y_type or self.x_type, y_layout)


def interleaved(shape: Sequence[int], phases: Sequence[int], crop: Sequence[int]) -> tuple[int, ...]:
    """Return the shape of X [N, C, D1..Dk] with its phases interleaved; empty lists stand for none."""
    batch, channels, *sizes = shape
    factors, ends = phases or (1,) * len(sizes), crop or (0,) * len(sizes)
    whole = (s * f - e for s, f, e in zip(sizes, factors, ends, strict=True))
    return (batch, channels // math.prod(factors), *whole)


def stored_bytes(shape: Sequence[int], element_type: ElementType, layout: int) -> int:
    """Return the bytes of a linear or channels-last tensor."""
    batch, channels, *sizes = shape
    lanes = 16 // element_type.num_bytes(1) if layout == LAYOUTS["channels_last"] else 1
    return element_type.num_bytes(batch * -(-channels // lanes) * lanes * math.prod(sizes))


BY_TWO = (1, 1, 2, 2)
MAP_CASES = (
    MapCase((2, 3, 33, 30), 1, FLOAT32, "linear", OutputMap(BY_TWO, "edge")),  # by planes
    MapCase((2, 3, 33, 31), 2, FLOAT16, "linear", OutputMap((1, 1, 1, 3), "zero")),
    MapCase((2, 9, 33, 30), 0, FLOAT16, "linear", OutputMap(BY_TWO, "zero")),  # by runs of 4
    MapCase((2, 9, 33, 30), 0, FLOAT16, "linear", OutputMap(BY_TWO, "zero", FLOAT16, FLOAT16, None, "relu")),
    MapCase((40, 3, 5, 6), 1, FLOAT16, "linear", OutputMap(BY_TWO, "reflect")),  # by elements
    MapCase((2, 3, 33, 31), 1, FLOAT16, "linear", OutputMap((), "edge", FLOAT16, FLOAT32, None, "silu")),
    MapCase((2, 20, 17, 18), 1, FLOAT16, "channels_last", OutputMap(BY_TWO)),  # two by two
    MapCase((2, 20, 17, 18), 1, FLOAT16, "channels_last", OutputMap((), "zero")),  # by cells
    MapCase((2, 20, 17, 18), 1, FLOAT32, "channels_last", OutputMap((), "edge", FLOAT32, FLOAT16)),
    MapCase((2, 20, 17, 18), 1, FLOAT16, "channels_last", OutputMap(BY_TWO, "edge", FLOAT16, FLOAT32, None, "elu", 1)),
    MapCase((2, 3, 17, 18), 4, FLOAT32, "linear", OutputMap((), "reflect", FLOAT32, FLOAT16, 1)),  # to channels-last
    MapCase((2, 11, 17, 18), 0, FLOAT16, "channels_last", OutputMap((), "zero", FLOAT16, FLOAT32, 0, "tanh")),  # from
    MapCase((2, 20, 16, 20), 1, FLOAT16, "channels_last", OutputMap(y_layout=0)),  # from, by runs of 4
    MapCase((2, 3, 17, 20), 0, FLOAT16, "channels_last", OutputMap((), "zero", FLOAT16, FLOAT32, 0, "tanh")),  # thin
    MapCase((2, 20, 6, 7, 8), 1, FLOAT16, "linear", OutputMap((), "edge", FLOAT16, FLOAT16, 1)),  # to, volumes
    MapCase((2, 20, 6, 7, 8), 1, FLOAT16, "channels_last", OutputMap((), "reflect", FLOAT16, FLOAT32, 0)),  # from
    # Of phases: by planes, by elements, by cells, of volumes too, and into planes, by columns and by rows.
    MapCase((2, 12, 17, 18), 1, FLOAT32, "linear", OutputMap(phases=(1, 1, 2, 2), crop=(0, 0, 1, 0))),
    MapCase((2, 27, 17, 18), 0, FLOAT16, "linear", OutputMap(phases=(1, 1, 3, 3), crop=(0, 0, 0, 2))),
    MapCase((2, 12, 3, 4), 1, FLOAT16, "linear", OutputMap(BY_TWO, phases=(1, 1, 2, 2))),
    MapCase((2, 12, 17, 18), 0, FLOAT16, "channels_last", OutputMap(phases=(1, 1, 2, 2))),
    MapCase((2, 64, 17, 18), 1, FLOAT16, "channels_last", OutputMap(phases=(1, 1, 2, 2), crop=(0, 0, 1, 1))),
    MapCase((2, 64, 5, 6, 7), 1, FLOAT16, "channels_last", OutputMap(phases=(1, 1, 2, 2, 2), crop=(0, 0, 1, 0, 1))),
    MapCase((2, 48, 9, 10), 1, FLOAT16, "channels_last", OutputMap(y_layout=0, phases=(1, 1, 4, 4))),
    MapCase(
        (2, 12, 9, 40), 0, FLOAT16, "channels_last", OutputMap((), "zero", FLOAT16, FLOAT32, 0, "silu", 0, (1, 1, 2, 2))
    ),
    MapCase(
        (2, 48, 9, 10), 0, FLOAT16, "channels_last", OutputMap((), "zero", FLOAT16, FLOAT32, 0, "tanh", 0, (1, 1, 4, 4))
    ),
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
# Norms that scatter their results: a block, clusters, a cooperative grid, streamed; some with residuals out of padded
# tensors; linear ones with one block a slice and several; and two that gather their results.
PLACED_CASES = (
    (Case("InstanceNorm", (2, 20, 6, 7), "fp16", 0, "channels_last"), NormPlace((2, 3), (1, 2, 3, 0))),
    (Case("InstanceNorm", (2, 64, 40, 40), "fp16", 0, "channels_last"), NormPlace((2, 2), (1,) * 4, "edge")),
    (Case("InstanceNorm", (1, 60, 256, 256), "fp16", 0, "channels_last"), NormPlace((2, 2), (4,) * 4, "zero")),
    (Case("InstanceNorm", (2, 60, 300, 301), "fp16", 0, "channels_last"), NormPlace((1, 1), (1,) * 4)),
    (
        Case("InstanceNorm", (2, 64, 40, 40), "fp16", 0, "channels_last"),
        NormPlace((1, 1), (0,) * 4, "zero", (1, 2, 3, 0)),
    ),
    (
        Case("InstanceNorm", (2, 60, 300, 301), "fp16", 0, "channels_last"),
        NormPlace((1, 1), (1,) * 4, "reflect", (1, 2, 3, 0)),
    ),
    (Case("InstanceNorm", (1, 36, 40, 40), "fp32", 0, "channels_last"), NormPlace((2, 2), (1,) * 4)),
    (Case("InstanceNorm", (1, 3, 41, 43), "fp16"), NormPlace((1, 1), (1,) * 4)),
    (Case("InstanceNorm", (1, 70, 201, 203), "fp16"), NormPlace((2, 3), (1, 2, 3, 0), "edge")),
    (Case("InstanceNorm", (1, 3, 401, 1003), "fp32"), NormPlace((1, 1), (1,) * 4, "zero", (1, 2, 3, 0))),
    # Of phases: the same kernels, the linear ones last; and two that are interleaved first.
    *(
        (
            Case("InstanceNorm", (2, 64, height, width), "fp16", 0, "channels_last"),
            NormPlace((1, 1), pads, phases=(2, 2)),
        )
        for height, width, pads in ((3, 4, (0,) * 4), (20, 20, (1,) * 4), (128, 64, (0,) * 4), (200, 150, (1,) * 4))
    ),
    (
        Case("InstanceNorm", (2, 64, 20, 20), "fp16", 0, "channels_last"),
        NormPlace((1, 1), (0,) * 4, "zero", (1, 2, 3, 0), None, (2, 2)),
    ),
    (
        Case("InstanceNorm", (1, 64, 20, 20), "fp16", 0, "channels_last"),
        NormPlace((1, 1), (0,) * 4, phases=(2, 2), crop=(1, 0)),
    ),
    (Case("InstanceNorm", (1, 12, 20, 20), "fp32"), NormPlace((1, 1), (0,) * 4, phases=(2, 2))),
    (
        Case("InstanceNorm", (1, 280, 100, 104), "fp16"),
        NormPlace((1, 2), (1,) * 4, "reflect", (1, 2, 3, 0), None, (2, 2)),
    ),
    (Case("InstanceNorm", (1, 12, 300, 300), "fp32"), NormPlace((2, 1), (0, 1, 0, 2), phases=(2, 2))),
    # Split: single elements, and vectors of planes.
    (Case("InstanceNorm", (1, 1, 2801, 2803), "fp32"), NormPlace((1, 1), (1,) * 4)),
    (Case("InstanceNorm", (1, 4, 1404, 1404), "fp32"), NormPlace((1, 1), (1,) * 4, phases=(2, 2))),
)
NUM_LAUNCHES = len(CASES) + 2 * len(FUSED_CASES) + len(MAP_CASES) + len(PLACED_CASES)


def main() -> None:
    device = gpu_device.open_device()
    library, _ = load_kernels()
    missing = 16 if SHORT in sys.argv[1:] else 0
    for map_case in MAP_CASES:
        with ExitStack() as until:
            launch_map(device, library, map_case, missing, until)
        print(map_case, flush=True)
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
    for case, place in PLACED_CASES:
        with ExitStack() as until:
            launch_placed(device, library, case, place, missing, until)
        print(case.name, place, flush=True)
    print(f"launched {NUM_LAUNCHES}")


def launch_placed(
    device: gpu_device.Device, library: KernelLibrary, case: Case, place: NormPlace, missing: int, until: ExitStack
) -> None:
    tensors = allocate(device, library, case, 0, until)
    layout = LAYOUTS[case.format]
    batch, channels, *sizes = interleaved(case.shape, place.phases, place.crop)

    def bytes_within(factors: Sequence[int], pads: Sequence[int]) -> int:
        height, width = (
            size * factor + before + after
            for size, factor, before, after in zip(sizes, factors, pads[:2], pads[2:], strict=True)
        )
        return stored_bytes((batch, channels, height, width), case.element_type, layout)

    y_bytes = bytes_within(place.upsample, place.pads)
    residual = 0
    if place.residual_pads:
        residual = upload(device, np.zeros(bytes_within((1, 1), place.residual_pads), dtype=np.uint8), until)
    count = library.workspace_bytes(case.shape, layout, 0, place, case.element_type)
    launch = library.bind_instance_norm(
        *(tensors.x, tensors.scale, tensors.bias, device.allocate(y_bytes - missing, until)),
        shape=case.shape,
        element_type=case.element_type,
        epsilon=1e-5,
        layout=layout,
        workspace=device.allocate(count, until) if count else 0,
        workspace_bytes=count,
        options=NormOptions(activation="relu", residual=residual, place=place),
    )
    launch(device.stream)
    device.synchronize()


def launch_map(
    device: gpu_device.Device, library: KernelLibrary, case: MapCase, missing: int, until: ExitStack
) -> None:
    launch = library.bind_reflect_pad(
        upload(device, np.zeros(case.x_bytes, dtype=np.uint8), until),
        device.allocate(case.y_bytes - missing, until),
        shape=case.shape,
        pads=(0, 0, *(case.pad,) * (len(case.shape) - 2)) * 2,
        element_bytes=case.x_type.num_bytes(1),
        layout=LAYOUTS[case.x_layout],
        output_map=case.output_map,
    )
    launch(device.stream)
    device.synchronize()


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
        workspace_bytes=library.workspace_bytes(case.shape, layout, options.groups, None, case.element_type),
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
        workspace_bytes = library.workspace_bytes(case.shape, LAYOUTS[case.format], groups, None, case.element_type)
    workspace = device.allocate(workspace_bytes, until) if workspace_bytes else 0
    return Tensors(x, y, scale, bias, workspace=workspace)


def upload(device: gpu_device.Device, array: np.ndarray, until: ExitStack) -> int:  # type: ignore[type-arg]
    address = device.allocate(array.nbytes, until)
    device.upload(address, array)
    return address


if __name__ == "__main__":
    main()
