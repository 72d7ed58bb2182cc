"""The plugins in networks written by hand: what reaches TensorRT, and what is refused before it does."""

from __future__ import annotations

import ctypes
import gc
import importlib
import subprocess
import sys
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

import trtconv
from tests.support.hand_written import MODULES, Tensor, make_network
from trtconv import plugins
from trtconv.errors import BackendError, ConfigError
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.plugins.network import _add_constant

pytestmark = pytest.mark.usefixtures("plugin_library")

CONSTANT_TYPES = {"FLOAT": np.float32, "HALF": np.float16, "BF16": ml_dtypes.bfloat16}


@pytest.fixture(params=MODULES)
def trt(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


@dataclass
class Made:
    """What was made of TensorRT's own types: fields as values and type, weights as type, address and count."""

    fields: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    weights: list[tuple[Any, int, int]] = field(default_factory=list)


@pytest.fixture
def made(trt: Any, monkeypatch: pytest.MonkeyPatch) -> Made:
    made, bindings = Made(), sys.modules[trt.INetworkDefinition.__module__]
    make_field, make_weights = trt.PluginField, trt.Weights

    def note_field(name: str, values: Any, kind: Any) -> Any:
        made.fields[name] = (values.copy(), kind)
        return make_field(name, values, kind)

    def note_weights(*arguments: Any) -> Any:
        made.weights.append(arguments)
        return make_weights(*arguments)

    monkeypatch.setattr(bindings, "PluginField", note_field)
    monkeypatch.setattr(bindings, "Weights", note_weights)
    return made


@pytest.mark.parametrize("dtype", CONSTANT_TYPES)
def test_instance_norm_gets_its_tensors_and_its_field(trt: Any, made: Made, dtype: str) -> None:
    network = make_network(trt)
    x = Tensor(trt, [1, 3, -1, 5], dtype)
    scale, bias = np.array([1.0, -2.0, 0.3]), [0.0, 1.0, 2.0]
    layer = plugins.add_instance_norm(network, x, scale, bias, epsilon=3e-4, name="norm")
    constants = network.layers[:2]
    assert [each.name for each in network.layers] == ["norm.scale", "norm.bias", "norm"]
    assert layer is network.layers[2]
    assert layer.made_of["inputs"] == [x, *(each.get_output(0) for each in constants)]
    gc.collect()
    for (kind, address, count), values in zip(made.weights, (scale, bias), strict=True):
        wanted = np.asarray(values).astype(CONSTANT_TYPES[dtype])
        assert (kind, count) == (x.dtype, 3)
        assert ctypes.string_at(address, wanted.nbytes) == wanted.tobytes()  # still there: the arrays are kept
    values, kind = made.fields["epsilon"]
    assert (values.dtype, values.tolist(), kind) == (np.float32, [np.float32(3e-4)], trt.PluginFieldType.FLOAT32)
    assert list(made.fields) == list(INSTANCE_NORM.attributes)
    values, kind = made.fields["activation"]
    assert (values.dtype, values.tobytes(), kind) == (np.int8, b"none", trt.PluginFieldType.CHAR)


def test_instance_norm_gets_its_residual_its_slope_and_its_groups(trt: Any, made: Made) -> None:
    network = make_network(trt)
    x, residual, scale = Tensor(trt, [2, 4, 7], "HALF"), Tensor(trt, [2, 4, -1], "HALF"), Tensor(trt, [2, 4], "HALF")
    more = {"residual": residual, "activation": "prelu", "slope": [0.0, 0.1, 0.2, 0.3], "groups": 2}
    layer = plugins.add_instance_norm(network, x, scale, scale, epsilon=1e-5, **more)
    assert layer.made_of["inputs"] == [x, scale, scale, residual, network.layers[0].get_output(0)]
    values, kind = made.fields["activation"]
    assert (values.tobytes(), kind) == (b"prelu", trt.PluginFieldType.CHAR)
    values, kind = made.fields["groups"]
    assert (values.dtype, values.tolist(), kind) == (np.int32, [2], trt.PluginFieldType.INT32)


def test_constants_live_as_long_as_their_network(trt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = []
    finalize = weakref.finalize

    def note(network: Any, call: Any, array: Any) -> Any:
        arrays.append(weakref.ref(array))
        return finalize(network, call, array)

    monkeypatch.setattr(weakref, "finalize", note)
    network = make_network(trt)
    plugins.add_instance_norm(network, Tensor(trt, [1, 1, 4]), [1.0], [0.0], epsilon=0.0)
    gc.collect()
    assert [each() is not None for each in arrays] == [True, True]
    del network
    gc.collect()
    assert [each() for each in arrays] == [None, None]


def test_scale_and_bias_may_be_tensors(trt: Any) -> None:
    network = make_network(trt)
    x, scale, bias = Tensor(trt, [2, -1, 7]), Tensor(trt, [4]), Tensor(trt, [-1])
    layer = plugins.add_instance_norm(network, x, scale, bias, epsilon=1e-5)
    assert layer.made_of["inputs"] == [x, scale, bias]
    assert network.layers == [layer]
    assert layer.name == "(Unnamed Layer* 0)"


@pytest.mark.parametrize("dtype", ["FLOAT", "HALF", "BF16", "INT64", "INT32", "INT8", "BOOL"])
def test_reflect_pad_gets_its_tensor_and_its_field(trt: Any, made: Made, dtype: str) -> None:
    network = make_network(trt)
    x = Tensor(trt, [1, 2, -1, 5], dtype)
    pads = [0, 0, 9, 4, 0, np.int64(0), 2, 3]
    layer = plugins.add_reflect_pad(network, x, pads, name="pad")
    assert (layer.name, layer.made_of["inputs"]) == ("pad", [x])
    values, kind = made.fields["pads"]
    assert (values.dtype, values.tolist(), kind) == (np.int32, pads, trt.PluginFieldType.INT32)


# what is wrong: x's sizes and type, scale, bias, epsilon, what the message says
BAD_NORMS: dict[str, tuple[Any, str, Any, Any, Any, str]] = {
    "rank 2": ([1, 3], "FLOAT", [1] * 3, [0] * 3, 1e-5, "X has rank 2, the plugin takes rank 3 to 8"),
    "no rank": (None, "FLOAT", [1] * 3, [0] * 3, 1e-5, "the shape of x is not known"),
    "type": ([1, 3, 4], "INT32", [1] * 3, [0] * 3, 1e-5, "x must be of type FLOAT or HALF or BF16, got INT32"),
    "scale": (
        [1, 3, 4],
        "FLOAT",
        [1] * 4,
        [0] * 3,
        1e-5,
        "scale has shape [4], expected [3]",
    ),
    "bias": ([1, -1, 4], "FLOAT", [1] * 4, 0, 1e-5, "bias has shape [], expected [C]"),
    "text": ([1, 3, 4], "FLOAT", "abc", [0] * 3, 1e-5, "scale must be numbers or TensorRT's ITensor, got 'abc'"),
    "large": ([1, 1, 4], "HALF", [1], [7e4], 1e-5, "bias holds values beyond the range of HALF"),
    "epsilon": ([1, 3, 4], "FLOAT", [1] * 3, [0] * 3, -1e-5, "epsilon must be a number not below 0, got -1e-05"),
    "rank 9": ([1] * 9, "FLOAT", [1], [0], 1e-5, "X has rank 9, TensorRT takes at most 8"),
    "infinite": ([1, 3, 4], "FLOAT", [1] * 3, [0] * 3, float("inf"), "epsilon must be a number not below 0, got inf"),
    "beyond float32": ([1, 3, 4], "FLOAT", [1] * 3, [0] * 3, 1e39, "epsilon must be a number not below 0, got 1e+39"),
    "epsilon as text": ([1, 3, 4], "FLOAT", [1] * 3, [0] * 3, "abc", "epsilon must be a number, got 'abc'"),
    "nan": ([1, 3, 4], "FLOAT", [1] * 3, [0] * 3, float("nan"), "epsilon must be a number not below 0, got nan"),
}


@pytest.mark.parametrize("case", BAD_NORMS)
def test_wrong_norms_are_refused_before_tensorrt_sees_them(trt: Any, case: str) -> None:
    shape, dtype, scale, bias, epsilon, message = BAD_NORMS[case]
    network = make_network(trt)
    with pytest.raises(ConfigError) as caught:
        plugins.add_instance_norm(network, Tensor(trt, shape, dtype), scale, bias, epsilon=epsilon, name="first")
    assert message in str(caught.value)
    assert caught.value.where == "first"
    assert network.layers == []


def test_scale_of_another_type_or_length_is_refused(trt: Any) -> None:
    network = make_network(trt)
    x = Tensor(trt, [1, 3, 4], "HALF")
    with pytest.raises(ConfigError, match=r"scale is of type float32, expected float16, the type of X"):
        plugins.add_instance_norm(network, x, Tensor(trt, [3]), Tensor(trt, [3]), epsilon=1e-5)
    with pytest.raises(ConfigError, match=r"bias has shape \[3, 1\], expected \[3\]"):
        plugins.add_instance_norm(network, x, Tensor(trt, [3], "HALF"), Tensor(trt, [3, 1], "HALF"), epsilon=1e-5)
    assert network.layers == []


# what is wrong: x's sizes and type, pads, what the message says
BAD_PADS: dict[str, tuple[Any, str, Any, str]] = {
    "count": ([1, 3, 4], "FLOAT", [0, 1], "pads must be 6 values for X of rank 3, got [0, 1]"),
    "negative": ([4, 5], "FLOAT", [0, 1, 0, -1], "pads must not be negative, got [0, 1, 0, -1]"),
    "too large": (
        [4, 5],
        "FLOAT",
        [0, 1, 0, 5],
        "smaller than the axis that they reflect, axis 1 of x has size 5",
    ),
    "fraction": ([4], "FLOAT", [0.5, 1], "pads must be integers, got [0.5, 1]"),
    "beyond int32": ([-1], "FLOAT", [1 << 31, 0], "pads must be at most 2147483647, got [2147483648, 0]"),
    "no sequence": ([4], "FLOAT", 2, "pads must be integers, got 2"),
    "scalar": ([], "FLOAT", [], "pads must be two values an axis, got 0 values"),
    "rank 9": ([2] * 9, "FLOAT", [0] * 18, "X has rank 9, TensorRT takes at most 8"),
    "type": ([4], "UINT8", [1, 1], "got UINT8"),
}


@pytest.mark.parametrize("case", BAD_PADS)
def test_wrong_pads_are_refused_before_tensorrt_sees_them(trt: Any, case: str) -> None:
    shape, dtype, pads, message = BAD_PADS[case]
    network = make_network(trt)
    with pytest.raises(ConfigError) as caught:
        plugins.add_reflect_pad(network, Tensor(trt, shape, dtype), pads, name="border")
    assert message in str(caught.value)
    assert caught.value.where == "border"
    assert network.layers == []


# what is wrong with the other arguments, what the message says
BAD_RESULTS: dict[str, tuple[dict[str, Any], str]] = {
    "activation": ({"activation": "gelu"}, "activation must be one of none, relu, leaky_relu, prelu, silu, elu, tanh"),
    "alpha": ({"activation": "relu", "alpha": 0.5}, "alpha is 0.5, which activation relu does not take"),
    "no slope": ({"activation": "prelu"}, "activation prelu alone has a slope, got 'prelu' and slope None"),
    "slope": ({"slope": [1, 2, 3, 4]}, "activation prelu alone has a slope, got 'none' and slope [1, 2, 3, 4]"),
    "residual": ({"residual": np.zeros([1, 4, 5])}, "residual must be TensorRT's ITensor, got ndarray"),
    "groups": ({"groups": 3}, "groups 3 do not divide the 4 channels"),
    "fraction of groups": ({"groups": 1.5}, "groups must be integers, got [1.5]"),
    "upsample": ({"upsample": [2, 2]}, "upsample must be one value or 1 for the spatial axes, got [2, 2]"),
    "pads": ({"pads": [5]}, "pads [5] must be smaller than the axis that they reflect, axis 0 of the spatial axes"),
    "pad_mode": ({"pad_mode": "constant"}, "pad_mode must be one of reflect, edge, zero, got 'constant'"),
    "phases": ({"phases": [3]}, "the 3 phases do not divide the 4 channels"),
    "crop": ({"phases": [2], "crop": [2]}, "crop [2] must be below the phases [2]"),
    "phases of two axes": ({"phases": [2, 2]}, "phases must be one value or 1 for the spatial axes, got [2, 2]"),
    "scale of all phases": ({"phases": [2]}, "scale has shape [4], expected [2]"),
    "to": ({"to": "fp16"}, "to must be one of TensorRT's types, got 'fp16'"),
}


@pytest.mark.parametrize("case", BAD_RESULTS)
def test_what_does_not_fit_around_a_norm_is_refused(trt: Any, case: str) -> None:
    arguments, message = BAD_RESULTS[case]
    network = make_network(trt)
    with pytest.raises(ConfigError) as caught:
        plugins.add_instance_norm(network, Tensor(trt, [1, 4, 5]), [1] * 4, [0] * 4, epsilon=0.0, **arguments)
    assert message in str(caught.value)
    assert network.layers == []


def test_a_residual_of_another_shape_is_refused(trt: Any) -> None:
    x = Tensor(trt, [1, 4, 5])
    with pytest.raises(ConfigError, match=r"residual has shape \[1, 4, 6\], expected \[1, 4, 5\]"):
        plugins.add_instance_norm(make_network(trt), x, [1] * 4, [0] * 4, epsilon=0.0, residual=Tensor(trt, [1, 4, 6]))


def test_a_norm_of_16_bits_changes_no_type(trt: Any) -> None:
    x = Tensor(trt, [1, 4, 5], "HALF")
    with pytest.raises(ConfigError, match="to changes the type of float32 alone: a result in float16 was rounded"):
        plugins.add_instance_norm(make_network(trt), x, [1] * 4, [0] * 4, epsilon=0.0, to=trt.DataType.FLOAT)


def test_what_tensorrt_refuses_is_an_error(trt: Any) -> None:
    network = make_network(trt, refuses=True)
    with pytest.raises(BackendError, match="TensorRT refused the plugin"):
        plugins.add_reflect_pad(network, Tensor(trt, [4]), [1, 1])
    with pytest.raises(BackendError, match="TensorRT refused a constant"):
        plugins.add_instance_norm(network, Tensor(trt, [1, 1, 4]), [1], [0], epsilon=0.0)


def test_something_else_than_a_network_or_a_tensor_is_refused(trt: Any) -> None:
    with pytest.raises(ConfigError, match="network must be TensorRT's INetworkDefinition, got str"):
        plugins.add_reflect_pad("network", Tensor(trt, [4]), [1, 1])
    with pytest.raises(ConfigError, match="x must be TensorRT's ITensor, got ndarray"):
        plugins.add_reflect_pad(make_network(trt), np.zeros(4), [1, 1])


def test_rtx_networks_take_no_plugins() -> None:
    """On a real network of TensorRT-RTX, which builds without a GPU."""
    rtx = pytest.importorskip("tensorrt_rtx")
    logger = rtx.Logger(rtx.Logger.ERROR)
    builder = rtx.Builder(logger)
    network = builder.create_network(0)
    x = network.add_input("x", rtx.float32, (1, 3, 8))
    with pytest.raises(BackendError, match="TensorRT-RTX does not support plugins") as caught:
        plugins.add_reflect_pad(network, x, [0, 0, 1, 0, 0, 1])
    assert caught.value.hint is not None
    assert "add_slice" in caught.value.hint
    with pytest.raises(BackendError, match="TensorRT-RTX does not support plugins"):
        plugins.add_instance_norm(network, x, np.ones(3), np.ones(3), epsilon=1e-5)


def test_a_missing_library_is_named_with_the_searched_paths(
    trt: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRTCONV_PLUGIN_LIBRARY", str(tmp_path / "nowhere.so"))
    with pytest.raises(BackendError) as caught:
        plugins.add_reflect_pad(make_network(trt), Tensor(trt, [4]), [1, 1])
    assert str(tmp_path / "nowhere.so") in str(caught.value)


def test_the_module_is_imported_when_it_is_first_used() -> None:
    program = (
        "import sys, trtconv; assert 'trtconv.plugins' not in sys.modules;"
        "trtconv.plugins.add_reflect_pad; assert not {'tensorrt', 'tensorrt_rtx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    assert trtconv.plugins is plugins


@pytest.mark.parametrize("dtype", CONSTANT_TYPES)
def test_constants_in_a_real_network(dtype: str) -> None:
    """TensorRT-RTX's networks take constants, if no plugins."""
    rtx = pytest.importorskip("tensorrt_rtx")
    logger = rtx.Logger(rtx.Logger.ERROR)
    builder = rtx.Builder(logger)
    network = builder.create_network(0)
    values = np.array([1.5, -2.0, 0.25], dtype=CONSTANT_TYPES[dtype])
    tensor = _add_constant(network, rtx, values, getattr(rtx.DataType, dtype), "norm.scale")
    assert (list(tensor.shape), tensor.dtype.name) == ([3], dtype)
    assert network.get_layer(0).name == "norm.scale"
    tensor.name = "y"
    network.mark_output(tensor)
    del values
    gc.collect()
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(rtx.ComputeCapability.SM89, 0)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None
    wanted = np.array([1.5, -2.0, 0.25], dtype=CONSTANT_TYPES[dtype]).tobytes()
    assert wanted in bytes(memoryview(plan))
