"""Engines of exported architectures, plugins inside, against ONNX Runtime, each at two sizes where its shapes are open.

The models come from the folder that TRTCONV_TEST_CASES names. TRTCONV_RESULTS names a JSON file that gets an entry
each.
"""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest

from tests.gpu.needs import TENSORRT_ON_GPU
from tests.gpu.results import record
from tests.gpu.test_engine_accuracy import opt_level
from trtconv import BuildConfig, ShapeRange, build, dry_run
from trtconv.comparison import compare, random_inputs
from trtconv.comparison.default_precision import model_precision
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.model.walking import describe_inputs

pytestmark = TENSORRT_ON_GPU

CASES_VARIABLE = "TRTCONV_TEST_CASES"
FOLDER = Path(os.environ.get(CASES_VARIABLE, ""))
MODELS = sorted((FOLDER / "zoo").rglob("*.onnx")) if os.environ.get(CASES_VARIABLE) else []
SMALL, LARGE = 64, 96  # sizes of open axes of images and volumes
SHORT, LONG = 2048, 3000  # of sequences


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_engine_computes_what_the_model_does(model: Path, tmp_path: Path) -> None:
    smallest, largest = sizes(model, is_large=False), sizes(model, is_large=True)
    profile = {name: ShapeRange(dims, dims, largest[name]) for name, dims in smallest.items()}
    config = BuildConfig(
        output=tmp_path / "model.engine",
        profiles=[profile] if profile else [],
        backend="tensorrt",
        opt_level=opt_level(),
        tf32=False,
        ops="plugin",
    )
    if not dry_run(model, config).num_rewritten:
        pytest.skip("no node of it becomes a plugin")
    report = build(model, config)
    precision, _ = model_precision(onnx.load(model))
    errors = []
    for shapes in (smallest, largest) if profile else (smallest,):
        compared = compare(model, report.engine, random_inputs(model, shapes, num_sets=2), TOLERANCE[precision])
        errors.append(compared.worst.relative_error)
        assert compared.passed, compared.worst
    record({"model": model.stem, "plugins": report.rewrite.num_rewritten, "precision": precision, "errors": errors})


def sizes(model: Path, is_large: bool) -> dict[str, tuple[int, ...]]:
    """Return sizes for the inputs with open axes: one image or sequence, small or large."""
    described = describe_inputs(onnx.load(model, load_external_data=False))
    found = {}
    for name, dims in described.items():
        if dims is None or all(isinstance(dim, int) for dim in dims):
            continue
        is_sequence = len(dims) < 4
        size = (LONG if is_sequence else LARGE) if is_large else (SHORT if is_sequence else SMALL)
        found[name] = tuple(
            dim if isinstance(dim, int) else (1 if axis == 0 else size) for axis, dim in enumerate(dims)
        )
    return found
