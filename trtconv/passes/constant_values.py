"""Read tensors that are constant: an initializer, a Constant node, or a chain of nodes that needs no graph input.

The ancestors of the wanted tensors alone are run, as a small model in ONNX Runtime. graph-surgeon's fold_constants
would fold the rest of the graph too and turn every Constant node into an initializer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnx_graphsurgeon as gs

from trtconv.errors import first_line
from trtconv.model.addresses import address_of
from trtconv.model.division_check import DivisionError
from trtconv.model.onnx_session import cause_of, open_session
from trtconv.model.walking import is_onnx
from trtconv.ops.custom_op import Dim
from trtconv.passes.base import NoMatch
from trtconv.passes.evaluation_hazards import require_harmless
from trtconv.passes.graph_edit import given_inputs, shape_of
from trtconv.passes.node_protos import node_proto, read_by, values_of
from trtconv.progress import bounded


class AtRunTime(NoMatch):
    """Why a tensor has no value before run time."""


class FromSizes(AtRunTime):
    """Why a tensor has no value before run time: it is computed from sizes that are known then, not from data."""


Value = npt.NDArray[Any] | NoMatch

# What exporters compute pads with. Anything else (a random op, a loop, a custom op) is left to run time.
_EVALUATED_OPS = frozenset(
    {
        *("Constant", "ConstantOfShape", "Identity", "Cast", "Shape", "Size", "Range"),
        *("Concat", "Reshape", "Slice", "Split", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Gather"),
        *("CastLike", "Expand", "Tile", "Where", "Equal", "Less", "Greater", "Not", "And", "Or"),
        *("Add", "Sub", "Mul", "Div", "Mod", "Neg", "Abs", "Min", "Max", "Pow", "Sqrt", "Floor", "Ceil", "Round"),
        *("ReduceProd", "ReduceSum"),
    }
)
# Pads are a few numbers; a chain through a tensor that is known to be larger is not about pads.
MAX_ELEMENTS = 1 << 16
MAX_CHANNELS = 1 << 20  # that a pass writes one value each for: a model of a few bytes can state any number


def too_many_channels(channels: int) -> NoMatch:
    """Say that a norm has more channels than a scale or bias is written for."""
    return NoMatch(f"it has {channels} channels, more than {MAX_CHANNELS}")


@dataclass(frozen=True)
class _Reason:
    """What keeps a tensor from being computed before run time; `is_size` where that is sizes of tensors alone."""

    what: str
    is_size: bool = False


@dataclass
class KnownValues:
    """What was found of a graph's tensors so far, by id, so that reading one after the other visits no node twice.

    `arrays` holds the tensors too, which keeps their ids theirs. `reasons` hold as long as no shape becomes known on
    which one depended.
    """

    arrays: dict[int, tuple[gs.Tensor, npt.NDArray[Any]]] = field(default_factory=dict)
    reasons: dict[int, _Reason | None] = field(default_factory=dict)


def read_constants(
    tensors: Iterable[gs.Tensor], opset: int, folder: Path, known: KnownValues | None = None, limit: int = MAX_ELEMENTS
) -> dict[str, Value]:
    """Return each tensor's value by name, or why it has none before run time.

    The tensors stand in one (sub)graph, where names are unique. `folder` is the model's, for external data. What is
    found on the way goes into `known`; a chain through a tensor of more than `limit` elements is not computed.
    """
    return _Reader(opset, folder, known, limit).read(tensors)


def is_evaluated(node: gs.Node) -> bool:
    """Say whether a node is of an op that chains of constants are made of."""
    return is_onnx(node.domain) and node.op in _EVALUATED_OPS


def direct_value(tensor: gs.Tensor, folder: Path) -> npt.NDArray[Any] | None:
    """Return the value of an initializer or a Constant node, None for what other nodes compute or a caller gives."""
    if isinstance(tensor, gs.Constant):
        return values_of(tensor, folder)
    if len(tensor.inputs) == 1 and tensor.inputs[0].op == "Constant" and is_onnx(tensor.inputs[0].domain):
        attributes = tensor.inputs[0].attrs
        if isinstance(attributes.get("value"), gs.Constant):
            return values_of(attributes["value"], folder)
        for name in ("value_ints", "value_int"):
            if name in attributes:
                return np.array(attributes[name], dtype=np.int64)
    return None


class _Reader:
    def __init__(self, opset: int, folder: Path, known: KnownValues | None, limit: int) -> None:
        self._opset = opset
        self._folder = folder
        self._remembers = known is not None
        self._known = known or KnownValues()
        self._limit = limit

    def read(self, tensors: Iterable[gs.Tensor]) -> dict[str, Value]:
        wanted = list({tensor.name: tensor for tensor in tensors}.values())
        for node in self._producers_first(wanted):
            if id(node) not in self._known.reasons:
                self._known.reasons[id(node)] = self._reason_against(node)
        values: dict[str, Value] = {}
        computed: list[gs.Tensor] = []
        for tensor in wanted:
            try:
                direct = self._value_of(tensor)
            except Exception as error:  # whatever numpy has to say about damaged data
                values[tensor.name] = NoMatch(f"{tensor.name} cannot be read: {first_line(error)}")
                continue
            if direct is not None:
                values[tensor.name] = direct
            elif (reason := self._reason_of(tensor)) is not None:
                because = "" if reason.what == tensor.name else f": it depends on {reason.what}"
                kind = FromSizes if reason.is_size else AtRunTime
                values[tensor.name] = kind(f"{tensor.name} is only known at run time{because}")
            else:
                computed.append(tensor)
        return values | self._compute(computed)

    def _reason_of(self, tensor: gs.Tensor) -> _Reason | None:
        if isinstance(tensor, gs.Constant) or not tensor.name or id(tensor) in self._known.arrays:
            return None
        if not tensor.inputs:
            return _Reason(tensor.name)
        return self._known.reasons.get(id(tensor.inputs[0]), _Reason("itself"))

    def _reason_against(self, node: gs.Node) -> _Reason | None:
        if not is_evaluated(node):
            return _Reason(f"{address_of(node)} ({node.op})")
        large = next((tensor for tensor in node.outputs if _num_elements(tensor) > self._limit), None)
        if large is not None:
            return _Reason(f"{large.name}, which has {_num_elements(large)} elements")
        if self._static_result(node) is not None:
            return None
        reasons = [reason for tensor in read_by(node) if (reason := self._reason_of(tensor)) is not None]
        if reasons and node.op in ("Shape", "Size"):
            return _Reason(f"the shape of {node.inputs[0].name}", is_size=True)
        return next((reason for reason in reasons if not reason.is_size), reasons[0] if reasons else None)

    def _producers_first(self, tensors: Sequence[gs.Tensor]) -> Iterator[gs.Node]:
        """Yield the nodes that compute `tensors`, each once and after what it reads."""
        seen: set[int] = set()
        stack = [(tensor, False) for tensor in reversed(tensors)]
        while stack:
            tensor, are_inputs_done = stack.pop()
            if isinstance(tensor, gs.Constant) or not tensor.name or not tensor.inputs:
                continue
            node = tensor.inputs[0]
            if are_inputs_done:
                yield node
            elif id(node) not in seen and not self._is_settled(tensor):
                seen.add(id(node))
                stack.append((tensor, True))
                if is_evaluated(node) and self._static_result(node) is None:
                    stack.extend((parent, False) for parent in reversed(read_by(node)))

    def _is_settled(self, tensor: gs.Tensor) -> bool:
        """Say whether an earlier reading has the value of a tensor, or the reason why it has none."""
        return id(tensor) in self._known.arrays or self._known.reasons.get(id(tensor.inputs[0])) is not None

    def _static_result(self, node: gs.Node) -> npt.NDArray[np.int64] | None:
        """Return what a node that reads sizes gives when each dimension that it reads is known."""
        if node.op == "Size" and node.inputs:
            sizes = _sizes(shape_of(node.inputs[0]))
            return None if sizes is None else np.array(math.prod(sizes), dtype=np.int64)
        dims = self._dims_given(node)
        sizes = _sizes(dims if isinstance(dims, list) else [dims])
        if dims is None or sizes is None:
            return None
        return np.array(sizes if isinstance(dims, list) else sizes[0], dtype=np.int64)

    def _dims_given(self, node: gs.Node) -> list[Dim] | Dim:
        """Return the dimensions that a Shape, or a Slice or Gather of one, gives; None where that cannot be told."""
        if not is_onnx(node.domain) or not node.inputs:
            return None
        if node.op == "Shape":
            shape, start, end = shape_of(node.inputs[0]), node.attrs.get("start", 0), node.attrs.get("end")
            return None if shape is None else shape[start:end]
        if node.op not in ("Slice", "Gather") or not node.inputs[0].inputs:
            return None
        source = node.inputs[0].inputs[0]
        if source.op not in ("Shape", "Slice", "Gather") or not isinstance(dims := self._dims_given(source), list):
            return None
        if node.op == "Gather":
            return self._gathered(node, dims)
        bounds = self._slice_bounds(node)
        return None if bounds is None else dims[bounds]

    def _gathered(self, node: gs.Node, dims: list[Dim]) -> list[Dim] | Dim:
        indices = self._small_value(node, 1)
        if indices is None or indices.ndim > 1 or node.attrs.get("axis", 0) != 0:
            return None
        if not all(-len(dims) <= index < len(dims) for index in indices.flat):
            return None
        picked = [dims[int(index)] for index in indices.flat]
        return picked if indices.ndim else picked[0]

    def _slice_bounds(self, node: gs.Node) -> slice | None:
        if len(node.inputs) == 1:
            starts, ends = node.attrs.get("starts", []), node.attrs.get("ends", [])
            return slice(starts[0], ends[0]) if len(starts) == len(ends) == 1 else None
        values = [self._small_value(node, position) for position in (1, 2)]
        step = self._small_value(node, 4) if len(given_inputs(node)) > 4 else np.array([1])
        if any(value is None or value.size != 1 for value in (*values, step)):
            return None
        start, end, stride = (int(value.item()) for value in (*values, step) if value is not None)
        return slice(start, end, stride) if stride > 0 else None

    def _small_value(self, node: gs.Node, position: int) -> npt.NDArray[Any] | None:
        """Return the value of an input that is a constant itself, if it holds integers."""
        tensor = given_inputs(node)[position] if len(node.inputs) > position else None
        if tensor is None:
            return None
        try:
            value = self._value_of(tensor)
        except Exception:
            return None
        return value if value is not None and np.issubdtype(value.dtype, np.integer) else None

    def _value_of(self, tensor: gs.Tensor) -> npt.NDArray[Any] | None:
        """Return a value that needs no computation any more."""
        found = self._known.arrays.get(id(tensor))
        return direct_value(tensor, self._folder) if found is None else found[1]

    def _compute(self, tensors: Sequence[gs.Tensor]) -> dict[str, Value]:
        """Run the chains of all tensors together; where that fails, halve them until the bad ones stand alone."""
        if not tensors:
            return {}
        try:
            return self._run(tensors)
        except DivisionError:
            raise
        except Exception as error:
            if len(tensors) == 1:
                name = tensors[0].name
                return {name: NoMatch(f"{name} could not be computed from its constants: {cause_of(error)}")}
        half = len(tensors) // 2
        return self._compute(tensors[:half]) | self._compute(tensors[half:])

    def _run(self, tensors: Sequence[gs.Tensor], remember: bool = False) -> dict[str, Value]:
        """Run what computes `tensors` as one model without inputs; `remember` all that is computed on the way."""
        self._require_harmless(list(self._producers_first(tensors)))
        nodes = list(self._producers_first(tensors))
        outputs = {tensor.name: tensor for tensor in tensors}
        if self._remembers or remember:  # what comes next may start from there
            outputs |= {tensor.name: tensor for node in nodes for tensor in node.outputs if tensor.name}
        proto = onnx.helper.make_model(
            onnx.helper.make_graph(
                [self._node_proto(node) for node in nodes],
                "constants",
                inputs=[],
                outputs=[onnx.helper.make_empty_tensor_value_info(name) for name in outputs],
                initializer=self._initializers(nodes),
            ),
            opset_imports=[onnx.helper.make_opsetid("", self._opset)],
            ir_version=8,
        )
        with bounded("computing constants", proto.ByteSize()):
            session = open_session(proto, self._folder, num_threads=1)
            values = dict(zip(outputs, session.run(list(outputs), {}), strict=True))
        if self._remembers or remember:
            self._known.arrays |= {id(outputs[name]): (outputs[name], value) for name, value in values.items()}
        return {tensor.name: values[tensor.name] for tensor in tensors}

    def _require_harmless(self, nodes: Sequence[gs.Node]) -> None:
        """Raise where a node would crash ONNX Runtime or take all memory; what tells that is computed before."""
        for node in nodes:
            if self._static_result(node) is None:
                require_harmless(node, self._computed, self._limit)

    def _computed(self, tensor: gs.Tensor) -> npt.NDArray[Any]:
        value = self._value_of(tensor)
        found = self._run([tensor], remember=True)[tensor.name] if value is None else value
        assert not isinstance(found, NoMatch)
        return found

    def _node_proto(self, node: gs.Node) -> onnx.NodeProto:
        static = self._static_result(node)
        if static is not None:
            value = onnx.numpy_helper.from_array(static)
            return onnx.helper.make_node("Constant", [], [tensor.name for tensor in node.outputs], value=value)
        return node_proto(node, self._folder)

    def _initializers(self, nodes: list[gs.Node]) -> list[onnx.TensorProto]:
        read = [tensor for node in nodes if self._static_result(node) is None for tensor in read_by(node)]
        arrays = {each.name: self._known.arrays[id(each)][1] for each in read if id(each) in self._known.arrays}
        constants = {each.name: each for each in read if isinstance(each, gs.Constant) and each.name not in arrays}
        for tensor in constants.values():
            if _num_elements(tensor) > self._limit:
                raise ValueError(
                    f"{tensor.name} has the shape {list(tensor.shape)}, too large for a chain of constants"
                )
        arrays |= {name: values_of(tensor, self._folder) for name, tensor in constants.items()}
        return [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]


def _sizes(dims: Sequence[Dim] | None) -> list[int] | None:
    """Return dimensions where all of them are known."""
    sizes = [dim for dim in dims or () if isinstance(dim, int)]
    return sizes if dims is not None and len(sizes) == len(dims) else None


def _num_elements(tensor: gs.Tensor) -> int:
    """Return how many elements a tensor has as far as its dimensions are known, else 0."""
    sizes = _sizes(shape_of(tensor) or [0])
    return 0 if sizes is None else math.prod(sizes)
