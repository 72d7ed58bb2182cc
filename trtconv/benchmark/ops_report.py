"""What `trtconv bench --ops` found, as a table for people and as one JSON document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from trtconv.benchmark.cases import Case
from trtconv.errors import TrtconvError
from trtconv.gpu.timing import Timing, geometric_mean
from trtconv.reports.layout import render
from trtconv.reports.tables import DEFAULT_WIDTH, Column, Facts, Table

FORMAT = 1  # of the JSON document
COLUMNS = ("", "kernel us", "copy us", "GB/s", "of copy", "native us", "vs native", "in engine us", "host us")

_ENGINE_TITLES = {
    "native": "native",
    "native_op": "native, as ONNX's own op",
    "plugin": "plugin in an engine",
}
_METHOD = "median over alternating replays of CUDA graphs; what exceeds L2 cycles through buffers of over 4 times L2"


@dataclass(frozen=True)
class CaseResult:
    """One case: "timed", or "wrong" or "skipped" with the `problem`.

    `worst_error` is the kernel's as a fraction of what is allowed. `timings` holds the kernel, a copy of as many bytes,
    TensorRT's own layers as "native", those of ONNX's one op for all of it as "native_op", and our plugin in an engine
    as "plugin"; `engine_problems` says why one of these is missing. `host_us` is what a launch costs the processor,
    beyond the call out of Python.
    """

    case: Case
    fits_l2: bool
    status: Literal["timed", "wrong", "skipped"]
    problem: str | None = None
    worst_error: float | None = None
    num_sets: int = 0
    timings: Mapping[str, Timing] = field(default_factory=dict)
    host_us: float | None = None
    engine_problems: Mapping[str, str] = field(default_factory=dict)

    def median_us(self, variant: str) -> float | None:
        """Return the time of a variant, None where it was not timed; of both forms of TensorRT's layers the lower."""
        names = ("native", "native_op") if variant == "native" else (variant,)
        return min((self.timings[name].median_us for name in names if name in self.timings), default=None)

    def gigabytes_per_second(self, variant: str) -> float | None:
        """Return how fast a variant moves what has to be moved."""
        microseconds = self.median_us(variant)
        return None if microseconds is None else self.case.num_bytes / microseconds / 1000

    def speed_against(self, variant: str) -> float | None:
        """Return the kernel's speed as a multiple of another variant's."""
        kernel, other = self.median_us("kernel"), self.median_us(variant)
        return None if kernel is None or other is None else other / kernel

    def to_json(self) -> dict[str, Any]:
        """Return the result in the types of JSON; from_json reads what cannot be computed from the rest."""
        return {
            "name": self.case.name,
            **asdict(self.case),
            "bytes": self.case.num_bytes,
            "fits_l2": self.fits_l2,
            "status": self.status,
            "problem": self.problem,
            "worst_error": _finite(self.worst_error),
            "num_sets": self.num_sets,
            "timings": {name: asdict(timing) for name, timing in self.timings.items()},
            "gb_per_s": self.gigabytes_per_second("kernel"),
            "of_copy": self.speed_against("copy"),
            "vs_native": self.speed_against("native"),
            "host_us": self.host_us,
            "engine_problems": dict(self.engine_problems),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> CaseResult:
        """Read what to_json wrote."""
        plain = {name: document[name] for name in ("op", "dtype", "pad", "format")}
        extra = tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in document.get("extra", ()))
        case = Case(**plain, shape=(*document["shape"],), extra=extra, has_residual=document.get("has_residual", False))
        own = ("fits_l2", "status", "problem", "worst_error", "num_sets", "host_us", "engine_problems")
        timings = {name: Timing(**values) for name, values in document["timings"].items()}
        return cls(case, timings=timings, **{name: document[name] for name in own})


@dataclass(frozen=True)
class Mean:
    """Geometric means of a family of cases, a type and a format: against a copy beyond L2, and against native."""

    op: str
    dtype: str
    format: str
    of_copy: float | None
    vs_native: float | None
    worst_vs_native: float | None


@dataclass(frozen=True)
class OpsReport:
    """The result of `trtconv bench --ops`. `why_no_engines` is why nothing of TensorRT was timed, if so."""

    machine: Mapping[str, Any]
    results: Sequence[CaseResult]
    why_no_engines: str | None = None

    @property
    def exit_code(self) -> int:
        """1 when a kernel is wrong."""
        return TrtconvError.exit_code if any(result.status == "wrong" for result in self.results) else 0

    def means(self) -> list[Mean]:
        """Return the geometric means of each family of cases, type and format."""
        return [_mean(*key, results) for key, results in self.groups()]

    def groups(self) -> Iterator[tuple[tuple[str, str, str], list[CaseResult]]]:
        """Yield the results of each family of cases, type and format."""
        keyed = [((each.case.family, each.case.dtype, each.case.format), each) for each in self.results]
        for key in dict.fromkeys(key for key, _ in keyed):
            yield key, [result for own, result in keyed if own == key]

    def to_json(self) -> dict[str, Any]:
        """Return the report in the types of JSON."""
        return {
            "format": FORMAT,
            "what": "trtconv bench --ops",
            "method": _METHOD,
            "machine": dict(self.machine),
            "why_no_engines": self.why_no_engines,
            "results": [result.to_json() for result in self.results],
            "geometric_means": [asdict(mean) for mean in self.means()],
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> OpsReport:
        """Read what to_json wrote."""
        results = [CaseResult.from_json(entry) for entry in document["results"]]
        return cls(document["machine"], results, document["why_no_engines"])

    def render(self, width: int = DEFAULT_WIDTH, color: bool = False) -> str:
        """Return the report as a table a group, means and notes."""
        blocks: list[Facts | Table] = [Facts(list(self.facts()))]
        columns = [Column(title, "number" if title else "name") for title in COLUMNS]
        for (op, dtype, format_), results in self.groups():
            blocks.append(Table(f"{op} {dtype} {format_}", columns, [row(result) for result in results]))
        titles = ("", "of copy, beyond L2", "vs native", "lowest vs native")
        mean_columns = [Column(title, "number" if title else "name") for title in titles]
        blocks.append(Table("geometric means", mean_columns, [mean_row(mean) for mean in self.means()]))
        problems = [(result.case.name, text) for result in self.results for text in problems_of(result)]
        blocks.append(Table("not timed", [Column("", "name"), Column("", "text")], problems))
        return render(blocks, width, color)

    def facts(self) -> Iterator[tuple[str, str]]:
        """Yield what the run was made on."""
        machine = self.machine
        yield "GPU", f"{machine['gpu']} ({machine['gpu_arch']}), driver for CUDA {machine['driver_cuda']}"
        yield (
            "L2",
            f"{machine['l2_bytes'] / 2**20:.0f} MiB; (L2) marks a case that fits: it says nothing about bandwidth",
        )
        if machine["tensorrt"]:
            yield "TensorRT", machine["tensorrt"]
        if self.why_no_engines:
            yield "note", f"native is missing: {self.why_no_engines}"
        yield "method", _METHOD


def row(result: CaseResult) -> list[str]:
    """Return the cells of a case, in the order of COLUMNS."""
    case = result.case
    title = " ".join(filter(None, [case.sizes, f"by {case.pad}" if case.pad else "", case.fused]))
    if result.status != "timed":
        return [title, result.status.upper(), *[""] * (len(COLUMNS) - 2)]
    speed = _number(result.gigabytes_per_second("kernel"), "{:.0f}")
    return [
        title,
        _number(result.median_us("kernel"), "{:.2f}"),
        _number(result.median_us("copy"), "{:.2f}"),
        f"{speed} (L2)" if result.fits_l2 else speed,
        _number(result.speed_against("copy"), "{:.2f}"),
        _number(result.median_us("native"), "{:.2f}"),
        _number(result.speed_against("native"), "{:.2f}x"),
        _number(result.median_us("plugin"), "{:.2f}"),
        _number(result.host_us, "{:.1f}"),
    ]


def mean_row(mean: Mean) -> list[str]:
    """Return the cells of a group's means."""
    ratios = (_number(mean.vs_native, "{:.2f}x"), _number(mean.worst_vs_native, "{:.2f}x"))
    return [f"{mean.op} {mean.dtype} {mean.format}", _number(mean.of_copy, "{:.2f}"), *ratios]


def problems_of(result: CaseResult) -> Iterator[str]:
    """Yield why something of a case was not timed."""
    if result.problem is not None:
        yield result.problem
    for kind, problem in result.engine_problems.items():
        yield f"{_ENGINE_TITLES[kind]}: {problem}"


def _mean(op: str, dtype: str, format_: str, results: Sequence[CaseResult]) -> Mean:
    of_copy = [ratio for each in results if not each.fits_l2 and (ratio := each.speed_against("copy")) is not None]
    vs_native = [ratio for each in results if (ratio := each.speed_against("native")) is not None]
    lowest = min(vs_native, default=None)
    return Mean(op, dtype, format_, geometric_mean(of_copy), geometric_mean(vs_native), lowest)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _finite(value: float | None) -> float | None:
    """JSON has no infinity: the error of a pad that is wrong has no size."""
    return value if value is None or value < float("inf") else None
