"""Our error beside native TensorRT's, for each network and precision: the figures of docs/accuracy.md.

Each test builds both engines of one network; they run in parallel with pytest-xdist. TRTCONV_RESULTS names a JSON file
that gets an entry for each.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest

from tests.gpu.needs import TENSORRT_ON_GPU
from tests.gpu.networks import MODELS_VARIABLE, MORE_NETWORKS, NETWORKS, Network
from tests.gpu.results import record
from tests.gpu.test_engines import OPT_LEVEL_VARIABLE
from trtconv import BuildConfig, ShapeRange, build
from trtconv.comparison import compare
from trtconv.comparison.tolerance import TOLERANCE
from trtconv.errors import TrtconvError

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
# Where both are outside the tolerance: how much worse than native TensorRT ours may be.
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
    options = {"ops": "plugin", **options}
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
