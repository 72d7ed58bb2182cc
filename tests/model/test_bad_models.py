"""Damaged, hostile and unusual model files: a clear error or a right result, never anything else."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.equivalence import assert_same_numbers, rewrite, rewrite_file, seeded_inputs
from tests.support.extent import num_examples
from tests.support.golden import FOLDER, case_paths, read_case
from trtconv.errors import ConfigError, ModelError, TrtconvError
from trtconv.model import checking, model_io

pytestmark = pytest.mark.bounded_inference

MODEL = onnx.parser.parse_model("""
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N,2,5,6] x) => (float[N,2,7,8] y) <float[2] s = {1, 2}> {
      one = Constant <value = int64[2] {1, 1}> ()
      none = Constant <value = int64[2] {0, 0}> ()
      pads = Concat <axis = 0> (none, one, none, one)
      a = InstanceNormalization <epsilon = 0.1> (x, s, s)
      y = Pad <mode = "reflect"> (a, pads)
    }""")


def load_bytes(folder: Path, content: bytes) -> None:
    path = folder / "bad.onnx"
    path.write_bytes(content)
    rewrite_file(path)


@pytest.mark.parametrize("sixteenth", range(16))
def test_truncated_file(sixteenth: int, tmp_path: Path) -> None:
    content = _real_content()
    with pytest.raises(ModelError, match=r"damaged or truncated|names no opset") as raised:
        load_bytes(tmp_path, content[: len(content) * sixteenth // 16])
    assert "bad.onnx" in str(raised.value)


def _real_content() -> bytes:
    """Return a published model's bytes where there are some, else a made one's."""
    given = Path(os.environ.get("TRTCONV_TEST_MODELS", ""), "basic_pitch_nmp_op15.onnx")
    if given.is_file():
        return given.read_bytes()
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    model.graph.initializer.append(numpy_helper.from_array(np.arange(4096, dtype=np.float32), "weights"))
    return model.SerializeToString()


def test_truncated_before_the_opset(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    model.ClearField("opset_import")
    with pytest.raises(ModelError, match="names no opset"):
        load_bytes(tmp_path, model.SerializeToString())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an ONNX model"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "Git LFS pointer"),
        (b"# not a model\n\nbut a text\n", "not an ONNX model"),
        (b"PK\x03\x04" + bytes(64), "is a zip archive"),
        (bytes(4096), "not an ONNX model"),
        (b"\xff" * 4096, "not an ONNX model"),
    ],
    ids=["empty", "lfs", "text", "zip", "zeros", "ones"],
)
def test_no_model(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        load_bytes(tmp_path, content)


def test_random_bytes(tmp_path: Path) -> None:
    rng = random.Random(7)
    for _ in range(200):
        with pytest.raises(ModelError):
            load_bytes(tmp_path, rng.randbytes(rng.randrange(1, 300)))


@pytest.mark.parametrize("name", ["rewrite_reflect_pad/if_branches", "rewrite_instance_norm/pads_beside_norms"])
def test_flipped_bytes_give_an_error_or_a_model(name: str, tmp_path: Path) -> None:
    content = read_case(FOLDER / f"{name}.onnxtxt").model.SerializeToString()
    num_errors, num_models = 0, num_examples(400)
    for seed in range(num_models):
        rng = random.Random(seed)
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 2, 4])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            load_bytes(tmp_path, bytes(damaged))
        except TrtconvError:
            num_errors += 1
    assert num_errors > num_models / 4


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        model_io.load(tmp_path / "none.onnx")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder, expected an ONNX model"):
        model_io.load(tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(MODEL.SerializeToString())
    path.chmod(0)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        model_io.load(path)


def test_model_without_nodes(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    model = helper.make_model(helper.make_graph([], "g", [value], [value]), ir_version=8)
    rewritten = rewrite(model, tmp_path)
    assert rewritten.num_edits == 0
    assert rewritten.proto == model


def test_model_without_outputs(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    del model.graph.output[:]
    with pytest.raises(ModelError, match="no outputs"):
        rewrite(model, tmp_path)


@pytest.mark.parametrize("name", ["none", "InstanceNormalization", "Nsym", "fsum"])
def test_name_that_is_no_text(name: str, tmp_path: Path) -> None:
    """Of a tensor, an op, a dimension, a node inside a function."""
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "Nsym"
    model.opset_import.append(helper.make_opsetid("own", 1))
    nodes = [helper.make_node("Identity", ["a"], ["fsum"]), helper.make_node("Relu", ["fsum"], ["b"])]
    model.functions.append(helper.make_function("own", "f", ["a"], ["b"], nodes, [helper.make_opsetid("", 17)]))
    model.graph.node.append(helper.make_node("f", ["x"], ["unused"], domain="own"))
    load_bytes(tmp_path, model.SerializeToString())
    damaged = model.SerializeToString().replace(name.encode(), b"\xff" + name[1:].encode())
    with pytest.raises(ModelError, match="not UTF-8"):
        load_bytes(tmp_path, damaged)


def test_pads_whose_data_does_not_fit_their_dimensions(tmp_path: Path) -> None:
    model = read_case(FOLDER / "rewrite_reflect_pad/initializer_op17.onnxtxt").model
    del model.graph.initializer[0].int64_data[4:]
    with pytest.raises(ModelError, match=r"initializer pads has the dimensions \[8\] and 4 values in int64_data"):
        rewrite(model, tmp_path)


def test_pads_that_claim_to_be_huge(tmp_path: Path) -> None:
    model = read_case(FOLDER / "rewrite_reflect_pad/initializer_op17.onnxtxt").model
    model.graph.initializer[0].dims[0] = 1 << 60
    with pytest.raises(ModelError, match="initializer pads has the dimensions"):
        rewrite(model, tmp_path)


def test_chain_through_a_huge_tensor(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[9] x) => (float[W] y) <int64[1] many = {1000000}, int64[2] shape = {2, -1}, int64 axis = {1}> {
          ones = ConstantOfShape <value = int64[1] {1}> (many)
          rows = Reshape (ones, shape)
          pads = ReduceProd <axes = [1], keepdims = 0> (rows)
          y = Pad <mode = "reflect"> (x, pads)
        }""")
    rewritten = rewrite(model, tmp_path)
    assert rewritten.num_edits == 0
    assert "has 1000000 elements" in rewritten.reasons[0]


def test_deeply_nested_branches(tmp_path: Path) -> None:
    inner = 'y0 = Pad <mode = "reflect"> (x, pads)'
    num_levels = 28  # protobuf reads about 33
    for level in range(1, num_levels):
        inner = (
            f"y{level} = If (c) <then_branch = t () => (float[W] y{level - 1}) {{ {inner} }}, "
            f"else_branch = e () => (float[V] e{level}) {{ e{level} = Identity (x) }}>"
        )
    text = f"""<ir_version: 8, opset_import: ["" : 17]>
        g (bool c, float[9] x) => (float[W] y{num_levels - 1}) <int64[2] pads = {{1, 2}}> {{ {inner} }}"""
    model = onnx.parser.parse_model(text)
    rewritten = rewrite(model, tmp_path)
    assert rewritten.num_edits == 1
    assert_same_numbers(model, rewritten.proto, seeded_inputs(model, {"c": np.array(True)}))


def test_branches_nested_beyond_what_protobuf_reads(tmp_path: Path) -> None:
    def field(number: int, content: bytes) -> bytes:
        length, size = len(content), b""
        while length > 127:
            size, length = size + bytes([length & 127 | 128]), length >> 7
        return bytes([number << 3 | 2]) + size + bytes([length]) + content

    graph = b""
    for _ in range(100):  # GraphProto.node = 1, NodeProto.attribute = 5, AttributeProto.g = 6
        graph = field(1, field(5, field(6, graph)))
    with pytest.raises(ModelError, match="not an ONNX model, or it is damaged"):
        load_bytes(tmp_path, field(7, graph))


def test_recursive_function(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        g (float[9] x) => (float[9] y) { y = own.f (x) }
        <domain: "own", opset_import: ["" : 17, "own" : 1]> f (a) => (b) { b = own.f (a) }""")
    with pytest.raises(ModelError, match="local functions that call themselves: own::f"):
        rewrite(model, tmp_path)


def test_newer_ir_version_is_a_warning(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    model.ir_version = 99
    rewritten = rewrite(model, tmp_path)
    assert rewritten.num_edits == 2
    assert "neither before the rewrite nor after it" in (rewritten.warning or "")


def test_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    model.graph.initializer[0].data_type = TensorProto.UNDEFINED
    with pytest.raises(ModelError, match="initializer s is of element type 0, which ONNX does not have"):
        rewrite(model, tmp_path)
    assert capfd.readouterr() == ("", "")


def test_data_that_is_no_tensor(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(MODEL)
    model.graph.input[0].type.CopyFrom(helper.make_optional_type_proto(model.graph.input[0].type))
    rewritten = rewrite(model, tmp_path)
    assert rewritten.warning is None
    assert rewritten.num_edits == 2  # ONNX leaves the type to inference, and inference does not object


def test_an_edit_that_breaks_a_model_is_an_error() -> None:
    broken = onnx.ModelProto()
    broken.CopyFrom(MODEL)
    broken.graph.node[-1].input[0] = "nowhere"
    with pytest.raises(ModelError, match=r"does not pass onnx\.checker"):
        checking.check(broken, MODEL)


def test_the_input_is_never_modified(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    for case in map(read_case, case_paths()[::10]):
        content = case.model.SerializeToString()
        path.write_bytes(content)
        path.chmod(0o444)
        try:
            rewrite_file(path, case.keep_native, case.ops)
        except ModelError:
            assert case.error
        assert path.read_bytes() == content
        path.chmod(0o644)
