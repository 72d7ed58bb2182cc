"""`trtconv build --tune`: build and time candidates, and keep the best."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from trtconv import files
from trtconv.comparison.runners import require_polygraphy
from trtconv.config import BuildConfig
from trtconv.costs.tables import table_for
from trtconv.decisions import Decision
from trtconv.engine.backends import Backend
from trtconv.engine.network_parsing import kernels_kept
from trtconv.gpu import device as gpu_device
from trtconv.model.model_io import Model
from trtconv.passes.base import Choices
from trtconv.preparation import predicted_choices
from trtconv.progress import Progress
from trtconv.reports.tuning_report import TriedCandidate, TuningReport
from trtconv.tuning.engines import BuiltEngine, EngineBench
from trtconv.tuning.search import search

DEFAULT_BUDGET_S = 600.0


@dataclass(frozen=True)
class Tuned:
    """The best engine, with the configuration that makes it, its decisions with what was measured, and the report."""

    engine: BuiltEngine
    config: BuildConfig
    decisions: tuple[Decision, ...]
    report: TuningReport


def tune(
    model: Model,
    config: BuildConfig,
    backend: Backend,
    progress: Progress,
    log: Callable[[str], None] | None = None,
) -> Tuned:
    """Measure candidates on the GPU here for as long as `config` allows, and return the best.

    What one build measures of tactics serves the others. Ctrl-C ends the search with the best so far, as the report
    says. Raises Interrupted before there is one, and a TrtconvError where no candidate can be built.
    """
    device = gpu_device.open_device()
    require_polygraphy()
    costs = predicted_choices(model, config, Choices(config.keep_native))
    budget_s = DEFAULT_BUDGET_S if config.tune_budget_s is None else config.tune_budget_s
    with files.temporary_folder() as folder, kernels_kept(backend):
        own = replace(config, timing_cache=config.timing_cache or folder / "timing.cache")
        bench = EngineBench(model.path, own, backend, device, costs.groups, costs, progress, log)
        found = search(bench, costs.groups, table_for(backend.gpu).noise, budget_s, progress)
    decisions = found.engine.prepared.report.decisions
    return Tuned(
        engine=found.engine,
        config=replace(bench.config_of(found.candidate), decisions=config.decisions, timing_cache=config.timing_cache),
        decisions=tuple(_with_times(decisions, found.report.candidates)),
        report=found.report,
    )


def _with_times(decisions: Iterable[Decision], tried: Iterable[TriedCandidate]) -> Iterable[Decision]:
    """Add to decisions what the whole network took when their nodes changed, in microseconds."""
    measured: dict[str, dict[str, float]] = {}
    for each in tried:
        if each.median_us is not None and each.choice is not None:
            for node in each.nodes:
                measured.setdefault(node, {})[each.choice] = round(each.median_us, 2)
    for decision in decisions:
        own = measured.get(decision.node)
        yield (decision if own is None else replace(decision, figures={**decision.figures, "network_us": own}))
