"""Shapes of a profile that a reflect pad cannot run are refused, on every backend, before anything is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

import trtconv
from trtconv import BuildConfig
from trtconv.errors import ConfigError, ModelError
from trtconv.shapes import parse_profiles

HEADER = '<ir_version: 8, opset_import: ["" : 17]>'
BACKENDS: list[dict[str, Any]] = [
    {"backend": "tensorrt"},
    {"ops": "native"},
    {"backend": "tensorrt-rtx"},
    {"backend": "tensorrt", "keep_native": ["*"]},
]
PADDED = """ g (float[1,2,H,W] x) => (float[1,2,P,Q] y) <int64[8] pads = {0,0,8,8,0,0,8,8}> {
  c = Relu (x)
  [pad] y = Pad <mode = "reflect"> (c, pads)
}"""
# Pads to a multiple of 8: at most 7, at the end.
TO_MULTIPLE = """ g (float[1,2,H,W] x) => (float[1,2,P,Q] y) <int64[1] eight = {8}, int64[2] none = {0, 0}> {
  sides = Shape <start = 2> (x)
  negative = Neg (sides)
  missing = Mod (negative, eight)
  pads = Concat <axis = 0> (none, none, none, missing)
  [pad] y = Pad <mode = "reflect"> (x, pads)
}"""


def write(folder: Path, graph: str) -> Path:
    path = folder / "model.onnx"
    onnx.save(onnx.parser.parse_model(HEADER + graph), path)
    return path


@pytest.mark.parametrize("options", BACKENDS, ids=str)
@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["x=1x2x4x16"], "reflect pad of 8 on axis 2, which is 4 for the shape x=1x2x4x16: ONNX allows at most 3"),
        (["x=1x2x9x8:1x2x32x32:1x2x64x64"], "reflect pad of 8 on axis 3, which is 8 for the smallest shape of x"),
        (["x=1x2x16x16", None, "x=1x2x4x16:1x2x16x16:1x2x16x16"], "axis 2, which is 4 for the smallest shape of x"),
    ],
)
def test_profiles_that_cannot_run_are_refused(
    options: dict[str, Any], items: list[str | None], message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, PADDED)
    with pytest.raises(ConfigError) as raised:
        trtconv.dry_run(path, BuildConfig(profiles=parse_profiles(items), **options))
    assert message in raised.value.what
    assert raised.value.where == "pad"
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("items", [["x=1x2x9x9"], ["x=1x2x9x9:1x2x16x16:1x2x64x64"], []])
def test_profiles_that_can_run_are_taken(items: list[str | None], tmp_path: Path) -> None:
    report = trtconv.dry_run(
        write(tmp_path, PADDED), BuildConfig(backend="tensorrt", ops="plugin", profiles=parse_profiles(items))
    )
    assert report.num_rewritten == 1


def test_pads_that_depend_on_the_size_are_computed_for_each_shape(tmp_path: Path) -> None:
    path = write(tmp_path, TO_MULTIPLE)
    with pytest.raises(ConfigError, match="reflect pad of 5 on axis 2, which is 3 for the usual shape of x"):
        trtconv.dry_run(path, BuildConfig(backend="tensorrt", profiles=parse_profiles(["x=1x2x0x8:1x2x3x8:1x2x64x8"])))
    report = trtconv.dry_run(
        path, BuildConfig(backend="tensorrt", ops="plugin", profiles=parse_profiles(["x=1x2x8x8:1x2x30x8:1x2x64x8"]))
    )
    assert [decision.became for decision in report.decisions] == ["trtconv::DynamicReflectPad"]


def test_a_build_refuses_too(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    path = write(tmp_path, PADDED)
    config = BuildConfig(backend="tensorrt-rtx", profiles=parse_profiles(["x=1x2x4x16"]))
    with pytest.raises(ConfigError, match="reflect pad of 8 on axis 2"):
        trtconv.build(path, config)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("options", BACKENDS, ids=str)
def test_a_static_pad_that_cannot_run_is_the_models_fault(options: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path, PADDED.replace("H,W", "4,16"))
    with pytest.raises(ModelError, match="reflect pad of 8 on axis 2 of size 4"):
        trtconv.dry_run(path, BuildConfig(**options))


def test_a_rewritten_model_is_looked_at_too(tmp_path: Path) -> None:
    rewritten = tmp_path / "rewritten.onnx"
    trtconv.rewrite(write(tmp_path, PADDED), rewritten, ops="plugin")
    with pytest.raises(ConfigError, match="reflect pad of 8 on axis 2, which is 4"):
        trtconv.dry_run(rewritten, BuildConfig(backend="tensorrt", profiles=parse_profiles(["x=1x2x4x16"])))


def test_the_input_behind_the_pad_is_named(tmp_path: Path) -> None:
    graph = """ g (float[1,2,H] a, float[1,2,V] b) => (float[1,2,P] y, float[1,2,V] z) <int64[6] pads = {0,0,8,0,0,8}> {
      [pad] y = Pad <mode = "reflect"> (b, pads)
      z = Relu (a)
    }""".replace("float[1,2,V] z", "float[1,2,H] z")
    config = BuildConfig(profiles=parse_profiles(["a=1x2x1:1x2x2:1x2x3", "b=1x2x8:1x2x9:1x2x10"]))
    path = write(tmp_path, graph)
    with pytest.raises(ConfigError, match="axis 2, which is 8 for the smallest shape of b"):
        trtconv.dry_run(path, config)


@pytest.mark.parametrize("num_profiles", [1, 2])
def test_sizes_that_every_profile_fixes_are_known_to_the_passes(num_profiles: int, tmp_path: Path) -> None:
    items: list[str | None] = ["x=1x2x30x29", *([None, "x=1x2x30x29"] * (num_profiles - 1))]
    report = trtconv.dry_run(
        write(tmp_path, TO_MULTIPLE), BuildConfig(backend="tensorrt", ops="plugin", profiles=parse_profiles(items))
    )
    (decision,) = report.decisions
    assert decision.became == "trtconv::ReflectPad"
    assert decision.figures["pads"] == [0, 0, 0, 0, 0, 0, 2, 3]


def test_an_engine_is_prepared_again_for_its_profiles(tmp_path: Path) -> None:
    from trtconv.config import EngineOptions
    from trtconv.manifest import Manifest
    from trtconv.preparation import prepare_as_built

    path = write(tmp_path, TO_MULTIPLE)
    for items, op in ((["x=1x2x30x29"], "ReflectPad"), (["x=1x2x8x8:1x2x30x29:1x2x64x64"], "DynamicReflectPad")):
        manifest = Manifest(trtconv="0", options=EngineOptions(ops="plugin"), profiles=parse_profiles(items))
        proto, _ = prepare_as_built(path, manifest)
        assert [node.op_type for node in proto.graph.node if node.domain] == [op]


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_pads_of_either_kind_take_the_precision(precision: Any, tmp_path: Path) -> None:
    graph = TO_MULTIPLE.replace("(x, pads)\n}", "(m, pads)\n}").replace("sides =", "m = Mul (x, x)\n  sides =")
    path = write(tmp_path, graph)
    for items in (["x=1x2x30x29"], ["x=1x2x8x8:1x2x30x29:1x2x64x64"]):
        report = trtconv.dry_run(
            path, BuildConfig(backend="tensorrt", ops="plugin", profiles=parse_profiles(items), precision=precision)
        )
        assert report.num_rewritten == 1
        assert list(report.kept_fp32) == []
