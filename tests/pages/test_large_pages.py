"""The page of ten thousand nodes is made in a time that grows with their number, and stays small enough to open."""

from __future__ import annotations

import gc
import time

from tests.support.page_models import long_page
from trtconv.reports.html.rendering import render_page

NUM_NODES = 10_000
MAX_RATIO = 9.0  # for four times the nodes: 4 to 5; a square would give 16
MAX_BYTES = 3 << 20  # 2.2 MB


def measure(num_nodes: int) -> tuple[float, int]:
    """Return the processor time for gathering and rendering a page, the least of three, and its size."""
    times, size = [], 0
    for _ in range(3):
        gc.collect()
        start = time.process_time()
        size = len(render_page(long_page(num_nodes)))
        times.append(time.process_time() - start)
    return min(times), size


def test_time_and_size_grow_with_the_number_of_nodes() -> None:
    few_seconds, few_bytes = measure(NUM_NODES // 4)
    seconds, num_bytes = measure(NUM_NODES)
    assert seconds < MAX_RATIO * few_seconds
    assert num_bytes < min(4.2 * few_bytes, MAX_BYTES)
