"""InstanceNorm in fp16 on values that lose most: ours, native TensorRT's, and NVIDIA's own plugin, against float64.

One engine holds ours and the native one. TRTCONV_RESULTS names a JSON file that gets one entry for each input set.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.gpu.needs import TENSORRT_ON_GPU
from tests.support.references import InstanceNormReference, instance_norm_reference, worst_excess
from trtconv import BuildConfig, build, load_engine

pytestmark = TENSORRT_ON_GPU

Outputs = dict[str, npt.NDArray[Any]]
SHAPE = (2, 8, 96, 128)
EPSILON = 1e-5  # as tests/gpu/nvidia_instance_norm.py has it


def make_feeds() -> Outputs:
    """Return the input sets: harmless; a mean far from 0; squares beyond what fp16 holds; a variance of almost 0."""
    rng = np.random.default_rng(0)
    signs = rng.choice([-1.0, 1.0], size=SHAPE)
    values = {
        "mean 0, std 1": rng.normal(size=SHAPE),
        "mean 1000, std 30": rng.normal(1000, 30, size=SHAPE),
        "+-512, std 1": signs * 512 + rng.normal(size=SHAPE),
        "+-60000": signs * 60000,
        "mean 1000, std 0.5": rng.normal(1000, 0.5, size=SHAPE),
    }
    return {name: value.astype(np.float16) for name, value in values.items()}


def make_parameters() -> tuple[npt.NDArray[np.float16], npt.NDArray[np.float16]]:
    """Return scale and bias."""
    rng = np.random.default_rng(1)
    scale, bias = rng.uniform(0.5, 2, SHAPE[1]), rng.normal(size=SHAPE[1])
    return scale.astype(np.float16), bias.astype(np.float16)


FEEDS = make_feeds()


def make_model() -> onnx.ModelProto:
    """Return a model that normalises x twice; the node called native is to stay as it is."""
    scale, bias = make_parameters()
    nodes = [
        helper.make_node("InstanceNormalization", ["x", "scale", "bias"], [name], name=name, epsilon=EPSILON)
        for name in ("ours", "native")
    ]
    graph = helper.make_graph(
        nodes,
        "two_norms",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, SHAPE)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT16, SHAPE) for name in ("ours", "native")],
        [numpy_helper.from_array(scale, "scale"), numpy_helper.from_array(bias, "bias")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outputs]:
    """Both outputs of the engine, for each input set."""
    from polygraphy.backend.trt import TrtRunner

    folder = tmp_path_factory.mktemp("norms")
    onnx.save(make_model(), folder / "model.onnx")
    config = BuildConfig(output=folder / "model.engine", backend="tensorrt", ops="plugin", keep_native=("native",))
    report = build(folder / "model.onnx", config)
    assert report.rewrite.num_rewritten == 1
    with TrtRunner(load_engine(report.engine)) as runner:
        return {
            name: {key: value.copy() for key, value in runner.infer({"x": feed}).items()}
            for name, feed in FEEDS.items()
        }


@pytest.fixture(scope="module")
def nvidia(tmp_path_factory: pytest.TempPathFactory) -> Outputs | str:
    """The output of NVIDIA's plugin for each input set, or why there is none."""
    folder = tmp_path_factory.mktemp("nvidia")
    scale, bias = make_parameters()
    np.savez(folder / "inputs.npz", scale=scale, bias=bias, **FEEDS)
    program = Path(__file__).with_name("nvidia_instance_norm.py")
    finished = subprocess.run(
        [sys.executable, str(program), str(folder / "inputs.npz"), str(folder / "outputs.npz")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LD_LIBRARY_PATH": library_path_with_cudnn()},
        timeout=300,
    )
    if finished.returncode != 0:
        return f"exit {finished.returncode}: {' '.join(finished.stderr.split())[-600:]}"
    with np.load(folder / "outputs.npz") as file:
        return dict(file)


def library_path_with_cudnn() -> str:
    """Return the library path with the folders of NVIDIA's packages, where cuDNN is."""
    package = importlib.util.find_spec("nvidia")
    places = [] if package is None else [Path(place) for place in package.submodule_search_locations or []]
    found = [str(folder) for place in places for folder in sorted(place.glob("*/lib"))]
    return os.pathsep.join([os.environ.get("LD_LIBRARY_PATH", ""), *found])


@pytest.mark.parametrize("name", FEEDS)
def test_ours_is_within_its_bound(name: str, outputs: dict[str, Outputs], nvidia: Outputs | str) -> None:
    scale, bias = make_parameters()
    reference = instance_norm_reference(FEEDS[name], scale, bias, EPSILON)
    entry: dict[str, Any] = {"input": name, "dtype": "fp16", "shape": list(SHAPE)}
    for key in ("ours", "native"):
        entry[key] = errors_of(outputs[name][key], reference)
    entry["nvidia_plugin"] = nvidia if isinstance(nvidia, str) else errors_of(nvidia[name], reference)
    record(entry)
    assert entry["ours"]["not_finite"] == 0
    assert entry["ours"]["of_bound"] <= 1


def errors_of(y: npt.NDArray[Any], reference: InstanceNormReference) -> dict[str, float | None]:
    """Return how far `y` is from the reference: at most, as a fraction of max|y|, and of the bound that ours keeps."""
    error = np.abs(y.astype(np.float64) - reference.y)
    finite = np.isfinite(error)
    largest = float(error[finite].max(initial=0.0))
    of_bound = worst_excess(y, reference, "float16")
    return {
        "max_error": largest,
        "of_max_y": largest / float(np.abs(reference.y).max()),
        "of_bound": of_bound if np.isfinite(of_bound) else None,  # JSON has no infinity
        "not_finite": int((~finite).sum()),
    }


def record(entry: dict[str, Any]) -> None:
    print(f"\nRESULT {json.dumps(entry)}")
    if target := os.environ.get("TRTCONV_RESULTS"):
        path = Path(target)
        entries = json.loads(path.read_text()) if path.exists() else []
        path.write_text(json.dumps([*entries, entry], indent=1))
