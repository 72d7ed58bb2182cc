"""Try launch choices of InstanceNorm:  python -m plugins_cuda.bench.lab_instance_norm LAB_LIBRARY [METHOD]...

The methods are resident, clustered, streamed, split and own, the library's choice; LAB_SHAPES names a few shapes by
number.

Checks each variant against a float64 reference, then prints its time beside that of a device copy of the same bytes and
of native TensorRT 10.6 (H100, measured once). The library is built from lab_instance_norm.cu; needs torch and a GPU.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch

from plugins_cuda.bench.graph_timing import median_microseconds

RESIDENT, CLUSTERED, STREAMED, SPLIT = range(4)
METHODS = ("resident", "clustered", "streamed", "split")
OWN_CHOICE = "own"
EPSILON = 1e-5

# Microseconds of native TensorRT 10.6 on an H100, fp32 and fp16.
SHAPES: dict[tuple[int, ...], tuple[float, float] | None] = {
    (1, 256, 64, 64): (3.7, 3.0),
    (1, 64, 64, 64): None,
    (1, 64, 256, 256): (30.3, 8.8),
    (16, 512, 32, 32): (26.2, 16.2),
    (1, 32, 1080, 1920): (331.7, 241.4),
    (8, 64, 512, 512): (839.4, 383.1),
    (1, 32, 128, 128, 128): (331.0, 239.9),
    (64, 256, 8, 8): None,
    (1, 1024, 4, 4): None,
    (1, 2048, 1, 7): None,
    (1, 16, 512, 512): None,
    (1, 32, 128, 128): None,
    (4, 128, 256, 256): None,
    (16, 64, 128, 128): None,
    (32, 256, 64, 64): None,
    (1, 128, 55, 55): None,
}
DTYPES = (torch.float32, torch.float16)


@dataclass(frozen=True)
class Limits:
    """What launch choices are bound to on the device, as the library has it."""

    processors: int
    streamed_threads: int
    ring_bytes: int
    cluster_threads: int
    cluster_bytes: int


@dataclass(frozen=True)
class Case:
    shape: tuple[int, ...]
    dtype: torch.dtype
    limits: Limits

    @property
    def num_slices(self) -> int:
        return self.shape[0] * self.shape[1]

    @property
    def slice_size(self) -> int:
        return math.prod(self.shape[2:])

    @property
    def num_vectors(self) -> int:
        return max(self.slice_size * torch.finfo(self.dtype).bits // 128, 1)


def ceil_divide(dividend: int, divisor: int) -> int:
    return (dividend + divisor - 1) // divisor


def choice(method: int, threads: int, lanes: int, per_lane: int, per_slice: int, per_block: int, blocks: int) -> Any:
    return (ctypes.c_int64 * 7)(method, threads, lanes, per_lane, per_slice, per_block, blocks)


def resident_choices(case: Case) -> Iterator[Any]:
    most = 8 if case.dtype == torch.float32 else 4
    for per_lane in (1, 2, 4, 8):
        is_ragged = case.slice_size * torch.finfo(case.dtype).bits % 128 != 0
        fewest = 256 // torch.finfo(case.dtype).bits if is_ragged else 4
        lanes = max(fewest, 1 << (ceil_divide(case.num_vectors, per_lane) - 1).bit_length())
        if per_lane > most or lanes > 1024:
            continue
        for threads in (64, 128, 256, 512, 1024):
            if threads == lanes or lanes <= 32:
                yield choice(RESIDENT, threads, lanes, per_lane, 1, 0, ceil_divide(case.num_slices * lanes, threads))


def clustered_choices(case: Case) -> Iterator[Any]:
    threads = case.limits.cluster_threads
    per_block = ceil_divide(ceil_divide(case.num_vectors, 2), 32) * 32
    if case.num_vectors >= 1024 and per_block * 16 <= case.limits.cluster_bytes:
        yield choice(CLUSTERED, threads, 0, 0, 2, per_block, case.num_slices * 2)
    if case.slice_size in (32768, 65536):  # one or two full tiles in the registers of each thread
        in_registers = case.num_vectors // (2 * threads)
        yield choice(CLUSTERED, threads, 0, in_registers, 2, per_block, case.num_slices * 2)


def streamed_choices(case: Case) -> Iterator[Any]:
    if case.num_vectors * 16 < 65536:
        return
    for groups in (1, 2, 3, 4, 5, 6, 8, 11, 12, 14, 16, 22, 26, 33, 44, 66, 132):
        per_slice, groups_used = case.limits.processors // groups, min(groups, case.num_slices)
        per_block = ceil_divide(ceil_divide(case.num_vectors, per_slice), 32) * 32
        if per_block * 16 <= case.limits.ring_bytes and (per_block * 16 >= 16384 or groups == 1):
            yield choice(STREAMED, case.limits.streamed_threads, 0, 0, per_slice, per_block, per_slice * groups_used)


def split_choices(case: Case) -> Iterator[Any]:
    if case.num_vectors < 2048:
        return
    for splits in sorted(
        {
            min(case.num_vectors // size, ceil_divide(case.limits.processors * 16, case.num_slices))
            for size in (1024, 2048, 4096)
        }
    ):
        per_block = ceil_divide(ceil_divide(case.num_vectors, splits), 32) * 32
        splits = ceil_divide(case.num_vectors, per_block)
        yield choice(SPLIT, 256, 0, 0, splits, per_block, case.num_slices * splits)


CHOICES: dict[str, Callable[[Case], Iterator[Any]]] = {
    "resident": resident_choices,
    "clustered": clustered_choices,
    "streamed": streamed_choices,
    "split": split_choices,
    OWN_CHOICE: lambda _: iter([choice(-1, 0, 0, 0, 0, 0, 0)]),
}


class Checker:
    """The float64 reference of one input, and how far a result may be from it (see docs/accuracy.md)."""

    def __init__(self, x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> None:
        axes = tuple(range(2, x.ndim))
        per_channel = (1, -1) + (1,) * len(axes)
        wide = x.double()
        wide -= wide.mean(axes, keepdim=True)
        wide -= wide.mean(axes, keepdim=True)
        wide *= (wide.square().mean(axes, keepdim=True) + EPSILON).rsqrt() * scale.double().view(per_channel)
        self._reference = wide + bias.double().view(per_channel)
        ulp = torch.finfo(x.dtype).eps * torch.exp2(torch.floor(torch.log2(self._reference.abs())))
        self._bound = 0.5 * ulp.clamp(min=torch.finfo(x.dtype).smallest_normal * torch.finfo(x.dtype).eps)
        self._bound += 2e-6 * (wide.abs() + bias.double().abs().view(per_channel))

    def worst(self, y: torch.Tensor) -> float:
        return float(((y.double() - self._reference).abs() / self._bound).nan_to_num(math.inf).max())


def copy_microseconds(library: ctypes.CDLL, x: torch.Tensor, y: torch.Tensor) -> float:
    def launch(stream: int) -> None:
        library.lab_copy(
            ctypes.c_void_p(x.data_ptr()),
            ctypes.c_void_p(y.data_ptr()),
            ctypes.c_int64(x.numel() * x.element_size() // 16),
            ctypes.c_void_p(stream),
        )

    return min(median_microseconds(launch), median_microseconds(lambda _: y.copy_(x)))


def run_case(library: ctypes.CDLL, case: Case, names: Sequence[str]) -> None:
    x = torch.randn(*case.shape, device="cuda").mul_(2).add_(0.5).to(case.dtype)
    y = torch.empty_like(x)
    scale, bias = torch.randn(2, case.shape[1], device="cuda").to(case.dtype)
    workspace = torch.empty((case.num_slices * 2 + 4096) * 16, dtype=torch.uint8, device="cuda")
    copy_us = copy_microseconds(library, x, y)
    native = SHAPES[case.shape]
    native_us = (native[0] if case.dtype == torch.float32 else native[1]) if native else math.nan
    name = f"{list(case.shape)} {str(case.dtype)[6:]}"
    print(f"{name}: copy {copy_us:.2f} native {native_us}", flush=True)
    checker = Checker(x, scale, bias)
    for made in (made for name in names for made in CHOICES[name](case)):

        def launch(stream: int, made: Any = made) -> None:
            status = library.lab_instance_norm(
                *(ctypes.c_void_p(tensor.data_ptr()) for tensor in (x, scale, bias, y)),
                *map(ctypes.c_int64, (case.num_slices, case.shape[1], case.slice_size)),
                ctypes.c_float(EPSILON),
                DTYPES.index(case.dtype),
                ctypes.c_void_p(workspace.data_ptr()),
                made,
                ctypes.c_void_p(stream),
            )
            if status != 0:
                raise RuntimeError(f"status {status}")

        y.view(torch.uint8).fill_(0x5A)
        workspace.fill_(0x5A)
        try:
            launch(torch.cuda.current_stream().cuda_stream)
            torch.cuda.synchronize()
            worst = checker.worst(y)
            time_us = median_microseconds(launch)
        except RuntimeError as error:
            print(f"  {METHODS[made[0]]:8} {list(made)[1:]}: {error}", flush=True)
            continue
        verdict = "" if worst <= 1 else f"  WRONG: {worst:.3g} of the bound"
        ratios = f"{copy_us / time_us:.2f} of copy, native/ours {native_us / time_us:.2f}"
        print(f"  {METHODS[made[0]]:8} {list(made)[1:]}: {time_us:.2f} us, {ratios}{verdict}", flush=True)


def main() -> None:
    library = ctypes.CDLL(sys.argv[1])
    numbers = (ctypes.c_int64 * len(fields(Limits)))()
    library.lab_limits(numbers)
    limits = Limits(*numbers)
    names = sys.argv[2:] or list(CHOICES)
    shapes = [shape for i, shape in enumerate(SHAPES) if str(i) in os.environ.get("LAB_SHAPES", str(i)).split(",")]
    for dtype in DTYPES:
        for shape in shapes:
            run_case(library, Case(shape, dtype, limits), names)


if __name__ == "__main__":
    main()
