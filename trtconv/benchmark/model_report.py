"""What `trtconv bench MODEL` found, for people and as one JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trtconv.comparison.report import ComparisonReport
from trtconv.errors import TrtconvError
from trtconv.gpu.timing import Timing
from trtconv.manifest import Manifest
from trtconv.reports.tables import DEFAULT_WIDTH, Column, Facts, Table, render
from trtconv.reports.text import format_size

_NUM_LAYERS = 10  # of each engine, in the table; JSON has all


@dataclass(frozen=True)
class BuiltVariant:
    """One of the two engines, in a temporary folder."""

    path: Path
    num_plugins: int
    num_bytes: int
    build_seconds: float
    notes: Sequence[str]
    manifest: Manifest = field(repr=False)


@dataclass(frozen=True)
class ModelReport:
    """The result of `trtconv bench MODEL`. Engines whose outputs differ have no `timings`."""

    model: Path
    machine: Mapping[str, Any]
    shapes: Mapping[str, Sequence[int]]
    options: Mapping[str, Any]
    variants: Mapping[str, BuiltVariant]
    comparison: ComparisonReport
    timings: Mapping[str, Timing] = field(default_factory=dict)
    layer_times: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """1 when the engines differ."""
        return 0 if self.comparison.passed else TrtconvError.exit_code

    @property
    def speedup(self) -> float | None:
        """How many times as fast the engine with plugins is."""
        if not self.timings:
            return None
        return self.timings["native"].median_us / self.timings["plugin"].median_us

    def to_json(self) -> dict[str, Any]:
        """Return the report in the types of JSON."""
        return {
            "model": str(self.model),
            "machine": dict(self.machine),
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "options": dict(self.options),
            "engines": {ops: self._engine_json(ops) for ops in self.variants},
            "comparison": self.comparison.to_json(),
            "speedup": self.speedup,
        }

    def render(self, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
        """Return the report as facts and tables."""
        blocks: list[Facts | Table] = [Facts(list(self._facts()))]
        titles = ("", "plugins", "engine", "built in", "median ms", "10 % below", "10 % above", "speed")
        columns = [Column(title, "number" if title else "word") for title in titles]
        rows = [self._row(ops) for ops in self.variants]
        blocks.append(Table("engines, timed in turn as CUDA graphs", columns, rows))
        for ops, layers in self.layer_times.items():
            columns = [Column("layer", "name"), Column("us", "number"), Column("share", "number")]
            blocks.append(Table(f"slowest layers, {ops}", columns, list(_layer_rows(layers))))
        return render(blocks, width, color)

    def _engine_json(self, ops: str) -> dict[str, Any]:
        built, timing = self.variants[ops], self.timings.get(ops)
        return {
            "plugins": built.num_plugins,
            "bytes": built.num_bytes,
            "build_seconds": round(built.build_seconds, 3),
            "notes": list(built.notes),
            "timing": None if timing is None else asdict(timing),
            "layers_us": dict(self.layer_times.get(ops, {})),
        }

    def _facts(self) -> Iterator[tuple[str, str]]:
        machine = self.machine
        yield "model", str(self.model)
        for name, shape in self.shapes.items():
            yield "input", f"{name} {'x'.join(map(str, shape)) or 'scalar'}"
        yield "GPU", f"{machine['gpu']} ({machine['gpu_arch']}), driver for CUDA {machine['driver_cuda']}"
        yield "TensorRT", machine["tensorrt"]
        for note in dict.fromkeys(note for built in self.variants.values() for note in built.notes):
            yield "note", note
        if self.variants["plugin"].num_plugins == 0:
            yield "note", "no node becomes a plugin in this model: both engines hold TensorRT's own layers"
        for output in self.comparison.outputs:
            state = "same" if output.passed else "differs"
            detail = output.problem or f"max|difference| is {output.relative_error:.2g} of max|y|"
            yield "output", f"{output.name}: {state}, {detail} (tolerance {output.tolerance})"
        for warning in self.comparison.warnings:
            yield "warning", warning
        if not self.comparison.passed:
            yield "not timed", "the two engines differ"

    def _row(self, ops: str) -> list[str]:
        built, timing = self.variants[ops], self.timings.get(ops)
        cells = [ops, str(built.num_plugins), format_size(built.num_bytes), f"{built.build_seconds:.1f} s"]
        if timing is None or self.speedup is None:
            return [*cells, "", "", "", ""]
        times = [f"{each / 1000:.3f}" for each in (timing.median_us, timing.low_us, timing.high_us)]
        return [*cells, *times, f"{self.speedup:.2f}x" if ops == "plugin" else "1.00x"]


def _layer_rows(layers: Mapping[str, float]) -> Iterator[list[str]]:
    total = sum(layers.values())
    for name, microseconds in sorted(layers.items(), key=lambda item: -item[1])[:_NUM_LAYERS]:
        yield [name, f"{microseconds:.1f}", f"{microseconds / total:.0%}" if total else ""]
