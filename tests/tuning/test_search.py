"""The search of --tune on made-up landscapes: what is built, timed and kept, without TensorRT and without a GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from trtconv.costs.tables import Noise
from trtconv.errors import BackendError, Interrupted
from trtconv.gpu.timing import Timing
from trtconv.passes.cost_choices import ChosenGroup
from trtconv.progress import NoProgress
from trtconv.tuning.search import Candidate, Found, changes, first_candidates, search, uniform, wishes_of

NOISE = Noise(us=2.0, share=0.02)
CHOICES = ("native", "plugin", "fused")


def group(name: str, choice: str = "fused", predicted: Sequence[float] = (30, 20, 10)) -> ChosenGroup:
    """Return a group of a norm and the activation after it."""
    options = {
        "native": {name: "native", f"{name}/Relu": "native"},
        "plugin": {name: "plugin", f"{name}/Relu": "native"},
        "fused": {name: "plugin", f"{name}/Relu": "fused"},
    }
    return ChosenGroup(choice, dict(zip(CHOICES, map(float, predicted), strict=True)), options)


@dataclass(frozen=True)
class Engine:
    """A candidate that was prepared, and then built."""

    candidate: Candidate
    key: str


@dataclass
class FakeBench:
    """Times are what `microseconds` says of the choices of the groups; a build takes `build_s` on a fake clock."""

    microseconds: Callable[[Sequence[str]], float]
    build_s: float = 10.0
    spread: float = 0.001
    failing: Mapping[str, str] = field(default_factory=dict)
    wrong: Mapping[str, str] = field(default_factory=dict)
    interrupted_at: int | None = None
    now: float = 0.0
    built: list[Candidate] = field(default_factory=list)
    timed: list[list[str]] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    def prepare(self, candidate: Candidate) -> Engine:
        return Engine(candidate, " ".join(candidate.choices))

    def build(self, prepared: Engine) -> Engine:
        if len(self.built) == self.interrupted_at:
            raise Interrupted("the build was interrupted")
        self.built.append(prepared.candidate)
        self.now += self.build_s
        if prepared.candidate.name in self.failing:
            raise BackendError(self.failing[prepared.candidate.name])
        return prepared

    def time(self, engines: Sequence[Engine]) -> list[Timing]:
        self.timed.append([each.candidate.name for each in engines])
        times = [self.microseconds(each.candidate.choices) for each in engines]
        return [Timing(time, time * (1 - self.spread), time * (1 + self.spread)) for time in times]

    def problem(self, engine: Engine, native: Engine | None) -> str | None:
        assert native is not None
        assert native.candidate.name == "native"
        return self.wrong.get(engine.candidate.name)


def run(bench: FakeBench, groups: Sequence[ChosenGroup], budget_s: float = 1e6) -> Found[Engine]:
    return search(bench, groups, NOISE, budget_s, NoProgress(), bench.clock)


def additive(*times: Mapping[str, float], base: float = 100.0) -> Callable[[Sequence[str]], float]:
    """Return a landscape in which every group adds its own time."""
    return lambda choices: base + sum(own[choice] for own, choice in zip(times, choices, strict=True))


def test_the_first_candidates_are_the_uniform_ones_and_the_predicted() -> None:
    no_fused = ChosenGroup("plugin", {}, {"native": {"a": "native"}, "plugin": {"a": "plugin"}})
    groups = [group("a", "plugin"), no_fused]
    found = [(each.name, tuple(each.choices)) for each in first_candidates(groups)]
    assert found == [
        ("native", ("native", "native")),
        ("plugin", ("plugin", "plugin")),
        ("fused", ("fused", "plugin")),
        ("rewritten", ("fused", "plugin")),
        ("auto", ("plugin", "plugin")),
    ]
    assert uniform([no_fused], "fused") == ("plugin",)


def test_greedy_search_finds_what_single_changes_reach() -> None:
    times = [
        {"native": 30.0, "plugin": 20.0, "fused": 10.0},
        {"native": 5.0, "plugin": 20.0, "fused": 30.0},
        {"native": 30.0, "plugin": 8.0, "fused": 20.0},
    ]
    groups = [group(name, predicted=(30, 20, 10 + number)) for number, name in enumerate("abc")]
    bench = FakeBench(additive(*times))
    found = run(bench, groups)
    assert tuple(found.candidate.choices) == ("fused", "native", "plugin")
    assert found.candidate.ops == "auto"
    assert bench.microseconds(found.engine.candidate.choices) == 123
    assert bench.timed[-1] == ["native", found.candidate.name], "the best is timed once more beside native"
    assert found.report.ended == "no change of single nodes gains"


def test_like_groups_change_together_first() -> None:
    groups = [group(name, predicted=(30, 20, 10)) for name in "abc"]
    best = Candidate("fused", "fused", ("fused",) * 3)
    found = list(changes(best, groups))
    assert [tuple(each.choices) for each in found][:3] == [
        ("plugin", "fused", "fused"), ("fused", "plugin", "fused"), ("fused", "fused", "plugin"),
    ]  # fmt: skip
    assert {tuple(each.choices) for each in found} >= {("native",) * 3, ("plugin",) * 3}
    together = next(each for each in found if tuple(each.choices) == ("native",) * 3)
    assert len(together.nodes) == 6
    cheap = [group(name, "native", predicted=(30, 20, 10)) for name in "ab"]
    first = next(changes(Candidate("native", "native", ("native", "native")), cheap))
    assert tuple(first.choices) == ("fused", "fused"), "two changes gain twice as much"


@pytest.mark.parametrize(("fused_us", "winner"), [(98.5, "native"), (97.0, "fused")])
def test_native_wins_ties_within_noise(fused_us: float, winner: str) -> None:
    bench = FakeBench(lambda choices: {"native": 100.0, "plugin": 120.0, "fused": fused_us}[choices[0]])
    assert run(bench, [group("a")]).candidate.name == winner
    taken = 2 if winner == "fused" else 1
    assert bench.timed.count(["native", "fused"]) == taken, "only one that was taken is timed once more"


def test_noise_counts_on_small_networks() -> None:
    bench = FakeBench(lambda choices: {"native": 10.0, "plugin": 8.5, "fused": 9.0}[choices[0]])
    assert run(bench, [group("a")]).candidate.name == "native"


def test_times_that_mix_do_not_replace_the_best() -> None:
    bench = FakeBench(lambda choices: {"native": 200.0, "plugin": 100.0, "fused": 99.0}[choices[0]], spread=0.02)
    assert run(bench, [group("a")]).candidate.name == "plugin"
    clear = FakeBench(bench.microseconds, spread=0.001)
    assert run(clear, [group("a")]).candidate.name == "fused"


def test_the_budget_stops_before_a_candidate_that_would_exceed_it() -> None:
    bench = FakeBench(additive({"native": 30.0, "plugin": 20.0, "fused": 10.0}), build_s=10)
    found = run(bench, [group("a")], budget_s=25)
    assert [each.name for each in bench.built] == ["native", "plugin"]
    assert found.candidate.name == "plugin"
    assert found.report.ended == "the time was spent"
    assert bench.now <= 25
    none = FakeBench(bench.microseconds, build_s=10)
    assert run(none, [group("a")], budget_s=1).candidate.name == "native", "native is always measured"


@pytest.mark.parametrize(("interrupted_at", "winner"), [(1, "native"), (2, "plugin"), (3, "fused")])
def test_an_interrupt_keeps_the_best_so_far(interrupted_at: int, winner: str) -> None:
    times = additive({"native": 30.0, "plugin": 20.0, "fused": 10.0}, {"native": 30.0, "plugin": 20.0, "fused": 10.0})
    bench = FakeBench(times, interrupted_at=interrupted_at)
    found = run(bench, [group("a"), group("b", predicted=(30, 10, 20))])
    assert found.candidate.name == winner
    assert found.report.is_interrupted
    assert found.report.ended == "interrupted"


def test_an_interrupt_before_the_first_engine_leaves_nothing() -> None:
    with pytest.raises(Interrupted):
        run(FakeBench(lambda choices: 1.0, interrupted_at=0), [group("a")])


def test_ctrl_c_while_engines_are_timed_keeps_the_best() -> None:
    class Impatient(FakeBench):
        def time(self, engines: Sequence[Engine]) -> list[Timing]:
            if len(self.timed) == 2:
                raise KeyboardInterrupt
            return super().time(engines)

    bench = Impatient(additive({"native": 30.0, "plugin": 20.0, "fused": 10.0}))
    found = run(bench, [group("a")])
    assert found.candidate.name == "plugin"
    assert found.report.is_interrupted


def test_a_candidate_that_fails_is_skipped_with_its_reason() -> None:
    bench = FakeBench(
        additive({"native": 30.0, "plugin": 20.0, "fused": 10.0}), failing={"plugin": "no implementation for node a"}
    )
    found = run(bench, [group("a")])
    assert found.candidate.name == "fused"
    (plugin,) = (each for each in found.report.candidates if each.name == "plugin")
    assert plugin.problem == "no implementation for node a"
    assert plugin.median_us is None


def test_where_native_cannot_be_built_another_is_the_best() -> None:
    bench = FakeBench(additive({"native": 30.0, "plugin": 20.0, "fused": 50.0}), failing={"native": "unsupported"})
    bench.problem = lambda engine, native: None  # type: ignore[method-assign]
    assert run(bench, [group("a")]).candidate.name == "plugin"
    with pytest.raises(BackendError, match="unsupported"):
        run(FakeBench(bench.microseconds, failing=dict.fromkeys(("native", "plugin", "fused"), "unsupported")),
            [group("a")])  # fmt: skip


def test_a_wrong_engine_never_wins() -> None:
    bench = FakeBench(
        additive({"native": 30.0, "plugin": 20.0, "fused": 10.0}), wrong={"fused": "output y: it differs"}
    )
    found = run(bench, [group("a")])
    assert found.candidate.name == "plugin"
    assert "output y: it differs" in [each.problem for each in found.report.candidates]
    assert any("it differs" in line for line in found.report.lines())


def test_a_graph_is_built_once() -> None:
    bench = FakeBench(additive({"native": 30.0, "plugin": 20.0, "fused": 10.0}))
    found = run(bench, [group("a", "fused")])
    assert len({tuple(each.choices) for each in bench.built}) == len(bench.built) == 3
    (auto,) = (each for each in found.report.candidates if each.name == "auto")
    assert auto.problem == "the same graph as fused"


def test_the_best_gives_way_where_it_is_no_longer_faster() -> None:
    class Drifting(FakeBench):
        def time(self, engines: Sequence[Engine]) -> list[Timing]:
            names = [each.candidate.name for each in engines]
            timings = super().time(engines)
            is_last = names[0] == "native" and names[-1] == "fused" and ["native", "fused"] in self.timed[:-1]
            return [timings[0], timings[0]] if is_last else timings

    bench = Drifting(lambda choices: {"native": 100.0, "plugin": 120.0, "fused": 90.0}[choices[0]])
    assert run(bench, [group("a")]).candidate.name == "native"


def test_what_the_passes_make_follows_from_the_choices() -> None:
    groups = [group("a"), group("b"), group("c")]
    wishes = wishes_of(groups, ("native", "plugin", "fused"), "measured")
    assert {address: wish.choice for address, wish in wishes.items()} == {
        "a": "native", "a/Relu": "native", "b": "plugin", "b/Relu": "native", "c": "plugin", "c/Relu": "fused",
    }  # fmt: skip
    assert {wish.reason for wish in wishes.values()} == {"measured"}
