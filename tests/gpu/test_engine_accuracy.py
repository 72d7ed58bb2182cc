"""Our error beside native TensorRT's, for each network and precision: the figures of docs/accuracy.md.

Each test builds both engines of one network; they run in parallel with pytest-xdist. TRTCONV_RESULTS names a JSON file
that gets an entry for each.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.gpu.needs import TENSORRT_ON_GPU
from tests.gpu.networks import MODELS_VARIABLE, MORE_NETWORKS, NETWORKS, Network
from tests.gpu.results import record
from tests.gpu.test_engines import OPT_LEVEL_VARIABLE
from tests.references import instance_norm_reference
from trtconv import BuildConfig, ShapeRange, build
from trtconv.comparison import compare
from trtconv.comparison.runners import opened
from trtconv.errors import TrtconvError
from trtconv.tolerances import TOLERANCE

pytestmark = TENSORRT_ON_GPU

ALL = NETWORKS | MORE_NETWORKS
# The front ends of audio networks are spectra from end to end, of which nothing can be fp16.
ONLY_FP32 = {"whisper80_conv", "whisper80_stft"}
CASES = [
    (name, kind)
    for name, network in ALL.items()
    for kind in (("fp32", "tf32", "fp16") if network.dtype == "fp32" else ("fp16 model",))
    if not (kind == "fp16" and name in ONLY_FP32)
]
OPTIONS: dict[str, dict[str, Any]] = {
    "fp32": {"tf32": False},
    "tf32": {"tf32": True},
    "fp16": {"precision": "fp16"},
    "fp16 model": {},
}
# Where both are outside of the tolerance: how much worse than native TensorRT ours may be.
SLACK = 1.5


@pytest.mark.parametrize(("name", "kind"), CASES, ids=lambda each: str(each).replace(" ", "_"))
def test_beside_native(name: str, kind: str, tmp_path: Path) -> None:
    network = ALL[name]
    model = network.path(tmp_path)
    if model is None:
        pytest.skip(f"{MODELS_VARIABLE} names no folder with {network.file}")
    entry: dict[str, Any] = {"network": name, "kind": kind, "opt_level": opt_level()}
    for ops in ("plugin", "native"):
        entry[ops] = error_of(network, model, tmp_path / f"{ops}.engine", entry, ops=ops, **OPTIONS[kind])
    record(entry)
    if all(isinstance(entry[ops], str) for ops in ("plugin", "native")):
        pytest.skip(f"native TensorRT does no better: {entry}")
    ours, native = (number(entry[ops]) for ops in ("plugin", "native"))
    assert ours <= TOLERANCE[kind.split()[0]] or ours <= SLACK * native, entry


def error_of(network: Network, model: Path, output: Path, entry: dict[str, Any], **options: Any) -> float | str:
    """Build and compare, and return max|error| / max|y| of the worst output, or why there is none."""
    shapes = {name: ShapeRange(tuple(dims), tuple(dims), tuple(dims)) for name, dims in network.shapes.items()}
    profiles = [shapes] if shapes else []
    config = BuildConfig(output=output, profiles=profiles, backend="tensorrt", opt_level=opt_level(), **options)
    try:
        report = build(model, config)
        worst = compare(model, report.engine, network.feeds(model), 1.0).worst
    except TrtconvError as error:
        return str(error)[:300]
    if options["ops"] == "plugin":
        entry |= {"plugins": report.rewrite.num_rewritten, "kept_fp32": len(report.rewrite.kept_fp32)}
    return worst.problem or worst.relative_error


def number(measured: float | str) -> float:
    return math.inf if isinstance(measured, str) else measured


def opt_level() -> int | None:
    level = os.environ.get(OPT_LEVEL_VARIABLE)
    return None if level is None else int(level)


# One InstanceNormalization on values that are hard in fp16. -----------------------------------------------------------

SHAPE = (2, 16, 96, 96)
EPSILON = 1e-5
RNG = np.random.default_rng(7)
HARD = {
    "mean 0 std 1": RNG.standard_normal(SHAPE),
    "mean 1e3 std 30": 1e3 + 30 * RNG.standard_normal(SHAPE),
    "+-512": RNG.choice((-512.0, 512.0), SHAPE),
    "+-60000": RNG.choice((-6e4, 6e4), SHAPE),
    "constant": np.full(SHAPE, 0.1),
}


def test_one_norm_in_fp16_on_hard_values(tmp_path: Path) -> None:
    """Against float64 on the fp16 values: half a unit in the last place is 2.4e-4 to 4.9e-4 of the result."""
    dims = ",".join(map(str, SHAPE))
    text = f"""<ir_version: 8, opset_import: ["": 17]> g (float16[{dims}] x) => (float16[{dims}] y) {{
        y = InstanceNormalization <epsilon = {EPSILON}> (x, scale, bias) }}"""
    model = onnx.parser.parse_model(text)
    scale, bias = (RNG.standard_normal(SHAPE[1]).astype(np.float16) for _ in range(2))
    model.graph.initializer.extend(onnx.numpy_helper.from_array(*each) for each in ((scale, "scale"), (bias, "bias")))
    onnx.save(model, tmp_path / "norm.onnx")
    errors: dict[str, dict[str, float]] = {name: {} for name in HARD}
    for ops in ("plugin", "native"):
        config = BuildConfig(tmp_path / f"{ops}.engine", backend="tensorrt", opt_level=opt_level(), ops=ops)  # type: ignore[arg-type]
        report = build(tmp_path / "norm.onnx", config)
        assert report.rewrite.num_rewritten == (ops == "plugin")
        with opened(report.engine, ops) as runner:
            for name, values in HARD.items():
                x = values.astype(np.float16)
                got = np.asarray(runner.run({"x": x})["y"]).astype(np.float64)
                expected = instance_norm_reference(x, scale, bias, EPSILON).y
                errors[name][ops] = float(np.abs(got - expected).max() / np.abs(expected).max())
    for name, found in errors.items():
        record({"network": "one InstanceNormalization, fp16", "kind": name, **found})
    for name, found in errors.items():
        assert found["plugin"] <= 1e-3, name
