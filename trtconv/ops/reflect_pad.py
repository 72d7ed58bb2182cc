"""trtconv::ReflectPad(X) -> Y    X and Y of rank >= 1; pads in ONNX order, begins then ends.

Y = convert(pad(upsample(activate(X)))); all but the pads are optional, and by default the pads are reflections. With
`phases` all of this speaks of X with its phases in place (input_map.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt
import onnx
from onnx import TensorProto

from trtconv import element_types
from trtconv.ops import activations, input_map, output_map
from trtconv.ops.custom_op import MAX_RANK, Attribute, Call, CustomOp, Dim, OnnxForm
from trtconv.ops.function_body import PADS_TENSOR_OPSETS, FunctionBody
from trtconv.ops.output_map import spread


def reflect_pad_reference(
    x: npt.NDArray[Any],
    pads: Sequence[int],
    *,
    activation: str = activations.NONE,
    alpha: float = 0.0,
    upsample: Sequence[int] = (1,),
    pad_mode: str = "reflect",
    to: int = 0,
    phases: Sequence[int] = (1,),
    crop: Sequence[int] = (0,),
) -> npt.NDArray[Any]:
    """Return Y before it is rounded to its type, which `to` says: in float64 with an activation, else in that of `x`.

    `pads` holds all begins, then all ends; by reflection the border is not repeated, and each is below its dimension.
    """
    x = input_map.put_in_place(x, *_spatial(phases, crop, x.ndim))
    if activation != activations.NONE:
        x = activations.activate(x, activation, alpha)
    return output_map.place(x, spread(upsample, x.ndim), pads, pad_mode)


def _spatial(phases: Sequence[int], crop: Sequence[int], rank: int) -> tuple[list[int], list[int]]:
    """Return phases and crop of the spatial axes."""
    return spread(phases, rank)[2:], spread(crop, rank)[2:]


def _two_an_axis(pads: Sequence[int]) -> str | None:
    if len(pads) % 2 or not pads:
        return f"must be two values an axis, got {len(pads)} values"
    return output_map.not_negative(pads)


def _misfit(call: Call) -> str | None:
    """There are two pads for each axis that is long enough for them, and only numbers are activated or converted."""
    x, values = call.operands[0], call.attributes
    changes = "an activation" if values["activation"] != activations.NONE else "another type" if values["to"] else None
    if changes is not None and x.dtype is not None and x.dtype not in output_map.FLOATS:
        return f"X is of type {element_types.name_of(x.dtype)}, of which there is no result with {changes}"
    if problem := activations.misfit(values):
        return problem
    dims, pads = x.dims, values["pads"]
    if problem := _phases_misfit(dims, len(pads) // 2, values["phases"], values["crop"]):
        return problem
    if dims is None:
        return None
    if len(pads) != 2 * len(dims):
        return f"pads must be {2 * len(dims)} values for X of rank {len(dims)}, got {pads}"
    dims = _dims_in_place(dims, values)
    return output_map.misfit(dims, values["upsample"], pads, values["pad_mode"], "x")


def _phases_misfit(dims: Sequence[Dim] | None, rank: int, phases: Sequence[int], crop: Sequence[int]) -> str | None:
    """The lists speak of all axes; those of the batch and the channels have no phases."""
    for name, values in (("phases", phases), ("crop", crop)):
        if len(values) not in (1, rank):
            return f"{name} must be one value or {rank} for x, got {list(values)}"
    outer = (*spread(phases, rank)[:2], *(1 + end for end in spread(crop, rank)[:2]))
    if any(value != 1 for value in outer):
        return f"phases and crop must be 1 and 0 for the batch and the channels, got {list(phases)} and {list(crop)}"
    return input_map.misfit(dims, *_spatial(phases, crop, rank)) if rank > 2 else None


def _dims_in_place(dims: Sequence[Dim], values: Mapping[str, Any]) -> list[Dim]:
    values = REFLECT_PAD.complete(values)
    return input_map.dims_in_place(dims, *_spatial(values["phases"], values["crop"], len(dims)))


def _output_dims(dims: Sequence[Dim], values: Mapping[str, Any]) -> list[Dim]:
    dims = _dims_in_place(dims, values)
    return output_map.placed_dims(dims, values.get("upsample", [1]), values["pads"])


def _bytes_moved(dims: Sequence[int], element_bytes: int, values: Mapping[str, Any], roles: Sequence[str]) -> int:
    """X is read once and Y written once."""
    num_written = math.prod(size for size in _output_dims(dims, values) if isinstance(size, int))
    return math.prod(dims) * element_bytes + num_written * output_map.element_bytes(values.get("to", 0), element_bytes)


def _overload(call: Call) -> str:
    values, rank = call.attributes, len(call.attributes["pads"]) // 2
    upsample = spread(values["upsample"], rank)
    parts = [
        input_map.name_of(*_spatial(values["phases"], values["crop"], rank)),
        values["activation"] if values["activation"] != activations.NONE else "",
        output_map.name_of("upsample", upsample) if any(factor != 1 for factor in upsample) else "",
        values["pad_mode"] if values["pad_mode"] != "reflect" else "",
        element_types.name_of(values["to"]) if values["to"] else "",
    ]
    return "_".join(filter(None, parts))


def _body(opset: int, call: Call) -> list[onnx.NodeProto]:
    """Return the body of a variant; the pads are the function's own."""
    values, body = call.attributes, FunctionBody(opset)
    rank = len(values["pads"]) // 2
    x = input_map.write(body, "X", *_spatial(values["phases"], values["crop"], rank))
    y = activations.write(body, x, values["activation"])
    upsample = spread(values["upsample"], rank)
    y = output_map.write_upsample(body, y, upsample)
    y = body.pad_by_attribute(y, "pads", output_map.ONNX_PAD_MODES[values["pad_mode"]])
    return body.finish(output_map.write_cast(body, y, values["to"]))


REFLECT_PAD = CustomOp(
    name="ReflectPad",
    replaces="Pad(reflect)",
    replaces_long="Pad(mode=reflect)",
    form=OnnxForm(
        op_type="Pad",
        title=lambda attributes: f"Pad({attributes.get('mode', 'constant')})",
        inputs={"pads": 1, "constant_value": 2, "axes": 3},  # since opset 11; attributes of these names before
        attributes=("pads", "paddings", "value"),
        small_inputs=frozenset({"pads", "constant_value", "axes"}),
        others="Pads of other modes",
        why_not_others="the plugin pads by reflection only",
    ),
    kind="pad",
    inputs=("X",),
    attributes={
        "pads": Attribute(list, _two_an_axis, tensor_opsets=PADS_TENSOR_OPSETS),
        **activations.attributes(tuple(each for each in activations.ACTIVATIONS if each != activations.PRELU)),
        "upsample": output_map.UPSAMPLE,
        "pad_mode": output_map.PAD_MODE,
        "to": output_map.TO,
        **input_map.ATTRIBUTES,
    },
    dtypes=frozenset(
        {
            TensorProto.FLOAT,
            TensorProto.FLOAT16,
            TensorProto.BFLOAT16,
            TensorProto.INT64,
            TensorProto.INT32,
            TensorProto.INT8,
            TensorProto.BOOL,
        }
    ),
    no_dtype="TensorRT gives plugins no tensors of",
    ranks=range(1, MAX_RANK + 1),
    misfit=_misfit,
    output_dims=_output_dims,
    bytes_moved=_bytes_moved,
    reference=reflect_pad_reference,
    body=_body,
    overload=_overload,
)
