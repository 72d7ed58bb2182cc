"""Add probes to a model: each tensor is reduced to its extremes directly after its producer, inside branches too.

The extremes inside a branch or body become extra outputs of its If, Loop or Scan. A branch that is not taken gives
extremes that fit no number (max < min); a body gives those of every iteration. An extra model input can invert the
condition of each If, so that a branch which the data do not take is measured as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from trtconv.model.walking import opset_of
from trtconv.precision.scopes import is_looked_into

PREFIX = "trtconv_calibration"
_FIRST_BROADCASTING_XOR = 7
# The result of each probe where nothing was computed, and the op that merges the results of several iterations.
_NOTHING = {"max": -np.inf, "min": np.inf, "min_abs": np.inf, "sum": 0.0}
_MERGE = {"max": "ReduceMax", "min": "ReduceMin", "min_abs": "ReduceMin", "sum": "ReduceSum"}


def turning_input(owner: int) -> str:
    """Return the name of the model input that inverts the condition of an If; `owner` is its index."""
    return f"{PREFIX}_turn_{owner}"


class Probing:
    """A copy of a model, all of whose tensor names are unique, with probes.

    `names` are the tensors to measure, `arguments` those among them whose smallest magnitude is needed too. `turned`
    are the model inputs that invert the condition of an If; false leaves it as it is.
    """

    def __init__(self, proto: onnx.ModelProto, names: Sequence[str], arguments: set[str]) -> None:
        self._numbers = {name: number for number, name in enumerate(names)}
        self._arguments = arguments
        self._opset = opset_of(proto)
        self._num_nodes = 0
        self.turned: list[str] = []
        self.model = onnx.ModelProto()
        self.model.CopyFrom(proto)
        graph = self.model.graph
        del graph.output[:]
        del graph.value_info[:]
        outputs = self._probe(graph, level=0)
        graph.output.extend(_scalar(name) for name in outputs)
        for name in self.turned:
            graph.input.append(helper.make_tensor_value_info(name, TensorProto.BOOL, []))

    def _probe(self, graph: onnx.GraphProto, level: int) -> list[str]:
        """Add probes to a graph and return the names of their results in it."""
        made: list[str] = []
        nodes: list[onnx.NodeProto] = []

        def add(probes: Iterator[onnx.NodeProto]) -> None:
            for probe in probes:
                nodes.append(probe)
                if not probe.output[0].endswith("_abs_all"):
                    made.append(probe.output[0])

        for value in graph.input:
            add(self._probes(value.name, level))
        for node in graph.node:
            if is_looked_into(node, self._opset):
                before, behind = self._lift(node, level)
                nodes += (*before, node, *behind)
                made += [each for each in node.output if each.startswith(PREFIX) and not each.endswith("_rounds")]
                made += [each.output[0] for each in behind]
            else:
                nodes.append(node)
            self._num_nodes += 1
            for name in node.output:
                add(self._probes(name, level))
        graph.ClearField("node")
        graph.node.extend(nodes)
        return made

    def _probes(self, name: str, level: int) -> Iterator[onnx.NodeProto]:
        number = self._numbers.get(name)
        if number is None:
            return
        prefix = f"{PREFIX}_{level}_{number}"
        yield helper.make_node("ReduceMax", [name], [f"{prefix}_max"], keepdims=0)
        yield helper.make_node("ReduceMin", [name], [f"{prefix}_min"], keepdims=0)
        yield helper.make_node("ReduceSum", [name], [f"{prefix}_sum"], keepdims=0)  # ReduceMax skips NaN
        if name in self._arguments:
            yield helper.make_node("Abs", [name], [f"{prefix}_abs_all"])
            yield helper.make_node("ReduceMin", [f"{prefix}_abs_all"], [f"{prefix}_min_abs"], keepdims=0)

    def _lift(self, node: onnx.NodeProto, level: int) -> tuple[list[onnx.NodeProto], list[onnx.NodeProto]]:
        """Make the results of the probes inside a node its outputs; return the nodes to insert before and after it."""
        bodies = [attribute.g for attribute in node.attribute if attribute.type == onnx.AttributeProto.GRAPH]
        names = [self._probe(body, level + 1) for body in bodies]
        if node.op_type != "If":
            return [], list(self._give_out_of_body(node, bodies[0], names[0], level))
        for body, own in zip(bodies, names, strict=True):
            for inner in (each for other in names for each in other):
                if inner not in own:
                    nothing = _NOTHING[_kind(inner)]
                    body.node.append(helper.make_node("Constant", [], [f"{inner}_not"], value=_constant(nothing)))
                body.output.append(_scalar(inner if inner in own else f"{inner}_not"))
        node.output.extend(_at_level(inner, level) for other in names for inner in other)
        return self._turn(node), []

    def _give_out_of_body(
        self, node: onnx.NodeProto, body: onnx.GraphProto, inner: Sequence[str], level: int
    ) -> Iterator[onnx.NodeProto]:
        """Make the results of a body's probes scan outputs of its Loop or Scan, and reduce each to one value."""
        num_given_out = len(body.output) - (node.op_type == "Loop")
        node.output.extend(
            f"{PREFIX}_{self._num_nodes}_{slot}_rounds" for slot in range(len(node.output), num_given_out)
        )
        for attribute in node.attribute:
            if attribute.name in ("scan_output_axes", "scan_output_directions"):
                attribute.ints.extend([0] * len(inner))
        for name in inner:
            body.output.append(_scalar(name))
            outer = _at_level(name, level)
            node.output.append(f"{outer}_rounds")
            yield helper.make_node(_MERGE[_kind(name)], [f"{outer}_rounds"], [outer], keepdims=0)

    def _turn(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        if self._opset < _FIRST_BROADCASTING_XOR:
            return []
        name = turning_input(self._num_nodes)
        self.turned.append(name)
        turn = helper.make_node("Xor", [node.input[0], name], [f"{name}_condition"])
        node.input[0] = turn.output[0]
        return [turn]


def _kind(name: str) -> str:
    return name.split("_", 4)[4]


def _at_level(name: str, level: int) -> str:
    return f"{PREFIX}_{level}_{name.split('_', 3)[3]}"


def _constant(value: float) -> TensorProto:
    return helper.make_tensor("", TensorProto.FLOAT, [], [value])


def _scalar(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [])
