"""What users of plugins have suffered from, each with a test that would catch it. Two small engines serve them all.

The first holds both plugins alone, so that its outputs can be held against the references, and twice: in two profiles,
of which the second reaches sizes whose statistics several blocks share by way of the workspace.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.gpu.needs import HAS_TENSORRT_AND_GPU, NEEDED
from tests.support.references import instance_norm_reference, reflect_pad_reference, worst_excess
from trtconv import load_engine, plugins
from trtconv.plugins import library as plugin_library

pytest.importorskip("torch", reason="the tests put their tensors on the GPU with torch")
if not HAS_TENSORRT_AND_GPU:
    pytest.skip(NEEDED, allow_module_level=True)

import tensorrt as trt
import torch

from tests.gpu.engine_runs import LOGGER, Run, build, fresh_run

pytestmark = pytest.mark.gpu

CHANNELS = 6
PADS = [0, 0, 1, 2, 0, 0, 3, 1]
EPSILON = 1e-5
SCALE = np.linspace(-2, 3, CHANNELS).astype(np.float32)
BIAS = np.linspace(1, -1, CHANNELS).astype(np.float32)
# Several sizes of each profile; the second's reach past one block a slice.
SMALL = [(1, 32, 32), (2, 8, 8), (1, 17, 19), (4, 64, 64), (3, 9, 63)]
LARGE = [(1, 256, 256), (1, 64, 64), (2, 255, 257), (1, 512, 301)]


def define_both(network: Any) -> None:
    x = network.add_input("x", trt.float32, (-1, CHANNELS, -1, -1))
    padded = plugins.add_reflect_pad(network, x, PADS, name="pad").get_output(0)
    normed = plugins.add_instance_norm(network, padded, SCALE, BIAS, epsilon=EPSILON, name="norm").get_output(0)
    for name, tensor in (("padded", padded), ("normed", normed)):
        tensor.name = name
        network.mark_output(tensor)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pains") / "both.engine"
    small = ((1, CHANNELS, 8, 8), (1, CHANNELS, 32, 32), (4, CHANNELS, 64, 64))
    large = ((1, CHANNELS, 64, 64), (1, CHANNELS, 256, 256), (2, CHANNELS, 512, 512))
    assert build(path, define_both, [{"x": small}, {"x": large}]), LOGGER.errors
    return path


@pytest.fixture(scope="module")
def engine(plan: Path) -> Any:
    return load_engine(plan)


def make_input(shape: tuple[int, int, int], seed: int) -> torch.Tensor:
    generator = torch.Generator("cpu").manual_seed(seed)
    batch, height, width = shape
    return (torch.randn(batch, CHANNELS, height, width, generator=generator) * (seed + 1) + seed).cuda()


def assert_right(x: torch.Tensor, outputs: dict[str, torch.Tensor]) -> None:
    padded = reflect_pad_reference(x.cpu().numpy(), PADS)
    np.testing.assert_array_equal(outputs["padded"].cpu().numpy(), padded)
    reference = instance_norm_reference(padded, SCALE, BIAS, EPSILON)
    assert worst_excess(outputs["normed"].cpu().numpy(), reference, "float32") <= 1


def are_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(("profile", "shape"), [(0, SMALL[0]), (1, LARGE[0])], ids=["small", "large"])
def test_one_context_a_thousand_times_with_changing_input(
    engine: Any, profile: int, shape: tuple[int, int, int]
) -> None:
    """Stale device state: partial sums or flags of the last run that the next one reads."""
    inputs = [make_input(shape, seed) for seed in range(7)]
    expected = [fresh_run(engine, profile, x=x) for x in inputs]
    for x, outputs in zip(inputs, expected, strict=True):
        assert_right(x, outputs)
    run = Run(engine)
    run.use_profile(profile)
    run.prepare(x=inputs[0])
    with torch.cuda.stream(run.stream):
        differing = torch.zeros((), dtype=torch.int64, device="cuda")
        for index in range(1000):
            run.inputs["x"].copy_(inputs[index % 7])
            assert run.enqueue()
            for name, wanted in expected[index % 7].items():
                differing += (run.outputs[name] != wanted).sum()
                run.outputs[name].fill_(float("nan"))
    run.stream.synchronize()
    assert differing.item() == 0


@pytest.mark.parametrize(("profile", "shape"), [(0, (4, 64, 64)), (1, LARGE[0])], ids=["small", "large"])
def test_two_contexts_at_once_on_two_streams(engine: Any, profile: int, shape: tuple[int, int, int]) -> None:
    """Shared device state: globals, statics, or one workspace for two contexts."""
    inputs = [make_input(shape, seed) for seed in (3, 4)]
    expected = [fresh_run(engine, profile, x=x) for x in inputs]
    runs = [Run(engine), Run(engine)]
    for run, x in zip(runs, inputs, strict=True):
        run.use_profile(profile)
        run.prepare(x=x)
    results: list[list[dict[str, torch.Tensor]]] = [[], []]
    for _ in range(50):
        for run, kept in zip(runs, results, strict=True):
            assert run.enqueue()
            with torch.cuda.stream(run.stream):
                kept.append({name: tensor.clone() for name, tensor in run.outputs.items()})
    torch.cuda.synchronize()
    for kept, wanted in zip(results, expected, strict=True):
        assert all(are_same(outputs, wanted) for outputs in kept)


def test_shapes_in_turn_in_one_context(engine: Any) -> None:
    """Sizes remembered from the first run, as plugins do that read them in configurePlugin alone."""
    run = Run(engine)
    for seed, shape in enumerate([*SMALL, *reversed(SMALL), SMALL[0]]):
        x = make_input(shape, seed)
        outputs = run(x=x)
        assert_right(x, outputs)
        assert are_same(outputs, fresh_run(engine, x=x)), shape


def test_two_profiles_in_one_context(engine: Any) -> None:
    """Workspace and launch choice of another profile than the one in use."""
    run = Run(engine)
    for seed, (profile, shapes) in enumerate([(0, SMALL), (1, LARGE), (0, SMALL), (1, LARGE)]):
        run.use_profile(profile)
        for shape in shapes:
            x = make_input(shape, seed)
            outputs = run(x=x)
            assert_right(x, outputs)
            assert are_same(outputs, fresh_run(engine, profile, x=x)), (profile, shape)


@pytest.mark.parametrize(("profile", "shape"), [(0, SMALL[0]), (1, LARGE[0])], ids=["small", "large"])
def test_enqueue_is_captured_into_a_cuda_graph(engine: Any, profile: int, shape: tuple[int, int, int]) -> None:
    """Allocation, synchronisation or a pageable copy in enqueue, which CUDA forbids while it captures."""
    run = Run(engine)
    run.use_profile(profile)
    run(x=make_input(shape, 0))  # TensorRT wants one run of these shapes before a capture
    run.prepare(x=make_input(shape, 0))
    assert run.enqueue()
    run.stream.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=run.stream):
        assert run.enqueue()
    for seed in (1, 2, 3):
        x = make_input(shape, seed)
        run.inputs["x"].copy_(x)
        for tensor in run.outputs.values():
            tensor.fill_(float("nan"))
        torch.cuda.synchronize()
        graph.replay()
        torch.cuda.synchronize()
        assert are_same(run.outputs, fresh_run(engine, profile, x=x))


_RELOAD = """
import sys, numpy
from polygraphy.backend.trt import TrtRunner
import trtconv
try:
    engine = trtconv.load_engine(sys.argv[1])
except trtconv.TrtconvError as error:
    sys.exit(f"{error}; hint: {error.hint}")
with TrtRunner(engine) as runner:
    numpy.savez(sys.argv[3], **runner.infer({"x": numpy.load(sys.argv[2])}))
"""


def reload_and_run(plan: Path, x: Path, outputs: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _RELOAD, str(plan), str(x), str(outputs)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=300
    )


def test_plugins_are_found_in_a_new_process(engine: Any, plan: Path, tmp_path: Path) -> None:
    """'Plugin not found' when a program other than the builder deserialises the engine."""
    x = make_input(SMALL[0], 5)
    np.save(tmp_path / "x.npy", x.cpu().numpy())
    finished = reload_and_run(plan, tmp_path / "x.npy", tmp_path / "y.npz")
    assert finished.returncode == 0, finished.stderr
    expected = fresh_run(engine, x=x)
    with np.load(tmp_path / "y.npz") as outputs:
        assert set(outputs) == set(expected)
        for name, wanted in expected.items():
            np.testing.assert_array_equal(outputs[name], wanted.cpu().numpy())


def test_a_missing_library_is_told_with_the_searched_paths(plan: Path, tmp_path: Path) -> None:
    """The engine loads nowhere but in its builder, and no message says what is missing or where it was looked for."""
    nowhere = str(tmp_path / "nowhere.so")
    finished = reload_and_run(plan, plan, tmp_path / "y.npz", **{plugin_library.ENVIRONMENT_VARIABLE: nowhere})
    assert finished.returncode == 1, finished.stderr
    assert "cannot load it" in finished.stderr
    assert f"the plugin library was not found; searched: {nowhere}" in finished.stderr


def define_edges(network: Any) -> None:
    x = network.add_input("x", trt.float32, (-1, 2, -1))
    padded = plugins.add_reflect_pad(network, x, [0, 0, 3, 0, 0, 2], name="edge_pad").get_output(0)
    normed = plugins.add_instance_norm(network, padded, [1, 2], [0, 1], epsilon=EPSILON, name="edge_norm")
    normed.get_output(0).name = "y"
    network.mark_output(normed.get_output(0))


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[int]]:
    """An engine whose batch may be empty and whose axis may be shorter than its pads, or what TensorRT takes of it."""
    path = tmp_path_factory.mktemp("edges") / "edges.engine"
    for smallest in ((0, 2, 2), (1, 2, 2), (0, 2, 8)):
        LOGGER.errors.clear()
        if build(path, define_edges, [{"x": (smallest, (2, 2, 40), (4, 2, 80))}]):
            return path, smallest
        print(f"\nRESULT TensorRT builds no engine for sizes from {smallest}: {LOGGER.errors}")
    pytest.fail("TensorRT builds no engine at all")


def test_an_empty_batch_gives_an_empty_output(edges: tuple[Path, Sequence[int]]) -> None:
    """A launch of no blocks, which CUDA refuses as an invalid configuration."""
    path, smallest = edges
    if smallest[0] != 0:
        pytest.skip("TensorRT builds no engine for an empty batch")
    engine = load_engine(path)
    run = Run(engine)
    assert run(x=torch.empty(0, 2, 40, device="cuda"))["y"].shape == (0, 2, 45)
    x = torch.randn(3, 2, 40, device="cuda")
    outputs = run(x=x)
    assert are_same(outputs, fresh_run(engine, x=x))
    assert torch.isfinite(outputs["y"]).all()


# In a process of its own, whose first logger is the one that plugins write to.
_REFUSED = """
import sys, numpy
import trtconv
engine = trtconv.load_engine(sys.argv[1], log=lambda message: print(message, file=sys.stderr))
from polygraphy.backend.trt import TrtRunner
from polygraphy.exception import PolygraphyException
with TrtRunner(engine) as runner:
    runner.infer({"x": numpy.ones((1, 2, 4), dtype=numpy.float32)})
    try:
        runner.infer({"x": numpy.ones((1, 2, 3), dtype=numpy.float32)})
    except PolygraphyException:
        print("refused")
"""


def test_pads_beyond_a_size_of_run_time_are_refused(edges: tuple[Path, Sequence[int]]) -> None:
    """Reading outside of the tensor where a size that is known only at run time is too small for the pads."""
    path, smallest = edges
    if smallest[2] > 3:
        pytest.skip("TensorRT builds no engine for sizes below the pads")
    command = [sys.executable, "-c", _REFUSED, str(path)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    print(f"\nRESULT refused: {finished.stderr}")
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.strip().endswith("refused")
    assert (
        "pads [0, 0, 3, 0, 0, 2] must be smaller than the axis they reflect, axis 2 of X [1, 2, 3]" in finished.stderr
    )
