"""Draw where and how large the errors are: for each output a map of the error and a histogram of it."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv import files
from trtconv.comparison.measuring import OutputComparison
from trtconv.comparison.report import ComparisonReport
from trtconv.display import printable
from trtconv.errors import BackendError, ConfigError
from trtconv.installed import install_hint

SUFFIXES = (".png",)
_MAX_OUTPUTS = 8
_PICTURE_CHANNELS = (1, 3, 4)
_MIN_MAP_SIDE = 4
_MAX_MAP_SIDE = 1024
_MAX_POINTS = 20000
_ROW_HEIGHT, _WIDTH = 3.2, 11.0  # inches
_BINS = 80


def require_matplotlib() -> None:
    """Raise BackendError where matplotlib is not installed."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise BackendError("plots need matplotlib, which is not installed", hint=install_hint("plot")) from None


def require_plot(path: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """Raise before any long work where a plot could not be drawn: for another suffix, and without matplotlib."""
    if path.suffix not in suffixes:
        raise ConfigError(f"got {path.suffix or 'no suffix'}, expected {' or '.join(suffixes)}", where=str(path))
    require_matplotlib()


def write_plot(report: ComparisonReport, path: Path) -> None:
    """Write a PNG with a row for each output, those that are furthest out first; `report` must hold the arrays."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    order = sorted(report.outputs, key=lambda output: (output.passed, -output.relative_error))
    shown = [output for output in order if _is_drawable(report, output)][:_MAX_OUTPUTS]
    figure = Figure(figsize=(_WIDTH, 1.0 + _ROW_HEIGHT * max(len(shown), 1)), layout="constrained")
    FigureCanvasAgg(figure)
    left_out = len(report.outputs) - len(shown)
    more = f" ({left_out} more outputs are not drawn)" if left_out else ""
    names = printable(f"{Path(report.candidate).name} against {Path(report.reference).name}")
    figure.suptitle(f"{names}{more}", parse_math=False)  # a $ in a name begins no formula
    axes = figure.subplots(max(len(shown), 1), 2, squeeze=False)
    for row, output in zip(axes, shown, strict=False):
        draw = _write_equal if output.problem is None and output.max_abs_error == 0 else _draw_errors
        draw(figure, row, output, *report.arrays[output.name])
    if not shown:
        _write(axes[0], "no output can be drawn")
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # of a name; a box stands for it
        figure.savefig(content, format="png", dpi=110)
    files.write_atomically({path: content.getvalue()})


def _is_drawable(report: ComparisonReport, output: OutputComparison) -> bool:
    arrays = report.arrays.get(output.name)
    return arrays is not None and arrays[0].shape == arrays[1].shape and arrays[0].size > 0


def _write(row: Any, text: str) -> None:
    """Write one line over both places of a row, in which nothing is drawn."""
    for axis in row:
        axis.set_axis_off()
    row[0].text(0.5, 0.5, text, ha="center", va="center", transform=row[0].transAxes)


def _write_equal(figure: Any, row: Any, output: OutputComparison, expected: Any, got: Any) -> None:
    """Say that there is no error: a map of it would be an empty black one."""
    row[0].set_title(_title(output), parse_math=False)
    _write(row, f"all {expected.size:,} elements are equal")


def _title(output: OutputComparison) -> str:
    return printable(f"{output.name}: {'same' if output.passed else 'DIFFERS'}, {output.input_set}")


def _draw_errors(figure: Any, row: Any, output: OutputComparison, expected: Any, got: Any) -> None:
    with np.errstate(invalid="ignore"):
        error = np.abs(expected.astype(np.float64) - got.astype(np.float64))
    heat = _map_of(error)
    if heat is None:
        step = -(-error.size // _MAX_POINTS)
        values = _largest_of_blocks(error.reshape(1, -1), (1, step)).ravel()
        row[0].plot(np.arange(values.size) * step, values, ".", markersize=2)
        row[0].set(xlabel="element", ylabel="|error|")
    else:
        top = heat[np.isfinite(heat)].max(initial=0.0) or 1.0
        drawn = row[0].imshow(heat, aspect="auto", interpolation="nearest", cmap="magma", vmin=0.0, vmax=top)
        figure.colorbar(drawn, ax=row[0], label="mean |error| over the other axes")
        row[0].set(xlabel="width", ylabel="height")
    row[0].set_title(_title(output), parse_math=False)
    _draw_histogram(row[1], output, error)


def _draw_histogram(axis: Any, output: OutputComparison, error: npt.NDArray[np.float64]) -> None:
    finite = error[np.isfinite(error)]
    positive = finite[finite > 0]
    exact = f"{finite.size - positive.size} of {error.size} elements are equal"
    if finite.size < error.size:
        exact += f", {error.size - finite.size} NaN or infinite"
    if positive.size:
        low, high = math.floor(math.log10(positive.min())), math.ceil(math.log10(positive.max()))
        axis.hist(positive, bins=np.logspace(low, max(high, low + 1), _BINS).tolist())
        axis.set_xscale("log")
        axis.set_yscale("log")
    allowed = output.tolerance.of_max * output.max_abs_reference + output.tolerance.atol
    if positive.size and math.isfinite(allowed) and allowed > 0:
        axis.axvline(allowed, color="tab:red", label=f"allowed: {output.tolerance}")
        axis.legend(loc="upper left", fontsize="small")
    axis.set(title=exact, xlabel="|error|", ylabel="elements")
    if not positive.size:
        axis.text(0.5, 0.5, "the errors are NaN or infinite", ha="center", transform=axis.transAxes)
        axis.set(xticks=[], yticks=[])


def _map_of(error: npt.NDArray[np.float64]) -> npt.NDArray[np.float64] | None:
    """Return the mean error over all axes but height and width; None for outputs that are no such map.

    These are the last two axes, or those before the last where that one counts the channels of a picture.
    """
    if error.ndim == 4 and error.shape[3] in _PICTURE_CHANNELS and error.shape[1] not in _PICTURE_CHANNELS:
        error = np.moveaxis(error, 3, 1)
    if error.ndim < 2 or min(error.shape[-2:]) < _MIN_MAP_SIDE:
        return None
    heat: npt.NDArray[np.float64] = error.mean(axis=tuple(range(error.ndim - 2)))
    steps: Sequence[int] = [-(-side // _MAX_MAP_SIDE) for side in heat.shape]
    return _largest_of_blocks(heat, steps) if max(steps) > 1 else heat


def _largest_of_blocks(heat: npt.NDArray[np.float64], steps: Sequence[int]) -> npt.NDArray[np.float64]:
    """Shrink a map so that no error vanishes: each pixel is the largest of its block."""
    padding = [(0, -side % step) for side, step in zip(heat.shape, steps, strict=True)]
    padded = np.pad(heat, padding, mode="edge")
    rows, columns = (side // step for side, step in zip(padded.shape, steps, strict=True))
    result: npt.NDArray[np.float64] = padded.reshape(rows, steps[0], columns, steps[1]).max(axis=(1, 3))
    return result
