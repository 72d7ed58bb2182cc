"""docs/performance.md says what its measurement says, and judges the goals rightly."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support import performance_page, whole_networks
from tests.support.performance_page import GOALS, MEASUREMENT, PAGE, PLOT, REASONS, missed_goals, page
from trtconv.benchmark.cases import all_cases
from trtconv.benchmark.ops_report import CaseResult, OpsReport
from trtconv.gpu.timing import Timing

MACHINE = {"gpu": "GPU", "gpu_arch": "sm_90", "driver_cuda": "13.0", "l2_bytes": 50 << 20, "tensorrt": "10.6.0"}


def report(**times: float) -> OpsReport:
    """Every case with these microseconds."""
    timings = {name: Timing(us, us, us) for name, us in {"kernel": 10.0, "copy": 9.5, "native": 40.0, **times}.items()}
    return OpsReport(
        MACHINE,
        [
            CaseResult(case, case.num_bytes <= MACHINE["l2_bytes"], "timed", None, 0.5, 1, timings, 4.0)  # type: ignore[operator]
            for case in all_cases()
        ],
    )


def goal_rows(made: OpsReport) -> dict[str, list[str]]:
    lines = (
        page(json.loads(json.dumps(made.to_json())))
        .split("## Goals of the kernels\n\n")[1]
        .split("\n\n")[0]
        .splitlines()[2:]
    )
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in cells}


def test_the_page_is_made_of_its_measurement() -> None:
    assert PAGE.read_text() == page(json.loads(MEASUREMENT.read_text())), (
        "run: python -m tests.support.performance_page"
    )
    assert PLOT.exists()


def test_every_missed_goal_has_its_reason_and_no_other() -> None:
    made = OpsReport.from_json(json.loads(MEASUREMENT.read_text()))
    assert set(missed_goals(made)) == set(REASONS)
    assert all(f"* {text}: {reason}" in PAGE.read_text() for text, reason in REASONS.items())


def test_every_missed_goal_of_a_network_has_its_reason_and_no_other() -> None:
    missed = whole_networks.missed_goals()
    assert set(missed) == set(whole_networks.REASONS)
    assert all(whole_networks.REASONS[name] in PAGE.read_text() for name in missed)


def test_a_network_of_a_later_measurement_joins_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    names = (*whole_networks.RUNS, *whole_networks.RUNS.values(), whole_networks.LATEST)
    documents = {name: whole_networks.measured(name) for name in names}
    run = documents[whole_networks.H200]["networks"]
    del documents[whole_networks.LATEST]["networks"]["melgan_800_fp16"]
    run["melgan_800_fp16"] = run["cyclegan_512_fp32"]
    monkeypatch.setattr(whole_networks, "measured", documents.__getitem__)
    (row,) = (line for line in whole_networks.summary() if "MelGAN" in line)
    assert "| 3.365 | 1.37, reduce-overhead | 1.959, earlier | rewritten 1.881 | 1.72x | 0.70x |" in row
    assert "melgan" not in whole_networks.section().split("### Not measured")[1]


def test_every_goal_speaks_of_some_case() -> None:
    results = report().results
    for goal in GOALS:
        assert any(goal.chosen(result) for result in results), goal.text
    rows = goal_rows(report())
    assert {row[2] for row in rows.values()} == {"met"}
    assert len(rows) == len(GOALS) + 1


def test_one_case_that_is_too_slow_misses_its_goals() -> None:
    made = report()
    name = "InstanceNorm/1x1024x4x4/fp16/linear"
    slow = [
        replace(each, timings={**each.timings, "kernel": Timing(80.0, 80.0, 80.0)}) if each.case.name == name else each
        for each in made.results
    ]
    rows = goal_rows(replace(made, results=slow))
    missed = {text for text, row in rows.items() if row[2] != "met"}
    assert missed == {"small and many slices against native"}
    assert rows["small and many slices against native"] == ["1.00", "0.50", "missed by 50%", f"`{name}`"]


def test_a_goal_is_missed_by_little_too() -> None:
    rows = goal_rows(report(copy=8.9, native=17.9))
    assert rows["ReflectPad beyond L2, of copy"][1:3] == ["0.89", "missed by 1%"]
    assert rows["InstanceNorm beyond L2, slices up to 1.5 MB, of copy"][1:3] == ["0.89", "met"]
    assert rows["InstanceNorm fp32 against native, geometric mean"][1:3] == ["1.79", "missed by 1%"]
    assert rows["InstanceNorm fp16 against native, geometric mean"][1:3] == ["1.79", "met"]


def test_means_are_over_the_usual_shapes_alone() -> None:
    made = report()
    odd = [
        replace(each, timings={**each.timings, "native": Timing(1e6, 1e6, 1e6)})
        if each.case.shape in ((64, 256, 8, 8), (1, 1024, 4, 4), (1, 2048, 1, 7)) or each.case.format != "linear"
        else each
        for each in made.results
    ]
    rows = goal_rows(replace(made, results=odd))
    assert rows["InstanceNorm fp32 against native, geometric mean"][1] == "4.00"


def test_what_was_not_measured_is_not_met() -> None:
    made = report()
    without = [
        replace(each, timings={name: timing for name, timing in each.timings.items() if name != "native"})
        for each in made.results
    ]
    rows = goal_rows(replace(made, results=without))
    assert [row[2] for text, row in rows.items() if "native" in text] == ["not measured"] * 6
    slow_host = [replace(each, host_us=6.0) for each in made.results]
    assert goal_rows(replace(made, results=slow_host))["host time of a launch, us, at most"][2] == "missed by 20%"


def test_the_script_takes_a_measurement(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "measurements").mkdir()
    for name in ("PAGE", "PLOT", "MEASUREMENT"):
        path = getattr(performance_page, name)
        monkeypatch.setattr(performance_page, name, tmp_path / path.relative_to(performance_page.DOCS))
    (tmp_path / "bench.json").write_text(json.dumps(report().to_json()))
    monkeypatch.setattr("sys.argv", ["performance_page", str(tmp_path / "bench.json")])
    performance_page.main()
    document = json.loads((tmp_path / "measurements" / "performance_h100.json").read_text())
    assert document == json.loads((tmp_path / "bench.json").read_text())
    assert (tmp_path / "performance.md").read_text() == page(document)
    assert (tmp_path / "performance_h100.svg").stat().st_size > 10_000
