"""Search for the fastest way to convert a model: candidates are built, timed against the best so far, and compared.

TensorRT's own layers come first, and stay the best until a candidate is faster by more than noise. Then single groups
of nodes change in the best so far, in the order of what is predicted to gain most, as long as the time lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Generic, Protocol, TypeVar

from trtconv.config import Ops
from trtconv.costs.tables import Noise
from trtconv.decisions import NATIVE
from trtconv.errors import Interrupted, TrtconvError
from trtconv.gpu.timing import Timing
from trtconv.passes.base import Wish
from trtconv.passes.cost_choices import ChosenGroup
from trtconv.progress import Progress
from trtconv.reports.tuning_report import TriedCandidate, TuningReport

_PHASE = "Measuring candidates"
_CHOSEN: Ops = "auto"  # the ops of a candidate that is chosen node by node
_UNIFORM: Sequence[Ops] = ("native", "plugin", "fused", "rewritten")


@dataclass(frozen=True)
class Candidate:
    """A way to convert the model: what `ops` says or, for "auto", the choice of each group.

    `nodes` are those that differ from the best so far, which all become `choice`; others carry neither.
    """

    name: str
    ops: Ops
    choices: Sequence[str]
    nodes: Sequence[str] = ()
    choice: str | None = None


class Prepared(Protocol):
    """A model that was prepared as a candidate says; `key` is that of its graph."""

    @property
    def key(self) -> str:
        """Tell the graph from others."""


PreparedT = TypeVar("PreparedT", bound=Prepared)
Built = TypeVar("Built")


class Bench(Protocol[PreparedT, Built]):
    """The door to what builds, times and compares engines. Each may raise a TrtconvError for one candidate."""

    def prepare(self, candidate: Candidate) -> PreparedT:
        """Return the prepared model of a candidate."""

    def build(self, prepared: PreparedT) -> Built:
        """Return its engine."""

    def time(self, engines: Sequence[Built]) -> list[Timing]:
        """Time engines in turn."""

    def problem(self, engine: Built, native: Built | None) -> str | None:
        """Return what is wrong with what an engine computes; `native` may be as wrong."""


@dataclass(frozen=True)
class Found(Generic[Built]):
    """The best candidate, its engine, and how it was found."""

    candidate: Candidate
    engine: Built
    report: TuningReport


def uniform(groups: Sequence[ChosenGroup], ops: Ops) -> tuple[str, ...]:
    """Return the choice of each group in a conversion that makes the same of all nodes."""
    most = _UNIFORM.index(ops)
    return tuple(next(each for each in reversed(_UNIFORM[: most + 1]) if each in group.options) for group in groups)


def first_candidates(groups: Sequence[ChosenGroup]) -> list[Candidate]:
    """Return the candidates that need no search, TensorRT's own layers first."""
    plain = [Candidate(ops, ops, uniform(groups, ops)) for ops in _UNIFORM]
    return [*plain, Candidate(_CHOSEN, _CHOSEN, tuple(group.choice for group in groups))]


def changes(best: Candidate, groups: Sequence[ChosenGroup]) -> Iterator[Candidate]:
    """Yield the best candidate with one change each, the one with the largest predicted gain first.

    Groups that are alike, as the blocks of a network are, change together first, and then alone.
    """
    found: list[tuple[float, Candidate]] = []
    alike: dict[tuple[str, tuple[tuple[str, float], ...]], list[int]] = {}
    for index, group in enumerate(groups):
        times = tuple((choice, round(microseconds, 1)) for choice, microseconds in group.microseconds.items())
        alike.setdefault((best.choices[index], times), []).append(index)
    for (current, _), indices in alike.items():
        first = groups[indices[0]]
        for choice in (each for each in first.options if each != current):
            for together in (indices, *([index] for index in indices if len(indices) > 1)):
                gain = first.microseconds.get(current, 0.0) - first.microseconds.get(choice, 0.0)
                found.append((gain * len(together), _changed(best, groups, together, choice)))
    yield from (candidate for _, candidate in sorted(found, key=lambda each: -each[0]))


def _changed(best: Candidate, groups: Sequence[ChosenGroup], indices: Sequence[int], choice: str) -> Candidate:
    choices = [choice if index in indices else each for index, each in enumerate(best.choices)]
    nodes = sorted(address for index in indices for address in groups[index].addresses)
    more = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
    return Candidate(f"{nodes[0]}{more} {choice}", _CHOSEN, tuple(choices), nodes, choice)


def search(
    bench: Bench[PreparedT, Built],
    groups: Sequence[ChosenGroup],
    noise: Noise,
    budget_s: float,
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
) -> Found[Built]:
    """Return the fastest candidate that computes what the model does.

    No candidate is begun that would end after `budget_s` seconds if it took as long as the slowest so far; TensorRT's
    own layers are always measured. Ctrl-C ends the search with the best so far. Raises Interrupted where there is none
    yet, and the error of the last candidate where no engine could be built.
    """
    run = _Search(bench, noise, budget_s, progress, clock)
    is_interrupted = False
    progress.phase_start(_PHASE, None, len(_UNIFORM) + 1)
    try:
        ended = run.all_of(groups)
        run.confirm()
    except (KeyboardInterrupt, Interrupted):
        if run.best is None:
            raise
        ended, is_interrupted = "interrupted", True
    finally:
        progress.phase_finish(_PHASE)
    if run.best is None:
        raise run.failure or TrtconvError("no candidate could be built")
    candidate, engine = run.best
    report = TuningReport(run.tried, candidate.name, clock() - run.start, ended, is_interrupted)
    return Found(candidate, engine, report)


@dataclass
class _Search(Generic[PreparedT, Built]):
    bench: Bench[PreparedT, Built]
    noise: Noise
    budget_s: float
    progress: Progress
    clock: Callable[[], float]
    best: tuple[Candidate, Built] | None = None
    native: Built | None = None
    failure: TrtconvError | None = None
    tried: list[TriedCandidate] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    start: float = 0.0
    slowest_s: float = 0.0

    def all_of(self, groups: Sequence[ChosenGroup]) -> str:
        """Try the first candidates, then changes of the best one until none gains; return why no more are tried."""
        self.start = self.clock()
        for candidate in first_candidates(groups):
            if not self._has_time():
                return "the time was spent"
            self._try(candidate)
        known: set[tuple[str, ...]] = set()
        while self.best is not None:
            before = self.best
            for candidate in changes(self.best[0], groups):
                if tuple(candidate.choices) in known:
                    continue
                known.add(tuple(candidate.choices))
                if not self._has_time():
                    return "the time was spent"
                self._try(candidate)
                if self.best is not before:
                    break
            if self.best is before:
                break
        return "no change of single nodes gains"

    def confirm(self) -> None:
        """Time the best once more against TensorRT's own layers, which win where it is not clearly faster."""
        if self.best is None or self.native is None or self.best[1] is self.native:
            return
        try:
            native, best = self.bench.time([self.native, self.best[1]])
        except Interrupted:
            raise
        except TrtconvError:
            return  # it was faster when it was tried
        name = self.best[0].name
        self.tried.append(TriedCandidate(NATIVE, native.median_us, name, best.median_us, "timed once more"))
        if not self._beats_native(best, native):
            self.best = Candidate(NATIVE, NATIVE, ()), self.native

    def _has_time(self) -> bool:
        spent = self.clock() - self.start
        return not self.tried or spent + self.slowest_s <= self.budget_s

    def _try(self, candidate: Candidate) -> None:
        """Build and time a candidate; one that fails, computes something else or is not faster leaves the best."""
        begin = self.clock()
        tried = TriedCandidate(candidate.name, nodes=candidate.nodes, choice=candidate.choice)
        try:
            tried = self._measured(candidate, tried)
        except Interrupted:
            raise
        except TrtconvError as error:
            self.failure = error
            tried = replace(tried, problem=str(error))
        self.tried.append(tried)
        self.slowest_s = max(self.slowest_s, self.clock() - begin)
        self.progress.step_complete(_PHASE, len(self.tried) - 1)

    def _measured(self, candidate: Candidate, tried: TriedCandidate) -> TriedCandidate:
        prepared = self.bench.prepare(candidate)
        if prepared.key in self.seen:
            return replace(tried, problem=f"the same graph as {self.seen[prepared.key]}")
        self.seen[prepared.key] = candidate.name
        engine = self.bench.build(prepared)
        if self.best is None:
            (timing,) = self.bench.time([engine])
            self._take(candidate, engine)
            return replace(tried, median_us=timing.median_us)
        best, timing = self.bench.time([self.best[1], engine])
        tried = replace(tried, median_us=timing.median_us, best=self.best[0].name, best_median_us=best.median_us)
        if not self._is_faster(timing, best):
            return tried
        problem = self.bench.problem(engine, self.native)
        if problem is None:
            self._take(candidate, engine)
        return replace(tried, problem=problem)

    def _take(self, candidate: Candidate, engine: Built) -> None:
        self.best = candidate, engine
        if candidate.ops == NATIVE:
            self.native = engine

    def _is_faster(self, timing: Timing, best: Timing) -> bool:
        """Say whether a candidate beats the best: clearly where that is native, else where their times do not mix."""
        if self.best is not None and self.best[1] is self.native:
            return self._beats_native(timing, best)
        return timing.high_us < best.low_us

    def _beats_native(self, timing: Timing, native: Timing) -> bool:
        return native.median_us - timing.median_us > self.noise.of(native.median_us)


def wishes_of(groups: Sequence[ChosenGroup], choices: Sequence[str], reason: str) -> Mapping[str, Wish]:
    """Return what the passes make of nodes at most when the groups have these choices, for that reason."""
    pairs = zip(groups, choices, strict=True)
    return {address: wish for group, choice in pairs for address, wish in group.wishes(choice, reason).items()}
