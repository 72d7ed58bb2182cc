"""The page of ten thousand nodes is made in a time that grows with their number, and stays small enough to open."""

from __future__ import annotations

from tests.support.page_models import long_page
from tests.support.processor_time import least_time
from trtconv.reports.html.rendering import render_page

NUM_NODES = 10_000
MAX_RATIO = 9.0  # for four times the nodes: 4 to 5; a square would give 16
MAX_BYTES = 3 << 20  # 2.2 MB


def measure(num_nodes: int, runs: int) -> tuple[float, int]:
    """Return the processor time for gathering and rendering a page, and its size."""
    size, seconds = least_time(lambda: len(render_page(long_page(num_nodes))), runs)
    return seconds, size


def test_time_and_size_grow_with_the_number_of_nodes() -> None:
    few_seconds, few_bytes = measure(NUM_NODES // 4, 2)
    seconds, num_bytes = measure(NUM_NODES, 1)
    if seconds >= MAX_RATIO * few_seconds:  # as other work on the machine can cause
        seconds = min(seconds, measure(NUM_NODES, 2)[0])
    assert seconds < MAX_RATIO * few_seconds
    assert num_bytes < min(4.2 * few_bytes, MAX_BYTES)
