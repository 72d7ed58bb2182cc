"""The plugins' host code given hostile fields and shapes, in `make test-all` under AddressSanitizer and
UndefinedBehaviorSanitizer, which take most of the time that its build takes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.plugins.sanitized_host import build_fuzzer, run_fuzzer
from tests.support.extent import IS_WHOLE

SEED = 16
ITERATIONS = 20_000


@pytest.fixture(scope="session")
def fuzzer() -> Path:
    return build_fuzzer(is_sanitized=IS_WHOLE)


def test_hostile_fields_and_shapes_are_refused_or_taken(fuzzer: Path) -> None:
    finished = run_fuzzer(fuzzer, ITERATIONS, SEED)
    assert finished.returncode == 0, finished.stderr[-3000:]
    counts = json.loads(finished.stdout)
    # A fuzzer whose inputs are all refused, or all taken, would show nothing.
    assert ITERATIONS * 0.2 < counts["plugins"] < ITERATIONS * 0.9, counts
    assert 0.2 < counts["calls_taken"] / counts["calls"] < 0.95, counts
    assert 0.1 < counts["launcher_calls_taken"] / counts["launcher_calls"] < 0.9, counts
    assert counts["enqueued"] > ITERATIONS * 0.01, counts
