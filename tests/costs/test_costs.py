"""The cost model: its times grow with the bytes, its regions tear, and the faster form is chosen."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trtconv.costs import estimates, work
from trtconv.costs.choice import Group, Network, Option, choose
from trtconv.costs.estimates import Estimates
from trtconv.costs.prediction import Layer, UnknownSizeError, predict
from trtconv.costs.tables import CostTable, Noise, Rate, measured_tables, table_for
from trtconv.costs.work import CHANNELS_LAST, LINEAR, Data, Work
from trtconv.gpu.driver import Gpu
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.ops.reflect_pad import REFLECT_PAD

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


def test_a_residual_costs_more_than_its_bytes() -> None:
    norm = replace(plugin("n", "x", "y"), roles=("X", "scale", "bias", "residual"))
    bytes_alone = replace(TABLE, shares=replace(TABLE.shares, residual={"16": 0.0, "32": 0.0}))
    times = [Estimates(table, {"x": IMAGE, "y": IMAGE}).plugin(norm, CHANNELS_LAST) for table in (TABLE, bytes_alone)]
    assert times[0] > times[1]


def test_a_thin_convolution_costs_a_whole_tile() -> None:
    x = Data((1, 64, 256, 256), 2)
    times = []
    for channels in (3, 64, TABLE.convolutions["16"].tile, 2 * TABLE.convolutions["16"].tile):
        layer = Work("c", work.CONVOLUTION, ["x"], ["y"], weights=(channels, 64, 3, 3))
        times.append(Estimates(TABLE, {"x": x, "y": Data((1, channels, 256, 256), 2)}).convolution(layer))
    assert times[2] < 1.5 * times[0], "three channels cost the matrix work of a tile"
    assert times[3] > 1.5 * times[2]


def test_constants_are_those_of_the_gpu_or_are_scaled_and_say_so() -> None:
    assert table_for(Gpu("NVIDIA H200", "sm_90", "13.0", 4917.0)) is TABLE
    assert TABLE.title == "NVIDIA H200, 2026-11-29"
    slower = table_for(Gpu("NVIDIA H100 80GB HBM3", "sm_90", "13.0", TABLE.memory_gb_per_s / 2))
    assert slower.rates["copy"].time(1e9) == pytest.approx(TABLE.rates["copy"].time(1e9) * 2)
    assert slower.rates["copy"].time(1e6) == TABLE.rates["copy"].time(1e6), "what fits L2 reads no memory"
    assert "scaled by 0.50 to the memory bandwidth of NVIDIA H100 80GB HBM3" in slower.title
    unknown = table_for(Gpu("NVIDIA Something", "sm_120", "13.0"))
    assert unknown.rates == TABLE.rates
    assert "NVIDIA Something was not measured" in unknown.title
    assert "no GPU was found here" in table_for(None).title


def test_only_of_other_cores_every_rate_is_scaled() -> None:
    pad = estimates.native_rate(work.PAD, IMAGE)
    same, other = (
        table_for(Gpu("GPU", arch, "13.0", TABLE.memory_gb_per_s / 2)).rates[pad].time(1e9)
        for arch in ("sm_90", "sm_89")
    )
    assert same == TABLE.rates[pad].time(1e9)
    assert other == pytest.approx(2 * same)


def test_a_small_convolution_takes_as_long_as_the_cores_that_it_leaves_idle() -> None:
    layer = Work("c", work.CONVOLUTION, ["x"], ["y"], weights=(128, 512, 9, 9))
    times = [
        Estimates(TABLE, {"x": Data((1, 512, side, side), 2), "y": Data((1, 128, side, side), 2)}).convolution(layer)
        for side in (8, 32, 256)
    ]
    assert times[1] == pytest.approx(times[0], rel=0.1)
    assert times[2] > 10 * times[1]


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


def test_in_fp32_convolutions_are_channels_last_and_upsampling_is_not() -> None:
    works = chain(work.CONVOLUTION, work.NORM, work.CONVOLUTION, work.RESIZE)
    data = dict.fromkeys((f"t{index}" for index in range(5)), replace(IMAGE, element_bytes=4))
    made = kinds(predict(works, data, TABLE))
    assert made == ["convolution", "reformat", "norm", "reformat", "convolution", "reformat", "resize"]
    short = dict.fromkeys(data, IMAGE)
    assert kinds(predict(works, short, TABLE)) == [*made[:5], "resize"]


def test_small_convolutions_in_fp32_are_linear_and_need_no_copies() -> None:
    works = chain(work.CONVOLUTION, work.NORM, work.CONVOLUTION)
    tensors = [f"t{index}" for index in range(4)]
    small, large = (Data((1, 64, size, size), 4) for size in (8, 64))  # 2.4 and 151 million products
    assert kinds(predict(works, dict.fromkeys(tensors, small), TABLE)) == ["convolution", "norm", "convolution"]
    assert kinds(predict(works, dict.fromkeys(tensors, large), TABLE)).count("reformat") == 2
    short = dict.fromkeys(tensors, replace(small, element_bytes=2))
    assert kinds(predict(works, short, TABLE)).count("reformat") == 2


def test_a_norm_of_a_plugin_takes_the_least_time_at_least() -> None:
    tiny = Data((1, 8, 4, 4), 4)
    (layer,) = predict([plugin("norm", "x", "y")], {"x": tiny, "y": tiny}, TABLE)
    assert layer.microseconds == pytest.approx(TABLE.least_norm_us)
    (layer,) = predict([plugin("norm", "x", "y")], {"x": tiny, "y": tiny}, replace(TABLE, least_norm_us=0.0))
    assert layer.microseconds < TABLE.least_norm_us


def test_each_reduction_of_a_region_takes_its_kernels() -> None:
    data = dict.fromkeys((f"t{index}" for index in range(4)), IMAGE)
    one, two = (predict(chain(*[work.REDUCTION] * number), data, TABLE) for number in (1, 2))
    assert len(one) == len(two) == 1
    assert two[0].microseconds - one[0].microseconds > TABLE.reduction_us


def test_a_sum_takes_the_layout_of_the_convolution_that_it_joins() -> None:
    """The skip comes from outside, as in an area that is decided alone: its layout is not known."""
    works = chain(work.CONVOLUTION)
    works.append(Work("sum", work.POINTWISE, ["skip", "t1"], ["y"]))
    works.append(plugin("norm", "y", "z"))
    layers = predict(works, dict.fromkeys(("t0", "t1", "skip", "y", "z"), IMAGE), TABLE)
    assert kinds(layers) == ["convolution", "pointwise", "norm"]
    layers = predict(works, dict.fromkeys(("t0", "t1", "skip", "y", "z"), IMAGE), TABLE, given=["skip"])
    assert kinds(layers) == ["convolution", "reformat", "pointwise", "norm"]
    assert layers[1].nodes == ["skip"], "what the convolution writes is not copied"


def test_a_reshape_needs_a_linear_tensor() -> None:
    works = [*chain(work.CONVOLUTION, work.VIEW), plugin("norm", "t2", "y")]
    data = {"t0": IMAGE, "t1": IMAGE, "t2": Data((1, 32, 2 * 65536), 2), "y": Data((1, 32, 2 * 65536), 2)}
    assert kinds(predict(works, data, TABLE)) == ["convolution", "reformat", "norm"]
    assert kinds(predict(works, dict.fromkeys(data, IMAGE), TABLE)) == ["convolution", "norm"]


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
    works = chain(work.PAD, work.NORM, work.PAD)  # linear all of them, so that nothing is copied
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


def test_of_equal_forms_that_which_leaves_least_to_tensorrt_is_chosen() -> None:
    works = chain(work.CONVOLUTION, work.POINTWISE, work.PAD, work.CONVOLUTION)  # what a convolution joins is free
    attributes = REFLECT_PAD.complete({"pads": [0, 0, 1, 1, 0, 0, 1, 1]})
    pad = Work("pad2", work.PAD, ["t2"], ["t3"], REFLECT_PAD, attributes, REFLECT_PAD.inputs)
    both = frozenset({"pointwise1", "pad2"})
    options = [
        Option("native"),
        Option("plugin", [pad], frozenset({"pad2"})),
        Option("fused", [replace(pad, inputs=["t1"])], both),
    ]
    network = Network(works, dict.fromkeys((f"t{index}" for index in range(5)), IMAGE), ["t0"])
    (found,) = choose(network, [Group(options)], TABLE)
    assert found.microseconds["plugin"] == pytest.approx(found.microseconds["fused"])
    assert found.option.choice == "fused"


def test_without_sizes_nodes_become_plugins() -> None:
    assert chosen(table_where(10, 30), {"t0": IMAGE}) == ("plugin", {})


def test_strides_that_differ_between_axes_take_longer() -> None:
    even = replace(chain(work.CONVOLUTION)[0], outputs=["y"])
    data = {"t0": IMAGE, "y": Data((1, 64, 128, 256), 2)}
    times = [Estimates(TABLE, data).convolution(replace(even, is_uneven=is_uneven)) for is_uneven in (False, True)]
    assert TABLE.convolutions["16"].uneven > 1
    assert times[1] == pytest.approx(times[0] * TABLE.convolutions["16"].uneven)
