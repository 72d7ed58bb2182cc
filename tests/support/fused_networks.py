"""Small networks of everything that fuses into one op: for the tests of the passes without a GPU, and of engines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx.parser
from onnx import numpy_helper

CHANNELS = 16
NUM_GROUPS = 4
_TYPES = {"fp32": "float", "fp16": "float16"}
_DTYPES: dict[str, type[np.floating[Any]]] = {"fp32": np.float32, "fp16": np.float16}


@dataclass(frozen=True)
class Branch:
    """ONNX text that makes `{b}` of `a` and perhaps of the residual `r`; the names of its own tensors begin with `{t}`.

    `is_image` says that it is written for two spatial axes; others take any number.
    """

    text: str
    is_image: bool = False


_NORM = "{t}n = InstanceNormalization <epsilon = 1e-5> (a, scale, bias)  "
_DEVIATION = "{t}m = ReduceMean <keepdims = 1> (a, spatial)  {t}d = Sub (a, {t}m)  "
_RESIZE = (
    'Resize <mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"> '
    "({t}o, , doubled)  "
)

BRANCHES: dict[str, Branch] = {
    "relu": Branch(_NORM + "{b} = Relu ({t}n)"),
    "leaky_relu": Branch(_NORM + "{b} = LeakyRelu <alpha = 0.2> ({t}n)"),
    "prelu": Branch(_NORM + "{b} = PRelu ({t}n, slope)"),
    "prelu_of_one_slope": Branch(_NORM + "{b} = PRelu ({t}n, one_slope)"),
    "silu": Branch(_NORM + "{t}g = Sigmoid ({t}n)  {b} = Mul ({t}n, {t}g)"),
    "elu": Branch(_NORM + "{b} = Elu <alpha = 0.7> ({t}n)"),
    "tanh": Branch(_NORM + "{b} = Tanh ({t}n)"),
    "residual": Branch(_NORM + "{b} = Add ({t}n, r)"),
    "residual_relu": Branch(_NORM + "{t}s = Add (r, {t}n)  {b} = Relu ({t}s)"),
    "adain": Branch(
        "{t}n = InstanceNormalization <epsilon = 1e-5> (a, ones, zeros)  {t}g = Unsqueeze (style_scale, spatial)  "
        "{t}k = Mul ({t}n, {t}g)  {t}h = Unsqueeze (style_bias, spatial)  {b} = Add ({t}k, {t}h)"
    ),
    "groups_silu": Branch(
        "{t}n = GroupNormalization <num_groups = 4, epsilon = 1e-5> (a, scale, bias)  "
        "{t}g = Sigmoid ({t}n)  {b} = Mul ({t}g, {t}n)"
    ),
    "groups_reshaped_relu": Branch(
        "{t}z = Shape (a)  {t}i = Reshape (a, to_groups)  "
        "{t}n = InstanceNormalization <epsilon = 1e-5> ({t}i, group_ones, group_zeros)  {t}o = Reshape ({t}n, {t}z)  "
        "{t}k = Mul ({t}o, scale_nd)  {t}s = Add ({t}k, bias_nd)  {b} = Relu ({t}s)"
    ),
    "written_out_relu": Branch(
        _DEVIATION + "{t}q = Mul ({t}d, {t}d)  {t}v = ReduceMean <keepdims = 1> ({t}q, spatial)  "
        "{t}e = Add ({t}v, epsilon)  {t}u = Sqrt ({t}e)  {t}x = Div ({t}d, {t}u)  {t}k = Mul ({t}x, scale_nd)  "
        "{t}s = Add ({t}k, bias_nd)  {b} = Relu ({t}s)"
    ),
    "upsample_pad": Branch(
        _NORM + "{t}o = Relu ({t}n)  {t}u = " + _RESIZE + '{b} = Pad <mode = "reflect"> ({t}u, pads)', is_image=True
    ),
    "pad_edge": Branch(_NORM + '{t}o = Relu ({t}n)  {b} = Pad <mode = "edge"> ({t}o, pads)', is_image=True),
    "pad_zero": Branch(_NORM + '{t}o = Relu ({t}n)  {b} = Pad <mode = "constant"> ({t}o, pads)', is_image=True),
    "pad_relu": Branch('{t}o = Relu (a)  {b} = Pad <mode = "reflect"> ({t}o, pads)', is_image=True),
}


def fused_network(
    dtype: str,
    *,
    has_convolutions: bool,
    num_axes: int = 2,
    sizes: Sequence[int | str] | None = None,
    names: Sequence[str] = tuple(BRANCHES),
) -> onnx.ModelProto:
    """Return a network whose outputs are named after the branches `names`; of volumes, those that are not for images.

    Its inputs are x and other [N, CHANNELS, sizes] and style_scale and style_bias [N, CHANNELS] of `dtype`, N = 2 by
    default. With convolutions, one lies before and one after each branch, so that TensorRT chooses the memory format;
    without, all is linear. Weights are seeded.
    """
    names = [name for name in names if num_axes == 2 or not BRANCHES[name].is_image]
    shape = ",".join(map(str, sizes or (2, *(12, 20, 9)[:num_axes])))
    batch, _, spatial = shape.partition(",")
    type_ = _TYPES[dtype]
    unknown = ",".join(f"o{axis}" for axis in range(num_axes))
    inputs = [f"{type_}[{batch},{CHANNELS},{spatial}] {name}" for name in ("x", "other")]
    inputs += [f"{type_}[{batch},{CHANNELS}] {name}" for name in ("style_scale", "style_bias")]
    outputs = [f"{type_}[{batch},{CHANNELS},{name}_{unknown.replace(',', f',{name}_')}] {name}" for name in names]
    ends = ", ".join(["1"] * 2 * num_axes)
    lines = [f"a = Conv <pads = [{ends}]> (x, first)  r = Conv <pads = [{ends}]> (other, first)"]
    if not has_convolutions:
        lines = ["a = Identity (x)  r = Identity (other)"]
    for name in names:
        result = f"{name}_result" if has_convolutions else name
        lines.append(BRANCHES[name].text.format(b=result, t=f"{name}_"))
        if has_convolutions:
            lines.append(f"{name} = Conv <pads = [{ends}]> ({result}, last)")
    text = "\n  ".join(lines)
    signature = f"fused ({', '.join(inputs)}) => ({', '.join(outputs)})"
    model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {signature} {{\n  {text}\n}}')
    used = {name for node in model.graph.node for name in node.input}
    constants = _constants(num_axes, _DTYPES[dtype])
    model.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items() if name in used)
    onnx.checker.check_model(model, full_check=True)
    return model


def mapped_network() -> onnx.ModelProto:
    """Return a network whose fp32 input and output are cast: Pad, Cast, Conv, norm, Relu, Conv, Tanh, Cast."""
    model = onnx.parser.parse_model(
        f"""<ir_version: 10, opset_import: ["" : 21]>
        mapped (float[1,3,40,48] x) => (float[1,3,40,48] y) {{
          p = Pad <mode = "reflect"> (x, pads)
          h = Cast <to = {onnx.TensorProto.FLOAT16}> (p)
          a = Conv (h, first)
          n = InstanceNormalization <epsilon = 1e-5> (a, scale, bias)
          b = Relu (n)
          q = Pad <mode = "reflect"> (b, pads)
          c = Conv (q, last)
          t = Tanh (c)
          y = Cast <to = {onnx.TensorProto.FLOAT}> (t)
        }}"""
    )
    rng = np.random.default_rng(1)
    constants = {
        "pads": np.array([0, 0, 1, 1, 0, 0, 1, 1]),
        "first": (rng.standard_normal((CHANNELS, 3, 3, 3)) / 5).astype(np.float16),
        "last": (rng.standard_normal((3, CHANNELS, 3, 3)) / 12).astype(np.float16),
        "scale": rng.uniform(0.5, 1.5, CHANNELS).astype(np.float16),
        "bias": rng.standard_normal(CHANNELS).astype(np.float16),
    }
    model.graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in constants.items())
    onnx.checker.check_model(model, full_check=True)
    return model


def _constants(num_axes: int, dtype: type[np.floating[Any]]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    kernel = (CHANNELS, CHANNELS, *(3,) * num_axes)
    per_channel = (CHANNELS, *(1,) * num_axes)
    scale, bias = rng.uniform(0.5, 1.5, CHANNELS), rng.standard_normal(CHANNELS)
    floats = {
        "first": rng.standard_normal(kernel) / np.sqrt(np.prod(kernel[1:])),
        "last": rng.standard_normal(kernel) / np.sqrt(np.prod(kernel[1:])),
        "scale": scale,
        "bias": bias,
        "scale_nd": scale.reshape(per_channel),
        "bias_nd": bias.reshape(per_channel),
        "ones": np.ones(CHANNELS),
        "zeros": np.zeros(CHANNELS),
        "group_ones": np.ones(NUM_GROUPS),
        "group_zeros": np.zeros(NUM_GROUPS),
        "slope": rng.uniform(-0.5, 0.5, per_channel),
        "one_slope": np.array([0.3]),
        "epsilon": np.array(1e-5),
    }
    integers = {
        "spatial": range(2, 2 + num_axes),
        "to_groups": (0, NUM_GROUPS, -1),
        "pads": [*[0, 0, 1, 2][: 2 + num_axes], *[0, 0, 3, 1][: 2 + num_axes]],
    }
    return {
        **{name: np.asarray(values, dtype=dtype) for name, values in floats.items()},
        **{name: np.asarray(values, dtype=np.int64) for name, values in integers.items()},
        "doubled": np.array([1, 1, *(2,) * num_axes], dtype=np.float32),
    }
