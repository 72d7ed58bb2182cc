"""What `trtconv bench MODEL` found, for people and as one JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trtconv.benchmark.layer_kinds import KINDS, KindTime
from trtconv.benchmark.variants import REFERENCE, BuiltVariant
from trtconv.comparison.report import ComparisonReport
from trtconv.errors import TrtconvError
from trtconv.gpu.timing import Timing
from trtconv.reports.layout import render
from trtconv.reports.tables import DEFAULT_WIDTH, NOTHING, Column, Facts, Table
from trtconv.reports.text import format_size
from trtconv.shapes import format_dims

_NUM_LAYERS = 10  # of each engine, in the table; JSON has all


@dataclass(frozen=True)
class LayerTimes:
    """The microseconds of each layer of an engine, without a CUDA graph: by name, and added up by what layers do."""

    by_name: Mapping[str, float]
    by_kind: Mapping[str, KindTime]


@dataclass(frozen=True)
class ModelReport:
    """The result of `trtconv bench MODEL`, by variant.

    `same` names for a variant that was not built the one whose graph is the same. `comparisons` compare each engine
    with the model in ONNX Runtime; one that has one of the `problems` has `timings` only where that `is_forced`.
    `memory` holds the bytes on the GPU that an execution context of each timed engine needs, the weights left out.
    """

    model: Path
    machine: Mapping[str, Any]
    shapes: Mapping[str, Sequence[int]]
    options: Mapping[str, Any]
    variants: Mapping[str, BuiltVariant]
    same: Mapping[str, str]
    comparisons: Mapping[str, ComparisonReport]
    problems: Mapping[str, str] = field(default_factory=dict)
    is_forced: bool = False
    timings: Mapping[str, Timing] = field(default_factory=dict)
    memory: Mapping[str, int] = field(default_factory=dict)
    layer_times: Mapping[str, LayerTimes] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """1 when an engine is wrong."""
        return TrtconvError.exit_code if self.problems else 0

    @property
    def speedups(self) -> dict[str, float]:
        """How many times as fast as TensorRT's own layers each timed variant with plugins is."""
        return {
            ops: self.timings[REFERENCE].median_us / timing.median_us
            for ops, timing in self.timings.items()
            if ops != REFERENCE and REFERENCE in self.timings
        }

    def to_json(self) -> dict[str, Any]:
        """Return the report in the types of JSON."""
        return {
            "model": str(self.model),
            "machine": dict(self.machine),
            "shapes": {name: list(shape) for name, shape in self.shapes.items()},
            "options": dict(self.options),
            "engines": {ops: self._engine_json(ops) for ops in self.variants},
            "same": dict(self.same),
            "comparisons": {ops: compared.to_json() for ops, compared in self.comparisons.items()},
            "problems": dict(self.problems),
            "speedups": self.speedups,
        }

    def render(self, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
        """Return the report as facts and tables."""
        blocks: list[Facts | Table] = [Facts(list(self._facts()))]
        timed = ("p50 ms", "p90 ms", "p99 ms", "per second")
        titles = ("", "plugins", "engine", "built in", "error", *timed, "memory", "speed")
        columns = [Column(title, "number" if title else "word") for title in titles]
        rows = [self._row(ops) for ops in self.variants]
        blocks.append(Table("engines, timed alternately as CUDA graphs", columns, rows))
        columns = [Column("us (layers)"), *(Column(ops, "number") for ops in self.layer_times)]
        blocks.append(Table("layers by kind, without a CUDA graph", columns, list(self._kind_rows())))
        for ops, times in self.layer_times.items():
            columns = [Column("layer", "name"), Column("us", "number"), Column("share", "number")]
            blocks.append(Table(f"slowest layers, {ops}", columns, list(_layer_rows(times.by_name))))
        return render(blocks, width, color)

    def _engine_json(self, ops: str) -> dict[str, Any]:
        built, timing, times = self.variants[ops], self.timings.get(ops), self.layer_times.get(ops)
        return {
            "plugins": built.num_plugins,
            "bytes": built.num_bytes,
            "build_seconds": round(built.build_seconds, 3),
            "notes": list(built.notes),
            "timing": None if timing is None else asdict(timing),
            "per_second": None if timing is None else timing.per_second,
            "device_memory_bytes": self.memory.get(ops),
            "layers_us": {} if times is None else dict(times.by_name),
            "kinds": {} if times is None else {kind: asdict(each) for kind, each in times.by_kind.items()},
        }

    def _facts(self) -> Iterator[tuple[str, str]]:
        machine = self.machine
        yield "model", str(self.model)
        for name, shape in self.shapes.items():
            yield "input", f"{name} {format_dims(shape)}"
        yield "GPU", f"{machine['gpu']} ({machine['gpu_arch']}), driver for CUDA {machine['driver_cuda']}"
        yield "TensorRT", machine["tensorrt"]
        for note in dict.fromkeys(note for built in self.variants.values() for note in built.notes):
            yield "note", note
        if all(built.num_plugins == 0 for built in self.variants.values()):
            yield "note", "no node becomes a plugin in this model: every engine holds TensorRT's own layers"
        for ops, other in self.same.items():
            yield "note", f"{ops}: the same graph as {other}, so it is not built again"
        for ops, compared in self.comparisons.items():
            for output in compared.outputs:
                state = "right" if output.passed else "outside the tolerance"
                detail = output.problem or f"max|error| is {output.relative_error:.2g} of max|y|"
                yield "output", f"{output.name}, {ops}: {state}, {detail} (tolerance {output.tolerance})"
        for warning in dict.fromkeys(each for compared in self.comparisons.values() for each in compared.warnings):
            yield "warning", warning
        for ops, problem in self.problems.items():
            if self.is_forced:
                yield "warning", f"{ops} does not compute what the model does, and is timed all the same: {problem}"
            else:
                yield "not timed", f"{ops} does not compute what the model does: {problem}"

    def _row(self, ops: str) -> list[str]:
        built, timing = self.variants[ops], self.timings.get(ops)
        size, seconds, worst = format_size(built.num_bytes), f"{built.build_seconds:.1f} s", self.comparisons[ops].worst
        error = NOTHING if worst.problem else f"{worst.relative_error:.1e}"
        cells = [ops, str(built.num_plugins), size, seconds, error]
        if timing is None:
            return [*cells, "", "", "", "", "", ""]
        times = [f"{each / 1000:.3f}" for each in (timing.median_us, timing.high_us, timing.p99_us)]
        memory = format_size(self.memory[ops])
        return [*cells, *times, f"{timing.per_second:.1f}", memory, f"{self.speedups.get(ops, 1):.2f}x"]

    def _kind_rows(self) -> Iterator[list[str]]:
        """Yield the time and the number of layers of each kind, a column a variant, and at last of all kinds."""
        by_kind = [times.by_kind for times in self.layer_times.values()]
        for kind in KINDS:
            if any(kind in each for each in by_kind):
                yield [kind, *(_kind_cell([each[kind]] if kind in each else []) for each in by_kind)]
        if by_kind:
            yield ["all", *(_kind_cell(list(each.values())) for each in by_kind)]


def _kind_cell(times: Sequence[KindTime]) -> str:
    if not times:
        return NOTHING
    return f"{sum(each.microseconds for each in times):.1f} ({sum(each.count for each in times)})"


def _layer_rows(layers: Mapping[str, float]) -> Iterator[list[str]]:
    total = sum(layers.values())
    for name, microseconds in sorted(layers.items(), key=lambda item: -item[1])[:_NUM_LAYERS]:
        yield [name, f"{microseconds:.1f}", f"{microseconds / total:.0%}" if total else ""]
