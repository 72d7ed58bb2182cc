"""The plugins in a network that is written by hand, layer by layer, with TensorRT's own API.

    flags = 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
    network = builder.create_network(flags)
    x = network.add_input("x", trt.float16, (1, 8, 64, 64))
    padded = plugins.add_reflect_pad(network, x, [0, 0, 1, 1, 0, 0, 1, 1]).get_output(0)

Both functions return the new layer, as TensorRT's own add_* do. The plugin library is loaded when it is first needed.
What TensorRT would answer with None or a message in its log is a TrtconvError here, raised before it is called.
"""

from __future__ import annotations

import operator
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from trtconv.element_types import BY_ONNX, BY_TENSORRT
from trtconv.errors import BackendError, ConfigError
from trtconv.ops.activations import PRELU
from trtconv.ops.custom_op import DOMAIN, VERSION, Attributes, AttributeValue, CustomOp, Operand
from trtconv.ops.instance_norm import INSTANCE_NORM
from trtconv.ops.instance_norm_function import RESIDUAL, SLOPE
from trtconv.ops.reflect_pad import REFLECT_PAD
from trtconv.plugins.loading import load_plugins

# What a plugin's field is made of: the values' type, and TensorRT's name for it.
FIELD_TYPES: Mapping[type, tuple[type, str]] = {
    float: (np.float32, "FLOAT32"),
    int: (np.int32, "INT32"),
    str: (np.int8, "CHAR"),
    list: (np.int32, "INT32"),
}
_UNKNOWN = -1


def add_instance_norm(
    network: Any,
    x: Any,
    scale: Any,
    bias: Any,
    *,
    epsilon: float,
    residual: Any = None,
    activation: str = "none",
    alpha: float = 0.0,
    slope: Any = None,
    groups: int = 0,
    upsample: Sequence[int] = (1,),
    pads: Sequence[int] = (0,),
    pad_mode: str = "reflect",
    residual_pads: Sequence[int] = (0,),
    to: Any = None,
    phases: Sequence[int] = (1,),
    crop: Sequence[int] = (0,),
    name: str | None = None,
) -> Any:
    """Add InstanceNorm: y = place(activate(scale * (x - mean) / sqrt(variance + epsilon) + bias + residual)).

    `x` is a tensor [N, C, D1..Dk], k >= 1, of type fp32, fp16 or bf16; mean and variance are those of each [n, c] slice
    or, with `groups`, of C / groups neighbouring channels. `scale` and `bias` have C values, or N x C: tensors of the
    type of `x`, or arrays, which become constants of that type. `residual` is a tensor of the type and shape of `x`, or
    larger by `residual_pads`. `activation` is none, relu, leaky_relu or elu (with `alpha`), prelu (with `slope`, given
    as scale is), silu or tanh. `upsample` holds whole factors, `pads` what is then added, by `pad_mode` reflect, edge
    or zero: one value for all spatial axes, or a factor for each, begins and then ends for each. `to` is the output's
    DataType, that of `x` by default. With `phases`, one factor for all spatial axes or one for each, `x` is
    [N, B * C, D1..Dk], B their product: each phase of a position is a block of channels, in the order of DepthToSpace
    DCR. `crop` elements are then left out at the end of each axis, fewer than its phases; all else speaks of `x` after
    that. Raises ConfigError for what does not fit, BackendError where the plugin cannot be had, as with TensorRT-RTX.
    """
    where = name or INSTANCE_NORM.name
    trt = _module_of(network, where)
    known = {"x": _require_tensor(trt, INSTANCE_NORM, x, where)}
    phased = {"phases": phases, "crop": crop}
    result = {"activation": activation, "alpha": alpha, "groups": groups, "residual_pads": residual_pads, **phased}
    place = {"upsample": upsample, "pads": pads, "pad_mode": pad_mode, "to": to}
    attributes = _attributes(INSTANCE_NORM, {"epsilon": epsilon, **result, **place}, where)
    _require_optional(trt, residual, activation, slope, where)
    given: dict[str, Any] = {}
    for role, values in (("scale", scale), ("bias", bias), (RESIDUAL, residual), (SLOPE, slope)):
        if values is not None:
            is_tensor = isinstance(values, trt.ITensor)
            given[role] = values if is_tensor else _array(role, values, x.dtype.name, where)
            known[role] = _operand(role, values, where) if is_tensor else Operand(known["x"].dtype, given[role].shape)
    _require_allowed(INSTANCE_NORM, list(known.values()), attributes, where)
    inputs = [x]
    for role, values in given.items():
        is_tensor = isinstance(values, trt.ITensor)
        inputs.append(values if is_tensor else _add_constant(network, trt, values, x.dtype, name and f"{name}.{role}"))
    return _add_plugin(network, trt, INSTANCE_NORM, inputs, attributes, name)


def add_reflect_pad(
    network: Any,
    x: Any,
    pads: Sequence[int],
    *,
    activation: str = "none",
    alpha: float = 0.0,
    upsample: Sequence[int] = (1,),
    pad_mode: str = "reflect",
    to: Any = None,
    phases: Sequence[int] = (1,),
    crop: Sequence[int] = (0,),
    name: str | None = None,
) -> Any:
    """Add ReflectPad to a network: each axis is extended by its own reflection, the border not repeated.

    `x` is a tensor of rank 1 to 8 of type fp32, fp16, bf16, int64, int32, int8 or bool. `pads` are in ONNX's order, the
    begins of all axes and then the ends, none negative, each below the size of its axis; a size that is known only at
    run time is checked there. `pad_mode` is reflect, edge or zero. `activation` (none, relu, leaky_relu or elu with
    `alpha`, silu, tanh) and `upsample` (a whole factor for each axis, or one for all) come before the pads, `to`, the
    output's DataType, after them; an activation and `to` want fp32, fp16 or bf16. `phases` and `crop`, a value for each
    axis, are those of `add_instance_norm`; the batch and the channels have none. Raises ConfigError for what does not
    fit, BackendError where the plugin cannot be had, as with TensorRT-RTX.
    """
    where = name or REFLECT_PAD.name
    trt = _module_of(network, where)
    known = _require_tensor(trt, REFLECT_PAD, x, where)
    result = {"activation": activation, "alpha": alpha, "upsample": upsample, "pad_mode": pad_mode, "to": to}
    attributes = _attributes(REFLECT_PAD, {"pads": pads, **result, "phases": phases, "crop": crop}, where)
    _require_allowed(REFLECT_PAD, [known], attributes, where)
    return _add_plugin(network, trt, REFLECT_PAD, [x], attributes, name)


def _require_optional(trt: Any, residual: Any, activation: str, slope: Any, where: str) -> None:
    """Refuse a slope without the activation that takes it, that activation without one, and a residual of numbers."""
    if (slope is None) == (activation == PRELU):
        raise ConfigError(f"activation prelu alone has a slope, got {activation!r} and slope {slope!r}", where=where)
    if residual is not None and not isinstance(residual, trt.ITensor):
        raise ConfigError(f"residual must be TensorRT's ITensor, got {type(residual).__name__}", where=where)


def _attributes(op: CustomOp, given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return attributes as the table of the ops holds them."""
    read: Mapping[type, Callable[[str, Any, str], Any]] = {
        float: _number,
        int: lambda what, value, where: _integers(what, [value], where)[0],
        list: _integers,
        str: lambda what, value, where: value,
    }
    to = {"to": _type_number(given["to"], where)}
    return {name: read[op.attributes[name].kind](name, value, where) for name, value in {**given, **to}.items()}


def _require_allowed(op: CustomOp, operands: Sequence[Operand], attributes: Attributes, where: str) -> None:
    if problem := op.problem(operands, attributes):
        raise ConfigError(problem, where=where)


def _module_of(network: Any, where: str) -> Any:
    """Return the TensorRT module that made `network`: it is imported, and no other may be."""
    trt = sys.modules.get(type(network).__module__)
    if trt is None or not isinstance(network, getattr(trt, "INetworkDefinition", ())):
        what = f"network must be TensorRT's INetworkDefinition, got {type(network).__name__}"
        raise ConfigError(what, where=where)
    if not hasattr(network, "add_plugin_v3"):
        hint = "build the network with TensorRT, or from TensorRT-RTX's own layers: add_normalization, add_slice"
        raise BackendError("TensorRT-RTX does not support plugins", where=where, hint=hint)
    return trt


def _require_tensor(trt: Any, op: CustomOp, x: Any, where: str) -> Operand:
    """Return what is known of `x`; refuse what the op does not take."""
    if not isinstance(x, trt.ITensor):
        raise ConfigError(f"x must be TensorRT's ITensor, got {type(x).__name__}", where=where)
    names = [str(BY_ONNX[each].tensorrt_name) for each in sorted(op.dtypes)]
    if x.dtype.name not in names:
        raise ConfigError(f"x must be of type {' or '.join(names)}, got {x.dtype.name}", where=where)
    return _operand("x", x, where)


def _operand(role: str, tensor: Any, where: str) -> Operand:
    """Return what is known of a tensor: not the sizes that TensorRT gives as -1, for they come at run time."""
    try:
        dims = [None if size == _UNKNOWN else int(size) for size in tensor.shape]
    except ValueError:  # TensorRT gives a tensor no rank when it refused a layer before it
        what = f"the shape of {role} is not known: TensorRT refused a layer before it"
        raise ConfigError(what, where=where, hint="see TensorRT's log") from None
    found = BY_TENSORRT.get(tensor.dtype.name)
    return Operand(None if found is None else found.onnx, dims)


def _array(role: str, values: Any, type_name: str, where: str) -> npt.NDArray[Any]:
    try:
        given = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ConfigError(f"{role} must be numbers or TensorRT's ITensor, got {values!r}", where=where) from None
    with np.errstate(over="ignore"):
        array: npt.NDArray[Any] = given.astype(BY_TENSORRT[type_name].dtype, order="C")
    if not np.array_equal(np.isfinite(array.astype(np.float64)), np.isfinite(given)):
        raise ConfigError(f"{role} holds values beyond the range of {type_name}, the type of x", where=where)
    return array


def _number(what: str, value: float, where: str) -> float:
    try:
        return float(value)
    except (OverflowError, TypeError, ValueError):
        raise ConfigError(f"{what} must be a number, got {value!r}", where=where) from None


def _integers(what: str, values: Sequence[int], where: str) -> list[int]:
    try:
        return [operator.index(value) for value in values]
    except TypeError:
        raise ConfigError(f"{what} must be integers, got {values!r}", where=where) from None


def _type_number(to: Any, where: str) -> int:
    """Return the number that ONNX gives to one of TensorRT's types, 0 for None."""
    if to is None:
        return 0
    found = BY_TENSORRT.get(str(getattr(to, "name", "")))
    if found is None:
        raise ConfigError(f"to must be one of TensorRT's types, got {to!r}", where=where)
    return found.onnx


def _add_constant(network: Any, trt: Any, values: npt.NDArray[Any], dtype: Any, name: str | None) -> Any:
    """Return a constant tensor. Its values stay in memory as long as the network, which reads them when it is built."""
    layer = network.add_constant(values.shape, trt.Weights(dtype, values.ctypes.data, values.size))
    if layer is None:
        raise BackendError("TensorRT refused a constant", where=name, hint="see TensorRT's log")
    weakref.finalize(network, lambda kept: None, values).atexit = False  # Weights of an address keep nothing alive
    if name is not None:
        layer.name = name
    return layer.get_output(0)


def _add_plugin(
    network: Any,
    trt: Any,
    op: CustomOp,
    inputs: Sequence[Any],
    attributes: Mapping[str, AttributeValue],
    name: str | None,
) -> Any:
    load_plugins(trt)
    creator = trt.get_plugin_registry().get_creator(op.name, str(VERSION), DOMAIN)
    # The list has to outlive the call: a collection keeps neither its fields nor their values alive.
    fields = [_field(trt, field, row.kind, attributes[field]) for field, row in op.attributes.items()]
    collection = trt.PluginFieldCollection(fields)
    plugin = creator.create_plugin(name or op.name, collection, trt.TensorRTPhase.BUILD)
    layer = None if plugin is None else network.add_plugin_v3(list(inputs), [], plugin)
    if layer is None:
        raise BackendError("TensorRT refused the plugin", where=name or op.name, hint="see TensorRT's log")
    if name is not None:
        layer.name = name
    return layer


def _field(trt: Any, name: str, kind: type, value: AttributeValue) -> Any:
    dtype, type_name = FIELD_TYPES[kind]
    values = list(value.encode()) if isinstance(value, str) else value
    return trt.PluginField(name, np.atleast_1d(np.array(values, dtype=dtype)), getattr(trt.PluginFieldType, type_name))
