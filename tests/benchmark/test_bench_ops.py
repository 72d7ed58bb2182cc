"""`trtconv bench --ops` on a fake device: what is checked, timed, computed and told."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.support.bench_fakes import (
    CASES,
    FUSED,
    GROUPS,
    LARGE,
    PAD,
    PLACED,
    SMALL,
    FakeDevice,
    FakeLibrary,
)
from tests.support.ops_rig import L2_BYTES, MICROSECONDS, Rig
from trtconv.benchmark import ops
from trtconv.benchmark.cases import Case
from trtconv.benchmark.one_op_engines import BuiltEngine
from trtconv.benchmark.ops import OpsOptions, bench_ops
from trtconv.benchmark.ops_report import OpsReport
from trtconv.errors import BackendError, ConfigError
from trtconv.gpu import timing
from trtconv.gpu.timing import MAX_LAUNCHES, MIN_GRAPH_MS, NUM_REPLAYS


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


def result_of(report: OpsReport, case: Case) -> Any:
    return next(result for result in report.results if result.case == case)


def test_every_kernel_is_checked_and_timed_beside_a_copy_and_native(rig: Rig) -> None:
    report = bench_ops(OpsOptions(engines=True))
    assert report.exit_code == 0
    assert [result.case for result in report.results] == list(CASES)
    for result in report.results:
        assert result.status == "timed", result.problem
        assert result.worst_error is not None
        assert result.worst_error <= 1
        for variant, microseconds in MICROSECONDS.items():
            expected = None if variant == "native_op" and result.case != GROUPS else pytest.approx(microseconds)
            assert result.median_us(variant) == expected
        assert result.speed_against("copy") == pytest.approx(0.8)
        assert result.speed_against("native") == pytest.approx(2.5)
        assert result.host_us is not None
        assert not result.engine_problems
    norm = result_of(report, SMALL)
    assert norm.gigabytes_per_second("kernel") == pytest.approx(2 * 2 * 3 * 5 * 7 * 4 / 10e-6 / 1e9)
    pad = result_of(report, PAD)
    assert pad.gigabytes_per_second("kernel") == pytest.approx((2 * 3 * 8 * 9 + 2 * 3 * 12 * 13) / 10e-6 / 1e9)
    assert rig.device.allocated == {}, "memory is freed"
    assert rig.device.graphs_alive == 0


def test_what_exceeds_l2_goes_round_more_memory_than_four_times_l2(rig: Rig) -> None:
    report = bench_ops(OpsOptions(native=False))
    large, small = result_of(report, LARGE), result_of(report, SMALL)
    assert (large.fits_l2, small.fits_l2) == (False, True)
    assert large.num_sets * LARGE.num_bytes > 4 * L2_BYTES
    assert small.num_sets == 1
    assert all(result.num_sets == 1 for result in report.results if result.fits_l2)


def test_launches_go_round_the_buffers(rig: Rig) -> None:
    (result,) = bench_ops(OpsOptions(patterns=(LARGE.name,), native=False)).results
    launches = rig.library.inputs[1 : 1 + 5 * result.num_sets]  # behind the one that is checked
    assert len(set(launches)) == result.num_sets
    assert launches == launches[: result.num_sets] * 5


def test_what_is_checked_was_poisoned_before(rig: Rig) -> None:
    """An output that an earlier launch left right must not hide a kernel that writes nothing."""
    for case in (SMALL, PAD):
        rig.library.before.clear()
        bench_ops(OpsOptions(patterns=(case.name,), native=False))
        assert set(rig.library.before[0]) == {0xFF}


def test_the_limit_of_the_error_is_one(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    for error, status in ((1.0, "timed"), (1.01, "wrong")):
        monkeypatch.setattr(ops.checking, "worst_kernel_error", lambda *_, error=error: error)
        (result,) = bench_ops(OpsOptions(patterns=(SMALL.name,), native=False)).results
        assert result.status == status


def test_launches_take_turns_and_fill_a_graph(rig: Rig) -> None:
    bench_ops(OpsOptions(patterns=(SMALL.name,), native=False))
    num_launches = MIN_GRAPH_MS * 1000 / MICROSECONDS["kernel"]
    assert rig.device.launched.count("kernel") >= num_launches
    assert rig.device.launched.count("copy") >= MIN_GRAPH_MS * 1000 / MICROSECONDS["copy"]
    rig.device.microseconds = {**MICROSECONDS, "kernel": 0.001}
    rig.device.launched.clear()
    bench_ops(OpsOptions(patterns=(SMALL.name,), native=False))
    assert rig.device.launched.count("kernel") <= 2 * MAX_LAUNCHES, "a graph has a largest size"


@pytest.mark.parametrize("case", [SMALL, PAD])
def test_a_wrong_kernel_is_reported_and_never_timed(rig: Rig, case: Case) -> None:
    def spoil(y: np.ndarray) -> None:
        y.reshape(-1)[-1] += 1

    rig.library.spoil = spoil
    report = bench_ops(OpsOptions(patterns=(case.name,)))
    (result,) = report.results
    assert report.exit_code == 1
    assert result.status == "wrong"
    assert result.timings == {}
    assert "copy" not in rig.device.launched
    assert "WRONG" in report.render()
    assert "times what is allowed" in report.render()
    json.loads(json.dumps(report.to_json()), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_a_kernel_that_writes_nothing_is_wrong(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.library, "_store", lambda address, result, layout: None)
    report = bench_ops(OpsOptions(native=False))
    assert [result.status for result in report.results] == ["wrong"] * len(CASES)


WRONG_NORMS: dict[str, Callable[..., dict[str, Any]]] = {
    "epsilon": lambda given: {**given, "epsilon": 1e-3},
    "order": lambda given: {**given, "scale": given["bias"], "bias": given["scale"]},
    "groups": lambda given: {**given, "groups": 2 if not given["groups"] else 0},
    "residual": lambda given: {**given, "residual": None},
    "pad_mode": lambda given: {**given, "pad_mode": "edge"},
    "pads": lambda given: {**given, "pads": [1, 2, 3, 2]},
    "activation": lambda given: {**given, "activation": "none" if given["activation"] == "relu" else "relu"},
}


@pytest.mark.parametrize(
    ("mistake", "case"),
    [
        *((mistake, case) for mistake in ("epsilon", "order", "mean", "activation") for case in (SMALL, LARGE, FUSED)),
        *(("groups", case) for case in (LARGE, GROUPS)),
        ("residual", FUSED),
        *((mistake, PLACED) for mistake in ("epsilon", "activation", "pad_mode", "pads")),
    ],
)
def test_the_check_sees_small_mistakes(rig: Rig, mistake: str, case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support import bench_fakes

    reference = bench_fakes.instance_norm_reference

    def wrong(x: Any, scale: Any, bias: Any, epsilon: float, **others: Any) -> Any:
        given = {"scale": scale, "bias": bias, "epsilon": epsilon, **others}
        return reference(x, **given) + 2e-3 if mistake == "mean" else reference(x, **WRONG_NORMS[mistake](given))

    monkeypatch.setattr(bench_fakes, "instance_norm_reference", wrong)
    (result,) = bench_ops(OpsOptions(patterns=(case.name,), native=False)).results
    assert result.status == "wrong"


def test_native_is_the_faster_of_its_two_forms(rig: Rig) -> None:
    rig.device.microseconds = {**MICROSECONDS, "native_op": 20.0}
    (result,) = bench_ops(OpsOptions(patterns=(GROUPS.name,))).results
    assert result.median_us("native") == pytest.approx(20)
    rig.built = {(GROUPS, "native_op"): BuiltEngine(None, "scale has a wrong shape")}
    report = bench_ops(OpsOptions(patterns=(GROUPS.name,)))
    assert report.results[0].median_us("native") == pytest.approx(25)
    assert "native, as ONNX's own op: scale has a wrong shape" in " ".join(report.render().split())


def test_an_engine_that_is_missing_or_wrong_is_left_out_and_named(rig: Rig) -> None:
    rig.built = {(SMALL, "native"): BuiltEngine(None, "no such layer")}
    rig.spoil_engine["native"] = lambda y: y.__setitem__(..., y + 1)
    report = bench_ops(OpsOptions(engines=True))
    assert report.exit_code == 0, "TensorRT's mistakes are not ours"
    small, pad = result_of(report, SMALL), result_of(report, PAD)
    assert small.engine_problems == {"native": "no such layer"}
    assert "its result is wrong" in pad.engine_problems["native"]
    assert set(small.timings) == {"kernel", "copy", "plugin"}
    assert "native: no such layer" in report.render()


def test_a_plugin_that_is_wrong_only_in_an_engine_is_a_failure(rig: Rig) -> None:
    rig.spoil_engine["plugin"] = lambda y: y.__setitem__(..., y + 1)
    report = bench_ops(OpsOptions(patterns=(SMALL.name,), engines=True))
    assert report.exit_code == 1
    assert "the plugin in an engine is wrong" in report.render(width=200)


def test_without_tensorrt_it_goes_on_and_says_so(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops, "find_tensorrt", lambda: (None, "no backend: tensorrt cannot be imported"))
    monkeypatch.setattr(ops, "build_engines", lambda *_: pytest.fail("nothing to build with"))
    report = bench_ops(OpsOptions())
    assert report.exit_code == 0
    assert "native is missing: no backend: tensorrt cannot be imported" in report.render(width=200)
    assert all(mean.vs_native is None for mean in report.means())


def test_what_the_library_or_the_memory_lacks_is_skipped(rig: Rig) -> None:
    rig.library.status = -2
    report = bench_ops(OpsOptions(native=False))
    assert {result.status for result in report.results} == {"skipped"}
    assert "has no kernel for" in (report.results[0].problem or "")
    assert report.exit_code == 0
    rig.library.status = 0
    rig.device.memory_bytes = 50_000
    report = bench_ops(OpsOptions(native=False))
    assert {result.case.shape for result in report.results if result.status == "skipped"} == {LARGE.shape}
    rig.library.status = 700
    with pytest.raises(BackendError, match="CUDA error 700"):
        bench_ops(OpsOptions(native=False))


def test_means_are_geometric_and_leave_out_of_copy_what_fits_l2(rig: Rig) -> None:
    results = [
        replace(base, timings={name: replace(base.timings["kernel"], median_us=us) for name, us in times.items()})
        for base, times in zip(
            [replace(each, case=LARGE) for each in bench_ops(OpsOptions(patterns=(LARGE.name,))).results] * 3,
            (
                {"kernel": 1.0, "copy": 0.5, "native": 2.0},
                {"kernel": 1.0, "copy": 0.98, "native": 8.0},
                {"kernel": 1.0, "copy": 9.0, "native": 0.5},
            ),
            strict=True,
        )
    ]
    results[2] = replace(results[2], fits_l2=True)
    (mean,) = OpsReport({}, results).means()
    assert mean.of_copy == pytest.approx(0.7)
    assert mean.vs_native == pytest.approx(2.0)
    assert mean.worst_vs_native == pytest.approx(0.5)


def test_json_holds_everything(rig: Rig) -> None:
    report = bench_ops(OpsOptions(engines=True))
    document = json.loads(json.dumps(report.to_json()))
    again = OpsReport.from_json(document)
    assert again.render() == report.render()
    assert again.to_json() == report.to_json()
    assert document["machine"]["gpu"] == "Fake GPU"
    assert document["results"][0]["name"] == "InstanceNorm/2x3x5x7/fp32/linear"
    assert len(report.results[0].timings) == 4


def test_the_table_marks_what_fits_l2(rig: Rig) -> None:
    lines = bench_ops(OpsOptions()).render().splitlines()
    assert any("2x3x5x7" in line and "(L2)" in line for line in lines)
    (large, fused) = [line for line in lines if "2x4x40x50" in line]
    assert "2x4x40x50 residual+relu" in fused
    assert large.split() == ["2x4x40x50", "10.00", "8.00", "6", "0.80", "25.00", "2.50x", large.split()[-1]]


def test_a_tensor_of_one_size_is_copied_by_as_many_bytes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = []
    monkeypatch.setattr(FakeDevice, "copy", lambda self, target, source, count, stream: copied.append(count) or
                        self.launch("copy", lambda: None))  # fmt: skip
    bench_ops(OpsOptions(patterns=(PAD.name,), native=False))
    assert set(copied) == {PAD.num_bytes // 2}
    monkeypatch.setattr(ops, "COPY_PIECE_BYTES", 500)
    copied.clear()
    bench_ops(OpsOptions(patterns=(PAD.name,), native=False))
    half = PAD.num_bytes // 2
    assert copied[: half // 500 + 1] == [500] * (half // 500) + [half % 500]


def test_host_time_is_that_of_a_launch_alone(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that enqueues nothing takes 40 us here and a launch 90: Python's share is taken off."""
    clock = [0]
    launch = FakeLibrary.trtconv_reflect_pad

    def slow(self: FakeLibrary, *arguments: Any) -> int:
        before = len(self.device.launched)
        status = launch(self, *arguments)
        clock[0] += 90_000 if len(self.device.launched) > before else 40_000
        return status

    monkeypatch.setattr(FakeLibrary, "trtconv_reflect_pad", slow)
    monkeypatch.setattr(timing.time, "perf_counter_ns", lambda: clock[0])
    (result,) = bench_ops(OpsOptions(patterns=(PAD.name,), native=False)).results
    assert result.host_us == pytest.approx(50)


def test_host_time_is_that_of_a_warm_processor(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, launches = [0], itertools.count()

    def enqueue(index: int, stream: int) -> None:
        clock[0] += 9000 if next(launches) < 400 else 4000

    monkeypatch.setattr(timing, "_HOST_CALLS", 20)
    monkeypatch.setattr(timing.time, "perf_counter_ns", lambda: clock[0])
    assert timing.host_microseconds(rig.device, enqueue) == pytest.approx(4)


def test_jobs_are_bounded_by_memory(rig: Rig) -> None:
    rig.device.memory_bytes = 9 << 30
    bench_ops(OpsOptions(patterns=(SMALL.name,)))
    assert 1 <= rig.num_jobs <= 2
    bench_ops(OpsOptions(patterns=(SMALL.name,), num_jobs=7))
    assert rig.num_jobs == 7
    assert bench_ops(OpsOptions(patterns=(SMALL.name,), num_jobs=7)).machine["engines_built_at_once"] == 7
    with pytest.raises(ConfigError, match="at least one process"):
        OpsOptions(num_jobs=0)


def test_replays_are_taken_in_turn(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that falls while it runs meets all variants alike: ratios stay."""
    slowdown = iter(1 + step / 50 for step in range(10_000))
    replayed: list[float] = []

    def replay(self: FakeDevice, graph: float) -> float:
        replayed.append(graph)
        return graph * next(slowdown)

    monkeypatch.setattr(FakeDevice, "replay", replay)
    (result,) = bench_ops(OpsOptions(patterns=(SMALL.name,))).results
    assert result.speed_against("native") == pytest.approx(2.5, rel=0.05)
    assert len(replayed) == 3 * (NUM_REPLAYS + 3)
    timing = result.timings["kernel"]
    assert timing.low_us < timing.median_us < timing.high_us
