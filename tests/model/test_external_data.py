"""Tensors in files beside the model: checked when it is read, carried when it is written, never overwritten."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, numpy_helper

from tests.support.command_line import run_here
from tests.support.equivalence import rewrite_file, run_onnxruntime
from trtconv.errors import ConfigError, ModelError
from trtconv.model import checking, external_data, model_io

ATTACK = Path(os.environ.get("TRTCONV_TEST_CASES", ""), "attack")
WEIGHTS = np.linspace(-1, 1, 60, dtype=np.float32).reshape(2, 5, 6)
PADS = np.array([0, 0, 1, 1, 0, 0, 2, 2])


def make_external(tensor: TensorProto, location: str, offset: Any = None, length: Any = None) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    given = {"location": location, "offset": offset, "length": length}
    for key, value in given.items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))


def write_model(folder: Path, location: str = "weights.bin", **place: Any) -> Path:
    """Write a model whose weights, and the pads behind them, are in one file."""
    folder.mkdir(exist_ok=True, parents=True)
    data = folder / "weights.bin"
    data.write_bytes(WEIGHTS.tobytes() + PADS.tobytes())
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N,2,5,6] x) => (float[N,2,8,9] y) {
          a = Add (x, w)
          y = Pad <mode = "reflect"> (a, pads)
        }""")
    model.graph.initializer.extend([numpy_helper.from_array(WEIGHTS, "w"), numpy_helper.from_array(PADS, "pads")])
    make_external(model.graph.initializer[0], location, **(place or {"length": WEIGHTS.nbytes}))
    make_external(model.graph.initializer[1], "weights.bin", offset=WEIGHTS.nbytes)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def run_file(path: Path, x: np.ndarray) -> np.ndarray:
    model = onnx.load(path)  # with its external data, from beside it
    return run_onnxruntime(model, {"x": x})[0]


def test_rewrite_and_carry(tmp_path: Path) -> None:
    path = write_model(tmp_path / "in")
    rewritten = rewrite_file(path)
    assert (rewritten.num_edits, rewritten.warning) == (1, None)
    assert list(rewritten.proto.graph.node[1].attribute[0].ints) == PADS.tolist()
    assert [tensor.name for tensor in rewritten.proto.graph.initializer] == ["w"]
    assert not rewritten.proto.graph.initializer[0].HasField("raw_data")

    output = tmp_path / "out" / "model.onnx"
    carried = external_data.carry_external_files(rewritten.proto, path.parent, output.parent)
    output.write_bytes(rewritten.proto.SerializeToString())
    assert carried == [tmp_path / "out" / "weights.bin"]
    assert carried[0].stat().st_nlink == 1  # onnx refuses data files with several links
    x = np.random.default_rng(0).standard_normal((3, 2, 5, 6)).astype(np.float32)
    assert run_file(output, x).tobytes() == run_file(path, x).tobytes()


def test_a_model_that_the_edit_broke_is_found_in_spite_of_external_data(tmp_path: Path) -> None:
    model = model_io.load(write_model(tmp_path))
    broken = model_io.to_proto(model)
    broken.graph.node[0].input[0] = "nowhere"
    with pytest.raises(ModelError, match=r"does not pass onnx\.checker"):
        checking.check(broken, model.proto)


@pytest.mark.parametrize("content", [b"another file", bytes(WEIGHTS.nbytes + PADS.nbytes)])
def test_carry_refuses_to_overwrite(content: bytes, tmp_path: Path) -> None:
    path = write_model(tmp_path / "in")
    there = tmp_path / "weights.bin"
    there.write_bytes(content)
    with pytest.raises(ConfigError, match="a different file of this name exists"):
        external_data.carry_external_files(onnx.load(path, load_external_data=False), path.parent, tmp_path)
    assert there.read_bytes() == content


def test_carry_takes_a_file_of_the_same_content(tmp_path: Path) -> None:
    path = write_model(tmp_path / "in")
    model = onnx.load(path, load_external_data=False)
    assert external_data.carry_external_files(model, path.parent, path.parent) == []
    write_model(tmp_path / "out")
    assert external_data.carry_external_files(model, path.parent, tmp_path / "out") == []


def test_carry_over_a_folder(tmp_path: Path) -> None:
    path = write_model(tmp_path / "in")
    (tmp_path / "weights.bin").mkdir()
    with pytest.raises(ConfigError, match="a different file of this name exists"):
        external_data.carry_external_files(onnx.load(path, load_external_data=False), path.parent, tmp_path)


def test_data_in_a_subfolder(tmp_path: Path) -> None:
    path = write_model(tmp_path / "in", location="deep/w.bin", length=WEIGHTS.nbytes)
    (tmp_path / "in" / "deep").mkdir()
    (tmp_path / "in" / "deep" / "w.bin").write_bytes(WEIGHTS.tobytes())
    rewritten = rewrite_file(path)
    carried = external_data.carry_external_files(rewritten.proto, path.parent, tmp_path / "out")
    assert carried == [tmp_path / "out" / "deep" / "w.bin"]
    (tmp_path / "blocked").mkdir()
    (tmp_path / "blocked" / "deep").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match="cannot be made"):
        external_data.carry_external_files(rewritten.proto, path.parent, tmp_path / "blocked")


def test_links_into_a_store_are_followed(tmp_path: Path) -> None:
    """Download caches keep a model and its data as links into a common folder."""
    store = write_model(tmp_path / "store").parent
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for name in ("model.onnx", "weights.bin"):
        (snapshot / name).symlink_to(store / name)
    rewritten = rewrite_file(snapshot / "model.onnx")
    assert rewritten.num_edits == 1
    (carried,) = external_data.carry_external_files(rewritten.proto, snapshot, tmp_path / "out")
    assert carried.is_file()
    assert not carried.is_symlink()


@pytest.mark.parametrize(
    ("location", "place", "message"),
    [
        ("none.bin", {}, "external data file none.bin is missing .it holds tensor w."),
        ("", {}, "leads out of the model's folder"),
        ("../weights.bin", {}, "leads out of the model's folder"),
        ("a/../../weights.bin", {}, "leads out of the model's folder"),
        ("/etc/hostname", {}, "leads out of the model's folder"),
        ("sub\\weights.bin", {}, "location sub.weights.bin of tensor w was written on Windows, with backslashes"),
        ("C:\\Users\\me\\weights.bin", {}, "was written on Windows"),
        ("weights.bin", {"offset": 9999}, "has 304 bytes, tensor w ends at 10239"),
        ("weights.bin", {"length": 9999}, "tensor w has the length 9999, its dimensions take 240"),
        ("weights.bin", {"offset": 100}, "has 304 bytes, tensor w ends at 340"),
        ("weights.bin", {"offset": -1}, "tensor w has the offset '-1'"),
        ("weights.bin", {"length": -4}, "tensor w has the length '-4'"),
        ("weights.bin", {"length": 10**30}, "tensor w has the length"),
        ("weights.bin", {"length": 0}, "tensor w has the length 0, its dimensions take 240"),
        ("weights.bin", {"length": 3}, "tensor w has the length 3, its dimensions take 240"),
        ("weights.bin", {"length": 241}, "tensor w has the length 241, its dimensions take 240"),
        ("weights.bin", {"offset": "٤"}, "tensor w has the offset '٤'"),
        ("weights.bin", {"offset": "1.5"}, "tensor w has the offset '1.5'"),
        ("weights.bin", {"offset": "1e2"}, "tensor w has the offset '1e2'"),
        ("weights.bin", {"length": "2\uff140"}, "tensor w has the length '2\uff140'"),
        ("n" * 5000, {}, "external data file n{80}... cannot be read: File name too long .it holds tensor w."),
        ("d/" * 2500, {}, "external data file .* cannot be read: File name too long"),
        ("null\0character", {}, "leads out of the model's folder"),
        (".", {}, "external data file . is a folder"),
        ("weights.bin/none", {}, "external data file weights.bin/none cannot be read: Not a directory"),
        ("*/_ORT_MEM_ADDR_/*", {}, "leads out of the model's folder"),
    ],
)
def test_bad_places(location: str, place: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_model(tmp_path / "in", location, **place)
    (tmp_path / "weights.bin").write_bytes(bytes(1000))
    with pytest.raises(ModelError, match=message) as raised:
        model_io.load(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensor: tensor.external_data.add(key="location", value="other.bin"), "gives one entry twice"),
        (lambda tensor: tensor.external_data.add(key="length", value="240"), "gives one entry twice"),
        (
            lambda tensor: tensor.dims.__setitem__(0, -2),
            r"has the dimensions \[-2, 5, 6\], of which none may be",
        ),
        (lambda tensor: tensor.dims.__setitem__(0, 3), "the length 240, its dimensions take 360"),
        (lambda tensor: setattr(tensor, "data_type", TensorProto.INT4), "the length 240, its dimensions take 30"),
        (lambda tensor: setattr(tensor, "data_type", TensorProto.DOUBLE), "the length 240, its dimensions take 480"),
        (lambda tensor: tensor.dims.extend([1 << 62]), "whose product is beyond 64 bits"),
    ],
)
def test_places_that_do_not_fit_the_tensor(
    change: Callable[[TensorProto], object], message: str, tmp_path: Path
) -> None:
    path = write_model(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    change(proto.graph.initializer[0])
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError, match=message):
        model_io.load(path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_data_that_are_no_regular_file(make: Callable[[Path], None], tmp_path: Path) -> None:
    path = write_model(tmp_path, "special")
    make(tmp_path / "special")
    with pytest.raises(ModelError, match=r"is not a regular file|is a folder|is a link to /dev/zero"):
        model_io.load(path)
    with pytest.raises(ModelError, match=r"is not a regular file|is a folder"):
        model_io.load(path, trust_links=True)


def test_a_file_that_was_cut_after_it_was_checked_is_told(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    os.truncate(tmp_path / "weights.bin", 100)
    with pytest.raises(ModelError, match=r"weights\.bin ends within tensor w"):
        external_data.read_external_tensor(proto.graph.initializer[0], tmp_path)


@pytest.mark.skipif(not ATTACK.is_dir(), reason="TRTCONV_TEST_CASES names no folder with attack/")
@pytest.mark.parametrize("name", ["07_plugin_no_output", "18_external_long_name"])
def test_models_that_ended_in_tracebacks(name: str, tmp_path: Path) -> None:
    for command in (("build", "--dry-run"), ("inspect",), ("rewrite", "-o", tmp_path / "o.onnx")):
        result = run_here(command[0], ATTACK / f"{name}.onnx", *command[1:], cwd=tmp_path)
        assert result.exit_code == 3, result.stderr
        assert len(result.stderr) < 400


def test_a_custom_op_without_name_and_outputs_is_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    proto = onnx.load(path, load_external_data=False)
    proto.graph.node.add(domain="trtconv")
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ModelError):
        model_io.load(path)


def test_shape_inference_reads_small_external_tensors(tmp_path: Path) -> None:
    model = model_io.load(write_model(tmp_path))
    assert model.graph.tensors()["pads"].values.tolist() == PADS.tolist()
    padded = onnx.load(write_model(tmp_path), load_external_data=False)
    padded.graph.node.append(onnx.helper.make_node("Relu", ["y"], ["z"]))
    padded.graph.output[0].name = "z"
    path = tmp_path / "model.onnx"
    path.write_bytes(padded.SerializeToString())
    assert model_io.load(path).graph.tensors()["y"].shape[1:] == [2, 8, 9]


def test_constant_nodes_branches_functions_and_sparse_tensors_are_looked_at(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17, "own" : 1]>
        g (bool c) => (float[1] y) {
          y = If (c) <then_branch = t () => (float[1] a) { a = Constant <value = float[1] {1}> () },
                      else_branch = e () => (float[1] b) { b = own.f () }>
        }
        <domain: "own", opset_import: ["" : 17]> f () => (z) { z = Constant <value = float[1] {2}> () }""")
    branch = model.graph.node[0].attribute[0].g
    make_external(branch.node[0].attribute[0].t, "branch.bin")
    make_external(model.functions[0].node[0].attribute[0].t, "function.bin")
    sparse = model.graph.sparse_initializer.add()
    make_external(sparse.values, "values.bin")
    make_external(sparse.indices, "indices.bin")
    locations = [tensor.external_data[0].value for tensor in external_data.external_tensors(model)]
    assert sorted(locations) == ["branch.bin", "function.bin", "indices.bin", "values.bin"]


def test_pads_in_a_constant_node_with_external_data(tmp_path: Path) -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[N,9] x) => (float[N,W] y) {
          pads = Constant <value = int64[4] {0, 0, 0, 0}> ()
          y = Pad <mode = "reflect"> (x, pads)
        }""")
    tensor = model.graph.node[0].attribute[0].t
    tensor.ClearField("int64_data")
    make_external(tensor, "pads.bin", offset=8)
    (tmp_path / "pads.bin").write_bytes(np.array([-1, 0, 3, 0, 4, -1]).tobytes())
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    rewritten = rewrite_file(path)
    assert list(rewritten.proto.graph.node[1].attribute[0].ints) == [0, 3, 0, 4]
    assert rewritten.proto.graph.node[0] == model.graph.node[0]
