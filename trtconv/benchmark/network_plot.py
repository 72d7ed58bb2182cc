"""Draw the times of the engines of a model: a bar an engine, by what its layers do where that was measured."""

from __future__ import annotations

from trtconv.benchmark.layer_kinds import KINDS
from trtconv.benchmark.model_report import ModelReport
from trtconv.benchmark.roofline import as_file

_HEIGHT, _HEIGHT_OF_A_BAR = 1.6, 0.5  # inches


def draw(report: ModelReport, suffix: str) -> bytes:
    """Return the plot as a PNG or SVG file."""
    from matplotlib.figure import Figure

    names = list(report.timings)
    figure = Figure(figsize=(9, _HEIGHT + _HEIGHT_OF_A_BAR * len(names)), layout="constrained")
    axes = figure.add_subplot()
    if report.layer_times:
        ends = dict.fromkeys(names, 0.0)
        for kind in KINDS:
            times = {name: report.layer_times[name].by_kind.get(kind) for name in names}
            widths = [0.0 if each is None else each.microseconds / 1000 for each in times.values()]
            if any(widths):
                axes.barh(names, widths, left=list(ends.values()), label=kind)
            ends = {name: end + width for (name, end), width in zip(ends.items(), widths, strict=True)}
    medians = [report.timings[name].median_us / 1000 for name in names]
    if report.layer_times:
        axes.plot(medians, range(len(names)), "k|", markersize=16, label="median as a CUDA graph")
        axes.legend(fontsize="small", ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    else:
        axes.barh(names, medians)
    axes.invert_yaxis()
    axes.set(xlabel="ms", title=f"{report.model.name}, {report.machine['gpu']}")
    return as_file(figure, suffix)
