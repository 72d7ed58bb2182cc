"""The engines of candidates: how they are prepared, built, timed and compared."""

from __future__ import annotations

import operator
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, replace
from pathlib import Path

import onnx

from trtconv.comparison import acceptance, verification
from trtconv.comparison.report import ComparisonReport
from trtconv.config import BuildConfig
from trtconv.engine import building, loading
from trtconv.engine.backends import Backend
from trtconv.engine.building import Plan
from trtconv.engine.engine_runner import EngineRunner
from trtconv.gpu.device import Device
from trtconv.gpu.timing import Enqueue, Timing, time_side_by_side
from trtconv.inputs.made_inputs import Arrays, input_specs, make_inputs, shape_choices
from trtconv.model import model_io
from trtconv.model.model_io import Model
from trtconv.passes.cost_choices import ChosenGroup, CostChoices
from trtconv.preparation import graph_digest, native_reason_of, prepare
from trtconv.progress import Progress
from trtconv.reports.rewrite_report import RewriteReport
from trtconv.tuning.search import Candidate, wishes_of

_REASON = "chosen by measurement"


@dataclass(frozen=True)
class PreparedModel:
    """The model of a candidate as TensorRT gets it, what was decided for it, and the digest of its graph."""

    candidate: Candidate
    proto: onnx.ModelProto
    report: RewriteReport
    key: str


@dataclass(frozen=True)
class BuiltEngine:
    """The engine of a candidate, and what a user should know of its build."""

    prepared: PreparedModel
    plan: Plan
    seconds: float
    notes: Sequence[str]


@dataclass(frozen=True)
class EngineBench:
    """Builds engines on the GPU here, with the options of `config`, times and compares them."""

    model_path: Path
    config: BuildConfig
    backend: Backend
    device: Device
    groups: Sequence[ChosenGroup]
    costs: CostChoices
    progress: Progress
    log: Callable[[str], None] | None = None

    def prepare(self, candidate: Candidate) -> PreparedModel:
        """Run the passes of a candidate on the model, which is read anew."""
        config = self.config_of(candidate)
        native_reason = native_reason_of(config, supports_plugins=True)
        model = self._load(inline_plugins=native_reason is not None)
        wishes = wishes_of(self.groups, candidate.choices, _REASON) if candidate.ops == "auto" else {}
        proto, report = prepare(model, config, native_reason, replace(self.costs, wishes=wishes))
        return PreparedModel(candidate, proto, report, graph_digest(proto))

    def build(self, prepared: PreparedModel) -> BuiltEngine:
        """Build the engine of a candidate."""
        notes: list[str] = []
        begin = time.monotonic()
        config = self.config_of(prepared.candidate)
        plan = building.build(prepared.proto, self.model_path, config, self.backend, self.progress, notes, self.log)
        return BuiltEngine(prepared, plan, time.monotonic() - begin, notes)

    def time(self, engines: Sequence[BuiltEngine]) -> list[Timing]:
        """Time engines in turn as CUDA graphs, at the usual shapes of each profile; return the sums over them."""
        loaded = [loading.load_plan(each.plan, self.backend) for each in engines]
        sums = [Timing(0.0, 0.0, 0.0) for _ in engines]
        for profile, feed in enumerate(self._feeds()):
            with ExitStack() as until:
                runners = {}
                for index, engine in enumerate(loaded):
                    runner = EngineRunner(engine, engines[index].prepared.candidate.name)
                    runner.bind_inputs(self.device, feed, until, profile)
                    runners[str(index)] = _enqueue(runner)
                timings = time_side_by_side(self.device, runners)
            sums = [_sum(total, timings[str(index)]) for index, total in enumerate(sums)]
        return sums

    def problem(self, engine: BuiltEngine, native: BuiltEngine | None) -> str | None:
        """Compare an engine with its model and, where it is outside the tolerance, the native engine, too."""
        report = self._compare(engine)
        if report.passed:
            return None
        return acceptance.problem_of(report, None if native is None else self._compare(native))

    def _compare(self, engine: BuiltEngine) -> ComparisonReport:
        model = self._load()
        loaded = loading.load_plan(engine.plan, self.backend)
        return verification.compare_with_model(model, loaded, self.config, self.progress)

    def _load(self, inline_plugins: bool = False) -> Model:
        return model_io.load(
            self.model_path,
            inline_plugins=inline_plugins,
            profiles=self.config.profiles,
            trust_links=self.config.trust_links,
        )

    def config_of(self, candidate: Candidate) -> BuildConfig:
        """Return the configuration of a build that makes what a candidate is."""
        own = replace(self.config, tune=False, tune_budget_s=None, decisions=None)
        if candidate.ops != "native":
            return replace(own, ops=candidate.ops)
        return replace(own, ops="native", keep_native=(), embed_plugins=False)

    def _feeds(self) -> list[Arrays]:
        proto = self._load().proto
        choices = shape_choices(proto, self.config.profiles)
        return [make_inputs(input_specs(proto), [choice])[0].feed for choice in choices]


def _enqueue(runner: EngineRunner) -> Enqueue:
    return lambda index, stream: runner.enqueue(stream)


def _sum(one: Timing, other: Timing) -> Timing:
    return Timing(*map(operator.add, astuple(one), astuple(other)))
