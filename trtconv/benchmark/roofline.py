"""Draw the bandwidth of every case over its size, under that of a copy. The one door to matplotlib for benchmarks."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

from trtconv.benchmark.ops_report import CaseResult, OpsReport

SUFFIXES = (".png", ".svg")
_MARKERS = {"fp32": "o", "fp16": "s", "bf16": "D", "int8": "^"}
_COLORS = {  # by the kind of an op, and whether the format is the linear one
    ("norm", True): "tab:blue",
    ("norm", False): "tab:cyan",
    ("pad", True): "tab:orange",
    ("pad", False): "tab:olive",
}


def draw(report: OpsReport, suffix: str) -> bytes:
    """Return the plot as a PNG or SVG file."""
    from matplotlib.figure import Figure

    timed = [result for result in report.results if result.status == "timed"]
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.add_subplot()
    for (family, dtype, format_), results in report.groups():
        style = {
            "color": _COLORS[results[0].case.row.kind, format_ == "linear"],
            "marker": _MARKERS[dtype],
            "linestyle": "none",
        }
        label = f"{family} {dtype}" if format_ == "linear" else f"{family} {dtype} {format_}"
        _draw_group(axes, label, [each for each in results if each.status == "timed"], style)
    by_size = sorted(timed, key=lambda result: result.case.num_bytes)
    axes.plot(*_points(by_size, "copy"), color="black", linewidth=1, label="copy of the same bytes")
    native = [result for result in timed if "native" in result.timings]
    if native:
        axes.plot(*_points(native, "native"), "x", color="tab:red", markersize=5, label="TensorRT's own layer")
    axes.axvline(report.machine["l2_bytes"], color="gray", linestyle=":", label="size of L2")
    axes.set(xscale="log", yscale="log", xlabel="bytes read and written", ylabel="GB/s", title=report.machine["gpu"])
    axes.grid(which="both", alpha=0.2)
    axes.legend(fontsize="small", ncols=2)
    return as_file(figure, suffix)


def as_file(figure: Any, suffix: str) -> bytes:
    """Return a figure as a PNG or SVG file: the same file from the same figures."""
    import matplotlib

    buffer = io.BytesIO()
    fixed = {"Date": None} if suffix == ".svg" else {}
    with matplotlib.rc_context({"svg.hashsalt": "trtconv"}):
        figure.savefig(buffer, format=suffix[1:], dpi=150, metadata=fixed)
    return buffer.getvalue()


def _draw_group(axes: Any, label: str, results: Sequence[CaseResult], style: Mapping[str, Any]) -> None:
    beyond, inside = ([each for each in results if each.fits_l2 == fits] for fits in (False, True))
    axes.plot(*_points(beyond, "kernel"), **style, label=label)
    axes.plot(*_points(inside, "kernel"), **style, fillstyle="none")  # hollow: L2 helped


def _points(results: Sequence[CaseResult], variant: str) -> tuple[list[int], list[Any]]:
    return [each.case.num_bytes for each in results], [each.gigabytes_per_second(variant) for each in results]
