"""Models that no exporter writes: refused with their place, in little memory, and never by the end of the process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import AttributeProto, NodeProto, TensorProto, helper, numpy_helper

from tests.support.equivalence import rewrite
from tests.support.hostile_models import MODEL, add_node, load, parse
from trtconv import dry_running, rewriting
from trtconv.config import BuildConfig
from trtconv.errors import ConfigError, ModelError

pytestmark = pytest.mark.bounded_inference


def set_initializer(model: onnx.ModelProto, **fields: object) -> None:
    model.graph.initializer[0].CopyFrom(TensorProto(name="s", **fields))


def add_circle(model: onnx.ModelProto) -> None:
    add_node(model, "Add", ["x", "q"], ["p"], name="first")
    add_node(model, "Relu", ["p"], ["q"], name="second")


def add_scan(model: onnx.ModelProto, number: int) -> None:
    body = parse("b (float[2] q) => (float[2] w) { w = Relu (q) }").graph
    add_node(model, "Scan", ["x"], ["z"], body=body, num_scan_inputs=number)


REFUSED: dict[str, tuple[Callable[[onnx.ModelProto], object], str]] = {
    "no op": (lambda model: model.graph.node.append(NodeProto(output=["z"])), r"node \(z\) has no op"),
    "no outputs": (lambda model: add_node(model, "Relu", ["x"], [], name="r"), "r: Relu has no outputs"),
    "a nameless input": (lambda model: model.graph.input.add(), "an input of the graph g has no name"),
    "a nameless output": (lambda model: model.graph.output.add(), "an output of the graph g has no name"),
    "a nameless initializer": (
        lambda model: model.graph.initializer.add(data_type=TensorProto.FLOAT, dims=[0]),
        "an initializer of the graph g has no name",
    ),
    "text that is not UTF-8": (
        lambda model: set_initializer(model, data_type=TensorProto.STRING, dims=[2], string_data=[b"a", b"\xff"]),
        "initializer s holds text that is not UTF-8",
    ),
    "only nameless outputs": (
        lambda model: add_node(model, "Relu", ["x"], [""]),
        r"node Relu\(\): Relu has no outputs",
    ),
    "no inputs": (
        lambda model: add_node(model, "Cast", [], ["z"], to=1),
        r"Cast\(z\): Cast has no inputs, at least 1",
    ),
    "circle": (add_circle, "read each other's results in a circle: .*second -> first|first -> second"),
    "two writers": (
        lambda model: [add_node(model, "Relu", ["x"], ["z"], name="r"), add_node(model, "Abs", ["z"], ["w", "z"])],
        r"node Abs\(w\) writes the tensor z, which node r gives already",
    ),
    "two inputs of a name": (
        lambda model: model.graph.input.append(model.graph.input[0]),
        "two inputs of the graph .* are called x",
    ),
    "input written": (
        lambda model: add_node(model, "Relu", ["x"], ["x"]),
        r"Relu\(x\) writes .* x, which an input gives",
    ),
    "initializer written": (
        lambda model: add_node(model, "Relu", ["x"], [model.graph.initializer[0].name]),
        "which an initializer gives already",
    ),
    "no branch": (lambda model: add_node(model, "If", ["x"], ["z"]), r"node If\(z\): If has no then_branch"),
    "scan": (lambda model: add_scan(model, 1 << 62), "num_scan_inputs 4611686018427387904 and 1 inputs"),
    "negative dimension": (
        lambda model: set_initializer(model, data_type=1, dims=[-2]),
        r"dimensions \[-2\], of which",
    ),
    "short raw data": (
        lambda model: set_initializer(model, data_type=1, dims=[2], raw_data=b"123"),
        "3 bytes of data, exp",
    ),
    "long raw data": (lambda model: set_initializer(model, data_type=16, dims=[2], raw_data=b"12345"), "expected 4"),
    "few values": (
        lambda model: set_initializer(model, data_type=1, dims=[2], float_data=[1]),
        "1 values in float_data",
    ),
    "wrong field": (
        lambda model: set_initializer(model, data_type=7, dims=[1], float_data=[1]),
        "0 values in int64_data",
    ),
    "huge product": (lambda model: set_initializer(model, data_type=1, dims=[1 << 40, 1 << 40]), "beyond 64 bits"),
    "segment": (
        lambda model: set_initializer(model, data_type=1, dims=[0], segment=TensorProto.Segment(begin=1)),
        "holds a segment",
    ),
    "element type": (lambda model: set_initializer(model, data_type=999, dims=[0]), "element type 999"),
    "input type": (
        lambda model: setattr(model.graph.input[0].type.tensor_type, "elem_type", 1 << 30),
        "tensor x is of element type 1073741824",
    ),
    "opset": (lambda model: setattr(model.opset_import[0], "version", 1 << 31), "opset 2147483648 of ai.onnx"),
    "opset 0": (lambda model: setattr(model.opset_import[0], "version", 0), "opset 0 of ai.onnx"),
    "kind": (
        lambda model: model.graph.node[0].attribute.append(AttributeProto(name="odd")),
        r"attribute odd of InstanceNormalization\(a\) is of a kind",
    ),
    "empty tensor": (
        lambda model: model.graph.node[0].attribute.append(AttributeProto(name="odd", type=AttributeProto.TENSOR)),
        "attribute odd of .* should hold a tensor",
    ),
    "rank": (
        lambda model: model.graph.input.append(helper.make_tensor_value_info("r", 1, [1] * 1000)),
        "tensor r has 1000 dimensions",
    ),
    "huge input": (
        lambda model: model.graph.input.append(helper.make_tensor_value_info("h", 1, [1 << 31, 1 << 31])),
        "tensor h has 4611686018427387904 elements",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_at_reading(name: str, tmp_path: Path) -> None:
    edit, message = REFUSED[name]
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    edit(model)
    with pytest.raises(ModelError, match=message) as raised:
        load(model, tmp_path)
    assert "model.onnx" in str(raised.value)
    assert raised.value.hint


@pytest.mark.parametrize("name", ["circle", "no outputs", "short raw data"])
def test_refused_in_a_branch_too(name: str, tmp_path: Path) -> None:
    edit, message = REFUSED[name]
    inner = onnx.ModelProto()
    inner.CopyFrom(MODEL)
    edit(inner)
    del inner.graph.input[:]
    model = parse("g (float[1,2,6,6] x, bool c) => (float[1,2,8,8] z) { }")
    other = parse("e () => (float[1,2,8,8] w) { w = Identity (x) }").graph
    add_node(model, "If", ["c"], ["z"], then_branch=inner.graph, else_branch=other)
    with pytest.raises(ModelError, match=message):
        load(model, tmp_path)


def test_nodes_in_any_order_are_no_circle(tmp_path: Path) -> None:
    model = parse("g (float[2] x) => (float[2] y) { y = Relu (b)  b = Abs (a)  a = Neg (x) }")
    assert len(load(model, tmp_path).graph.nodes) == 3


def test_a_circle_is_named_in_its_order(tmp_path: Path) -> None:
    model = parse("g (float[2] x) => (float[2] y) { y = Relu (c)  a = Add (x, c)  b = Abs (a)  c = Neg (b) }")
    with pytest.raises(ModelError) as raised:
        load(model, tmp_path)
    named = str(raised.value).rpartition(": ")[2].split(" -> ")
    order = ["Add(a)", "Abs(b)", "Neg(c)"]
    assert named[0] == named[-1]
    assert [order.index(each) for each in named[1:]] == [(order.index(each) + 1) % 3 for each in named[:-1]]


@pytest.mark.parametrize("dtype", [TensorProto.INT4, TensorProto.BOOL, TensorProto.FLOAT16, TensorProto.COMPLEX64])
@pytest.mark.parametrize("raw", [True, False])
def test_data_of_every_width_fit(dtype: int, raw: bool, tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    values = np.array([1, 0, 1], helper.tensor_dtype_to_np_dtype(dtype))
    tensor = numpy_helper.from_array(values, "more") if raw else helper.make_tensor("more", dtype, [3], values)
    model.graph.initializer.append(tensor)
    load(model, tmp_path)


def test_doc_string_that_is_not_text(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    for place in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.initializer):
        place.doc_string = "abcd"
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString().replace(b"abcd", b"\xff\xfe\x80\x81"))
    report = rewriting.rewrite(path, tmp_path / "out.onnx", ops="plugin")
    assert [decision.became is not None for decision in report.decisions] == [True, True]
    for precision in ("fp16", "bf16"):
        dry_running.dry_run(path, BuildConfig(backend="tensorrt", precision=precision))


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_an_input_without_type_or_of_too_many_elements(precision: str, tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    model.graph.input.append(helper.make_tensor_value_info("h", TensorProto.FLOAT, [1 << 35]))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    if precision == "fp16":
        with pytest.raises(ConfigError, match=r"input h .* has 34359738368 elements"):
            dry_running.dry_run(path, BuildConfig(backend="tensorrt", precision="fp16"))
    model.graph.input[-1].type.tensor_type.elem_type = 0
    path.write_bytes(model.SerializeToString())
    if precision == "fp16":
        with pytest.raises(ModelError, match="input h has no element type"):
            dry_running.dry_run(path, BuildConfig(backend="tensorrt", precision="fp16"))
    else:
        dry_running.dry_run(path, BuildConfig(backend="tensorrt", precision="bf16"))


@pytest.mark.parametrize("axes", [np.array([np.nan], np.float32), np.array(["z"], object)])
def test_axes_of_another_type(axes: np.ndarray, tmp_path: Path) -> None:
    model = parse("""g (float[1,2,6,6] x) => (float y) <int64[2] pads = {1, 1}>
        { y = Pad <mode = "reflect"> (x, pads, , axes) }""")
    model.opset_import[0].version = 18
    model.graph.initializer.append(numpy_helper.from_array(axes, "axes"))
    with pytest.raises(ModelError, match="expected int64"):
        rewrite(model, tmp_path)


@pytest.mark.parametrize("op", ["Pow", "Div", "Mul", "InstanceNormalization", "Conv"])
def test_a_node_with_too_few_inputs_stays_but_has_no_precision(op: str, tmp_path: Path) -> None:
    model = parse("g (float[2] x) => (float[2] y) { y = Relu (x) }")
    add_node(model, op, ["x"], ["z"])
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    dry_running.dry_run(path, BuildConfig(backend="tensorrt", ops="plugin"))
    with pytest.raises(ModelError, match=rf"node {op}\(z\): {op} has 1 inputs, at least [23] needed"):
        dry_running.dry_run(path, BuildConfig(backend="tensorrt", precision="bf16"))
