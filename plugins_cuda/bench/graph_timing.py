"""Time a launch as the median over replays of a CUDA graph. Needs torch and a GPU."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch

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
