"""What `--ops auto` takes: the search of a whole network grows as the network does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest

from trtconv import dry_run
from trtconv.config import BuildConfig
from trtconv.costs import choice
from trtconv.costs.prediction import predict
from trtconv.costs.tables import Rate
from trtconv.costs.work import Work
from trtconv.passes import choose_by_cost

HEAD = '<ir_version: 8, opset_import: ["": 17]> g (float[1,2,64,64] t0'
TRY, TIME = choose_by_cost._try, Rate.time
SCALE = "s = Constant<value_floats=[1.0, 1.0]>()"


def write_chain(path: Path, *calls: str) -> Path:
    """Write a model of calls in a row, `t` is what each reads."""
    steps = (f"t{n + 1} = {call.replace('(t', f'(t{n}')}" for n, call in enumerate(calls))
    text = f"{HEAD}) => (float[1,2,64,64] t{len(calls)}) {{ {SCALE} {' '.join(steps)} }}"
    onnx.save(onnx.parser.parse_model(text), path)
    return path


@pytest.mark.parametrize("between", [0, 40], ids=["norm by norm", "many nodes between"])
def test_the_search_grows_no_faster_than_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, between: int
) -> None:
    """No convolution lies between the norms: searched at once, 125 of them took a minute."""
    counts: list[int] = []

    def counted(works: Sequence[Work], *others: Any) -> Any:
        counts.append(len(works))
        return predict(works, *others)

    monkeypatch.setattr(choice, "predict", counted)
    found = []
    for num in (16, 32):
        path = write_chain(
            tmp_path / f"{num}.onnx", *["InstanceNormalization(t, s, s)", *["Sigmoid(t)"] * between] * num
        )
        counts.clear()
        report = dry_run(path, BuildConfig(ops="auto", backend="tensorrt"))
        assert len(report.decisions) == num
        assert all("predicted_us" in decision.figures for decision in report.decisions)
        found.append(sum(counts))
    assert 0 < found[1] < 2.5 * found[0]


def test_a_model_with_nothing_to_choose_is_tried_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def noted(*args: Any) -> Any:
        tried.append(args[2])
        return TRY(*args)

    monkeypatch.setattr(choose_by_cost, "_try", noted)
    config = BuildConfig(ops="auto", backend="tensorrt")
    dry_run(write_chain(tmp_path / "plain.onnx", "Sigmoid(t)"), config)
    assert tried == ["rewritten"]
    dry_run(write_chain(tmp_path / "norm.onnx", "InstanceNormalization(t, s, s)"), config)
    assert sorted(tried[1:]) == ["fused", "plugin", "rewritten"]


def test_a_choice_asks_for_each_time_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All networks that are compared, and all areas, are of the same layers."""
    asked: list[tuple[int, float]] = []

    def noted(rate: Rate, num_bytes: float) -> float:
        asked.append((id(rate), num_bytes))
        return TIME(rate, num_bytes)

    monkeypatch.setattr(Rate, "time", noted)
    path = write_chain(tmp_path / "norms.onnx", *["InstanceNormalization(t, s, s)"] * 16)
    dry_run(path, BuildConfig(ops="auto", backend="tensorrt"))
    assert asked
    assert len(asked) == len(set(asked))


def test_a_group_is_searched_with_what_is_around_it() -> None:
    """Parts hold every group once, no work twice, and a work that a group stands for wherever it is."""
    works = [Work(f"w{n}", "pointwise", [f"t{n}"], [f"t{n + 1}"]) for n in range(5000)]
    covers = [{"w10", "w4000"}, {"w11"}, *({f"w{n}"} for n in range(600, 620)), {"w3000"}]
    groups = [choice.Group([choice.Option("native"), choice.Option("plugin", (), frozenset(each))]) for each in covers]
    parts = list(choice._parts(works, groups))
    assert [group for _, own in parts for group in own] == groups
    for own_works, own in parts:
        names = [work.name for work in own_works]
        assert names == sorted(names, key=lambda name: int(name[1:]))
        assert all(group.covers <= set(names) for group in own)
        assert len(own) <= 4
        assert len(names) <= 1001
    around = {work.name for work in parts[-1][0]}
    assert {"w2999", "w3001"} <= around
    assert sum(len(own_works) for own_works, _ in parts) < len(works)
    assert list(choice._parts(works[:500], groups[:2])) == [(works[:500], groups[:2])]
