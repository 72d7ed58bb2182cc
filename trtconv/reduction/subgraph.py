"""Parts of a model: the nodes before a tensor, and a model of some of them whose inputs are tensors of the whole one.

onnx.utils.Extractor does the same for graphs without branches; it loses what a branch reads from outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper

from trtconv.errors import ModelError
from trtconv.inputs.made_inputs import Arrays
from trtconv.model.external_data import external_tensors, read_external_tensor
from trtconv.model.walking import branches, captured_names, fed_inputs
from trtconv.reduction.recording import Recording

Part = frozenset[int]
_FIRST_IR_WITH_PLAIN_INITIALIZERS = 4  # before it, each had to be an input as well


class Parts:
    """The parts of a model in `folder` that compute one tensor, for inputs of the values `feed`.

    A part is a set of nodes, by their places in the graph, that depend on the inputs; the others, which compute
    constants, go with their readers.
    """

    def __init__(self, proto: onnx.ModelProto, folder: Path, feed: Arrays) -> None:
        self.proto = proto
        self._folder = folder
        self._recording = Recording(proto, folder, feed)
        nodes = proto.graph.node
        self._reads = [_read_names(node) for node in nodes]
        self._writers = {name: place for place, node in enumerate(nodes) for name in node.output if name}
        self._known = {value.name for value in fed_inputs(proto.graph)}
        self._computing: set[int] = set()
        for place, node in enumerate(nodes):
            if self._known.intersection(self._reads[place]):
                self._computing.add(place)
                self._known.update(name for name in node.output if name)

    def computes(self, tensor: str) -> bool:
        """Say whether a tensor depends on the inputs and is not one of them."""
        return self._writers.get(tensor) in self._computing

    def levels(self, tensor: str) -> Iterator[Part]:
        """Yield the node that computes a tensor, then with those before it, and so on to all of them."""
        part: Part = frozenset()
        front = {self._writers[tensor]} & self._computing
        while front:
            part |= front
            yield part
            front = {place for each in front for place in self._before(each)} - part

    def without(self, part: Part, place: int, tensor: str) -> Part:
        """Return what is left of a part for a tensor when one node's outputs become inputs."""
        left, kept = part - {place}, {self._writers[tensor]}
        front = kept & left
        while front:
            front = {before for each in front for before in self._before(each) if before in left} - kept
            kept |= front
        return frozenset(kept & left)

    def extract(self, part: Part, tensor: str) -> tuple[onnx.ModelProto, dict[str, Any]]:
        """Return a part as a model that gives `tensor`, and the values of its inputs, as the whole model has them."""
        written = {name for place in part for name in self.proto.graph.node[place].output}
        read = dict.fromkeys(name for place in sorted(part) for name in self._reads[place])
        boundary = [name for name in read if name in self._known and name not in written]
        values = self._recording.values_of([*boundary, tensor], self._before_backwards(tensor))
        made = onnx.ModelProto()
        made.CopyFrom(self.proto)
        made.ir_version = max(made.ir_version, _FIRST_IR_WITH_PLAIN_INITIALIZERS)
        graph = made.graph
        places = self._with_constants(part)
        needed = {name for place in places for name in self._reads[place]}
        _keep(graph.node, [self.proto.graph.node[place] for place in sorted(places)])
        _keep(graph.initializer, [each for each in self.proto.graph.initializer if each.name in needed])
        _keep(graph.sparse_initializer, [e for e in self.proto.graph.sparse_initializer if e.values.name in needed])
        _keep(graph.value_info, [])
        _keep(graph.input, [_described(name, values[name]) for name in boundary])
        _keep(graph.output, [_described(tensor, values[tensor])])
        for external in external_tensors(made):
            external.CopyFrom(read_external_tensor(external, self._folder))
        return made, {name: values[name] for name in boundary}

    def _before_backwards(self, tensor: str) -> Iterator[str]:
        """Yield the tensors that are computed up to `tensor`, the last first: they are what smaller parts may read."""
        for place in sorted(self._computing, reverse=True):
            if place <= self._writers[tensor]:
                yield from filter(None, self.proto.graph.node[place].output)

    def _before(self, place: int) -> set[int]:
        return {self._writers[name] for name in self._reads[place] if name in self._writers} & self._computing

    def _with_constants(self, part: Iterable[int]) -> set[int]:
        places, front = set(part), set(part)
        while front:
            before = {self._writers[name] for each in front for name in self._reads[each] if name in self._writers}
            front = before - places - self._computing
            places |= front
        return places


def _read_names(node: onnx.NodeProto) -> list[str]:
    """Return the tensors that a node reads, in its branches too."""
    inner = (name for branch in branches(node) for name in captured_names(branch))
    return [*(name for name in node.input if name), *inner]


def _keep(field: Any, items: Sequence[Any]) -> None:
    kept = list(items)
    del field[:]
    field.extend(kept)


def _described(name: str, values: Any) -> onnx.ValueInfoProto:
    if not isinstance(values, np.ndarray):
        raise ModelError("is a sequence or a map, which no part takes for an input", where=f"tensor {name}")
    dtype = np.dtype(str) if values.dtype.kind in "OSU" else values.dtype
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(dtype), values.shape)
