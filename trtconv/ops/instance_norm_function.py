"""What trtconv::InstanceNorm means in ONNX's operators: one function body for each variant that a model uses.

A body can neither hold an input that is absent nor branch on a string, so a variant has a body of its own, told from
the others by its overload. All is computed in the type of X; the plugin computes in fp32 and rounds once.
"""

from __future__ import annotations

import onnx
from onnx import helper

from trtconv import element_types
from trtconv.ops import activations, input_map, output_map
from trtconv.ops.custom_op import Call, reference_to
from trtconv.ops.function_body import FunctionBody
from trtconv.ops.output_map import spread

RESIDUAL, SLOPE = "residual", "slope"


def name_overload(call: Call) -> str:
    """Return which variant a call is; the one that ONNX InstanceNormalization is has no name."""
    values = call.attributes
    spatial = _spatial(call)
    upsample, pads, residual_pads = (spatial[name] for name in ("upsample", "pads", "residual_pads"))
    parts = [
        input_map.name_of(spatial["phases"], spatial["crop"]),
        f"groups{values['groups']}" if values["groups"] else "",
        "by_image" if _is_by_image(call) else "",
        RESIDUAL if RESIDUAL in call.roles else "",
        output_map.name_of("inside", residual_pads) if any(residual_pads) else "",
        values["activation"] if values["activation"] != activations.NONE else "",
        output_map.name_of("upsample", upsample) if any(factor != 1 for factor in upsample) else "",
        output_map.name_of(values["pad_mode"], pads) if any(pads) else "",
        element_types.name_of(values["to"]) if values["to"] else "",
    ]
    return "_".join(filter(None, parts))


def write_body(opset: int, call: Call) -> list[onnx.NodeProto]:
    """Return the body of a variant; attributes of which it has no copy are those of the function."""
    values, body = call.attributes, FunctionBody(opset)
    if not name_overload(call):
        node = helper.make_node("InstanceNormalization", ["X", "scale", "bias"], ["Y"])
        node.attribute.append(reference_to("epsilon", onnx.AttributeProto.FLOAT))
        return [node]
    spatial = _spatial(call)
    upsample, pads, residual_pads = (spatial[name] for name in ("upsample", "pads", "residual_pads"))
    x = input_map.write(body, "X", spatial["phases"], spatial["crop"])
    y = _write_norm(body, call, x)
    if RESIDUAL in call.roles:
        residual, half = RESIDUAL, len(residual_pads) // 2
        if any(residual_pads):
            residual = body.slice(RESIDUAL, [0, 0, *residual_pads[:half]], [0, 0, *residual_pads[half:]])
        y = body.add("Add", [y, residual])
    if values["activation"] == activations.PRELU:  # seen as [N, C, all the rest], whatever the rank is
        slopes = body.reshape(SLOPE, [-1, 1])
        y = body.like(body.add("PRelu", [body.reshape(y, [0, 0, -1]), slopes]), y)
    else:
        y = activations.write(body, y, values["activation"])
    half = len(pads) // 2
    y = output_map.write_upsample(body, y, [1, 1, *upsample])
    y = output_map.write_pad(body, y, [0, 0, *pads[:half], 0, 0, *pads[half:]], values["pad_mode"])
    return body.finish(output_map.write_cast(body, y, values["to"]))


def _is_by_image(call: Call) -> bool:
    """Say whether each image has its own scale and bias."""
    return any(len(call.operand(role).dims or ()) == 2 for role in ("scale", "bias"))


def _spatial(call: Call) -> dict[str, list[int]]:
    """Return the attributes that are lists with entries of each spatial axis, of one axis where the rank is unknown."""
    values, x = call.attributes, call.operands[0]
    entries = {"upsample": 1, "phases": 1, "crop": 1, "pads": 2, "residual_pads": 2}  # an axis
    lengths = (len(values[name]) // number for name, number in entries.items())
    count = max(lengths) if x.dims is None else len(x.dims) - 2
    return {name: spread(values[name], number * count) for name, number in entries.items()}


def _write_norm(body: FunctionBody, call: Call, x: str) -> str:
    """Write what comes before the residual; InstanceNormalization itself takes no groups and no parameters by image."""
    groups = call.attributes["groups"]
    if groups:
        return _write_groups(body, x, groups, _is_by_image(call))
    if _is_by_image(call):  # all channels of all images are those of one image
        planes = body.insert_first_axis(body.add("Flatten", [x], axis=2))
        parameters = [body.reshape(role, [-1]) for role in ("scale", "bias")]
        return body.like(body.add_with("InstanceNormalization", [planes, *parameters], "epsilon"), x)
    return body.add_with("InstanceNormalization", [x, "scale", "bias"], "epsilon")


def _write_groups(body: FunctionBody, x: str, groups: int, is_by_image: bool) -> str:
    planes = body.reshape(x, [0, 0, -1])
    some = body.head(body.reshape("scale", [-1]), groups)
    zeros = body.add("Sub", [some, some])  # of the type of X, which the body does not know
    ones = body.add("Exp", [zeros])
    grouped = body.reshape(planes, [0, groups, -1])
    y = body.like(body.add_with("InstanceNormalization", [grouped, ones, zeros], "epsilon"), planes)
    shape = [0, 0, 1] if is_by_image else [1, -1, 1]
    y = body.add("Mul", [y, body.reshape("scale", shape)])
    return body.like(body.add("Add", [y, body.reshape("bias", shape)]), x)
