"""Write the body of a function node by node, in the form that an opset has for each operator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from trtconv.ops.custom_op import reference_to

# Since opset 11 Pad takes its pads as an input, but Constant cannot be made of a list of integers before opset 12.
PADS_TENSOR_OPSETS = frozenset({11})

_LAST = int(np.iinfo(np.int64).max)


class FunctionBody:
    """The nodes of a function whose result is called Y, in ai.onnx `opset`."""

    def __init__(self, opset: int) -> None:
        self.opset = opset
        self._nodes: list[onnx.NodeProto] = []

    def add(self, op_type: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Add a node of one output and return the name of that."""
        self._nodes.append(helper.make_node(op_type, inputs, [f"t{len(self._nodes)}"], **attributes))
        return str(self._nodes[-1].output[0])

    def add_with(self, op_type: str, inputs: Sequence[str], name: str) -> str:
        """Add a node whose float attribute `name` is that of the function."""
        output = self.add(op_type, inputs)
        self._nodes[-1].attribute.append(reference_to(name, onnx.AttributeProto.FLOAT))
        return output

    def integers(self, values: Sequence[int]) -> str:
        """Return a constant of int64; before opset 9 ONNX has none but of floats, which hold small integers exactly."""
        if self.opset < 9:
            return self.add("Cast", [self._constant(np.array(values, dtype=np.float32))], to=onnx.TensorProto.INT64)
        return self._constant(np.array(values, dtype=np.int64))

    def reshape(self, x: str, shape: Sequence[int]) -> str:
        """Return `x` in another shape, with ONNX's 0 and -1."""
        return self.add("Reshape", [x, self.integers(shape)])

    def like(self, x: str, other: str) -> str:
        """Return `x` in the shape of `other`."""
        return self.add("Reshape", [x, self.add("Shape", [other])])

    def insert_first_axis(self, x: str) -> str:
        """Return `x` with one more axis of size 1 in front."""
        if self.opset < 13:
            return self.add("Unsqueeze", [x], axes=[0])
        return self.add("Unsqueeze", [x, self.integers([0])])

    def slice(self, x: str, begins: Sequence[int], ends: Sequence[int]) -> str:
        """Return `x` without `begins[i]` elements at the start and `ends[i]` at the end of axis i."""
        stops = [-end if end else _LAST for end in ends]
        return self._slice(x, begins, stops)

    def head(self, x: str, count: int) -> str:
        """Return the first elements along the first axis."""
        return self.part(x, 0, count)

    def part(self, x: str, start: int, stop: int) -> str:
        """Return the elements from `start` to before `stop` along the first axis."""
        return self._slice(x, [start], [stop])

    def upsample(self, x: str, factors: Sequence[int]) -> str:
        """Return `x` with each element repeated along its axes."""
        scales = [float(factor) for factor in factors]
        if self.opset < 9:
            return self.add("Upsample", [x], scales=scales, mode="nearest")
        values = self._constant(np.array(scales, dtype=np.float32))
        if self.opset < 10:
            return self.add("Upsample", [x, values], mode="nearest")
        if self.opset < 11:
            return self.add("Resize", [x, values], mode="nearest")
        no_region = self._constant(np.array([], dtype=np.float32))
        plain = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        return self.add("Resize", [x, no_region, values], mode="nearest", **plain)

    def pad(self, x: str, pads: Sequence[int], mode: str) -> str:
        """Return `x` padded, `pads` in ONNX's order."""
        if self.opset < 11:
            return self.add("Pad", [x], mode=mode, **{"paddings" if self.opset < 2 else "pads": list(pads)})
        return self.add("Pad", [x, self.integers(pads)], mode=mode)

    def pad_by_attribute(self, x: str, name: str, mode: str) -> str:
        """Return `x` padded by the function's attribute `name`, which at PADS_TENSOR_OPSETS comes as a tensor, too."""
        if self.opset < 11:
            y = self.add("Pad", [x], mode=mode)
            target = "paddings" if self.opset < 2 else "pads"
            self._nodes[-1].attribute.append(reference_to(target, onnx.AttributeProto.INTS, of=name))
            return y
        pads = self.add("Constant", [])
        if self.opset in PADS_TENSOR_OPSETS:
            reference = reference_to("value", onnx.AttributeProto.TENSOR, of=f"{name}_tensor")
        else:
            reference = reference_to("value_ints", onnx.AttributeProto.INTS, of=name)
        self._nodes[-1].attribute.append(reference)
        return self.add("Pad", [x, pads], mode=mode)

    def finish(self, result: str) -> list[onnx.NodeProto]:
        """Return the nodes, `result` renamed to Y."""
        writer = next(node for node in self._nodes if node.output[0] == result)
        writer.output[0] = "Y"
        return self._nodes

    def _slice(self, x: str, starts: Sequence[int], stops: Sequence[int]) -> str:
        axes = list(range(len(starts)))
        if self.opset < 10:
            return self.add("Slice", [x], starts=list(starts), ends=list(stops), axes=axes)
        return self.add("Slice", [x, *(self.integers(values) for values in (starts, stops, axes))])

    def _constant(self, values: npt.NDArray[Any]) -> str:
        return self.add("Constant", [], value=numpy_helper.from_array(values))
