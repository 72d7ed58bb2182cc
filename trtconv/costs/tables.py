"""The measured constants of the cost model, each set with its GPU, its date and its sources, and the choice of a set.

`python -m tests.support.fit_costs` makes the sets anew out of docs/measurements.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from trtconv import records
from trtconv.gpu.driver import Gpu

L2_BYTES = 50 << 20  # of the GPUs that were measured


@dataclass(frozen=True)
class Rate:
    """What a kind of layer took, in microseconds, by the bytes that it moved: measured points, both ascending.

    Between two points the time is interpolated in both logarithms; below the first it stays, beyond the last it grows
    with the bytes. `is_memory_bound` says that faster memory makes it faster, once the bytes exceed L2: TensorRT's own
    pads, norms and reformats take as long on an H200 as on an H100.
    """

    num_bytes: Sequence[float]
    microseconds: Sequence[float]
    is_memory_bound: bool = True

    def time(self, num_bytes: float) -> float:
        """Return the microseconds of one launch that moves `num_bytes`."""
        if num_bytes >= self.num_bytes[-1]:
            return self.adding(num_bytes)
        logs = np.log(max(num_bytes, self.num_bytes[0])), np.log(self.num_bytes), np.log(self.microseconds)
        return float(np.exp(np.interp(*logs)))

    def adding(self, num_bytes: float) -> float:
        """Return the microseconds that bytes add to a large layer."""
        return self.microseconds[-1] * num_bytes / self.num_bytes[-1]

    def scaled(self, factor: float) -> Rate:
        """Return the rate of a memory that is `factor` times as fast; what fits L2 takes as long as before."""
        points = zip(self.num_bytes, self.microseconds, strict=True)
        times = [time / factor if size > L2_BYTES else time for size, time in points]
        return replace(self, microseconds=np.maximum.accumulate(times).tolist())


@dataclass(frozen=True)
class ConvolutionRate:
    """Microseconds of a convolution: `fixed_us`, its operations at `tflops`, and its data at `gb_per_s`.

    The output channels count in whole tiles of `tile`: three of them cost the matrix work of a tile. Fewer outputs than
    `least_outputs` leave cores idle and take as long as these. A transposed one takes `transposed` times as long, one
    whose strides differ between axes `uneven` times. Up to `linear_products` multiplications TensorRT computes it on
    linear tensors, beyond them channels-last.
    """

    fixed_us: float
    tflops: float
    gb_per_s: float
    tile: int
    least_outputs: int
    transposed: float = 1.0
    uneven: float = 1.0
    linear_products: float = 0.0


@dataclass(frozen=True)
class Shares:
    """What a plugin norm does besides, as a part of its time.

    An activation, filling pads and adding a residual are by the bits of an element, groups of channels and phases by
    layout.
    """

    activation: Mapping[str, float]
    pads: Mapping[str, float]
    residual: Mapping[str, float]
    groups: Mapping[str, float]
    phases: Mapping[str, float]


@dataclass(frozen=True)
class Noise:
    """A gain that is no larger than `us` or than `share` of the time is none."""

    us: float
    share: float

    def of(self, microseconds: float) -> float:
        """Return which gain over `microseconds` is not distinguished from none."""
        return max(self.us, self.share * microseconds)


@dataclass(frozen=True)
class CostTable:
    """The constants of one GPU. `rates` are by kind of work, `convolutions` by the bits of an element.

    `reduction_us` is what each reduction of a region takes besides: the kernels before and after it, with their casts.
    `least_norm_us` is what the norm of a plugin takes at least between two layers, where it takes longer than alone.
    """

    gpu: str
    gpu_arch: str
    memory_gb_per_s: float
    backend: str
    date: str
    sources: Sequence[str]
    rates: Mapping[str, Rate]
    convolutions: Mapping[str, ConvolutionRate]
    shares: Shares
    reduction_us: float
    noise: Noise
    least_norm_us: float = 0.0
    origin: str = ""

    @property
    def title(self) -> str:
        """Where the constants come from, for reports."""
        return self.origin or f"{self.gpu}, {self.date}"


@dataclass(frozen=True)
class CostFile:
    """The content of costs.json."""

    format: int
    tables: Sequence[CostTable]


@cache
def measured_tables() -> Sequence[CostTable]:
    """Return the constants of every GPU that was measured."""
    path = Path(__file__).with_name("costs.json")
    return records.from_json(CostFile, records.read_json(path)).tables


def table_for(gpu: Gpu | None) -> CostTable:
    """Return the constants of a GPU, or those of the nearest one, scaled by the bandwidth of their memories.

    Without a GPU, or where its bandwidth is not known, they are not scaled; `title` says so.
    """
    tables = measured_tables()
    if gpu is None:
        return replace(tables[0], origin=f"{tables[0].title}; no GPU was found here")
    same = next((table for table in tables if table.gpu == gpu.name), None)
    if same is not None:
        return same
    nearest = min(tables, key=lambda table: abs(_number(table.gpu_arch) - _number(gpu.arch)))
    if not gpu.memory_gb_per_s:
        return replace(nearest, origin=f"{nearest.title}; {gpu.name} was not measured")
    factor = gpu.memory_gb_per_s / nearest.memory_gb_per_s
    has_same_cores = gpu.arch == nearest.gpu_arch
    origin = f"{nearest.title}, scaled by {factor:.2f} to the memory bandwidth of {gpu.name}, which was not measured"
    return replace(
        nearest,
        rates={
            kind: rate.scaled(factor) if rate.is_memory_bound or not has_same_cores else rate
            for kind, rate in nearest.rates.items()
        },
        convolutions={
            bits: replace(rate, gb_per_s=rate.gb_per_s * factor) for bits, rate in nearest.convolutions.items()
        },
        origin=origin,
    )


def _number(arch: str) -> int:
    return int(arch.removeprefix("sm_"))
