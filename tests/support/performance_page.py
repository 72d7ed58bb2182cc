"""docs/performance.md, made of a measurement:  python -m tests.support.performance_page [BENCH.json]

BENCH.json, what `trtconv bench --ops --out` wrote, takes the place of the measurement in docs/measurements. Page and
plot are made of that one anew.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import whole_networks
from trtconv.benchmark import roofline
from trtconv.benchmark.cases import NORM_SHAPES, PADS, SMALL_NORM_SHAPES
from trtconv.benchmark.ops_report import COLUMNS, CaseResult, OpsReport, mean_row, problems_of, row
from trtconv.gpu.timing import geometric_mean

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "performance.md"
PLOT = DOCS / "performance_h100.svg"
MEASUREMENT = DOCS / "measurements" / "performance_h100.json"
COMMAND = "trtconv bench --ops {options}--out performance_h100.json"

_LARGEST_RESIDENT_SLICE_BYTES = 1_500_000  # what a cluster of blocks can hold
_USUAL_SHAPES = {*NORM_SHAPES, *(shape for shape, _ in PADS)}
_SMALL_AND_MANY = {(16, 512, 32, 32), *SMALL_NORM_SHAPES}
_HOST_GOAL_US = 5.0


@dataclass(frozen=True)
class Goal:
    """A floor for the worst, or for the geometric mean, of the kernel's speed over `variant` in the chosen cases."""

    text: str
    floor: float
    variant: str
    chosen: Callable[[CaseResult], bool]
    is_mean: bool = False


def _is(result: CaseResult, op: str, dtype: str | None = None, format_: str = "linear") -> bool:
    case = result.case
    return (case.family, case.format) == (op, format_) and dtype in (None, case.dtype)


def _slice_bytes(result: CaseResult) -> int:
    case = result.case
    return case.input_bytes // (case.shape[0] * case.shape[1])


def _mean_goal(op: str, dtype: str, floor: float) -> Goal:
    text = f"{op} {dtype} against native, geometric mean"
    return Goal(text, floor, "native", lambda each: _is(each, op, dtype) and each.case.shape in _USUAL_SHAPES, True)


GOALS = (
    Goal(
        "ReflectPad beyond L2, of copy",
        0.90,
        "copy",
        lambda each: each.case.family == "ReflectPad" and not each.fits_l2,
    ),
    Goal(
        "InstanceNorm beyond L2, slices up to 1.5 MB, of copy",
        0.88,
        "copy",
        lambda each: (
            _is(each, "InstanceNorm") and not each.fits_l2 and _slice_bytes(each) <= _LARGEST_RESIDENT_SLICE_BYTES
        ),
    ),
    Goal(
        "InstanceNorm beyond L2, larger slices, of copy",
        0.75,
        "copy",
        lambda each: (
            _is(each, "InstanceNorm") and not each.fits_l2 and _slice_bytes(each) > _LARGEST_RESIDENT_SLICE_BYTES
        ),
    ),
    Goal(
        "InstanceNorm channels-last beyond L2, of copy",
        0.62,
        "copy",
        lambda each: _is(each, "InstanceNorm", format_="channels_last") and not each.fits_l2,
    ),
    _mean_goal("InstanceNorm", "fp32", 1.8),
    _mean_goal("InstanceNorm", "fp16", 1.6),
    _mean_goal("ReflectPad", "fp32", 2.2),
    _mean_goal("ReflectPad", "fp16", 3.5),
    Goal("every usual shape against native", 0.97, "native",
         lambda each: each.case.format == "linear" and each.case.shape in _USUAL_SHAPES and not each.case.fused),
    Goal("small and many slices against native", 1.0, "native",
         lambda each: _is(each, "InstanceNorm") and each.case.shape in _SMALL_AND_MANY),
)  # fmt: skip


# Why the measurement in docs/measurements misses a goal.
REASONS = {
    "InstanceNorm beyond L2, slices up to 1.5 MB, of copy": (
        "bf16 alone. Its range forbids the exact sums of fp16, which take 4 instructions a number instead of 7; fp32 "
        "reaches 0.94, fp16 0.89. Sums anchored at the largest number of each tile would take 5, but a tile must have "
        "come before it is added up: [1,32,1080,1920] took 5% longer, [8,64,512,512] as long."
    ),
    "host time of a launch, us, at most": (
        "the median over all cases is 4.0 us, and 56 of 65 are below 5. The others, but for one at 5.1, are kernels of "
        "100 us and more, most of them cooperative launches, which cost about 2 us more than others. The highest of "
        "them is an outlier: the same launch took 5.4 us in another run."
    ),
}
# The measurement was made with a library for one architecture; this is the one that users install.
LIBRARY = """## The library

19.2 MB with machine code for sm_75, 80, 86, 89, 90, 100 and 120 and PTX for later ones; two cores compile it in
14 minutes, 26 of processor time. For one architecture it is 6.6 MB."""


def page(document: dict[str, Any]) -> str:
    """Return the text of docs/performance.md."""
    report = OpsReport.from_json(document)
    lines = ["# Performance", "", whole_networks.section(), "", "## Kernels alone", "", _introduction(report), ""]
    lines += [
        f"![Bandwidth over size]({PLOT.name})",
        "",
        "## Goals of the kernels",
        "",
        *_table(("goal", "floor", "measured", "", "where"), _goal_rows(report)),
    ]
    lines += [f"* {text}: {REASONS[text]}" for text in missed_goals(report) if text in REASONS]
    lines += [""]
    mean_titles = ("", "of copy, beyond L2", "against native", "lowest against native")
    lines += ["## Geometric means", "", *_table(mean_titles, [mean_row(mean) for mean in report.means()])]
    for (op, dtype, format_), results in report.groups():
        lines += [f"## {op} {dtype} {format_}", "", *_table(COLUMNS, [row(result) for result in results])]
    problems = [(problem, result.case.name) for result in report.results for problem in problems_of(result)]
    if problems:
        lines += ["## Not timed", ""]
    for why in dict.fromkeys(problem for problem, _ in problems):
        lines += [f"* {why}", "  " + ", ".join(f"`{name}`" for problem, name in problems if problem == why)]
    lines += [""] if problems else []
    lines += [LIBRARY]
    return "\n".join(lines).rstrip() + "\n"


def missed_goals(report: OpsReport) -> list[str]:
    """Return the goals that a measurement misses."""
    return [text for text, _, _, verdict, _ in _goal_rows(report) if verdict.startswith("missed")]


def main() -> None:
    """Write the page and the plot."""
    if len(sys.argv) > 1:
        document = json.loads(Path(sys.argv[1]).read_text())
        MEASUREMENT.write_text(json.dumps(document, indent=1) + "\n")
    document = json.loads(MEASUREMENT.read_text())
    PAGE.write_text(page(document))
    PLOT.write_bytes(roofline.draw(OpsReport.from_json(document), PLOT.suffix))


def _introduction(report: OpsReport) -> str:
    machine = report.machine
    against = f"TensorRT {machine['tensorrt']}" if machine["tensorrt"] else "no TensorRT"
    l2 = f"{machine['l2_bytes'] / 2**20:.0f} MiB"
    has_engines = any("plugin" in result.timings for result in report.results)
    in_engine = '"in engine" is our plugin in an engine\nof its own, ' if has_engines else ""
    return f"""{machine["gpu"]}, driver for CUDA {machine["driver_cuda"]}, {against}.

The kernels beside a device copy of as many bytes and beside TensorRT's own layer, in one run: medians over replays of
CUDA graphs, taken in turn. Every result was held against a float64 reference first. What exceeds L2 ({l2}) goes round
buffers of more than four times its size; (L2) marks what fits, and says nothing of memory. {in_engine}"host" is what a
launch costs the processor. A copy is made in pieces of 128 MiB: the driver copies some larger sizes in one piece a
fifth slower than memory allows.

```
{COMMAND.format(options="--engines " if has_engines else "")}
python -m tests.support.performance_page performance_h100.json
```

Data: [measurements/{MEASUREMENT.name}](measurements/{MEASUREMENT.name})."""


def _goal_rows(report: OpsReport) -> Iterator[list[str]]:
    timed = [result for result in report.results if result.status == "timed"]
    for goal in GOALS:
        ratios = [(ratio, each.case.name) for each in timed if goal.chosen(each)
                  and (ratio := each.speed_against(goal.variant)) is not None]  # fmt: skip
        if not ratios:
            yield [goal.text, f"{goal.floor:.2f}", "", "not measured", ""]
            continue
        lowest, where = min(ratios)
        value = geometric_mean([ratio for ratio, _ in ratios]) if goal.is_mean else lowest
        assert value is not None
        verdict = "met" if value >= goal.floor else f"missed by {1 - value / goal.floor:.0%}"
        yield [goal.text, f"{goal.floor:.2f}", f"{value:.2f}", verdict, "" if goal.is_mean else f"`{where}`"]
    slowest, where = max(((each.host_us or 0.0, each.case.name) for each in timed), default=(0.0, ""))
    verdict = "met" if slowest < _HOST_GOAL_US else f"missed by {slowest / _HOST_GOAL_US - 1:.0%}"
    yield ["host time of a launch, us, at most", f"{_HOST_GOAL_US:.0f}", f"{slowest:.1f}", verdict, f"`{where}`"]


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]] | Iterator[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table, without the columns that are empty throughout."""
    filled = [list(cells) for cells in rows]
    kept = [index for index in range(len(titles)) if any(cells[index] for cells in filled)]
    yield "| " + " | ".join(titles[index] for index in kept) + " |"
    yield "|" + "---|" * len(kept)
    yield from ("| " + " | ".join(cells[index] for index in kept) + " |" for cells in filled)
    yield ""


if __name__ == "__main__":
    main()
