"""What `auto` chooses for the models that it was measured on, beside their measured times: slower ones stay native."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.gpu.measure_cases import Case, cases_of
from tests.support.measurements import measured
from trtconv.benchmark.variants import written_graph
from trtconv.costs.tables import measured_tables

FOLDER = os.environ.get("TRTCONV_TEST_CASES", "")
CASES = {case.name: case for path in sorted(Path(FOLDER).rglob("*.onnx")) for case in cases_of(path)} if FOLDER else {}
MEASURED = {name: entry for name, entry in measured("case_times_h200")["cases"].items() if "us" in entry}
NOISE = measured_tables()[0].noise
GAIN = 1.2  # what is faster by this factor has to stay so

pytestmark = pytest.mark.skipif(not FOLDER, reason="TRTCONV_TEST_CASES names no folder")


def ratio(name: str) -> float:
    return MEASURED[name]["us"]["native"] / MEASURED[name]["us"]["auto"]


def num_plugins(case: Case) -> int:
    return written_graph(case.model, case.config(None), "auto").num_plugins


@pytest.mark.parametrize("name", [name for name, entry in MEASURED.items() if entry["is_slower"]])
def test_where_it_was_slower_it_makes_next_to_none(name: str) -> None:
    assert num_plugins(CASES[name]) <= 1


@pytest.mark.parametrize("name", [name for name in MEASURED if ratio(name) > GAIN])
def test_where_it_was_faster_it_still_makes_plugins(name: str) -> None:
    assert num_plugins(CASES[name]) > 0
