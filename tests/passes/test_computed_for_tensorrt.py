"""What is computed because TensorRT refuses it: counted and told apart from plugins, on every backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper

import trtconv
from tests.support import golden
from trtconv import BuildConfig
from trtconv.decisions import CONSTANT, CONSTANT_INPUT
from trtconv.errors import ConfigError, ModelError
from trtconv.inspection.model_inspection import inspect_model

FOLDED = golden.FOLDER / "fold_batch_statistics" / "weights_of_a_convolution.onnxtxt"
FIXED = golden.FOLDER / "fix_constant_inputs" / "axes_of_a_reduction.onnxtxt"
OF_DATA = golden.FOLDER / "fold_batch_statistics" / "of_data.onnxtxt"
OPTIONS: list[dict[str, Any]] = [
    {"backend": "tensorrt", "ops": "plugin"},
    {"backend": "tensorrt-rtx"},
    {"ops": "native"},
]


def write(case: Path, folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save(golden.read_case(case).model, path)
    return path


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize(("case", "became"), [(FOLDED, CONSTANT), (FIXED, CONSTANT_INPUT)], ids=["folded", "fixed"])
def test_every_backend_gets_it_and_no_report_calls_it_a_plugin(
    case: Path, became: str, options: dict[str, Any], tmp_path: Path
) -> None:
    report = trtconv.dry_run(write(case, tmp_path), BuildConfig(**options))
    assert [decision.became for decision in report.decisions] == [became]
    assert report.num_rewritten == 0
    assert report.render().splitlines()[1].startswith("computed   1 ")


@pytest.mark.parametrize("case", [FOLDED, FIXED], ids=["folded", "fixed"])
def test_inspect_tells_it_beside_the_plugins(case: Path, tmp_path: Path) -> None:
    inspection = inspect_model(write(case, tmp_path), ops="plugin", backend="tensorrt-rtx")
    assert len(inspection.nodes) == 1
    text = inspection.render(140)
    assert "rewrite    nothing: no InstanceNormalization and no Pad(reflect) in this model" in text
    assert "Other nodes that TensorRT does not accept as they are" in text
    assert not inspection.problems


def test_rtx_builds_what_it_would_refuse(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    for case in (FOLDED, FIXED):
        model = golden.read_case(case).model
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
        path = tmp_path / f"{case.stem}.onnx"
        onnx.save(model, path)
        assert trtconv.build(path, BuildConfig(backend="tensorrt-rtx")).engine.exists()


def test_batch_statistics_of_data_are_told(tmp_path: Path) -> None:
    path = write(OF_DATA, tmp_path)
    report = trtconv.dry_run(path, BuildConfig(backend="tensorrt"))
    assert [(decision.became, decision.op) for decision in report.decisions] == [(None, "BatchNormalization")]
    assert "TensorRT refuses" in report.decisions[0].reason
    pytest.importorskip("tensorrt_rtx")
    with pytest.raises(ModelError, match="does not support training_mode"):
        trtconv.dry_run(path, BuildConfig(backend="tensorrt-rtx"))


def test_a_decision_file_can_prevent_a_fold(tmp_path: Path) -> None:
    path, file = write(FOLDED, tmp_path), tmp_path / "decisions.json"
    trtconv.dry_run(path, BuildConfig(backend="tensorrt", ops="plugin", decisions=file))
    file.write_text(file.read_text().replace('"became": "constant"', '"became": null'))
    report = trtconv.dry_run(path, BuildConfig(backend="tensorrt", ops="plugin", decisions=file))
    assert [decision.became for decision in report.decisions] == [None]


def test_keep_native_means_no_fold(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="matches no"):
        trtconv.dry_run(write(FOLDED, tmp_path), BuildConfig(backend="tensorrt", ops="plugin", keep_native=["*"]))


@pytest.mark.parametrize("is_external", [False, True], ids=["inside", "external"])
def test_large_weights_are_folded(is_external: bool, tmp_path: Path) -> None:
    """Inference and passes get a copy without the values of large tensors."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((128, 64, 3, 3)).astype(np.float32)
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[1,64,5,5] x) => (float[1,128,3,3] y)'
        "<int64[3] flat = {1, 128, -1}, int64[4] full = {128, 64, 3, 3}> { rows = Reshape (w, flat)"
        "n, m2, v2 = BatchNormalization <training_mode = 1> (rows, s, b, m, v)"
        "k = Reshape (n, full) y = Conv (x, k) }"
    )
    model.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    for name in "sbmv":
        model.graph.initializer.append(numpy_helper.from_array(rng.uniform(1, 2, 128).astype(np.float32), name))
    path, output = tmp_path / "in" / "model.onnx", tmp_path / "out" / "model.onnx"
    path.parent.mkdir()
    output.parent.mkdir()
    onnx.save(model, path, save_as_external_data=is_external, location="w.bin", size_threshold=4096)
    trtconv.rewrite(path, output, ops="plugin")
    constants = {each.name: numpy_helper.to_array(each) for each in onnx.load(output).graph.initializer}
    (kernel,) = (each for each in constants.values() if each.shape == weights.shape)
    scale, bias = (numpy_helper.to_array(each).reshape(-1, 1) for each in model.graph.initializer[3:5])
    rows = weights.reshape(128, -1).astype(np.float64)
    deviation = rows - rows.mean(axis=1, keepdims=True)
    expected = deviation / np.sqrt(rows.var(axis=1, keepdims=True) + 1e-5) * scale + bias
    np.testing.assert_allclose(kernel.reshape(128, -1), expected, rtol=1e-5, atol=1e-6)
