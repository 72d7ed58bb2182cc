"""Small networks that are converted to 16 bits, and what must hold of every conversion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from tests.support.rounding import Arrays, run, run_rounded
from trtconv.model.walking import branches
from trtconv.precision import KeptNode, PrecisionOptions, convert_precision
from trtconv.precision.float_graph import FloatGraph
from trtconv.precision.scopes import outer_name
from trtconv.precision.tensor_types import schema_of

FLOAT, FP16, BF16 = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16
HEADER = '<ir_version: 8, opset_import: ["": 17, "trtconv": 1, "my": 1]> g '
W = "float[4,4] w = {1,2,3,4, 4,3,2,1, 1,2,3,4, 4,3,2,1}"
# A matrix product before and behind: else the part in between would be the model's preparation of its input.
INPUT = "(float[2,4] x) => (float[2,4] y) "
IF = """(float[2,4] x, bool c) => (float[2,4] y)
    <float[4,4] w = {1,2,3,4, 4,3,2,1, 1,2,3,4, 4,3,2,1}, float one = {1}> {
    a = MatMul(x, w)
    [choice] r = If(c) <then_branch = t () => (float[2,4] p) { [inner] q = Mul(a, one) p = Relu(q) },
                        else_branch = e () => (float[2,4] n) { n = MatMul(a, w) }>
    y = MatMul(r, w) }"""
X = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
CHOICES = [{"x": X, "c": np.array(choice)} for choice in (True, False)]
LOOP = f"""{INPUT}<{W}, int64 n = {{3}}, bool yes = {{1}}, float half = {{0.5}}, float small = {{0.01}}> {{
    a = MatMul(x, w)
    [loop] r, all = Loop(n, yes, a) <body = l (int64 i, bool go, float[2,4] v) => (bool on, float[2,4] u, float[2,4] t)
        {{ on = Identity(go) BODY t = Relu(u) }}>
    s = ReduceMax<axes = [0], keepdims = 0>(all) b = Add(r, s) y = MatMul(b, w) }}"""
SCAN = f"""(float[3,2,4] x) => (float[2,4] last, float[3,2,4] y) <{W}, float[2,4] zero = {{0,0,0,0,0,0,0,0}},
    float small = {{0.05}}> {{ a = MatMul(x, w)
    [scan] last, r = Scan(zero, a) <num_scan_inputs = 1,
        body = l (float[2,4] v, float[2,4] e) => (float[2,4] u, float[2,4] t)
        {{ BODY t = Relu(u) }}>
    y = MatMul(r, w) }}"""
ROUND = "m = MatMul(v, w) h = Mul(m, small) u = Tanh(h)"
QUANTISED = f"""{INPUT}<{W}, float s = {{0.1}}, int8 z = {{0}}, int8[4,4] wq = {{1,2,3,4,1,2,3,4,1,2,3,4,1,2,3,4}}> {{
    a = MatMul(x, w) r = Relu(a) q = QuantizeLinear(r, s, z)
    d = DequantizeLinear(q, s, z) dw = DequantizeLinear(wq, s, z)
    m = MatMul(d, dw) t = Relu(m) q2 = QuantizeLinear(t, s, z) d2 = DequantizeLinear(q2, s, z) n = MatMul(d2, dw)
    y = MatMul(n, w) }}"""
AROUND_QUANTISED = f"""{INPUT}<{W}, float s = {{0.1}}, int8 z = {{0}},
    int8[4,4] wq = {{1,2,3,4,1,2,3,4,1,2,3,4,1,2,3,4}}> {{
    [first] a = MatMul(x, w) r = Relu(a) q = QuantizeLinear(r, s, z)
    d = DequantizeLinear(q, s, z) dw = DequantizeLinear(wq, s, z)
    m = MatMul(d, dw) b = OP(m) [last] y = MatMul(b, w) }}"""


def between(body: str, constants: str = "", **options: Any) -> Converted:
    """Convert a network that multiplies by a matrix, does `body` from a to b, and multiplies again."""
    weights = ", ".join(filter(None, (W, constants)))
    return convert(f"{INPUT}<{weights}> {{ [first] a = MatMul(x, w) {body} [last] y = MatMul(b, w) }}", **options)


class Converted:
    """A converted model, the nodes that stay, and what was checked of it."""

    def __init__(self, model: onnx.ModelProto, kept: Sequence[KeptNode], original: onnx.ModelProto) -> None:
        self.model, self.kept, self.original = model, kept, original
        self.nodes = model.graph.node

    @property
    def kept_ops(self) -> Counter[str]:
        return Counter(node.op for node in self.kept)

    @property
    def casts(self) -> list[tuple[str, int]]:
        """What the conversion casts, and to which type."""
        return [(node.input[0], node.attribute[0].i) for node in self.nodes if node.name.startswith("Cast/")]

    def reason(self, op: str) -> str:
        (reason,) = {node.reason for node in self.kept if node.op == op}
        return reason


def convert(
    text: str | onnx.ModelProto,
    precision: Any = "fp16",
    feeds: Sequence[Arrays] = (),
    folder: Path = Path(),
    **options: Any,
) -> Converted:
    original = onnx.parser.parse_model(HEADER + text) if isinstance(text, str) else text
    before = original.SerializeToString()
    converted, kept, _ = convert_precision(
        original, folder / "model.onnx", PrecisionOptions(precision, **options), feeds
    )
    assert original.SerializeToString() == before, "the given model is not changed"
    assert_sound(converted, precision)
    return Converted(converted, kept, original)


def assert_sound(model: onnx.ModelProto, precision: str) -> None:
    onnx.checker.check_model(model, full_check=precision == "fp16" and not model.functions)
    assert_strongly_typed(model)
    seen: set[tuple[str, int]] = set()
    assert_sorted_and_cast_once(model.graph, set(), {}, seen)


def assert_sorted_and_cast_once(
    graph: onnx.GraphProto, outer: set[str], made_by_cast: dict[str, str], seen: set[tuple[str, int]]
) -> None:
    produced = outer | {value.name for value in (*graph.input, *graph.initializer)}
    for node in graph.node:
        assert all(name in produced for name in node.input if name), f"{node.name} is not sorted"
        for branch in branches(node):
            assert_sorted_and_cast_once(branch, produced, made_by_cast, seen)
        produced.update(node.output)
        if node.op_type == "Cast" and node.name.startswith("Cast/"):
            cast = node.input[0], node.attribute[0].i
            assert cast not in seen, f"{cast} twice"
            assert node.input[0] not in made_by_cast, "a Cast of a Cast"
            seen.add(cast)
            made_by_cast[node.output[0]] = node.name
    assert all(value.name in produced for value in graph.output)


def assert_strongly_typed(model: onnx.ModelProto) -> None:
    """What ONNX gives one type variable has one type at every node."""
    graph = FloatGraph(model, Path())
    for node in graph.nodes:
        schema = schema_of(node, graph.opset)
        found: dict[str, set[int]] = {}
        for formals, names in ((schema.inputs, node.input), (schema.outputs, node.output)) if schema else ():
            for slot, name in enumerate(names):
                formal = formals[min(slot, len(formals) - 1)]
                if name in graph.types and formal.is_homogeneous:
                    found.setdefault(formal.type_str, set()).add(graph.types[name])
        assert all(len(types) == 1 for types in found.values()), f"{node.op_type} {node.name}: {found}"
    for scope in graph.flat.scopes[1:]:
        owner = graph.nodes[scope.owner or 0]
        left = [value.name for value in scope.graph.output][owner.op_type == "Loop" :]
        entered = [(value.name, outer_name(owner, slot)) for slot, value in enumerate(scope.graph.input)]
        states = zip([name for name, other in entered if other], left, strict=False) if owner.op_type != "If" else ()
        for name, other in (*entered, *zip(owner.output, left, strict=True), *states):
            if owner.op_type != "Scan" or name in owner.output or name in graph.entering:
                assert not other or graph.types.get(name) == graph.types.get(other), f"{owner.name}: {name}, {other}"


def assert_same_results(converted: Converted, *feeds: Arrays, tolerance: float = 1e-2) -> None:
    for given in feeds:
        expected, got = run(converted.original, given), run_rounded(converted.model, given)
        for name, values in expected.items():
            assert got[name].shape == values.shape
            assert np.abs(got[name] - values).max(initial=0) <= tolerance * np.abs(values).max(initial=1e-9), name
