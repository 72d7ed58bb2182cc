"""Time what is fused into the norm against the norm alone:  python -m plugins_cuda.bench.time_fused_norm LIBRARY JSON

Every launch is checked against float64 first. Prints, by shape and layout, the plain norm in microseconds, and the
share of its time that each variant takes: with an activation, a residual, a scale for each image; and a copy of the
same bytes. Then GroupNorm of 32 groups against the plain norm. Needs torch, a GPU and the plugin library.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from plugins_cuda.bench.graph_timing import median_microseconds
from tests.gpu.fused_checks import ALPHAS, FusedCase, FusedTensors, make_tensors, options_of
from tests.gpu.kernel_library import BY_NAME, FORMAT_CHANNELS_LAST, FORMAT_LINEAR, TorchKernels

EPSILON = 1e-5
SHAPES = (
    (1, 64, 256, 256),
    (1, 256, 64, 64),
    (8, 64, 512, 512),
    (1, 32, 1080, 1920),
    (1, 128, 270, 480),
    (1, 256, 128, 128),
    (1, 32, 128, 128, 128),
)
GROUPED_SHAPES = ((1, 128, 512, 512), (1, 512, 64, 64), (2, 320, 64, 64))
LAYOUTS = (
    ("linear fp32", FORMAT_LINEAR, "float32"),
    ("linear fp16", FORMAT_LINEAR, "float16"),
    ("channels-last fp16", FORMAT_CHANNELS_LAST, "float16"),
)
VARIANTS: dict[str, dict[str, Any]] = {
    "relu": {"activation": "relu"},
    "leaky": {"activation": "leaky_relu"},
    "prelu": {"activation": "prelu"},
    "silu": {"activation": "silu"},
    "elu": {"activation": "elu"},
    "tanh": {"activation": "tanh"},
    "residual": {"has_residual": True},
    "res+relu": {"has_residual": True, "activation": "relu"},
    "per image": {"is_affine_per_image": True},
}
RELATIVE_ERROR = 2e-6  # of the terms of a result, beside its rounding


class Timed(NamedTuple):
    shape: tuple[int, ...]
    layout: str
    variant: str
    microseconds: float


def main(library: str, output: str) -> None:
    kernels = TorchKernels(Path(library).resolve())
    print(torch.cuda.get_device_name())
    timed: list[Timed] = []
    for shape in SHAPES:
        for layout, format_, dtype in LAYOUTS:
            timed += rows_of(kernels, shape, layout, FusedCase(shape, dtype, format_))
            print_row(timed[-len(VARIANTS) - 2 :])
            Path(output).write_text(json.dumps([row._asdict() for row in timed]))
    for shape in GROUPED_SHAPES:
        for layout, format_, dtype in LAYOUTS[1:]:
            timed += grouped_rows(kernels, shape, layout, FusedCase(shape, dtype, format_))
            print_row(timed[-4:])
            Path(output).write_text(json.dumps([row._asdict() for row in timed]))


def rows_of(kernels: TorchKernels, shape: tuple[int, ...], layout: str, plain: FusedCase) -> Iterator[Timed]:
    yield Timed(shape, layout, "plain", time_case(kernels, plain))
    for name, changes in VARIANTS.items():
        yield Timed(shape, layout, name, time_case(kernels, FusedCase(shape, plain.dtype, plain.format_, **changes)))
    yield Timed(shape, layout, "copy", time_copy(plain))


def grouped_rows(kernels: TorchKernels, shape: tuple[int, ...], layout: str, plain: FusedCase) -> Iterator[Timed]:
    yield Timed(shape, layout, "plain", time_case(kernels, plain))
    for name, activation in (("groups 32", "none"), ("32 + silu", "silu")):
        grouped = FusedCase(shape, plain.dtype, plain.format_, activation, groups=32)
        yield Timed(shape, layout, name, time_case(kernels, grouped))
    yield Timed(shape, layout, "copy", time_copy(plain))


def print_row(rows: list[Timed]) -> None:
    plain = rows[0]
    others = "  ".join(f"{row.variant} {row.microseconds / plain.microseconds:.3f}" for row in rows[1:])
    print(f"{list(plain.shape)!s:22} {plain.layout:18} {plain.microseconds:7.2f} us  {others}", flush=True)


def time_case(kernels: TorchKernels, case: FusedCase) -> float:
    """Return the median microseconds of a case, whose result is checked; a wrong one ends the program."""
    tensors = make_tensors(case)
    x, residual = (in_layout(each, case) for each in (tensors.x, tensors.residual))
    assert x is not None
    y = torch.empty_like(x)
    count = kernels.workspace_bytes(case.shape, case.format_, case.groups, None, BY_NAME[case.dtype])
    workspace = torch.empty(count, dtype=torch.uint8, device="cuda")
    launch = kernels.bind_instance_norm(
        *(tensor.data_ptr() for tensor in (x, tensors.scale, tensors.bias, y)),
        shape=case.shape,
        element_type=BY_NAME[case.dtype],
        epsilon=EPSILON,
        layout=case.format_,
        workspace=workspace.data_ptr(),
        workspace_bytes=count,
        options=options_of(case, residual, tensors.slope),
    )
    launch(torch.cuda.current_stream().cuda_stream)
    check(case, tensors, y.movedim(-1, 1) if case.format_ == FORMAT_CHANNELS_LAST else y)
    return median_microseconds(launch)


def in_layout(tensor: torch.Tensor | None, case: FusedCase) -> torch.Tensor | None:
    """Return the tensor as it lies in memory; the channels of all shapes here fill vectors."""
    if tensor is None or case.format_ == FORMAT_LINEAR:
        return tensor
    return tensor.movedim(1, -1).contiguous()


def time_copy(case: FusedCase) -> float:
    source = torch.empty(case.shape, dtype=getattr(torch, case.dtype), device="cuda")
    target = torch.empty_like(source)
    return median_microseconds(lambda stream: target.copy_(source))


def check(case: FusedCase, tensors: FusedTensors, y: torch.Tensor) -> None:
    """Compare with float64, image by image."""
    for image in range(case.shape[0]):
        exact, magnitude = reference(case, tensors, image)
        ulp = torch.finfo(y.dtype).eps * exact.abs().clamp(min=torch.finfo(y.dtype).tiny)
        excess = ((y[image].double() - exact).abs() / (0.5 * ulp + RELATIVE_ERROR * magnitude)).max().item()
        if not excess <= 1:
            sys.exit(f"{case} is wrong in image {image}: {excess:.2f} of the bound")


def reference(case: FusedCase, tensors: FusedTensors, image: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the exact result of an image and the magnitude of the terms that make it up."""
    per_channel = (-1,) + (1,) * (len(case.shape) - 2)
    x = tensors.x[image].double()
    slices = x.reshape(case.groups or case.shape[1], -1)
    variance, mean = torch.var_mean(slices, dim=1, correction=0, keepdim=True)
    normalised = ((slices - mean) / (variance + EPSILON).sqrt()).view_as(x)
    scale, bias = (
        (each[image] if case.is_affine_per_image else each).double().view(per_channel)
        for each in (tensors.scale, tensors.bias)
    )
    residual = torch.zeros((), device="cuda") if tensors.residual is None else tensors.residual[image].double()
    y = normalised * scale + bias + residual
    magnitude = (normalised * scale).abs() + bias.abs() + residual.abs()
    alpha = ALPHAS.get(case.activation, 0.0)
    if case.activation == "prelu":
        slope = tensors.slope.double().view(per_channel)
        return torch.where(y < 0, slope * y, y), magnitude * slope.abs().clamp(min=1)
    activated = {
        "none": lambda: y,
        "relu": y.relu,
        "leaky_relu": lambda: torch.where(y < 0, alpha * y, y),
        "silu": lambda: y * torch.sigmoid(y),
        "elu": lambda: torch.where(y < 0, alpha * torch.expm1(y), y),
        "tanh": y.tanh,
    }
    return activated[case.activation](), magnitude * max(1.1, alpha)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
