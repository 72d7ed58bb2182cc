"""Random models full of what is easily lost, and the same edit made twice: on graph-surgeon's graph and on protobuf."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from onnx import TensorProto, helper, numpy_helper

from trtconv.model.walking import walk_graphs, walk_nodes
from trtconv.passes.base import Site, walk
from trtconv.passes.graph_edit import NewNode, replace

UNARY = ("Relu", "Neg", "Abs", "LeakyRelu")


class RandomModel:
    """Builds one model; every tensor has a name of its own, nodes may have none or share one."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._num_names = 0
        graph = self._graph([], depth=0)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("test", 1)]
        self.proto = helper.make_model(graph, ir_version=10, opset_imports=opsets)

    def _name(self, kind: str) -> str:
        self._num_names += 1
        return f"{kind}{self._num_names}"

    def _graph(self, outer: list[str], depth: int) -> onnx.GraphProto:
        rng = self._rng
        inputs = [_value(self._name("x")) for _ in range(rng.randint(1 - bool(depth), 2))]
        constants = [
            numpy_helper.from_array(np.arange(2, dtype=np.float32), self._name("w")) for _ in range(rng.randint(0, 2))
        ]
        visible = [*outer, *(value.name for value in inputs), *(tensor.name for tensor in constants)]
        nodes: list[onnx.NodeProto] = []
        for _ in range(rng.randint(1, 6)):
            nodes.append(self._node(visible, depth))
            visible += nodes[-1].output
        written = [name for node in nodes for name in node.output]
        outputs = rng.sample(written, min(len(written), rng.randint(1, 2)))
        graph = helper.make_graph(nodes, self._name("g"), inputs, [_value(name) for name in outputs], constants)
        graph.value_info.extend(_value(name) for name in written if name not in outputs and rng.random() < 0.5)
        graph.doc_string = rng.choice(["", "a graph"])
        return graph

    def _node(self, visible: list[str], depth: int) -> onnx.NodeProto:
        rng = self._rng
        read = [rng.choice(visible) for _ in range(rng.randint(1, 3))] if visible else []
        kind = rng.random()
        if kind < 0.5 and read:
            node = helper.make_node(rng.choice(UNARY), read[:1], [self._name("t")])
        elif kind < 0.75 or depth == 2:
            node = helper.make_node("Many", [*read, *rng.choice([[], [""]])], [self._name("t"), self._name("t")])
            node.domain = "test"
        else:
            node = helper.make_node("Region", read, [self._name("t")], domain="test")
            node.attribute.add(name="body", type=onnx.AttributeProto.GRAPH).g.CopyFrom(self._graph(visible, depth + 1))
        node.name = rng.choice(["", "a", "b", self._name("node")])
        node.attribute.extend(each for each in _odd_attributes() if rng.random() < 0.2)
        if rng.random() < 0.3:
            node.doc_string = "what it is for"
            node.metadata_props.add(key="key", value="value")
        return node


def _value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [2])


def _odd_attributes() -> list[onnx.AttributeProto]:
    kind = onnx.AttributeProto
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("", TensorProto.FLOAT, [1], [1.0]), helper.make_tensor("", TensorProto.INT64, [1], [0]), [2]
    )
    return [
        kind(name="alpha", type=kind.FLOAT, f=0.1),
        kind(name="none", type=kind.INTS),
        kind(name="bytes", type=kind.STRING, s=b"\xff\xfe"),
        kind(name="type", type=kind.TYPE_PROTO, tp=helper.make_tensor_type_proto(TensorProto.FLOAT, [2])),
        kind(name="sparse", type=kind.SPARSE_TENSOR, sparse_tensor=sparse),
        kind(name="tensor", type=kind.TENSOR, t=numpy_helper.from_array(np.arange(3))),
        kind(name="texts", type=kind.STRINGS, strings=[b"one", b"two"]),
        kind(name="nan", type=kind.FLOAT, f=float("nan")),
    ]


class TwinEdits:
    """Random edits, each made on graph-surgeon's graph, and by hand on the model that is then to be expected."""

    def __init__(self, rng: random.Random, graph: gs.Graph, expected: onnx.ModelProto) -> None:
        self._rng = rng
        self._graph = graph
        self._expected = expected

    def make(self, num_edits: int) -> None:
        """Make so many edits, those left out that are not possible where they were to be made."""
        edits: tuple[Callable[[Site, str], None], ...] = (
            self.join_two,
            self.bypass,
            self.insert_before,
            self.rename,
            self.change_attribute,
            self.add_constant,
        )
        for number in range(num_edits):
            sites = list(walk(self._graph))
            if sites:
                self._rng.choice(edits)(self._rng.choice(sites), f"new{number}")

    def join_two(self, site: Site, new_name: str) -> None:
        """Make one node of a node and its only reader."""
        first = site.node
        if len(first.outputs) != 1 or len(first.outputs[0].outputs) != 1 or _is_given_out(site.graph, first.outputs[0]):
            return
        second = first.outputs[0].outputs[0]
        if not any(node is second for node in site.graph.nodes) or _has_branch(first) or _has_branch(second):
            return
        inputs = [*first.inputs, *(tensor for tensor in second.inputs if tensor is not first.outputs[0])]
        source, gone = self._find(second), self._find(first)
        source.op_type, source.domain = "Joined", "test"
        source.input[:] = [*gone.input, *(name for name in source.input if name != gone.output[0])]
        del source.attribute[:]
        source.attribute.append(helper.make_attribute("depth", 2))
        self._remove(gone)
        replace(site.graph, [first, second], NewNode("Joined", inputs, second.outputs, {"depth": 2}, "test"))

    def bypass(self, site: Site, new_name: str) -> None:
        """Remove a node of one input and one output: who read the output reads the input."""
        node = site.node
        if len(node.outputs) != 1 or len(node.inputs) != 1 or _is_given_out(site.graph, node.outputs[0]):
            return
        source = self._find(node)
        old, new = source.output[0], source.input[0]
        self._remove(source)
        for reader in walk_nodes(self._expected.graph):
            reader.input[:] = [new if name == old else name for name in reader.input]
        replace(site.graph, [node], [], instead=[(node.outputs[0], node.inputs[0])])

    def insert_before(self, site: Site, new_name: str) -> None:
        """Put a node between a node and its first input."""
        node = site.node
        if not node.inputs or not node.inputs[0].name or _has_branch(node):
            return
        between, source = gs.Variable(new_name, np.float32, [2]), self._find(node)
        graph = self._graph_of(source)
        graph.node.append(helper.make_node("Neg", [source.input[0]], [new_name]))
        graph.value_info.append(_value(new_name))
        source.input[0] = new_name
        same = NewNode(node.op, [between, *node.inputs[1:]], node.outputs, node.attrs, node.domain or "")
        replace(site.graph, [node], [NewNode("Neg", node.inputs[:1], [between]), same])

    def rename(self, site: Site, new_name: str) -> None:
        """Give the first output another name, unless the graph promises it."""
        tensor = site.node.outputs[0]
        if _is_given_out(site.graph, tensor):
            return
        old, tensor.name = tensor.name, new_name
        for graph in walk_graphs(self._expected.graph):
            for value in graph.value_info:
                value.name = new_name if value.name == old else value.name
            for node in graph.node:
                for names in (node.input, node.output):
                    names[:] = [new_name if name == old else name for name in names]

    def change_attribute(self, site: Site, new_name: str) -> None:
        """Change or add an attribute, and drop another."""
        source = self._find(site.node)
        attributes = [each for each in source.attribute if each.name != "tensor"]
        del source.attribute[:]
        source.attribute.extend(attributes)
        given = next((each for each in source.attribute if each.name == "alpha"), None)
        given = given if given is not None else source.attribute.add(name="alpha", type=onnx.AttributeProto.FLOAT)
        given.f = 0.5
        site.node.attrs["alpha"] = 0.5
        site.node.attrs.pop("tensor", None)

    def add_constant(self, site: Site, new_name: str) -> None:
        """Let a node read one more constant."""
        if _has_branch(site.node):
            return
        values = np.array([3.0, 4.0], dtype=np.float32)
        source = self._find(site.node)
        source.input.append(new_name)
        self._graph_of(source).initializer.append(numpy_helper.from_array(values, new_name))
        site.node.inputs.append(gs.Constant(new_name, values))

    def _find(self, node: gs.Node) -> onnx.NodeProto:
        """Return the node to be expected that writes the same tensor."""
        return next(each for each in walk_nodes(self._expected.graph) if each.output[0] == node.outputs[0].name)

    def _graph_of(self, node: onnx.NodeProto) -> onnx.GraphProto:
        return next(each for each in walk_graphs(self._expected.graph) if any(inner is node for inner in each.node))

    def _remove(self, node: onnx.NodeProto) -> None:
        graph, gone = self._graph_of(node), set(node.output)
        del graph.node[[each is node for each in graph.node].index(True)]
        for position in reversed(range(len(graph.value_info))):
            if graph.value_info[position].name in gone:
                del graph.value_info[position]


def _is_given_out(graph: gs.Graph, tensor: gs.Tensor) -> bool:
    return any(output is tensor for output in graph.outputs)


def _has_branch(node: gs.Node) -> bool:
    return any(isinstance(value, gs.Graph) for value in node.attrs.values())
