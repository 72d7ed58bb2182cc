"""Time the kernels against a device copy of the same bytes:  python -m plugins_cuda.bench.bench_kernels [--out FILE]

Medians over replays of a CUDA graph, written as JSON. Needs torch and a GPU. A case that fits L2 tells nothing about
memory bandwidth; `fits_l2` says so.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from tests.gpu.kernel_library import KernelLibrary, padded_shape

INSTANCE_NORM_SHAPES = (
    (1, 64, 256, 256),
    (1, 256, 64, 64),
    (16, 512, 32, 32),
    (1, 64, 65536),
    (1, 32, 1080, 1920),
    (8, 64, 512, 512),
    (1, 32, 128, 128, 128),
)
REFLECT_PAD_CASES = (
    ((1, 3, 1080, 1920), 4),
    ((1, 128, 64, 64), 1),
    ((1, 64, 256, 256), 3),
    ((8, 64, 512, 512), 3),
    ((1, 256, 44100), 512),
)
DTYPES = (torch.float32, torch.float16)
LAUNCHES_PER_GRAPH = 10
REPLAYS = 50


def median_microseconds(launch: Callable[[int], None]) -> float:
    """Return the median time of one launch(stream); it is called once outside the graph to warm up."""
    launch(torch.cuda.current_stream().cuda_stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(LAUNCHES_PER_GRAPH):
            launch(torch.cuda.current_stream().cuda_stream)
    times = []
    for _ in range(REPLAYS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end) * 1000 / LAUNCHES_PER_GRAPH)
    return statistics.median(times)


def result(name: str, x: torch.Tensor, num_bytes: int, kernel_us: float) -> dict[str, Any]:
    """Return one case with its bandwidth, beside a copy that moves as many bytes."""
    source = torch.empty(num_bytes // 2, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    copy_us = median_microseconds(lambda _: target.copy_(source))
    return {
        "case": name,
        "shape": list(x.shape),
        "dtype": str(x.dtype).removeprefix("torch."),
        "kernel_us": round(kernel_us, 2),
        "copy_us": round(copy_us, 2),
        "kernel_gb_per_s": round(num_bytes / kernel_us / 1000),
        "fits_l2": num_bytes <= torch.cuda.get_device_properties(0).L2_cache_size,
    }


def bench_instance_norm(kernels: KernelLibrary, shape: Sequence[int], dtype: torch.dtype) -> dict[str, Any]:
    x = torch.randn(*shape, device="cuda").to(dtype)
    y = torch.empty_like(x)
    scale, bias = torch.randn(2, shape[1], device="cuda").to(dtype)
    count = kernels.workspace_bytes(shape[0], shape[1], math.prod(shape[2:]))
    workspace = torch.empty(count, dtype=torch.uint8, device="cuda")
    time_us = median_microseconds(lambda stream: kernels.instance_norm(x, scale, bias, y, 1e-5, workspace, stream))
    return result("InstanceNorm", x, 2 * x.numel() * x.element_size(), time_us)


def bench_reflect_pad(kernels: KernelLibrary, shape: Sequence[int], pad: int, dtype: torch.dtype) -> dict[str, Any]:
    num_spatial = len(shape) - 2
    pads = ([0, 0] + [pad] * num_spatial) * 2
    x = torch.randn(*shape, device="cuda").to(dtype)
    y = torch.empty(padded_shape(shape, pads), dtype=dtype, device="cuda")
    time_us = median_microseconds(lambda stream: kernels.reflect_pad(x, y, pads, stream))
    return result(f"ReflectPad by {pad}", x, (x.numel() + y.numel()) * x.element_size(), time_us)


def all_results(kernels: KernelLibrary) -> Iterator[dict[str, Any]]:
    for dtype in DTYPES:
        for shape in INSTANCE_NORM_SHAPES:
            yield bench_instance_norm(kernels, shape, dtype)
        for shape, pad in REFLECT_PAD_CASES:
            yield bench_reflect_pad(kernels, shape, pad, dtype)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="write the JSON there as well")
    arguments = parser.parse_args()
    kernels = KernelLibrary()
    document = {
        "gpu": torch.cuda.get_device_name(),
        "library": kernels.version(),
        "results": list(all_results(kernels)),
    }
    text = json.dumps(document, indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
