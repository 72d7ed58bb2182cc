"""What `trtconv run` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv import element_types, records
from trtconv.gpu.timing import Timing
from trtconv.reports.layout import render
from trtconv.reports.tables import DEFAULT_WIDTH, NOTHING, Block, Column, Facts, Table
from trtconv.shapes import format_dims

_COLUMNS = (
    Column("", "name"), Column("type"), Column("shape"), Column("min", "number"), Column("mean", "number"),
    Column("max", "number"), Column("written to", "name"),
)  # fmt: skip


@dataclass(frozen=True)
class OutputSummary:
    """One output of a run. The numbers are those of its finite values, None where there are none."""

    name: str
    dtype: str
    shape: Sequence[int]
    min: float | None
    mean: float | None
    max: float | None
    num_not_finite: int
    written: Sequence[str] = ()

    @classmethod
    def of(cls, name: str, values: npt.NDArray[Any], written: Sequence[str] = ()) -> OutputSummary:
        """Summarise the values of an output."""
        dtype = element_types.of_dtype(values.dtype).name if values.dtype.kind not in "OSU" else "string"
        wide = values.astype(np.float64) if dtype != "string" and values.dtype.kind != "c" else np.empty(0)
        finite = wide[np.isfinite(wide)]
        numbers = (finite.min(), finite.mean(), finite.max()) if finite.size else (None,) * 3
        low, mean, high = (None if each is None else float(each) for each in numbers)
        return cls(name, dtype, values.shape, low, mean, high, int(wide.size - finite.size), tuple(written))


@dataclass(frozen=True)
class Run:
    """One input set, and what came out. `latency` is in microseconds."""

    label: str
    input_shapes: Mapping[str, Sequence[int]]
    outputs: Sequence[OutputSummary]
    latency: Timing | None = None


@dataclass(frozen=True)
class RunReport:
    """What was run, on what, and what it gave. `notes` say how images were understood."""

    model: str
    runs_on: str
    runs: Sequence[Run]
    notes: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the report in the types of JSON."""
        return {"kind": "run", **records.as_object(self)}

    def render(self, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
        """Return the report as text."""
        is_written = any(output.written for run in self.runs for output in run.outputs)
        facts = [
            ("model", self.model),
            ("runs on", self.runs_on),
            *(("note", note) for note in self.notes),
            *(("warning", warning) for run in self.runs for warning in _warnings(run)),
        ]
        blocks: list[Block] = [Facts(facts)]
        for run in self.runs:
            shapes = ", ".join(f"{name} {format_dims(shape)}" for name, shape in run.input_shapes.items())
            blocks.append(Table(f"{run.label}: {shapes}", _COLUMNS, [_cells(output) for output in run.outputs]))
        latencies = [(run.label, run.latency) for run in self.runs if run.latency is not None]
        ends = [("latency", _worded(latency, label, len(latencies) > 1)) for label, latency in latencies]
        if not is_written:
            ends.append(("outputs", "not written: name a file or a folder with -o, such as -o outputs.npz"))
        return render(blocks, width, color) + ("\n\n" + render([Facts(ends)], width, color) if ends else "")


def _cells(output: OutputSummary) -> list[str]:
    numbers = [NOTHING if each is None else f"{each:.4g}" for each in (output.min, output.mean, output.max)]
    return [output.name, output.dtype, format_dims(output.shape), *numbers, ", ".join(output.written)]


def _warnings(run: Run) -> list[str]:
    return [
        f"{run.label}: {output.num_not_finite} values of {output.name} are NaN or infinite"
        for output in run.outputs
        if output.num_not_finite
    ]


def _worded(latency: Timing, label: str, has_several: bool) -> str:
    low, median, high = (f"{each / 1000:.3f}" for each in (latency.low_us, latency.median_us, latency.high_us))
    text = f"{median} ms at the median, {low} to {high} ms in 8 of 10 runs, {1e6 / latency.median_us:.1f} a second"
    return f"{label}: {text}" if has_several else text
