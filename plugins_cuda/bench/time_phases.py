"""Time both ops on inputs of phases:  python -m plugins_cuda.bench.time_phases [--json FILE]

A map is timed beside a copy of the same bytes, a norm beside the same norm of a tensor without phases. Each result is
checked first: a map against torch, a norm against the one beside it. Times are the median over replays of a CUDA graph.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from plugins_cuda.bench.graph_timing import median_microseconds
from plugins_cuda.bench.time_maps import CHANNELS_LAST, LINEAR, TORCH_TYPES, copy_microseconds, to_layout
from trtconv.element_types import FLOAT16, FLOAT32, ElementType
from trtconv.plugins.kernels import LAYOUTS, KernelLibrary, Launch, NormOptions, NormPlace, OutputMap, load_kernels

Tensor = Any  # torch is not installed where this is type-checked


@dataclass(frozen=True)
class PhaseCase:
    """Y, an image or a volume [N, C, D1..Dk] before it is padded by `pad` at each end, made of an X of its phases."""

    shape: tuple[int, ...]
    phases: tuple[int, ...]
    x: tuple[ElementType, str] = (FLOAT16, CHANNELS_LAST)
    y: tuple[ElementType, str] | None = None
    pad: int = 0
    activation: str = "none"

    @property
    def target(self) -> tuple[ElementType, str]:
        return self.y or self.x

    @property
    def num_axes(self) -> int:
        return len(self.phases)

    @property
    def crop(self) -> tuple[int, ...]:
        return tuple(-size % factor for size, factor in zip(self.shape[2:], self.phases, strict=True))

    @property
    def name(self) -> str:
        parts = ["x".join(map(str, self.shape)), "of", "x".join(map(str, self.phases)), self.x[0].short, self.x[1]]
        parts += [f"-> {self.target[0].short} {self.target[1]}"] if self.y else []
        parts += [f"reflect {self.pad}"] if self.pad else []
        parts += [self.activation] if self.activation != "none" else []
        return " ".join(parts)


HALF, HALF_LINEAR, FLOAT_LINEAR = (FLOAT16, CHANNELS_LAST), (FLOAT16, LINEAR), (FLOAT32, LINEAR)
MAP_CASES = (
    *(PhaseCase((1, 64, 1080, 1920), (2, 2), x) for x in (HALF, HALF_LINEAR, FLOAT_LINEAR)),
    *(PhaseCase((1, 32, 1080, 1920), (4, 4), x) for x in (HALF, HALF_LINEAR, FLOAT_LINEAR)),
    PhaseCase((1, 32, 1080, 1920), (4, 4), HALF_LINEAR, activation="relu"),
    PhaseCase((1, 64, 1080, 1920), (2, 2), pad=1, activation="relu"),
    PhaseCase((1, 64, 1079, 1919), (2, 2)),
    PhaseCase((8, 64, 512, 512), (2, 2), FLOAT_LINEAR),
    *(PhaseCase((batch, 3, 1080, 1920), (4, 4), HALF, FLOAT_LINEAR, activation="tanh") for batch in (1, 8)),
    PhaseCase((8, 3, 1080, 1920), (2, 2), HALF, FLOAT_LINEAR, activation="tanh"),
    PhaseCase((8, 3, 1080, 1920), (4, 4), HALF, HALF_LINEAR),
    *(PhaseCase((1, 3, 512, 512), (b, b), HALF, FLOAT_LINEAR, activation="tanh") for b in (4, 2)),
    PhaseCase((1, 32, 128, 128, 128), (1, 1, 4)),
    PhaseCase((1, 32, 128, 128, 128), (2, 2, 2)),
    PhaseCase((1, 32, 127, 125, 126), (2, 2, 2)),
)
NORM_CASES = (
    *(PhaseCase((1, 32, 1080, 1920), (2, 2), x, activation="relu") for x in (HALF, HALF_LINEAR, FLOAT_LINEAR)),
    *(PhaseCase((1, 64, 540, 960), (2, 2), x, activation="relu") for x in (HALF, HALF_LINEAR, FLOAT_LINEAR)),
    PhaseCase((1, 32, 1080, 1920), (4, 4), activation="relu"),
    PhaseCase((1, 32, 1080, 1920), (2, 2), pad=4, activation="relu"),
    PhaseCase((8, 64, 512, 512), (2, 2)),
    *(PhaseCase((1, 64, 512, 512), (2, 2), x, activation="relu") for x in (HALF, FLOAT_LINEAR)),
    *(PhaseCase((1, 128, 256, 256), (2, 2), x, activation="relu") for x in (HALF, FLOAT_LINEAR)),
    PhaseCase((1, 32, 1079, 1919), (2, 2), activation="relu"),
    PhaseCase((1, 32, 128, 128, 128), (1, 1, 4)),
    PhaseCase((1, 32, 128, 128, 128), (2, 2, 2)),
)


def main(arguments: list[str]) -> None:
    library, _ = load_kernels()
    print(f"{torch.cuda.get_device_name()}\n{'us':>9} {'copy us':>9} {'of copy':>8}  map", flush=True)
    maps = []
    for case in MAP_CASES:
        maps.append(time_map(library, case))
        print("{us:9.2f} {copy_us:9.2f} {of_copy:8.2f}  {case}".format(**maps[-1]), flush=True)
        torch.cuda.empty_cache()
    print(f"{'us':>9} {'norm us':>9} {'over':>8}  norm, over that of the same tensor without phases", flush=True)
    norms = []
    for case in NORM_CASES:
        norms.append(time_norm(library, case))
        print("{us:9.2f} {alone_us:9.2f} {over:8.2f}  {case}".format(**norms[-1]), flush=True)
        torch.cuda.empty_cache()
    if arguments[:1] == ["--json"]:
        result = {"gpu": torch.cuda.get_device_name(), "maps": maps, "norms": norms}
        Path(arguments[1]).write_text(json.dumps(result, indent=1))


def time_map(library: KernelLibrary, case: PhaseCase) -> dict[str, Any]:
    whole = make_values(case)
    x = to_layout(in_phases(case, whole), case.x[1])
    expected = to_layout(padded(case, activated(case, whole)).to(TORCH_TYPES[case.target[0]]), case.target[1])
    y = torch.full_like(expected, 7)
    is_moved = case.x[0] is case.target[0] and case.activation == "none"
    launch = library.bind_reflect_pad(
        x.data_ptr(),
        y.data_ptr(),
        shape=phased_shape(case),
        pads=(0, 0, *[case.pad] * case.num_axes) * 2,
        element_bytes=x.element_size(),
        layout=LAYOUTS[case.x[1]],
        output_map=OutputMap(
            x_type=None if is_moved else case.x[0],
            y_type=None if is_moved else case.target[0],
            y_layout=LAYOUTS[case.target[1]],
            activation=case.activation,
            phases=(1, 1, *case.phases),
            crop=(0, 0, *case.crop),
        ),
    )
    launch(0)
    torch.cuda.synchronize()
    require_close(case, y, expected)
    moved_bytes = x.nbytes + y.nbytes
    us, copy_us = median_microseconds(launch), copy_microseconds(moved_bytes)
    return {"case": case.name, "us": us, "copy_us": copy_us, "of_copy": copy_us / us, "bytes": moved_bytes}


def time_norm(library: KernelLibrary, case: PhaseCase) -> dict[str, Any]:
    whole = make_values(case)
    plain, phased = to_layout(whole, case.x[1]), to_layout(in_phases(case, whole), case.x[1])
    expected = to_layout(padded(case, whole), case.x[1])
    y = torch.full_like(expected, 7)
    alone = bind_norm(library, case, plain, expected, case.shape, (), ())
    read = bind_norm(library, case, phased, y, phased_shape(case), case.phases, case.crop)
    alone(0)
    read(0)
    torch.cuda.synchronize()
    require_close(case, y, expected)
    us, alone_us = median_microseconds(read), median_microseconds(alone)
    return {"case": case.name, "us": us, "alone_us": alone_us, "over": us / alone_us}


def bind_norm(
    library: KernelLibrary,
    case: PhaseCase,
    x: Tensor,
    y: Tensor,
    shape: tuple[int, ...],
    phases: tuple[int, ...],
    crop: tuple[int, ...],
) -> Launch:
    place = NormPlace((1,) * case.num_axes, (case.pad,) * (2 * case.num_axes), phases=phases, crop=crop)
    layout, element_type = LAYOUTS[case.x[1]], case.x[0]
    parameter = torch.ones(case.shape[1], device="cuda").to(x.dtype)
    count = library.workspace_bytes(shape, layout, 0, place, element_type)
    workspace = torch.empty(count, dtype=torch.uint8, device="cuda")
    launch = library.bind_instance_norm(
        *(tensor.data_ptr() for tensor in (x, parameter, parameter, y)),
        shape=shape,
        element_type=element_type,
        epsilon=1e-5,
        layout=layout,
        workspace=workspace.data_ptr(),
        workspace_bytes=count,
        options=NormOptions(activation=case.activation, place=place),
    )

    def keep(stream: int, _memory: tuple[Tensor, ...] = (x, y, parameter, workspace)) -> None:
        launch(stream)

    return keep


def make_values(case: PhaseCase) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(*case.shape, device="cuda").to(TORCH_TYPES[case.x[0]])


def phased_shape(case: PhaseCase) -> tuple[int, ...]:
    sizes = (-(-size // factor) for size, factor in zip(case.shape[2:], case.phases, strict=True))
    return (case.shape[0], case.shape[1] * math.prod(case.phases), *sizes)


def in_phases(case: PhaseCase, whole: Tensor) -> Tensor:
    """Return a tensor as its phases, with zeros where they do not divide a size."""
    ends = [pad for left_out in reversed(case.crop) for pad in (0, left_out)]
    sizes = phased_shape(case)[2:]
    split = [part for size, factor in zip(sizes, case.phases, strict=True) for part in (size, factor)]
    elements = range(2, 2 + 2 * case.num_axes, 2)
    order = (0, *(axis + 1 for axis in elements), 1, *elements)
    filled = torch.nn.functional.pad(whole, ends)
    return filled.reshape(*case.shape[:2], *split).permute(order).reshape(phased_shape(case))


def activated(case: PhaseCase, values: Tensor) -> Tensor:
    functions = {"none": lambda v: v, "relu": torch.relu, "tanh": torch.tanh}
    return functions[case.activation](values if case.activation == "none" else values.float())


def padded(case: PhaseCase, values: Tensor) -> Tensor:
    if case.pad == 0:
        return values
    return torch.nn.functional.pad(values, (case.pad,) * (2 * case.num_axes), mode="reflect")


def require_close(case: PhaseCase, y: Tensor, expected: Tensor) -> None:
    """Raise AssertionError unless both agree within a few units of their type, in parts, for the memory."""
    tolerance = 4 * max(torch.finfo(y.dtype).eps, 2e-6)
    for part, wanted in zip(y.flatten().split(1 << 26), expected.flatten().split(1 << 26), strict=True):
        difference = (part.float() - wanted.float()).abs()
        assert (difference <= wanted.float().abs() * tolerance + tolerance).all(), case.name


if __name__ == "__main__":
    main(sys.argv[1:])
