"""The reference for engines: the same network, its InstanceNormalization as exact as float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.passes.test_real_models import FOLDER
from tests.support.equivalence import run_onnxruntime, seeded_inputs
from tests.support.golden import read_case
from tests.support.references import instance_norm_reference
from trtconv.model.exact_norms import with_exact_norms
from trtconv.model.walking import walk_nodes

CASES = Path(__file__).parents[1] / "cases" / "rewrite_instance_norm"
SHAPES = {3: (2, 3, 50), 4: (2, 3, 20, 30), 5: (1, 3, 4, 5, 6)}


def norm(opset: int, rank: int, dtype: str) -> onnx.ModelProto:
    dims = ",".join(map(str, SHAPES[rank]))
    text = f'<ir_version: 8, opset_import: ["": {opset}]> g ({dtype}[{dims}] x) => ({dtype}[{dims}] y) '
    model = onnx.parser.parse_model(f"{text} {{ y = InstanceNormalization<epsilon = 0.001>(x, s, b) }}")
    numpy_dtype = {"float": np.float32, "float16": np.float16}[dtype]
    for name, values in (("s", [1, -2, 3]), ("b", [4, 5, -6])):
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(values, numpy_dtype), name))
    return model


@pytest.mark.parametrize("dtype", ["float", "float16"])
@pytest.mark.parametrize("rank", SHAPES)
@pytest.mark.parametrize("opset", [7, 9, 13, 17, 18, 22])
def test_every_opset_rank_and_type(opset: int, rank: int, dtype: str) -> None:
    model = norm(opset, rank, dtype)
    x = seeded_inputs(model)["x"]
    (y,) = run_onnxruntime(with_exact_norms(model, Path()), {"x": x}, optimise=False)
    expected = instance_norm_reference(x, np.array([1, -2, 3]), np.array([4, 5, -6]), 0.001).y
    assert y.dtype == x.dtype
    assert np.array_equal(y, expected.astype(x.dtype))


@pytest.mark.parametrize("values", ["large mean", "constant"])
def test_it_is_right_where_onnx_runtime_is_not(values: str) -> None:
    model = norm(17, 4, "float")
    x = np.full(SHAPES[4], 262143.9, np.float32)
    if values == "large mean":
        x = (1e4 + np.random.default_rng(0).standard_normal(SHAPES[4])).astype(np.float32)
    expected = instance_norm_reference(x, np.array([1, -2, 3]), np.array([4, 5, -6]), 0.001).y
    scale = np.abs(expected).max()
    (plain,) = run_onnxruntime(model, {"x": x})
    (exact,) = run_onnxruntime(with_exact_norms(model, Path()), {"x": x}, optimise=False)
    assert np.abs(exact - expected).max() <= 1e-7 * scale
    assert np.abs(plain - expected).max() > 1e-5 * scale, "ONNX Runtime has become exact: the reference need not be"


@pytest.mark.parametrize("name", ["if_branches", "loop_body", "epsilon_absent", "parameters_at_run_time"])
def test_branches_and_parameters(name: str) -> None:
    case = read_case(CASES / f"{name}.onnxtxt")
    exact = with_exact_norms(case.model, Path())
    assert not any(node.op_type == "InstanceNormalization" for node in walk_nodes(exact.graph))
    feeds = seeded_inputs(case.model, case.feeds)
    for got, expected in zip(run_onnxruntime(exact, feeds), run_onnxruntime(case.model, feeds), strict=True):
        assert np.allclose(got, expected, rtol=1e-4, atol=1e-4)


def test_a_real_model_stays_what_it_is() -> None:
    path = Path(FOLDER, "xfeat_256x256_op17.onnx")
    if not path.is_file():
        pytest.skip("TRTCONV_TEST_MODELS names no folder with it")
    model = onnx.load(path)
    feeds = seeded_inputs(model)
    pairs = zip(
        run_onnxruntime(with_exact_norms(model, path.parent), feeds), run_onnxruntime(model, feeds), strict=True
    )
    for got, expected in pairs:
        assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()


def test_a_model_without_norms_is_not_copied() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[3] x) => (float[3] y) { y = Neg(x) }'
    )
    assert with_exact_norms(model, Path()) is model
