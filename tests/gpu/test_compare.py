"""`trtconv compare`, `--bisect` and `build --verify` on full TensorRT, with engines that are right and wrong."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx
import pytest

import trtconv
from models.make_models import make
from tests.gpu.needs import TENSORRT_ON_GPU
from tests.gpu.test_engines import OPT_LEVEL_VARIABLE
from tests.support.command_line import Result, contents, run
from tests.support.comparison_models import write_network
from tests.support.documented_json import assert_documented
from trtconv import BuildConfig, CompareConfig
from trtconv.engine import building
from trtconv.errors import AccuracyError, BackendError
from trtconv.gpu.driver import find_gpu
from trtconv.manifest import manifest_path
from trtconv.shapes import parse_profiles

pytestmark = TENSORRT_ON_GPU

# As many builds as a test has, of ten seconds and more each.
SECONDS = 500


def build(model: Path, **options: Any) -> Path:
    """Build an engine beside its model, and return it."""
    level = os.environ.get(OPT_LEVEL_VARIABLE)
    chosen: dict[str, Any] = {"ops": "plugin"} | ({"opt_level": int(level)} if level else {})
    config = BuildConfig(output=model.with_suffix(".engine"), backend="tensorrt", **(chosen | options))
    return trtconv.build(model, config).engine


def compare(*args: str | Path, cwd: Path) -> Result:
    """Run the command as a user does."""
    return run("compare", *args, cwd=cwd, timeout=SECONDS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four models of the same names, and the engines of the right one and of the one whose parameters are swapped."""
    folder = tmp_path_factory.mktemp("compare")
    write_network(folder / "good.onnx")
    write_network(folder / "swapped.onnx", parameters="b, s")
    build(folder / "good.onnx", tf32=False)
    build(folder / "swapped.onnx", tf32=False)
    return folder


def test_a_right_engine_ends_with_0(folder: Path) -> None:
    result = compare("good.onnx", "good.engine", "--json", cwd=folder)
    assert result.exit_code == 0, result.stdout + result.stderr
    document = result.document
    assert document["passed"]
    assert document["notes"] == document["warnings"] == []
    assert "fp32 without TF32 (from its manifest)" in document["basis"]
    assert {output["name"] for output in document["outputs"]} == {"y", "z"}
    assert all(output["relative_error"] <= 1e-5 for output in document["outputs"]), document["outputs"]
    shown = compare("good.onnx", "good.engine", cwd=folder)
    assert shown.exit_code == 0
    print(shown.stdout)


def test_a_right_engine_is_right_on_adversarial_inputs(folder: Path) -> None:
    """The first layer squares: +-1e18 becomes 1e36, beyond what the norms promise (|x - shift| up to 1e18)."""
    result = compare("good.onnx", "good.engine", "--generator", "adversarial", "--json", cwd=folder)
    print(result.stdout, result.stderr)
    kinds = {output["input_set"] for output in result.document["outputs"] if not output["passed"]}
    assert kinds <= {"extremes"}


def test_a_wrong_engine_ends_with_1_and_bisect_names_the_layer(folder: Path) -> None:
    result = compare("good.onnx", "swapped.engine", "--bisect", "--json", cwd=folder)
    assert result.exit_code == 1, result.stdout + result.stderr
    assert_documented(result.document)
    assert "is not the swapped.onnx that the engine was built from" in result.document["notes"][0]
    found = result.document["bisection"]
    assert (found["tensor"], found["node"], found["candidate_op"]) == ("n", "/norm", "trtconv::InstanceNorm")
    assert found["before"]["name"] == "a"
    assert found["before"]["relative_error"] <= 1e-5
    assert "built anew from swapped.onnx" in found["detail"]


def test_a_wrong_engine_without_a_manifest_is_found_too(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alone.engine").write_bytes((folder / "swapped.engine").read_bytes())
    result = compare(folder / "good.onnx", "alone.engine", cwd=tmp_path)
    assert result.exit_code == 1, result.stdout + result.stderr
    assert "there is no manifest" in result.stdout
    refused = compare(folder / "good.onnx", "alone.engine", "--bisect", "--quiet", cwd=tmp_path)
    assert refused.exit_code == 2
    assert "there is no manifest" in refused.error


def test_a_plot_of_a_wrong_engine(folder: Path) -> None:
    pytest.importorskip("matplotlib")
    result = compare("good.onnx", "swapped.engine", "--plot", "errors.png", cwd=folder)
    assert result.exit_code == 1, result.stderr
    assert (folder / "errors.png").read_bytes().startswith(b"\x89PNG")


def test_wrong_pads_are_found_by_their_node(tmp_path: Path) -> None:
    """The engine is built from the right model, and TensorRT is handed a wrong one, twice: also for the bisection."""
    model = write_network(tmp_path / "model.onnx")
    with pytest.MonkeyPatch.context() as patch:
        spoil_builds(patch, swap_begins_and_ends)
        report = trtconv.compare(model, build(model, tf32=False), CompareConfig(bisect=True))
    assert not report.passed
    assert report.bisection is not None
    print(report.render())
    assert (report.bisection.node, report.bisection.candidate_op) == ("/pad", "trtconv::ReflectPad")


def test_shapes_of_two_profiles(tmp_path: Path) -> None:
    model = write_network(tmp_path / "model.onnx", batch="N")
    profiles = parse_profiles(["x=1x2x12x16:2x2x12x16:3x2x12x16", None, "x=4x2x12x16:5x2x12x16:6x2x12x16"])
    made = build(model, tf32=False, profiles=profiles)
    report = trtconv.compare(model, made, CompareConfig(num_sets=1, all_shapes=True))
    assert report.passed, report.render()
    assert len(report.input_sets) == 6
    refused = compare("model.onnx", "model.engine", "--shape", "x=7x2x12x16", "--quiet", cwd=tmp_path)
    assert refused.exit_code == 2
    assert "no profile of the engine holds x=7x2x12x16" in refused.error
    assert "x=1x2x12x16:2x2x12x16:3x2x12x16; x=4x2x12x16" in refused.hint


def test_an_fp16_engine_is_held_to_fp16_and_bisected_in_fp16(tmp_path: Path) -> None:
    model = tmp_path / "model.onnx"
    onnx.save(make("fast_neural_style", channels=16, height=64, width=64), model)
    made = build(model, precision="fp16")
    report = trtconv.compare(model, made)
    print(report.render())
    assert report.passed
    assert "the engine is fp16 (from its manifest)" in report.basis
    # With no tolerance at all rounding to fp16 is an error, which begins where the weights or the data are rounded.
    strict = trtconv.compare(model, made, CompareConfig(tolerance={"*": 0.0}, bisect=True))
    assert strict.bisection is not None
    print(strict.render())
    assert strict.bisection.tensor is not None
    assert strict.bisection.num_compared <= 3


# build --verify. ------------------------------------------------------------------------------------------------------


def test_verify_keeps_a_right_engine(tmp_path: Path) -> None:
    write_network(tmp_path / "model.onnx")
    level = ("--opt-level", os.environ.get(OPT_LEVEL_VARIABLE, "3"))
    result = run("build", "model.onnx", "--backend", "tensorrt", "--verify", *level, cwd=tmp_path, timeout=SECONDS)
    assert result.exit_code == 0, result.stderr
    assert "verified   2 input sets" in result.stdout
    verified = json.loads(manifest_path(tmp_path / "model.engine").read_text())["verified"]
    assert verified["input_sets"] == ["random 1", "random 2"]
    assert verified["relative_error"] <= 5e-3


def test_verify_keeps_no_wrong_engine(tmp_path: Path) -> None:
    model = write_network(tmp_path / "model.onnx")
    (tmp_path / "model.engine").write_bytes(b"the user's own")
    before = contents(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        spoil_builds(patch, swap_begins_and_ends)
        with pytest.raises(AccuracyError, match="the engine does not compute what the model does") as caught:
            build(model, verify=True)
    assert caught.value.exit_code == 1
    assert contents(tmp_path) == before


def test_verify_is_refused_for_a_foreign_architecture(tmp_path: Path) -> None:
    if find_spec("tensorrt_rtx") is None:
        pytest.skip("needs TensorRT-RTX")
    model = write_network(tmp_path / "model.onnx")
    gpu = find_gpu()
    foreign = "sm_75" if gpu is None or gpu.arch != "sm_75" else "sm_89"
    with pytest.raises(BackendError, match=f"an engine for {foreign} cannot be run"):
        trtconv.build(model, BuildConfig(backend="tensorrt-rtx", gpu_arch=foreign, verify=True))


def swap_begins_and_ends(proto: onnx.ModelProto) -> None:
    node = next(node for node in proto.graph.node if node.op_type == "ReflectPad")
    pads = next(attribute for attribute in node.attribute if attribute.name == "pads").ints
    pads[:] = [*pads[len(pads) // 2 :], *pads[: len(pads) // 2]]


def spoil_builds(patch: pytest.MonkeyPatch, spoil: Any) -> None:
    """Hand TensorRT another model than the one that was prepared."""
    real = building.build

    def spoilt(proto: onnx.ModelProto, *args: Any, **options: Any) -> Any:
        wrong = onnx.ModelProto()
        wrong.CopyFrom(proto)
        spoil(wrong)
        return real(wrong, *args, **options)

    patch.setattr(building, "build", spoilt)
