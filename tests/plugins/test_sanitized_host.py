"""The plugins' host code under AddressSanitizer and UndefinedBehaviorSanitizer, given hostile fields and shapes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from host_compiler import REPOSITORY
from sanitized_host import build_fuzzer, run_fuzzer

SEED = 16
ITERATIONS = 20_000


@pytest.fixture(scope="session")
def fuzzer() -> Path:
    return build_fuzzer(REPOSITORY / "build" / "sanitized")


def test_hostile_fields_and_shapes_are_refused_or_taken(fuzzer: Path) -> None:
    finished = run_fuzzer(fuzzer, ITERATIONS, SEED)
    assert finished.returncode == 0, finished.stderr[-3000:]
    counts = json.loads(finished.stdout)
    # A fuzzer whose inputs are all refused, or all taken, would show nothing.
    assert ITERATIONS * 0.2 < counts["plugins"] < ITERATIONS * 0.9, counts
    assert 0.2 < counts["calls_taken"] / counts["calls"] < 0.95, counts
    assert 0.1 < counts["launcher_calls_taken"] / counts["launcher_calls"] < 0.9, counts
    assert counts["enqueued"] > ITERATIONS * 0.01, counts
