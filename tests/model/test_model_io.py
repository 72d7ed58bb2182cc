"""Reading and writing keep whatever no pass edited, graph-surgeon's blind spots included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.equivalence import assert_same_numbers, rewrite, run_onnxruntime, seeded_inputs
from trtconv.model import functions, model_io, walking

PADDED = """
<ir_version: {ir}, opset_import: ["" : {opset}]>
g (float[N,2,5,6] x) => (float[N,2,7,8] y) <int64[8] pads = {{0,0,1,1,0,0,1,1}}> {{
  [before] a = Relu (x)
  [pad] b = Pad <mode = "reflect"> (a, pads)
  [after] y = Sigmoid (b)
}}
"""


def padded_model(opset: int = 17, ir: int = 8) -> onnx.ModelProto:
    """Relu, a reflect pad that is rewritten, Sigmoid."""
    return onnx.parser.parse_model(PADDED.format(opset=opset, ir=ir))


def set_metadata(entry: object, value: str) -> None:
    entry.metadata_props.add(key="made by", value=value)  # type: ignore[attr-defined]


def test_metadata_and_doc_strings_are_kept(tmp_path: Path) -> None:
    model = padded_model(ir=10)
    model.producer_name, model.producer_version, model.domain = "maker", "1.2", "org.example"
    model.model_version, model.doc_string = 7, "model doc"
    model.graph.doc_string = "graph doc"
    for index, node in enumerate(model.graph.node):
        node.doc_string = f"doc {index}"
        set_metadata(node, str(index))
    for entry in (model, model.graph, model.graph.input[0], model.graph.output[0], model.graph.initializer[0]):
        set_metadata(entry, "test")
    rewritten = rewrite(model, tmp_path).proto
    for field in ("producer_name", "producer_version", "domain", "model_version", "doc_string", "metadata_props"):
        assert getattr(rewritten, field) == getattr(model, field)
    assert (rewritten.graph.name, rewritten.graph.doc_string) == ("g", "graph doc")
    assert rewritten.graph.metadata_props == model.graph.metadata_props
    assert (rewritten.graph.input, rewritten.graph.output) == (model.graph.input, model.graph.output)
    for before, after in zip(model.graph.node, rewritten.graph.node, strict=True):
        assert (after.name, after.doc_string) == (before.name, before.doc_string)
        assert after.metadata_props == before.metadata_props
    assert rewritten.graph.node[1].op_type == "ReflectPad"


def test_metadata_inside_branches_is_kept(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 10, opset_import: ["" : 17]>
        g (bool c, float[N,9] x) => (float[N,W] y) <int64[4] pads = {0,1,0,1}> {
          y = If (c) <then_branch = then () => (float[N,U] t) { r = Relu (x) t = Pad <mode = "reflect"> (r, pads) },
                      else_branch = otherwise () => (float[N,V] e) { e = Identity (x) }>
        }""")
    for attribute in model.graph.node[0].attribute:
        attribute.doc_string = attribute.g.doc_string = attribute.name
        for node in attribute.g.node:
            node.doc_string = f"doc of {node.op_type}"
            set_metadata(node, node.op_type)
    rewritten = rewrite(model, tmp_path)
    assert rewritten.num_edits == 1
    for before, after in zip(model.graph.node[0].attribute, rewritten.proto.graph.node[0].attribute, strict=True):
        assert (after.doc_string, after.g.doc_string) == (before.doc_string, before.g.doc_string)
        for old, new in zip(before.g.node, after.g.node, strict=True):
            assert (new.doc_string, new.metadata_props) == (old.doc_string, old.metadata_props)


def odd_attributes() -> list[onnx.AttributeProto]:
    """Attributes that graph-surgeon drops, cannot write, or fails on."""
    kind = onnx.AttributeProto
    tensor = numpy_helper.from_array(np.ones(2, dtype=np.float32), "ones")
    sparse = helper.make_sparse_tensor(tensor, numpy_helper.from_array(np.array([0, 2]), "at"), [3])
    return [
        kind(name="no_ints", type=kind.INTS),
        kind(name="no_floats", type=kind.FLOATS),
        kind(name="no_strings", type=kind.STRINGS),
        kind(name="raw", type=kind.STRING, s=b"\xff\xfe"),
        kind(name="raws", type=kind.STRINGS, strings=[b"text", b"\xff"]),
        kind(name="tensors", type=kind.TENSORS, tensors=[tensor, tensor]),
        kind(name="sparse", type=kind.SPARSE_TENSOR, sparse_tensor=sparse),
        kind(name="type", type=kind.TYPE_PROTO, tp=helper.make_tensor_type_proto(TensorProto.FLOAT, [1])),
        kind(name="graphs", type=kind.GRAPHS, graphs=[helper.make_graph([], "empty", [], [])]),
        kind(name="documented", type=kind.INT, i=1, doc_string="why"),
        kind(name="float", type=kind.FLOAT, f=0.1),
    ]


def test_odd_attributes_are_kept(tmp_path: Path) -> None:
    model = padded_model()
    odd = model.graph.node[0]
    odd.op_type, odd.domain, odd.overload = "Odd", "org.example", "second"
    odd.attribute.extend(odd_attributes())
    model.opset_import.append(helper.make_opsetid("org.example", 3))
    rewritten = rewrite(model, tmp_path)
    assert rewritten.num_edits == 1
    assert rewritten.proto.graph.node[0] == odd
    assert [entry.version for entry in rewritten.proto.opset_import] == [17, 3, 1]


def test_initializers_and_annotations_are_kept(tmp_path: Path) -> None:
    model = padded_model()
    values = numpy_helper.from_array(np.ones(1, dtype=np.float32), "sparse")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(np.array([1]), ""), [4])
    )
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(3, dtype=np.float16), "unused"))
    model.graph.quantization_annotation.add(tensor_name="a").quant_parameter_tensor_names.add(key="SCALE", value="s")
    rewritten = rewrite(model, tmp_path).proto.graph
    assert [tensor.name for tensor in rewritten.initializer] == ["unused"]
    assert rewritten.sparse_initializer == model.graph.sparse_initializer
    assert rewritten.quantization_annotation == model.graph.quantization_annotation


def test_duplicate_node_names_are_kept(tmp_path: Path) -> None:
    model = padded_model()
    for node in model.graph.node:
        node.name = "same"
    rewritten = rewrite(model, tmp_path)
    assert [decision.node for decision in rewritten.decisions] == ["same"]
    assert [(node.name, node.op_type) for node in rewritten.proto.graph.node] == [
        ("same", "Relu"),
        ("same", "ReflectPad"),
        ("same", "Sigmoid"),
    ]


def test_omitted_inputs_and_outputs_are_kept(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N,2,5,6] x) => (float[N,2,7,8] y, bool[N,2,5,6] m)
        <int64[8] pads = {0,0,1,1,0,0,1,1}, float top = {2}> {
          a = Clip (x, , top)
          , m = Dropout (a)
          y = Pad <mode = "reflect"> (a, pads, )
        }""")
    rewritten = rewrite(model, tmp_path)
    assert list(rewritten.proto.graph.node)[:2] == list(model.graph.node)[:2]
    assert list(rewritten.proto.graph.node[2].input) == ["a"]
    assert_same_numbers(model, rewritten.proto, seeded_inputs(model))


def sequence_type() -> onnx.TypeProto:
    return helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [None]))


def optional_type() -> onnx.TypeProto:
    return helper.make_optional_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [2]))


def map_type() -> onnx.TypeProto:
    return helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))


def sparse_type() -> onnx.TypeProto:
    return helper.make_sparse_tensor_type_proto(TensorProto.FLOAT, [2, 2])


@pytest.mark.parametrize("make_type", [sequence_type, optional_type, map_type, sparse_type])
def test_inputs_and_values_that_are_no_tensors_are_kept(
    make_type: Callable[[], onnx.TypeProto], tmp_path: Path
) -> None:
    model = padded_model()
    model.graph.input.append(helper.make_value_info("other", make_type()))
    model.graph.value_info.append(helper.make_value_info("value", make_type()))
    model.graph.node.append(helper.make_node("Identity", ["other"], ["value"]))
    model.graph.output.append(helper.make_value_info("value", make_type()))
    rewritten = rewrite(model, tmp_path)
    assert rewritten.num_edits == 1
    for field in ("input", "output"):
        assert getattr(rewritten.proto.graph, field) == getattr(model.graph, field)
    assert rewritten.proto.graph.value_info[0] == model.graph.value_info[0]


@pytest.mark.parametrize("dtype", sorted(set(TensorProto.DataType.values()) - {TensorProto.UNDEFINED}))
def test_every_element_type_passes_through(dtype: int, tmp_path: Path) -> None:
    model = padded_model(ir=11)
    model.graph.input.append(helper.make_tensor_value_info("other", dtype, [3]))
    model.graph.output.append(helper.make_tensor_value_info("copy", dtype, [3]))
    model.graph.node.append(helper.make_node("Identity", ["other"], ["copy"]))
    rewritten = rewrite(model, tmp_path)
    assert rewritten.num_edits == 1
    assert rewritten.proto.graph.node[3] == model.graph.node[3]


@pytest.mark.parametrize("ir", [3, 4, 7, 8, 10, 13])
def test_ir_version_is_at_least_8_and_never_lowered(ir: int, tmp_path: Path) -> None:
    assert rewrite(padded_model(ir=ir), tmp_path).proto.ir_version == max(ir, 8)


def test_a_model_of_ir_2_gets_the_opset_that_it_did_not_need(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 3, opset_import: ["" : 1]>
        g (float[1,9] x) => (float[1,W] y) { y = Pad <mode = "reflect", paddings = [0, 1, 0, 2]> (x) }""")
    model.ir_version = 2
    model.ClearField("opset_import")
    rewritten = rewrite(model, tmp_path)
    assert (rewritten.num_edits, rewritten.warning) == (1, None)
    assert [(entry.domain, entry.version) for entry in rewritten.proto.opset_import] == [("", 1), ("trtconv", 1)]


def test_reading_and_writing_leaves_the_file_and_the_model_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(padded_model().SerializeToString())
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    model = model_io.load(path)
    as_read = model.proto.SerializeToString()
    written = model_io.to_proto(model)
    written.graph.node[0].name = "changed"
    assert model.proto.SerializeToString() == as_read
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_plugins_can_be_inlined_again(tmp_path: Path) -> None:
    model = padded_model()
    path = tmp_path / "rewritten.onnx"
    path.write_bytes(rewrite(model, tmp_path).proto.SerializeToString())
    native = model_io.to_proto(model_io.load(path, inline_plugins=True))
    assert not native.functions
    assert not walking.plugin_op_names(native.graph)
    feeds = seeded_inputs(model)
    assert run_onnxruntime(native, feeds)[0].tobytes() == run_onnxruntime(model, feeds)[0].tobytes()


def test_types_are_followed_through_a_rewritten_model_that_has_functions_of_its_own(tmp_path: Path) -> None:
    model = rewrite(padded_model(), tmp_path).proto
    model.functions.append(
        helper.make_function("own", "f", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], model.opset_import[:1])
    )
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node[2].CopyFrom(helper.make_node("f", ["b"], ["y"], domain="own"))
    path = tmp_path / "again.onnx"
    path.write_bytes(model.SerializeToString())
    read = model_io.load(path)
    assert [function.domain for function in read.proto.functions] == ["trtconv"]
    assert read.graph.tensors()["b"].shape == ["N", 2, 7, 8]


def test_without_functions_leaves_other_functions(tmp_path: Path) -> None:
    model = rewrite(padded_model(), tmp_path).proto
    model.functions.append(
        helper.make_function(
            "other", "f", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], model.opset_import[:1]
        )
    )
    assert [function.domain for function in functions.without_functions(model).functions] == ["other"]
    assert len(model.functions) == 2


def test_described_inputs_leave_out_initializers_and_other_types() -> None:
    model = padded_model()
    x = model.graph.input[0]
    x.type.tensor_type.shape.dim[3].Clear()
    x.type.tensor_type.shape.dim[2].dim_value = -1
    model.graph.input.append(helper.make_tensor_value_info("pads", TensorProto.INT64, [8]))
    model.graph.input.append(helper.make_tensor_value_info("scalar", TensorProto.FLOAT, []))
    model.graph.input.append(helper.make_tensor_value_info("unknown", TensorProto.FLOAT, None))
    model.graph.input.append(helper.make_value_info("sequence", sequence_type()))
    assert walking.describe_inputs(model) == {"x": ["N", 2, None, None], "scalar": [], "unknown": None}
