"""`trtconv bench` on a real GPU: the CUDA door, real kernels, and where full TensorRT is there real engines."""

from __future__ import annotations

from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.gpu.networks import NETWORKS
from trtconv import BuildConfig
from trtconv.benchmark import kernels
from trtconv.benchmark.ops import OpsOptions, bench_ops
from trtconv.gpu import device as gpu_device
from trtconv.gpu.driver import find_gpu
from trtconv.gpu.timing import host_microseconds, time_side_by_side

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        find_gpu() is None or find_spec("cuda") is None, reason="needs a GPU and the package cuda-bindings"
    ),
]
needs_tensorrt = pytest.mark.skipif(find_spec("tensorrt") is None, reason="needs the package tensorrt")

SMALL_CASES = ("InstanceNorm/1x256x64x64/*/linear", "ReflectPad/1x128x64x64+1/*/linear")
LARGE_CASE = "ReflectPad/8x64x512x512+3/fp32/linear"


@pytest.fixture(scope="module")
def device() -> gpu_device.Device:
    return gpu_device.open_device()


def test_a_graph_does_its_work_at_every_replay_and_not_before(device: gpu_device.Device) -> None:
    values, got = np.arange(1000, dtype=np.int32), np.empty(1000, np.int32)
    with ExitStack() as until:
        source, target = (device.allocate(values.nbytes, until) for _ in range(2))
        device.upload(source, values)
        device.fill(target, 0, values.nbytes)
        graph = device.capture(lambda stream: device.copy(target, source, values.nbytes, stream), until)
        device.download(target, got)
        assert not got.any(), "captured work does not run"
        for factor in (1, 3):
            device.upload(source, values * factor)
            assert 0 < device.replay(graph) < 1000
            device.download(target, got)
            assert np.array_equal(got, values * factor)


def test_the_device_works_on_after_failures(device: gpu_device.Device) -> None:
    def fail(stream: int) -> None:
        raise KeyError("while capturing")

    with ExitStack() as until:
        with pytest.raises(gpu_device.OutOfMemoryError, match="no room for"):
            device.allocate(1 << 60, until)
        with pytest.raises(KeyError):
            device.capture(fail, until)
        address = device.allocate(1 << 20, until)
        graph = device.capture(lambda stream: device.copy(address, address + 4096, 4096, stream), until)
        assert device.replay(graph) > 0


def test_time_grows_with_the_work(device: gpu_device.Device) -> None:
    size = 64 << 20
    with ExitStack() as until:
        source, target = (device.allocate(4 * size, until) for _ in range(2))
        timings = time_side_by_side(
            device,
            {
                "one": lambda index, stream: device.copy(target, source, size, stream),
                "four": lambda index, stream: device.copy(target, source, 4 * size, stream),
            },
        )
        assert 2.5 < timings["four"].median_us / timings["one"].median_us < 6
        assert timings["one"].low_us <= timings["one"].median_us <= timings["one"].high_us
        assert 0 < host_microseconds(device, lambda index, stream: device.copy(target, source, 64, stream)) < 100


def test_every_kernel_is_right_and_timed() -> None:
    report = bench_ops(OpsOptions(patterns=(*SMALL_CASES, LARGE_CASE), native=False))
    assert report.exit_code == 0, report.render()
    for result in report.results:
        assert result.status == "timed", result.problem
        assert 0.05 < (result.speed_against("copy") or 0) < 2, result.case.name
    large = next(result for result in report.results if result.case.name == LARGE_CASE)
    assert not large.fits_l2
    assert large.num_sets > 1
    assert (large.gigabytes_per_second("kernel") or 0) < 20_000, "no memory is that fast: nothing was launched"


def test_a_kernel_that_does_nothing_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "bind", lambda library, case, tensors: lambda stream: None)
    report = bench_ops(OpsOptions(patterns=SMALL_CASES, native=False))
    assert report.exit_code == 1
    assert {result.status for result in report.results} == {"wrong"}


@needs_tensorrt
def test_native_and_plugin_engines_are_timed_beside_the_kernel() -> None:
    report = bench_ops(OpsOptions(patterns=("*/1x256x64x64/fp16/*", "*/1x128x64x64+1/fp16/*"), engines=True))
    assert report.exit_code == 0, report.render()
    assert report.machine["tensorrt"]
    for result in report.results:
        if result.case.format == "linear":
            assert result.engine_problems == {}
            assert {"kernel", "copy", "native", "plugin"} <= set(result.timings)


@needs_tensorrt
def test_engines_of_a_model_agree_and_are_timed(tmp_path: Path) -> None:
    from trtconv.benchmark.model import bench_model

    network = NETWORKS["fast_neural_style"]
    path = network.path(tmp_path)
    assert path is not None
    before = sorted(tmp_path.iterdir())
    report = bench_model(path, BuildConfig(opt_level=1, tf32=False), layers=True)
    assert report.exit_code == 0, report.render()
    assert set(report.timings) | set(report.same) == {"native", "plugin", "fused", "auto"}, report.render()
    assert report.variants["plugin"].num_plugins == network.num_plugins
    assert report.variants["native"].num_plugins == 0
    assert 0 < report.variants["fused"].num_plugins <= network.num_plugins
    kinds = {ops: times.by_kind for ops, times in report.layer_times.items()}
    assert all(each["convolution"].count == 16 for each in kinds.values()), kinds
    assert kinds["plugin"]["norm"].count + kinds["plugin"]["pad"].count == network.num_plugins
    assert kinds["fused"]["norm"].count + kinds["fused"]["pad"].count == report.variants["fused"].num_plugins
    assert "resize" not in kinds["fused"]
    assert sorted(tmp_path.iterdir()) == before
