"""Shapes follow from the inputs; what a model declares of its other tensors only fills the gaps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

import trtconv
from tests.support.equivalence import assert_same_numbers, rewrite, seeded_inputs
from trtconv import BuildConfig
from trtconv.model import model_io
from trtconv.model.shape_inference import Inferred, infer
from trtconv.shapes import parse_profiles

pytestmark = pytest.mark.bounded_inference

HEADER = '<ir_version: 8, opset_import: ["" : 17, "other" : 1]>'
# A convolution makes up symbols of its own, so that nobody sees that they come from the input.
NETWORK = """{
  c = Conv <kernel_shape = [3, 3], strides = [2, 2], pads = [1, 1, 1, 1]> (x, w)
  r = Relu (c)
  y = Relu (r)
}"""


def network(x: str, declared: str = "", y: str = "float[P,Q,R,S]", body: str = NETWORK) -> onnx.ModelProto:
    return onnx.parser.parse_model(f"{HEADER} g ({x} x, float[2,2,3,3] w) => ({y} y) <{declared}> {body}")


def shapes(model: onnx.ModelProto, **sizes: Any) -> dict[str, list[Any]]:
    found = infer(model, Path(), sizes).model.graph
    return {
        value.name: [dim.dim_value or dim.dim_param for dim in value.type.tensor_type.shape.dim]
        for value in (*found.value_info, *found.output)
    }


@pytest.mark.parametrize(
    ("x", "declared", "y", "stale"),
    [
        ("float[1,2,H,W]", "float[1,2,16,16] r", "float[P,Q,R,S]", ("r",)),
        ("float[N,2,32,32]", "float[1,2,16,16] r", "float[P,Q,R,S]", ("r",)),
        ("float[1,2,32,W]", "float[1,2,16,16] r", "float[P,Q,R,S]", ("r",)),
        ("float[1,2,?,?]", "float[1,2,16,16] r", "float[P,Q,R,S]", ("r",)),
        ("float[1,2,H,W]", "", "float[1,2,16,16]", ("y",)),
        ("float[1,2,64,64]", "float[1,2,16,16] r", "float[P,Q,R,S]", ("r",)),  # another size, still fixed
        ("float[1,2,64,64]", "float[1,2,16] r", "float[P,Q,R,S]", ("r",)),
        ("float[1,2,H,W]", "float[1,2,16,16] c, float[1,2,16,16] r", "float[1,2,16,16]", ("c", "r", "y")),
        ("float[1,2,32,32]", "float[1,2,16,16] r", "float[1,2,16,16]", ()),
        ("float[N,2,H,W]", "float[N,2,R,S] r", "float[N,2,R,S]", ()),
        ("float[N,2,H,32]", "float[N,2,R,16] r", "float[N,2,R,16]", ()),
    ],
)
def test_declared_shapes_that_do_not_follow_are_found(x: str, declared: str, y: str, stale: tuple[str, ...]) -> None:
    model = network(x, declared, y)
    inferred = infer(model, Path())
    assert inferred.stale == stale
    assert (inferred.warning is None) == (not stale)
    assert all(name in (inferred.warning or "") for name in stale)


def test_no_size_that_is_tried_is_one_that_is_declared() -> None:
    """Whatever the old size was, the one that is tried for the dynamic dimension is another."""
    for size in (11 << 7, 13 << 7, 11 << 6, 11, 13 << 3, 3, 5):
        assert infer(network("float[1,2,H,W]", f"float[1,2,{size},{size}] r"), Path()).stale == ("r",)
        assert infer(network("float[N,2,32,32]", f"float[{size},2,16,16] r"), Path()).stale == ("r",)


def test_nothing_that_is_declared_is_trusted_where_something_is_stale() -> None:
    body = "{ r = Relu (x)  o = other.Op (r)  y = Relu (o) }"
    assert shapes(network("float[1,2,H,W]", "float[1,2,8,8] o", body=body))["y"] == [1, 2, 8, 8]
    found = shapes(network("float[1,2,H,W]", "float[1,2,8,8] r, float[1,2,8,8] o", body=body))
    assert found["r"] == [1, 2, "H", "W"]
    assert found.get("o", []) == []


def test_sizes_that_are_given_fix_dimensions() -> None:
    model = network("float[1,2,H,W]")
    assert shapes(model, x=[1, 2, 32, None])["r"][:3] == [1, 2, 16]
    assert shapes(model, x=[1, 2, 32, 64])["y"] == [1, 2, 16, 32]
    assert shapes(model, x=[9, 9, 32])["r"][0] == 1, "a shape of another rank is no size of this input"


def test_the_written_model_declares_no_stale_shape(tmp_path: Path) -> None:
    pads = "p = Constant <value_ints = [0,0,1,1,0,0,1,1]> ()"
    body = f'{{ r = Relu (x)  z = Relu (r)  {pads} y = Pad <mode="reflect"> (z, p) }}'
    model = network("float[N,2,H,W]", "float[1,2,8,8] r, float[1,2,8,8] z", "float[1,2,10,10]", body)
    rewritten = rewrite(model, tmp_path)
    assert rewritten.num_edits == 1
    assert [value.name for value in rewritten.proto.graph.value_info] == []
    dims = rewritten.proto.graph.output[0].type.tensor_type.shape.dim
    assert [dim.dim_value or dim.dim_param for dim in dims] == ["N", 2, "", ""]
    feeds = seeded_inputs(model)
    assert_same_numbers(model, rewritten.proto, feeds)


def test_the_report_warns(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(network("float[N,2,H,W]", "float[1,2,16,16] r"), path)
    expected = "the shapes that the model declares do not follow from its inputs and are not used: those of r"
    assert list(trtconv.dry_run(path, BuildConfig()).warnings) == [expected]
    assert list(trtconv.rewrite(path, tmp_path / "out.onnx").warnings) == [expected]


def test_branches_are_looked_at(tmp_path: Path) -> None:
    model = onnx.parser.parse_model(f"""{HEADER}
        g (float[1,2,H,W] x, bool flag) => (float[1,2,P,Q] y) {{
          y = If (flag) <
            then_branch = t () => (float[1,2,8,8] a) {{ a = Relu (x) }},
            else_branch = e () => (float[1,2,P,Q] b) {{ b = Abs (x) }}
          >
        }}""")
    assert infer(model, Path()).stale == ("a",)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    branch = model_io.load(path).proto.graph.node[0].attribute[0].g
    assert [dim.dim_value for dim in branch.output[0].type.tensor_type.shape.dim] == [1, 2, 0, 0]


def test_shapes_are_inferred_anew_for_other_sizes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    text = "g (float[N,2] x) => (float[N,2] y) { a = Relu(x) y = Neg(a) }"
    onnx.save(onnx.parser.parse_model(f"{HEADER} {text}"), path)
    asked: list[Any] = []

    def counted(proto: onnx.ModelProto, folder: Path, sizes: Any = None) -> Inferred:
        asked.append(sizes)
        return infer(proto, folder, sizes)

    monkeypatch.setattr(model_io, "infer", counted)
    model = model_io.load(path, profiles=parse_profiles(["x=3x2"]))
    assert model.graph.tensors()["a"].shape == [3, 2]
    assert model_io.graph_at(model, {}).tensors()["a"].shape == ["N", 2]
    assert len(asked) == 2
    assert model_io.graph_at(model, {"x": [5, 2]}).tensors()["a"].shape == [5, 2]
    assert len(asked) == 3
