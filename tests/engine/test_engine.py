"""Engines of TensorRT-RTX, which builds without a GPU: options, profiles, architectures, threads, interrupts."""

from __future__ import annotations

import _thread
import json
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from models import make_models
from tests.support.command_line import run_python, write_model
from tests.support.patience import patience
from tests.support.rtx import Logger, accepts, rtx_build, trt
from trtconv import BuildConfig, ShapeRange, build, rewrite
from trtconv.engine.backends import select_backend
from trtconv.engine.builder_options import add_profiles, apply_options
from trtconv.errors import BackendError, Interrupted, ModelError
from trtconv.gpu import driver
from trtconv.gpu.driver import Gpu, find_gpu
from trtconv.progress import NoProgress
from trtconv.shapes import parse_shape_option

ARCHITECTURES = ["sm_75", "sm_80", "sm_86", "sm_89", "sm_120", "sm_121"]
# Where the plan's header holds the set of architectures, one bit for each, in the order above (TensorRT-RTX 1.7).
ARCHITECTURE_BITS = slice(0x20, 0x24)


@pytest.fixture
def static(tmp_path: Path) -> Path:
    return write_model(tmp_path, "static")


@pytest.fixture
def dynamic(tmp_path: Path) -> Path:
    return write_model(tmp_path, "dynamic")


def test_a_damaged_plan_is_not_accepted(static: Path) -> None:
    plan = rtx_build(static).engine.read_bytes()
    assert accepts(plan)
    damaged = [plan[: len(plan) // 2], plan[:-1], plan + b"x", plan[:-64] + bytes(64), plan[:64], b"x" * 1000]
    assert not any(map(accepts, damaged))


def test_each_architecture_gives_its_engine(static: Path) -> None:
    for position, arch in enumerate(ARCHITECTURES):
        report = rtx_build(static, gpu_arch=arch)
        plan = report.engine.read_bytes()
        assert accepts(plan)
        assert int.from_bytes(plan[ARCHITECTURE_BITS], "little") == 1 << position
        assert report.manifest.gpu_arch == arch
        assert not [note for note in report.notes if "built for" in note], "a chosen architecture needs no note"


@pytest.mark.parametrize(("gpu", "command"), [(None, "inspect"), ("sm_86", "inspect"), ("sm_89", "compare")])
def test_the_next_step_is_one_for_this_machine(
    static: Path, monkeypatch: pytest.MonkeyPatch, gpu: str | None, command: str
) -> None:
    found = None if gpu is None else Gpu("a GPU", gpu, "13.0")
    monkeypatch.setattr(driver, "find_gpu", lambda: found)
    report = rtx_build(static, gpu_arch="sm_89")
    words = report.next_step.split()
    assert words[:2] == ["trtconv", command]
    assert words[-1] == str(report.engine)
    elsewhere = "the engine runs on sm_89 GPUs, and there is none here: compare and run it there"
    assert (elsewhere in report.notes) == (command == "inspect")


def test_an_already_rewritten_model_becomes_native_again(static: Path, tmp_path: Path) -> None:
    rewritten = tmp_path / "rewritten.onnx"
    rewrite(static, rewritten, ops="plugin")
    report = rtx_build(rewritten)
    assert accepts(report.engine.read_bytes())
    assert sorted(decision.op for decision in report.rewrite.decisions) == ["InstanceNormalization", "Pad(reflect)"]
    assert {decision.became for decision in report.rewrite.decisions} == {None}


def test_a_rewritten_model_without_its_functions_is_refused(static: Path, tmp_path: Path) -> None:
    """Tools that know no local functions drop them; RTX's parser would end the process."""
    rewritten = tmp_path / "rewritten.onnx"
    rewrite(static, rewritten, ops="plugin")
    model = onnx.load(rewritten)
    del model.functions[:]
    onnx.save(model, rewritten)
    with pytest.raises(ModelError, match="holds InstanceNorm, ReflectPad of the domain trtconv") as caught:
        rtx_build(rewritten)
    assert "before the rewrite" in (caught.value.hint or "")


def test_several_profiles(dynamic: Path) -> None:
    wide = ["x=1x3x4x64:1x3x8x128:2x3x16x256"]
    one = rtx_build(dynamic, ["x=1x3x4x4:1x3x8x8:1x3x64x64"])
    assert one.manifest.to_json()["profiles"] == [{"x": "1x3x4x4:1x3x8x8:1x3x64x64"}]
    two = rtx_build(dynamic, ["x=1x3x4x4:1x3x8x8:1x3x64x64"], wide, output=dynamic.with_suffix(".two"))
    assert [profile["x"] for profile in two.manifest.to_json()["profiles"]] == [
        "1x3x4x4:1x3x8x8:1x3x64x64",
        wide[0][2:],
    ]
    assert accepts(two.engine.read_bytes())
    assert two.engine.stat().st_size > 1.5 * one.engine.stat().st_size, "each profile brings its kernels"


def parsed(model: Path) -> tuple[Any, ...]:
    """Return RTX's builder, network and builder configuration of a model, and what must live with them."""
    logger = Logger()
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse_from_file(str(model))
    return builder, network, builder.create_builder_config(), parser, logger


def test_options_reach_the_builder(static: Path) -> None:
    _, _, builder_config, *_ = parsed(static)
    apply_options(builder_config, BuildConfig(), trt)
    assert builder_config.get_flag(trt.BuilderFlag.TF32), "TensorRT's default"
    for tf32 in (False, True):
        apply_options(builder_config, BuildConfig(tf32=tf32, workspace_bytes=5 << 20, opt_level=2), trt)
        assert builder_config.get_flag(trt.BuilderFlag.TF32) == tf32
        assert builder_config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 5 << 20
        assert builder_config.builder_optimization_level == 2


@pytest.mark.parametrize("excludes", [False, True])
def test_compatibility_reaches_the_builder(static: Path, excludes: bool) -> None:
    builder_config, flags = parsed(static)[2], trt.BuilderFlag
    names = ["VERSION_COMPATIBLE", "EXCLUDE_LEAN_RUNTIME"]
    if not all(hasattr(flags, name) for name in names):
        pytest.skip("TensorRT-RTX has no such flags")
    apply_options(builder_config, BuildConfig(version_compatible=True, exclude_lean_runtime=excludes), trt)
    assert [builder_config.get_flag(getattr(flags, name)) for name in names] == [True, excludes]


def test_profiles_reach_the_builder(tmp_path: Path) -> None:
    builder, network, builder_config, *_ = parsed(write_model(tmp_path, "resize"))
    sizes = ShapeRange.parse("[1,3,4,4]:[1,3,8,8]:[1,3,16,16]")
    add_profiles(builder, builder_config, network, [{"sizes": sizes}, {"sizes": sizes}])
    assert builder_config.num_optimization_profiles == 2


def test_tf32_and_workspace_change_the_engine(static: Path) -> None:
    """RTX takes both options seriously; the optimisation level it ignores, so trtconv refuses that."""
    plans = [rtx_build(static, **options).engine.read_bytes() for options in ({}, {"tf32": True}, {"tf32": False})]
    assert plans[0] == plans[1] != plans[2]
    with pytest.raises(BackendError, match="could not build") as caught:
        rtx_build(static, workspace_bytes=1)
    assert "--workspace" in (caught.value.hint or "")
    builder, network, builder_config, *_ = parsed(static)
    levels = []
    for level in (0, 3, 5):
        builder_config.builder_optimization_level = level
        builder_config.num_compute_capabilities = 1
        builder_config.set_compute_capability(trt.ComputeCapability.SM89, 0)
        levels.append(bytes(builder.build_serialized_network(network, builder_config)))
    assert levels[0] == levels[1] == levels[2], "RTX has learnt the levels: trtconv may pass them on"


def test_two_builds_in_one_process_do_not_meet(static: Path, tmp_path: Path) -> None:
    first = rtx_build(static).engine.read_bytes()
    with pytest.raises(ModelError, match="does not support the op Foo"):
        rtx_build(write_model(tmp_path, "unknown_op"))
    assert rtx_build(static).engine.read_bytes() == first


def in_thread(work: Callable[[], Any]) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start()
    thread.join()
    return results[0]


def test_a_build_in_another_thread(static: Path) -> None:
    assert accepts(in_thread(lambda: rtx_build(static)).engine.read_bytes())


def test_ctrl_c_really_cancels_rtx(tmp_path: Path) -> None:
    """The builder's own thread ends, instead of being left to run on."""
    model = tmp_path / "slow.onnx"
    onnx.save(make_models.make("cyclegan", channels=4, height=24, width=32, dynamic=True), model)
    profiles = [[f"image=1x3x{size}x{size}"] for size in range(16, 48, 2)]

    class InterruptInTheMiddle(NoProgress):
        def phase_start(self, name: str, parent: str | None, num_steps: int) -> None:
            if name == "Timing tactics":
                _thread.interrupt_main()

    before = set(threading.enumerate())
    config = BuildConfig(
        backend="tensorrt-rtx", profiles=[dict(map(parse_shape_option, profile)) for profile in profiles]
    )
    with pytest.raises(Interrupted):
        build(model, config, progress=InterruptInTheMiddle())
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(patience(0.5))
    assert not [thread for thread in left if thread.is_alive()]
    assert sorted(os.listdir(tmp_path)) == ["slow.onnx"]


def test_the_plugin_library_is_not_touched(static: Path) -> None:
    code = """
import os, sys, trtconv
from pathlib import Path
os.environ["TRTCONV_PLUGIN_LIBRARY"] = "/nowhere.so"
trtconv.build(sys.argv[1], trtconv.BuildConfig(backend="tensorrt-rtx"))
print("plugins" in Path("/proc/self/maps").read_text().replace("libnvinfer", ""))
"""
    result = run_python(code, static)
    assert (result.exit_code, result.stdout.split()) == (0, ["False"]), result.stderr


def test_auto_takes_rtx_where_there_is_no_gpu() -> None:
    if find_gpu() is not None:
        pytest.skip("there is a GPU")
    backend, notes = select_backend(BuildConfig())
    assert (backend.key, backend.arch) == ("tensorrt-rtx", "sm_89")
    assert len(notes) == 2


def test_files_have_the_permissions_of_the_umask(static: Path) -> None:
    old = os.umask(0o027)
    try:
        report = rtx_build(static)
    finally:
        os.umask(old)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (report.engine, report.manifest_path)}
    assert modes == {0o640}


def test_the_input_is_never_modified(static: Path) -> None:
    before = static.read_bytes(), static.stat().st_mtime_ns
    rtx_build(static)
    assert (static.read_bytes(), static.stat().st_mtime_ns) == before
    assert json.loads(static.with_suffix(".engine.json").read_text())["model"]["file"] == static.name
