"""Whole networks in fp16 and bf16 on full TensorRT, against the fp32 model in ONNX Runtime.

TRTCONV_RESULTS names a JSON file that gets one entry for each network and precision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.gpu.needs import TENSORRT_ON_GPU
from tests.gpu.networks import MODELS_VARIABLE, MORE_NETWORKS, NETWORKS, Network
from tests.gpu.results import record
from trtconv import BuildConfig, ShapeRange, build
from trtconv.comparison import compare
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.errors import TrtconvError

pytestmark = TENSORRT_ON_GPU

FP32_NETWORKS = {name: each for name, each in (NETWORKS | MORE_NETWORKS).items() if each.dtype == "fp32"}


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("name", FP32_NETWORKS)
def test_engine_of_a_precision_agrees_with_fp32(name: str, precision: str, tmp_path: Path) -> None:
    network = FP32_NETWORKS[name]
    model = network.path(tmp_path)
    if model is None:
        pytest.skip(f"{MODELS_VARIABLE} names no folder with {network.file}")
    entry: dict[str, Any] = {"network": name, "precision": precision}
    ours = _error(network, model, tmp_path, entry, precision=precision)
    if ours is None or ours > TOLERANCE[precision]:
        native = _error(network, model, tmp_path, entry, precision=precision, ops="native")
        record(entry)
        # What native TensorRT cannot build or misses as well is no fault of the plugins.
        assert native is None or native > TOLERANCE[precision], entry
        pytest.skip(f"native TensorRT does no better: {entry}")
    record(entry)


def _error(network: Network, model: Path, folder: Path, entry: dict[str, Any], **options: Any) -> float | None:
    """Build and compare, note the result in `entry`, and return max|error| / max|y|, or None where nothing is built."""
    options = {"ops": "plugin", **options}
    key = options["ops"]
    shapes = {name: ShapeRange(tuple(dims), tuple(dims), tuple(dims)) for name, dims in network.shapes.items()}
    config = BuildConfig(
        output=folder / "model.engine",
        profiles=[shapes] if shapes else [],
        backend="tensorrt",
        opt_level=1,
        **options,
    )
    try:
        report = build(model, config)
    except TrtconvError as error:
        entry[key] = str(error)[:300]
        return None
    result = compare(model, report.engine, network.feeds(model), TOLERANCE[options["precision"]])
    worst = max(output.relative_error for output in result.outputs)
    entry[key] = worst
    entry["plugins"] = report.rewrite.num_rewritten
    entry["kept_fp32"] = len(report.rewrite.kept_fp32)
    entry["seconds"] = round(report.seconds, 1)
    return worst
