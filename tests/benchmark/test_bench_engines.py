"""Engines of one operator, built in other processes, and how an engine is run; no GPU is needed."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from tests.support.bench_fakes import STREAM, FakeDevice, array_at
from tests.support.fake_tensorrt import FakeTensorRT, IProfiler, Tensor
from tests.support.patience import wait_for
from tests.support.processes import is_alive
from trtconv.benchmark import one_op_engines
from trtconv.benchmark.cases import Case, make_values, select_cases
from trtconv.benchmark.one_op_engines import Kind, build_engines, has_kind, one_op_model
from trtconv.engine.engine_runner import EngineRunner
from trtconv.errors import BackendError
from trtconv.ops.instance_norm import DEFAULT_EPSILON, instance_norm_reference
from trtconv.ops.reflect_pad import reflect_pad_reference
from trtconv.progress import NoProgress

NORM = Case("InstanceNorm", (2, 3, 4, 5), "fp32")
HALF = Case("InstanceNorm", (1, 16, 8, 8), "fp16", format="channels_last")
BRAIN = Case("InstanceNorm", (1, 8, 8, 8), "bf16")
PAD = Case("ReflectPad", (1, 3, 8, 9), "int8", pad=2, format="chw32")
FUSED = (("activation", "relu"), ("upsample", (2,)))


@pytest.mark.parametrize("case", [NORM, PAD])
def test_the_model_of_one_operator_computes_it(case: Case) -> None:
    model, values = one_op_model(case, "native"), make_values(case)
    onnx.checker.check_model(model, full_check=True)
    (y,) = ReferenceEvaluator(model).run(None, {"x": values.x})
    if values.scale is None or values.bias is None:
        assert np.array_equal(y, reflect_pad_reference(values.x, case.pads))
    else:
        assert np.allclose(y, instance_norm_reference(values.x, values.scale, values.bias, DEFAULT_EPSILON), atol=1e-5)


@pytest.mark.parametrize("kind", ["native", "native_op"])
def test_both_native_models_of_groups_compute_them(kind: Kind) -> None:
    case = Case("InstanceNorm", (2, 6, 4, 5), "fp32", extra=(("groups", 2),))
    values = make_values(case)
    (y,) = ReferenceEvaluator(one_op_model(case, kind)).run(None, {"x": values.x})
    assert values.scale is not None
    assert values.bias is not None
    assert np.allclose(y, case.row.reference(values.x, values.scale, values.bias, **case.attributes), atol=1e-5)


def test_a_native_model_of_what_is_fused_computes_it() -> None:
    case = Case("InstanceNorm", (1, 6, 4, 5), "fp32", 1, extra=FUSED, has_residual=True)
    values = make_values(case)
    assert values.residual is not None
    (y,) = ReferenceEvaluator(one_op_model(case, "native")).run(None, {"x": values.x, "residual": values.residual})
    given = {name: getattr(values, name) for name in ("scale", "bias", "residual")}
    assert np.allclose(y, case.row.reference(values.x, **given, **case.attributes), atol=1e-5)
    assert [each.name for each in one_op_model(case, "plugin").graph.input] == ["x", "residual"]


def test_every_case_has_its_models() -> None:
    for case in select_cases(()):
        if case.dtype != "bf16":
            onnx.checker.check_model(one_op_model(case, "native"))
        if has_kind(case, "native_op"):
            assert case.extra == (("groups", 32),)
            onnx.checker.check_model(one_op_model(case, "native_op"), full_check=True)
        (node,) = one_op_model(case, "plugin").graph.node
        assert (node.domain, node.op_type) == ("trtconv", case.op)
        assert {attribute.name for attribute in node.attribute} > {"plugin_version", "plugin_namespace"}
    (scale, _) = one_op_model(BRAIN, "native").graph.initializer
    assert scale.raw_data == make_values(BRAIN).scale.astype(ml_dtypes.bfloat16).tobytes()  # type: ignore[union-attr]


def test_engines_are_built_in_processes_of_their_own(tmp_path: Path) -> None:
    rtx = pytest.importorskip("tests.support.rtx")
    progress = SimpleNamespace(steps=[], phase_start=lambda *_: None, phase_finish=lambda *_: None, tick=lambda: None)
    progress.step_complete = lambda name, step: progress.steps.append(step)
    cases = [NORM, HALF, BRAIN, PAD]
    built = build_engines(cases, ["native"], tmp_path, 2, progress, backend="tensorrt-rtx")
    assert set(built) == {(case, "native") for case in cases}
    for engine in built.values():
        assert engine.path is not None, engine.problem
        assert rtx.accepts(engine.path.read_bytes())
    assert progress.steps == [0, 1, 2, 3]


def test_inputs_and_outputs_lie_in_the_format_of_the_case(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    linear = replace(HALF, format="linear")
    built = build_engines([HALF, linear], ["native"], tmp_path, 2, NoProgress(), backend="tensorrt-rtx")
    sizes = [path.stat().st_size for case in (HALF, linear) if (path := built[case, "native"].path) is not None]
    assert len(sizes) == 2
    assert sizes[0] > 1.5 * sizes[1], "TensorRT's own layer has to reformat"


def test_one_that_cannot_be_built_has_its_reason(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    built = build_engines([NORM], ["native", "plugin"], tmp_path, 1, NoProgress(), backend="tensorrt-rtx")
    assert built[NORM, "native"].path is not None
    assert built[NORM, "plugin"].path is None
    assert "holds InstanceNorm of the domain trtconv" in (built[NORM, "plugin"].problem or "")


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file whose code takes the place of the real worker."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(one_op_engines, "WORKER", "fake_worker")
    return tmp_path / "fake_worker.py"


def test_a_process_that_dies_costs_only_what_it_had_left(worker: Path, tmp_path: Path) -> None:
    worker.write_text(
        "import json, os, sys\n"
        "order = json.loads(sys.stdin.readline())[0]\n"
        "print(json.dumps({'engine': order['engine'], 'problem': None}), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    built = build_engines([NORM, HALF, BRAIN], ["native"], tmp_path, 1, NoProgress())
    done = [engine for engine in built.values() if engine.path is not None]
    assert len(done) == 1
    assert {engine.problem for engine in built.values() if engine.path is None} == {
        "the process that built it ended with status -9"
    }


def test_what_is_no_answer_is_none(worker: Path, tmp_path: Path) -> None:
    worker.write_text("print('[TRT] [E] something went wrong')\ndef main(): pass\n")
    built = build_engines([NORM], ["native"], tmp_path, 1, NoProgress())
    assert built[NORM, "native"].problem == "the process that built it ended with status 0"


def test_an_interrupt_ends_the_processes(worker: Path, tmp_path: Path) -> None:
    worker.write_text(
        f"import os, pathlib, time\npathlib.Path(r'{tmp_path}', str(os.getpid()) + '.pid').touch()\ntime.sleep(600)\n"
    )

    class Impatient(NoProgress):
        def tick(self) -> None:
            if len(list(tmp_path.glob("*.pid"))) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_engines([NORM, HALF], ["native"], tmp_path, 2, Impatient())
    pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert len(pids) == 2
    wait_for(lambda: not any(map(is_alive, pids)))


DEVICE_TIMES = {"copy": 1.0}
IMAGE = {"x": Tensor("INPUT", "HALF", (-1, 3)), "y": Tensor("OUTPUT", "FLOAT", (-1, 3))}


def test_inputs_get_shapes_values_and_memory_and_outputs_memory() -> None:
    sizes = Tensor("INPUT", "INT64", (2,), "HOST")
    engine = FakeTensorRT({**IMAGE, "sizes": sizes}, known={"y": (4, 3)})
    device, runner = FakeDevice(DEVICE_TIMES), EngineRunner(engine, "model")
    x = np.arange(12.0).reshape(4, 3)
    with ExitStack() as until:
        runner.bind_inputs(device, {"x": x, "sizes": np.array([7, 8])}, until)  # type: ignore[arg-type]
        assert engine.shapes == {"x": (4, 3)}, "one that is fixed is not set again"
        assert np.array_equal(array_at(engine.addresses["x"], (4, 3), np.float16), x)
        assert array_at(engine.addresses["sizes"], (2,), np.int64).tolist() == [7, 8]
        assert engine.addresses["sizes"] not in device.allocated
        assert len(device.allocated[engine.addresses["y"]]) == 4 * 3 * 4
        runner.enqueue(STREAM)
    assert device.allocated == {}


def test_an_address_is_told_once() -> None:
    engine = FakeTensorRT(dict(IMAGE))
    runner = EngineRunner(engine, "model")
    for address in (64, 64, 128, 128, 64):
        runner.set_addresses({"x": address})
    assert engine.num_set == 3


def test_an_output_whose_shape_depends_on_values_gets_the_most() -> None:
    engine = FakeTensorRT(dict(IMAGE), max_sizes={"y": 400})
    device, runner = FakeDevice(DEVICE_TIMES), EngineRunner(engine, "model")
    with ExitStack() as until:
        runner.bind_inputs(device, {"x": np.zeros((4, 3))}, until)  # type: ignore[arg-type]
        assert len(device.allocated[engine.addresses["y"]]) == 400
        engine.max_sizes.clear()
        with pytest.raises(BackendError, match="model: TensorRT does not know how large the output y can get"):
            runner.bind_inputs(device, {"x": np.zeros((4, 3))}, until)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("refusal", "message"),
    [
        ("context", "cannot create an execution context"),
        ("shape", r"refuses the shape \[4, 3\] of x"),
        ("address", "refuses the memory of x"),
        ("enqueue", "could not enqueue the engine"),
    ],
)
def test_what_tensorrt_refuses_is_an_error(refusal: str, message: str) -> None:
    engine = FakeTensorRT(dict(IMAGE), known={"y": (4, 3)}, refuses=refusal)

    def run(until: ExitStack) -> None:
        runner = EngineRunner(engine, "model")
        runner.bind_inputs(FakeDevice(DEVICE_TIMES), {"x": np.zeros((4, 3))}, until)  # type: ignore[arg-type]
        runner.enqueue(STREAM)

    with ExitStack() as until, pytest.raises(BackendError, match=message):
        run(until)


def test_layers_are_timed_without_the_first_run() -> None:
    engine = FakeTensorRT(dict(IMAGE), known={"y": (4, 3)})
    runner = EngineRunner(engine, "model")
    assert runner.layer_times(FakeDevice(DEVICE_TIMES), 4) == pytest.approx({"conv": 2.0, "norm": 1.0})  # type: ignore[arg-type]
    assert isinstance(engine.profiler, IProfiler)


def test_the_names_of_tensorrt_that_are_used_exist() -> None:
    names = [name for name in ("tensorrt", "tensorrt_rtx") if name in sys.modules or _can_import(name)]
    if not names:
        pytest.skip("no TensorRT is installed")
    for name in names:
        trt = sys.modules[name]
        for method in ("set_tensor_address", "set_input_shape", "get_tensor_shape", "get_max_output_size",
                       "execute_async_v3", "profiler"):  # fmt: skip
            assert hasattr(trt.IExecutionContext, method), (name, method)
        for method in ("create_execution_context", "get_tensor_location", "get_tensor_dtype", "get_tensor_mode",
                       "get_tensor_shape", "get_tensor_name", "num_io_tensors"):  # fmt: skip
            assert hasattr(trt.ICudaEngine, method), (name, method)
        assert hasattr(trt.ITensor, "allowed_formats")
        assert {"DEVICE", "HOST"} <= set(trt.TensorLocation.__members__)
        formats = {case.tensorrt_format for case in select_cases(())} - {None}
        assert formats <= set(trt.TensorFormat.__members__)
        assert {"FLOAT", "HALF", "BF16", "INT8", "INT32", "INT64", "BOOL"} <= set(trt.DataType.__members__)


def _can_import(name: str) -> bool:
    try:
        __import__(name)
    except (ImportError, OSError):
        return False
    return True
