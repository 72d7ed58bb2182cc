"""The cost model: its constants follow from the measurements, its times grow with the bytes, its regions tear."""

from __future__ import annotations

import itertools
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import choosing_page, fit_costs
from tests.support.choosing_page import PAGE, Pair, rank_correlation, worst
from tests.support.extent import whole_sweep
from tests.support.measured_layers import PUBLISHED
from trtconv.costs import estimates, work
from trtconv.costs.choice import Group, Network, Option, choose
from trtconv.costs.estimates import Estimates
from trtconv.costs.prediction import Layer, UnknownSizeError, predict
from trtconv.costs.tables import CostTable, Noise, Rate, measured_tables, table_for
from trtconv.costs.work import CHANNELS_LAST, LINEAR, Data, Work
from trtconv.gpu.driver import Gpu
from trtconv.ops.instance_norm import INSTANCE_NORM

(TABLE,) = measured_tables()
SIZES = st.integers(1, 1 << 20)
IMAGE = Data((1, 64, 256, 256), 2)


def plugin(name: str, x: str, y: str, **attributes: object) -> Work:
    """Return a norm of ours."""
    values = INSTANCE_NORM.complete({"epsilon": 1e-5, **attributes})
    return Work(name, work.NORM, [x], [y], INSTANCE_NORM, values, INSTANCE_NORM.inputs)


def chain(*kinds: str) -> list[Work]:
    """Return works that read each other: t0 -> t1 -> ..., a convolution with its weights."""
    return [
        Work(
            f"{kind}{index}",
            kind,
            [f"t{index}"],
            [f"t{index + 1}"],
            weights=(64, 64, 3, 3) if kind == work.CONVOLUTION else (),
        )
        for index, kind in enumerate(kinds)
    ]


def kinds(layers: list[Layer]) -> list[str]:
    return [layer.kind for layer in layers]


def test_the_constants_are_what_the_measurements_give(tmp_path: Path) -> None:
    table = fit_costs.fitted(tmp_path)
    assert fit_costs.COSTS.read_text() == fit_costs.as_file(table), "run: python -m tests.support.fit_costs"
    assert table["gpu"] == "NVIDIA H100 80GB HBM3"
    assert all((PAGE.parents[1] / each.split(" ")[0]).is_file() for each in table["sources"])


@given(st.sampled_from(sorted(TABLE.rates)), st.floats(1, 1e11), st.floats(1, 10))
@settings(max_examples=200, deadline=None)
def test_no_rate_falls_with_the_bytes(name: str, num_bytes: float, factor: float) -> None:
    rate = TABLE.rates[name]
    assert 0 < rate.time(num_bytes) <= rate.time(num_bytes * factor) * (1 + 1e-9)
    assert rate.adding(num_bytes) <= rate.adding(num_bytes * factor)


@given(st.integers(1, 512), st.integers(1, 300), st.sampled_from([2, 4]), st.sampled_from([LINEAR, CHANNELS_LAST]))
@settings(max_examples=100, deadline=None)
def test_layers_take_no_less_for_larger_tensors(channels: int, side: int, element_bytes: int, layout: str) -> None:
    if element_bytes == 4:
        layout = LINEAR
    times = []
    for batch in (1, 2):  # TensorRT has other norms for slices of another length
        data = dict.fromkeys(("x", "y"), Data((batch, channels, side, side), element_bytes))
        own = Estimates(TABLE, data)
        times.append((own.plugin(plugin("n", "x", "y"), layout), own.native(work.NORM, "x", "y")))  # type: ignore[arg-type]
    for small, large in zip(*times, strict=True):
        assert small <= large


def test_what_a_norm_does_besides_costs_time() -> None:
    data = {"x": IMAGE, "y": IMAGE, "padded": Data((1, 64, 258, 258), 2)}
    own = Estimates(TABLE, data)
    for layout in (LINEAR, CHANNELS_LAST):
        alone = own.plugin(plugin("n", "x", "y"), layout)  # type: ignore[arg-type]
        assert own.plugin(plugin("n", "x", "y", activation="relu"), layout) > alone  # type: ignore[arg-type]
        assert own.plugin(plugin("n", "x", "padded", pads=[1, 1, 1, 1]), layout) > alone  # type: ignore[arg-type]
        assert own.plugin(plugin("n", "x", "y", groups=32), layout) > alone  # type: ignore[arg-type]
        both = replace(plugin("n", "x", "y"), roles=("X", "scale", "bias", "residual"))
        assert own.plugin(both, layout) > alone  # type: ignore[arg-type]


def test_a_thin_convolution_costs_a_whole_tile() -> None:
    x = Data((1, 64, 256, 256), 2)
    times = []
    for channels in (3, 64, TABLE.convolutions["16"].tile, 2 * TABLE.convolutions["16"].tile):
        layer = Work("c", work.CONVOLUTION, ["x"], ["y"], weights=(channels, 64, 3, 3))
        times.append(Estimates(TABLE, {"x": x, "y": Data((1, channels, 256, 256), 2)}).convolution(layer))
    assert times[2] < 1.5 * times[0], "three channels cost the matrix work of a tile"
    assert times[3] > 1.5 * times[2]


def test_constants_are_those_of_the_gpu_or_are_scaled_and_say_so() -> None:
    h100 = Gpu("NVIDIA H100 80GB HBM3", "sm_90", "13.0", 3352.3)
    assert table_for(h100) is TABLE
    assert TABLE.title == "NVIDIA H100 80GB HBM3, 2026-11-28"
    faster = table_for(Gpu("NVIDIA H200", "sm_90", "13.0", 2 * TABLE.memory_gb_per_s))
    assert faster.rates["copy"].time(1e9) == pytest.approx(TABLE.rates["copy"].time(1e9) / 2, rel=0.01)
    assert faster.rates["copy"].time(1) == TABLE.rates["copy"].time(1), "what a launch takes is no memory's"
    assert "scaled by 2.00 to the memory bandwidth of NVIDIA H200" in faster.title
    unknown = table_for(Gpu("NVIDIA Something", "sm_120", "13.0"))
    assert unknown.rates == TABLE.rates
    assert "NVIDIA Something was not measured" in unknown.title
    assert "no GPU was found here" in table_for(None).title


def test_a_norm_and_what_is_around_it_are_one_region() -> None:
    works = chain(work.CONVOLUTION, work.NORM, work.POINTWISE, work.MOVE, work.CONVOLUTION)
    data = dict.fromkeys((f"t{index}" for index in range(6)), IMAGE)
    layers = predict(works, data, TABLE)
    assert kinds(layers) == ["convolution", "reformat", "norm", "reformat", "convolution"]
    assert list(layers[2].nodes) == ["norm1", "pointwise2", "move3"]


def test_tearing_the_norm_out_leaves_a_layer_for_each_node_that_moves_data() -> None:
    slices = [Work(f"slice{index}", work.MOVE, ["t2"], [f"s{index}"]) for index in range(10)]
    norm, native = plugin("norm1", "t1", "t2"), Work("norm1", work.NORM, ["t1"], ["t2"])
    first = Work("first", work.REDUCTION, ["t0"], ["t1"])
    data = dict.fromkeys(("t0", "t1", "t2"), Data((1, 1, 256, 256), 2))
    data |= dict.fromkeys((f"s{index}" for index in range(10)), Data((1, 1, 25, 256), 2))
    whole = predict([first, native, *slices], data, TABLE)
    torn = predict([first, norm, *slices], data, TABLE)
    assert len(whole) == 1
    assert len(torn) == 12
    assert sum(each.microseconds for each in torn) > sum(each.microseconds for each in whole)


def test_an_activation_behind_a_convolution_costs_nothing() -> None:
    works = chain(work.CONVOLUTION, work.POINTWISE, work.CONVOLUTION)
    data = dict.fromkeys((f"t{index}" for index in range(4)), IMAGE)
    layers = predict(works, data, TABLE)
    assert kinds(layers) == ["convolution", "pointwise", "convolution"]
    assert layers[1].microseconds == 0
    read_twice = [*works, Work("other", work.OTHER, ["t1"], ["t9"])]
    layers = predict(read_twice, data | {"t9": IMAGE}, TABLE)
    assert next(layer for layer in layers if layer.kind == "pointwise").microseconds > 0


def test_of_two_convolutions_a_sum_is_part_of_one() -> None:
    works = [*chain(work.CONVOLUTION), Work("c2", work.CONVOLUTION, ["t0"], ["u"], weights=(64, 64, 3, 3))]
    works.append(Work("sum", work.POINTWISE, ["t1", "u"], ["y"]))
    layers = predict(works, dict.fromkeys(("t0", "t1", "u", "y"), IMAGE), TABLE)
    assert layers[-1].microseconds == pytest.approx(TABLE.rates["pointwise"].adding(IMAGE.num_bytes()))


def test_a_residual_does_not_join_regions_around_a_convolution() -> None:
    works = [
        *chain(work.CONVOLUTION, work.NORM, work.CONVOLUTION),
        Work("norm2", work.NORM, ["t3"], ["n2"]),
        Work("sum", work.POINTWISE, ["n2", "t2"], ["y"]),
    ]
    layers = predict(works, dict.fromkeys(("t0", "t1", "t2", "t3", "n2", "y"), IMAGE), TABLE)
    assert [list(layer.nodes) for layer in layers if layer.kind == "norm"] == [["norm1"], ["norm2", "sum"]]


def test_fp32_is_not_reformatted() -> None:
    works = chain(work.CONVOLUTION, work.NORM, work.CONVOLUTION)
    data = dict.fromkeys((f"t{index}" for index in range(4)), replace(IMAGE, element_bytes=4))
    assert kinds(predict(works, data, TABLE)) == ["convolution", "norm", "convolution"]


def test_an_unknown_size_is_named() -> None:
    with pytest.raises(UnknownSizeError, match="t1"):
        predict(chain(work.NORM), {"t0": IMAGE}, TABLE)


# Choosing between the options of one group. --------------------------------------------------------------------------


def table_where(norm_us: float, plugin_us: float, noise: Noise | None = None) -> CostTable:
    """Return constants by which a norm takes these times, whatever its size."""
    rates = dict(TABLE.rates)
    for bits, layout in itertools.product((16, 32), (LINEAR, CHANNELS_LAST)):
        rates[estimates.native_rate(work.NORM, replace(IMAGE, element_bytes=bits // 8))] = Rate([1], [norm_us])
        rates[estimates.plugin_rate(work.NORM, layout, bits // 8)] = Rate([1], [plugin_us])  # type: ignore[arg-type]
    flat = {name: _Flat(rate.num_bytes, rate.microseconds) for name, rate in rates.items()}
    return replace(TABLE, rates=flat, noise=noise or TABLE.noise)


class _Flat(Rate):
    def time(self, num_bytes: float) -> float:
        return self.microseconds[-1]


def chosen(table: CostTable, sizes: dict[str, Data] | None = None) -> tuple[str, dict[str, float]]:
    works = chain(work.CONVOLUTION, work.NORM, work.CONVOLUTION)
    option = Option("plugin", [plugin("norm1", "t1", "t2")], frozenset({"norm1"}), {"norm1": "plugin"})
    data = sizes or dict.fromkeys((f"t{index}" for index in range(4)), replace(IMAGE, element_bytes=4))
    (found,) = choose(Network(works, data, ["t0"]), [Group([Option("native"), option])], table)
    return found.option.choice, dict(found.microseconds)


def test_the_faster_is_chosen_with_both_times() -> None:
    assert chosen(table_where(30, 10)) == ("plugin", pytest.approx({"native": 30, "plugin": 10}))
    assert chosen(table_where(10, 30)) == ("native", pytest.approx({"native": 10, "plugin": 30}))


@pytest.mark.parametrize(
    ("native_us", "plugin_us", "choice"),
    [(10, 8.1, "native"), (10, 7.9, "plugin"), (1000, 981, "native"), (1000, 979, "plugin")],
)
def test_a_gain_below_noise_stays_native(native_us: float, plugin_us: float, choice: str) -> None:
    assert chosen(table_where(native_us, plugin_us, Noise(us=2.0, share=0.02)))[0] == choice


def test_without_sizes_nodes_become_plugins() -> None:
    assert chosen(table_where(10, 30), {"t0": IMAGE}) == ("plugin", {})


# The page. -----------------------------------------------------------------------------------------------------------


def test_correlation_and_worst_are_right() -> None:
    pairs = [Pair("a", 1, 10), Pair("b", 2, 20), Pair("c", 3, 25)]
    assert rank_correlation(pairs) == pytest.approx(1)
    assert rank_correlation([Pair("a", 3, 10), Pair("b", 2, 20), Pair("c", 1, 25)]) == pytest.approx(-1)
    right = [Pair("a", 10, 10), Pair("b", 21, 20)]
    assert worst([*right, Pair("far", 100, 20)]).name == "far"
    assert worst([*right, Pair("near nothing", 0.1, 20), Pair("far", 100, 20)]).name == "near nothing"


def test_predictions_order_what_was_measured(tmp_path: Path) -> None:
    found = [pair for name in choosing_page.MADE for pair in choosing_page.kinds_of(name, TABLE, tmp_path)]
    assert len(found) == 36
    assert rank_correlation(found) > 0.985
    unseen = choosing_page.without("cyclegan_512_fp16", tmp_path)
    held_out = choosing_page.kinds_of("cyclegan_512_fp16", unseen, tmp_path)
    assert rank_correlation(held_out) > 0.95
    whole = choosing_page.network_pairs(TABLE, tmp_path, choosing_page.MADE)
    assert 0.9 < worst(whole).ratio < 1.15
    assert rank_correlation(choosing_page.h200_pairs()) > 0.95


@pytest.mark.skipif(
    not all((Path(os.environ.get("TRTCONV_TEST_MODELS", "")) / file).is_file() for file in PUBLISHED.values()),
    reason="TRTCONV_TEST_MODELS names no folder with the models of the page",
)
@whole_sweep
def test_the_page_says_what_the_model_predicts(tmp_path: Path) -> None:
    page = PAGE.read_text()
    assert page == choosing_page.with_tables(page, tmp_path), "run: python -m tests.support.choosing_page"
    assert len(re.findall(r"<!-- table \w+: begin -->\n\|", page)) == 5


def test_the_measurements_are_of_one_gpu() -> None:
    for name in (
        "fused_networks_h100",
        "performance_h100",
        "convolution_forms_h100",
        "networks_h100",
        "rewritten_networks_h100",
    ):
        text = (PAGE.parent / "measurements" / f"{name}.json").read_text()
        assert json.loads(text)
        assert "NVIDIA H100 80GB HBM3" in text
