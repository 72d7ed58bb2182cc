"""The small networks of models/export_forms.py: they run, and each has what it is there for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from models.export_forms import FORMS
from tests.support.equivalence import run_onnxruntime
from trtconv import BuildConfig, build, dry_run, rewrite

# What a dry run says of each: how many nodes become plugins at least, and what stays native.
REPORTS = {
    "pad_behind_pad": (2, []),
    "pad_to_multiple": (1, []),
    "written_out_adain": (0, ["written-out norm"]),
    "group_norm": (1, []),
    "group_norm_op": (0, ["GroupNormalization"]),
    "batch_norm_as_instance_norm": (1, []),
}


def write(folder: Path, name: str) -> Path:
    path = folder / f"{name}.onnx"
    onnx.save(FORMS[name](), path)
    return path


def feed(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    sizes = {"N": 1, "H": 30, "W": 29}
    shape = [dim.dim_value or sizes[dim.dim_param] for dim in model.graph.input[0].type.tensor_type.shape.dim]
    return {"x": np.random.default_rng(1).standard_normal(shape, dtype=np.float32)}


@pytest.mark.parametrize("name", FORMS)
def test_the_rewritten_network_computes_the_same(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name)
    report = rewrite(path, tmp_path / "rewritten.onnx", ops="plugin")
    original, rewritten = onnx.load(path), onnx.load(tmp_path / "rewritten.onnx")
    (expected,) = run_onnxruntime(original, feed(original))
    (got,) = run_onnxruntime(rewritten, feed(original))
    assert expected.std() > 0.1
    np.testing.assert_allclose(got, expected, atol=2e-5)
    num_rewritten, _ = REPORTS[name]
    assert report.num_rewritten >= num_rewritten


@pytest.mark.parametrize("name", FORMS)
def test_what_a_dry_run_says(tmp_path: Path, name: str) -> None:
    report = dry_run(write(tmp_path, name), BuildConfig(backend="tensorrt", ops="plugin"))
    num_rewritten, others = REPORTS[name]
    assert report.num_rewritten >= num_rewritten
    assert report.warnings == ()
    assert [decision.op for decision in report.others if decision.became is None] == others or not others
    assert ("nothing: no" in report.render()) is False


@pytest.mark.parametrize("name", FORMS)
def test_tensorrt_rtx_builds_it(tmp_path: Path, name: str) -> None:
    pytest.importorskip("tensorrt_rtx")
    from trtconv.shapes import ShapeRange

    path = write(tmp_path, name)
    is_dynamic = name in ("pad_to_multiple", "group_norm", "group_norm_op")
    profiles = [{"x": ShapeRange.parse("1x3x30x29")}] if is_dynamic else []
    config = BuildConfig(backend="tensorrt-rtx", profiles=profiles)
    assert build(path, config).engine.exists()
