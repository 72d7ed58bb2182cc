"""Time output maps beside a copy of the same bytes:  python -m plugins_cuda.bench.time_maps [--json FILE]

Norms whose results go through a map, or whose residual is the inside of a padded tensor, are timed beside the norm
alone and the bytes that they write beyond it, at the speed of a copy. Each case is checked first, then timed as the
median over replays of a CUDA graph, on torch tensors.
A tensor lies as it does in TensorRT: linear, or channels-last with its channels rounded up to 16 bytes.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from plugins_cuda.bench.graph_timing import median_microseconds
from trtconv.element_types import BFLOAT16, FLOAT16, FLOAT32, ElementType
from trtconv.plugins.kernels import (
    LAYOUTS,
    KernelLibrary,
    Launch,
    NormOptions,
    NormPlace,
    OutputMap,
    load_kernels,
)

Tensor = Any  # torch is not installed where this is type-checked

TORCH_TYPES = {FLOAT32: torch.float32, FLOAT16: torch.float16, BFLOAT16: torch.bfloat16}
LINEAR, CHANNELS_LAST = "linear", "channels_last"


@dataclass(frozen=True)
class MapCase:
    """Y of an image X [N, C, H, W]: upsampled by one factor, padded alike at all four ends."""

    shape: tuple[int, int, int, int]
    x: tuple[ElementType, str] = (FLOAT16, CHANNELS_LAST)
    y: tuple[ElementType, str] | None = None
    upsample: int = 1
    pad: int = 0
    mode: str = "reflect"
    activation: str = "none"
    residual_pad: int | None = None  # of a norm's residual, at all four ends; none: there is no residual

    @property
    def target(self) -> tuple[ElementType, str]:
        return self.y or self.x

    @property
    def name(self) -> str:
        parts = ["x".join(map(str, self.shape)), self.x[0].short, self.x[1]]
        parts += [f"-> {self.target[0].short} {self.target[1]}"] if self.y else []
        parts += [f"up {self.upsample}"] if self.upsample > 1 else []
        parts += [f"{self.mode} {self.pad}"] if self.pad else []
        parts += [self.activation] if self.activation != "none" else []
        parts += [] if self.residual_pad is None else [f"residual inside {self.residual_pad}"]
        return " ".join(parts)

    @property
    def y_shape(self) -> tuple[int, int, int, int]:
        batch, channels, height, width = self.shape
        return (batch, channels, *(size * self.upsample + 2 * self.pad for size in (height, width)))

    @property
    def output_map(self) -> OutputMap:
        is_moved = self.x[0] is self.target[0] and self.activation == "none"
        types = (None, None) if is_moved else (self.x[0], self.target[0])
        factors = (1, 1, self.upsample, self.upsample)
        return OutputMap(factors, self.mode, *types, LAYOUTS[self.target[1]], self.activation, 0.2)


HALF_LINEAR, FLOAT_LINEAR = (FLOAT16, LINEAR), (FLOAT32, LINEAR)
BOTH = (FLOAT16, CHANNELS_LAST)
CASES = (
    *(MapCase((1, 128, 540, 960), x, upsample=2) for x in (BOTH, HALF_LINEAR, FLOAT_LINEAR)),
    MapCase((1, 128, 540, 960), HALF_LINEAR, upsample=2, activation="relu"),
    *(MapCase((1, 64, 540, 960), x, upsample=2, pad=1) for x in (BOTH, HALF_LINEAR, FLOAT_LINEAR)),
    MapCase((1, 64, 540, 960), upsample=2, pad=1, mode="edge"),
    MapCase((1, 64, 540, 960), upsample=2, pad=1, mode="zero", activation="relu"),
    MapCase((1, 3, 1080, 1920), FLOAT_LINEAR, BOTH, pad=4),
    MapCase((8, 3, 1080, 1920), FLOAT_LINEAR, BOTH, pad=4),
    MapCase((1, 3, 512, 512), BOTH, FLOAT_LINEAR, activation="tanh"),
    *(MapCase((batch, 3, 1080, 1920), BOTH, FLOAT_LINEAR, activation="tanh") for batch in (1, 8)),
    *(MapCase((1, 256, 128, 128), pad=1, mode=mode) for mode in ("reflect", "edge", "zero")),
    *(MapCase((1, 256, 128, 128), x, pad=1, activation="relu") for x in (BOTH, HALF_LINEAR, FLOAT_LINEAR)),
    *(MapCase((1, 256, 128, 128), x, pad=1, mode="zero") for x in (HALF_LINEAR, FLOAT_LINEAR)),
    *(MapCase((1, 64, 1080, 1920), x, pad=1, mode="zero") for x in (BOTH, HALF_LINEAR, FLOAT_LINEAR)),
    *(MapCase((1, 64, 1080, 1920), x, pad=1, activation="silu") for x in (BOTH, HALF_LINEAR, FLOAT_LINEAR)),
    MapCase((1, 64, 1080, 1920), FLOAT_LINEAR, HALF_LINEAR, pad=1),
    *(MapCase((1, 64, 1080, 1920), HALF_LINEAR, BOTH, pad=pad) for pad in (1, 0)),
    *(MapCase((1, 64, 1080, 1920), BOTH, HALF_LINEAR, pad=pad) for pad in (1, 0)),
    MapCase((1, 24, 1080, 1920), HALF_LINEAR, BOTH),
    MapCase((1, 24, 1080, 1920), BOTH, HALF_LINEAR),
    MapCase((1, 256, 128, 128), BOTH, HALF_LINEAR, pad=1),
    MapCase((1, 64, 1080, 1920), (FLOAT32, CHANNELS_LAST), BOTH, pad=1),
)
NORM_CASES = tuple(
    replace(case, x=x)
    for x in (BOTH, HALF_LINEAR, FLOAT_LINEAR)
    for case in (
        MapCase((1, 32, 1080, 1920), pad=4),
        MapCase((1, 32, 1080, 1920), pad=4, activation="relu"),
        MapCase((1, 128, 270, 480), upsample=2),
        MapCase((1, 64, 540, 960), upsample=2, pad=1),
        MapCase((1, 256, 128, 128), pad=1),
        MapCase((1, 256, 128, 128), pad=1, activation="relu"),
        MapCase((1, 256, 128, 128), pad=1, residual_pad=1),
        MapCase((1, 256, 128, 128), residual_pad=1),
        MapCase((1, 64, 540, 960), residual_pad=1),
    )
)
COPY_SAMPLE_BYTES = 1 << 29


def main(arguments: list[str]) -> None:
    library, _ = load_kernels()
    rows = []
    print(f"{torch.cuda.get_device_name()}\n{'us':>9} {'copy us':>9} {'of copy':>8}  case", flush=True)
    for case in CASES:
        row = time_case(library, case)
        rows.append(row)
        print(f"{row['us']:9.2f} {row['copy_us']:9.2f} {row['of_copy']:8.2f}  {row['case']}", flush=True)
        torch.cuda.empty_cache()
    print(
        f"{'us':>9} {'alone us':>9} {'over':>8}  norm: over its time alone and that of the bytes beyond it", flush=True
    )
    norm_rows = [time_norm(library, case) for case in NORM_CASES]
    if arguments[:1] == ["--json"]:
        result = {"gpu": torch.cuda.get_device_name(), "rows": rows, "norms": norm_rows}
        Path(arguments[1]).write_text(json.dumps(result, indent=1))


def time_norm(library: KernelLibrary, case: MapCase) -> dict[str, Any]:
    """Time a norm through a map, checked against the map of the norm alone."""
    torch.manual_seed(0)
    dtype = TORCH_TYPES[case.x[0]]
    x = torch.randn(*case.shape, device="cuda").to(dtype)
    stored = to_layout(x, case.x[1])
    alone = torch.empty_like(stored)
    y = to_layout(torch.empty(*case.y_shape, dtype=dtype, device="cuda"), case.x[1])
    inside, framed = make_residuals(case)
    parameter = torch.ones(case.shape[1], device="cuda").to(dtype)
    y.fill_(7)
    place = NormPlace((case.upsample,) * 2, (case.pad,) * 4, case.mode, (case.residual_pad or 0,) * 4)

    norm = bind_norm(library, case, (stored, parameter, parameter, alone), inside, None)
    placed = bind_norm(library, case, (stored, parameter, parameter, y), framed, place)
    norm(0)
    placed(0)
    torch.cuda.synchronize()
    normalised = alone if case.x[1] == LINEAR else alone.movedim(-1, 1)[:, : case.shape[1]]
    check(replace(case, activation="none"), normalised, y)
    us, alone_us = median_microseconds(placed), median_microseconds(norm)
    extra_bytes = y.nbytes - stored.nbytes
    beyond_us = extra_bytes / COPY_SAMPLE_BYTES * copy_microseconds(COPY_SAMPLE_BYTES)
    over = us / (alone_us + beyond_us)
    print(f"{us:9.2f} {alone_us:9.2f} {over:8.2f}  {case.name}", flush=True)
    return {"case": case.name, "us": us, "alone_us": alone_us, "beyond_us": beyond_us, "over": over}


def bind_norm(
    library: KernelLibrary, case: MapCase, tensors: tuple[Tensor, ...], residual: Tensor | None, place: NormPlace | None
) -> Launch:
    """Return the launch of a norm of X, scale, bias, Y with a workspace of its own."""
    count = library.workspace_bytes(case.shape, LAYOUTS[case.x[1]], 0, place, case.x[0])
    workspace = torch.empty(count, dtype=torch.uint8, device="cuda")
    address = 0 if residual is None else residual.data_ptr()
    launch = library.bind_instance_norm(
        *(tensor.data_ptr() for tensor in tensors),
        shape=case.shape,
        element_type=case.x[0],
        epsilon=1e-5,
        layout=LAYOUTS[case.x[1]],
        workspace=workspace.data_ptr(),
        workspace_bytes=count,
        options=NormOptions(activation=case.activation, alpha=0.2, residual=address, place=place),
    )

    def keep(stream: int, _workspace: Tensor = workspace) -> None:
        launch(stream)

    return keep


def make_residuals(case: MapCase) -> tuple[Tensor | None, Tensor | None]:
    """Return the residual of a norm, as it lies in memory, alone and as the inside of a larger tensor."""
    if case.residual_pad is None:
        return None, None
    inside = torch.randn(*case.shape, device="cuda").to(TORCH_TYPES[case.x[0]])
    framed = torch.nn.functional.pad(inside, (case.residual_pad,) * 4, value=math.nan)
    return to_layout(inside, case.x[1]), to_layout(framed, case.x[1])


def time_case(library: KernelLibrary, case: MapCase) -> dict[str, Any]:
    torch.manual_seed(0)
    x = torch.randn(*case.shape, device="cuda").to(TORCH_TYPES[case.x[0]])
    stored = to_layout(x, case.x[1])
    y = to_layout(torch.empty(*case.y_shape, dtype=TORCH_TYPES[case.target[0]], device="cuda"), case.target[1])
    y.fill_(7)
    launch = library.bind_reflect_pad(
        stored.data_ptr(),
        y.data_ptr(),
        shape=case.shape,
        pads=(0, 0, case.pad, case.pad) * 2,
        element_bytes=x.element_size(),
        layout=LAYOUTS[case.x[1]],
        output_map=case.output_map,
    )
    launch(0)
    torch.cuda.synchronize()
    check(case, x, y)
    moved_bytes = stored.nbytes + y.nbytes
    us, copy_us = median_microseconds(launch), copy_microseconds(moved_bytes)
    return {"case": case.name, "us": us, "copy_us": copy_us, "of_copy": copy_us / us, "bytes": moved_bytes}


def check(case: MapCase, x: Tensor, y: Tensor) -> None:
    """Raise AssertionError unless Y is what torch makes of X."""
    index = torch.arange(-case.pad, case.shape[2] * case.upsample + case.pad, device="cuda")
    columns = torch.arange(-case.pad, case.shape[3] * case.upsample + case.pad, device="cuda")
    functions = {"none": lambda v: v, "relu": torch.relu, "tanh": torch.tanh, "silu": torch.nn.functional.silu}
    result = y if case.target[1] == LINEAR else y.movedim(-1, 1)[:, : case.shape[1]]
    rows, row_is_inside = sources(index, case.shape[2] * case.upsample, case)
    cols, col_is_inside = sources(columns, case.shape[3] * case.upsample, case)
    for channel in range(0, case.shape[1], 16):  # in parts, for the memory
        part = functions[case.activation](x[:, channel : channel + 16].float())[:, :, rows][..., cols]
        part = part * (row_is_inside[:, None] & col_is_inside)
        expected = part.to(y.dtype).float()
        difference = (result[:, channel : channel + 16].float() - expected).abs()
        tolerance = max(torch.finfo(y.dtype).eps, 2e-6)  # one unit, as torch rounds some activations twice
        assert (difference <= expected.abs() * tolerance + 1e-6).all(), case.name
    if case.target[1] == CHANNELS_LAST:
        assert (y[..., case.shape[1] :] == 0).all(), case.name


def sources(index: Tensor, size: int, case: MapCase) -> tuple[Tensor, Tensor]:
    """Return the input coordinates of output coordinates along an axis, and which of them lie inside."""
    is_inside = (index >= 0) & (index < size)
    if case.mode == "reflect":
        index = (size - 1) - ((size - 1) - index.abs()).abs()
        is_inside = torch.ones_like(is_inside)
    elif case.mode == "edge":
        is_inside = torch.ones_like(is_inside)
    return index.clamp(0, size - 1) // case.upsample, is_inside


def to_layout(x: Tensor, layout: str) -> Tensor:
    if layout == LINEAR:
        return x.contiguous()
    lanes = 16 // x.element_size()
    channels = -(-x.shape[1] // lanes) * lanes
    filled = torch.zeros(x.shape[0], channels, *x.shape[2:], dtype=x.dtype, device="cuda")
    filled[:, : x.shape[1]] = x
    return filled.movedim(1, -1).contiguous()


def copy_microseconds(moved_bytes: int) -> float:
    """Return the time of a device copy that reads half of the bytes and writes the other half."""
    source = torch.zeros(moved_bytes // 2, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)

    def copy(_stream: int) -> None:
        target.copy_(source)

    return median_microseconds(copy)


if __name__ == "__main__":
    main(sys.argv[1:])
