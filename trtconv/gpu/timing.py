"""Time work on the GPU side by side: replays of CUDA graphs, one of each in turn, and what is in the middle."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from trtconv.gpu.device import Device

MIN_GRAPH_MS = 2.0  # a graph takes some microseconds to start: a thousandth of this
MAX_LAUNCHES = 1000  # of one graph
NUM_REPLAYS = 25
_HOST_CALLS = 20  # of a batch: few, so that no call waits for room in the GPU's queue
_HOST_BATCHES, _HOST_WARM_UPS = 30, 15  # an H100's host took 5 us for a launch at first, 3.6 after some hundreds

# Enqueues one launch: on buffer set `index`, on `stream`.
Enqueue = Callable[[int, int], None]


@dataclass(frozen=True)
class Timing:
    """Microseconds of one launch: the median of all replays, and what a tenth of them are below and above.

    A hundredth are above `p99_us`, which is 0 in what was measured before it existed.
    """

    median_us: float
    low_us: float
    high_us: float
    p99_us: float = 0.0

    @property
    def per_second(self) -> float:
        """How many launches a second take."""
        return 1e6 / self.median_us

    @classmethod
    def of(cls, samples: Sequence[float]) -> Timing:
        """Summarise the microseconds of each replay."""
        tenths = statistics.quantiles(samples, n=10, method="inclusive")
        hundredths = statistics.quantiles(samples, n=100, method="inclusive")
        return cls(statistics.median(samples), tenths[0], tenths[-1], hundredths[-1])


def time_side_by_side(
    device: Device, variants: Mapping[str, Enqueue], num_sets: int = 1, num_replays: int = NUM_REPLAYS
) -> dict[str, Timing]:
    """Time all variants in turn, so that a drift of the GPU's clocks meets all of them alike.

    Launches go round `num_sets` sets of buffers.
    """
    samples: dict[str, list[float]] = {name: [] for name in variants}
    with ExitStack() as until:
        graphs = {name: _capture(device, enqueue, num_sets, until) for name, enqueue in variants.items()}
        for _ in range(num_replays):
            for name, (graph, num_launches) in graphs.items():
                samples[name].append(device.replay(graph) * 1000 / num_launches)
        return {name: Timing.of(values) for name, values in samples.items()}


def host_microseconds(device: Device, enqueue: Enqueue) -> float:
    """Return the time that the processor takes for one launch without a graph, at the median, once it is warm."""
    samples = []
    for _ in range(_HOST_WARM_UPS + _HOST_BATCHES):
        begin = time.perf_counter_ns()
        for _ in range(_HOST_CALLS):
            enqueue(0, device.stream)
        samples.append((time.perf_counter_ns() - begin) / 1000 / _HOST_CALLS)
        device.synchronize()
    return statistics.median(samples[_HOST_WARM_UPS:])


def geometric_mean(values: Sequence[float]) -> float | None:
    """Return the mean of ratios, None without any."""
    return math.exp(statistics.fmean(map(math.log, values))) if values else None


def _capture(device: Device, enqueue: Enqueue, num_sets: int, until: ExitStack) -> tuple[Any, int]:
    """Return a graph of enough launches, and their number, a multiple of `num_sets`."""

    def rounds(count: int) -> Callable[[int], None]:
        def enqueue_all(stream: int) -> None:
            for launch in range(count * num_sets):
                enqueue(launch % num_sets, stream)

        return enqueue_all

    rounds(1)(device.stream)  # outside of a graph first: kernels are loaded at their first launch
    device.synchronize()
    with ExitStack() as trial:
        graph = device.capture(rounds(1), trial)
        device.replay(graph)
        round_ms = device.replay(graph)
    needed = math.ceil(MIN_GRAPH_MS / max(round_ms, 1e-3))
    count = max(1, min(needed, MAX_LAUNCHES // num_sets))
    graph = device.capture(rounds(count), until)
    device.replay(graph)  # the first replay uploads it
    return graph, count * num_sets
