"""trtconv.Runner: arrays in, arrays out, for models in ONNX Runtime and for engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

import trtconv
from tests.support.bench_fakes import FakeDevice, array_at
from tests.support.fake_tensorrt import FakeTensorRT, Tensor
from trtconv import runner as runners
from trtconv.engine import engine_session
from trtconv.engine.engine_session import EngineSession
from trtconv.errors import BackendError, ConfigError, ModelError
from trtconv.run import RunConfig, run
from trtconv.runner import Runner

TWO = '<ir_version: 8, opset_import: ["": 17]> g (float[n,2] a, int64[2] b) => (float[n,2] s, int64[2] d) '
X = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    path = tmp_path / "two.onnx"
    body = "{ c = Cast<to = 1>(b) s = Add(a, c) d = Add(b, b) }"
    onnx.save(onnx.parser.parse_model(TWO + body), path)
    return path


def test_inputs_go_by_position_and_by_name(two: Path) -> None:
    runner = trtconv.Runner(two)
    assert list(runner.inputs) == ["a", "b"]
    for outputs in (runner(X, np.array([1, 2])), runner(X, b=[1, 2]), runner(b=np.array([1, 2]), a=X.tolist())):
        assert np.array_equal(outputs["s"], np.add(X, [1, 2]))
        assert outputs["d"].tolist() == [2, 4]


def test_one_output_is_returned_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "one.onnx"
    onnx.save(onnx.parser.parse_model(TWO.split("g (")[0] + "g (float[2] x) => (float[2] y) { y = Neg(x) }"), path)
    y = Runner(path)(np.array([1.0, 2.0]))  # float64, which is rounded
    assert isinstance(y, np.ndarray)
    assert (y.dtype, y.tolist()) == (np.float32, [-1, -2])


@pytest.mark.parametrize(
    ("values", "named", "message"),
    [
        ((X,), {}, "no values for b"),
        ((X, [1, 2], X), {}, "takes 2 inputs, got 3"),
        ((X, [1, 2]), {"c": X}, "has no input c"),
        ((X, [1.5, 2.5]), {}, "b is of type float64, expected int64"),
        ((X[:, :1], [1, 2]), {}, "a is 3x1, expected \\[n, 2\\]"),
    ],
)
def test_values_that_do_not_fit_are_refused(two: Path, values: Any, named: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Runner(two)(*values, **named)


def test_a_file_that_is_not_a_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.onnx"
    path.write_bytes(b"no model at all, nor an engine")
    with pytest.raises(ModelError):
        Runner(path)
    with pytest.raises(ConfigError, match="no such file"):
        Runner(tmp_path / "none.onnx")


def test_torch_tensors_stay_torch_tensors(two: Path) -> None:
    torch = pytest.importorskip("torch")
    runner = Runner(two)
    outputs = runner(torch.tensor(X).half(), torch.tensor([1, 2]))
    assert isinstance(outputs["s"], torch.Tensor)
    assert np.array_equal(outputs["s"].numpy(), np.add(X, [1, 2]))
    with pytest.raises(ConfigError, match="b is of type float32, expected int64"):
        runner(torch.tensor(X), torch.tensor([1.0, 2.0]))


class Doubling(FakeTensorRT):
    """An engine that gives twice its input, in fp32."""

    def execute_async_v3(self, stream: int) -> bool:
        shape = self.shapes["x"]
        x = array_at(self.addresses["x"], shape, np.float16)
        array_at(self.addresses["y"], shape, np.float32)[...] = 2 * x
        return super().execute_async_v3(stream)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes.get("x", (-1, 3)) if name == "y" else (-1, 3)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> EngineSession:
    device = FakeDevice({"copy": 1.0})
    monkeypatch.setattr(engine_session, "open_device", lambda: device)
    engine = Doubling({"x": Tensor("INPUT", "HALF", (-1, 3)), "y": Tensor("OUTPUT", "FLOAT", (-1, 3))}, num_profiles=2)
    return EngineSession(engine, "model.engine")


def test_an_engine_runs_in_the_profile_that_holds_its_inputs(session: EngineSession) -> None:
    (spec,) = session.inputs
    assert (spec.name, spec.dtype, list(spec.dims)) == ("x", np.float16, [None, 3])
    for rows, profile in ((1, 0), (4, 1)):
        x = np.arange(rows * 3, dtype=np.float16).reshape(rows, 3)
        outputs = session.run_arrays({"x": x})
        assert np.array_equal(outputs["y"], 2 * x)
        assert outputs["y"].dtype == np.float32
        assert session._engine.profile == profile
    with pytest.raises(ConfigError, match="no profile of the engine holds x=9x3"):
        session.run_arrays({"x": np.zeros((9, 3), np.float16)})


def test_an_engine_takes_float64_in_its_own_type(
    session: EngineSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its model may have had a float64 input, which no engine has."""
    path = tmp_path / "model.engine"
    path.write_bytes(b"ftrt" + bytes(16))
    monkeypatch.setattr(runners, "load_engine", lambda path, **_: session._engine)
    x = np.arange(12.0).reshape(4, 3)
    y = Runner(path)(x)
    assert x.dtype == np.float64
    assert (y.dtype, y.tolist()) == (np.float32, (2 * x).tolist())
    file = tmp_path / "x.npz"
    np.savez(file, x=x)
    run(path, [file], RunConfig(output=tmp_path / "y.npy"))
    assert np.array_equal(np.load(tmp_path / "y.npy"), 2 * x)


def test_an_output_whose_shape_depends_on_values_is_refused(session: EngineSession) -> None:
    session._engine.get_tensor_shape = lambda name: (-1, 3)
    session._engine.max_sizes["y"] = 400
    session._engine.execute_async_v3 = lambda stream: True
    with pytest.raises(BackendError, match="the shape of output y depends on values"):
        session.run_arrays({"x": np.zeros((1, 3), np.float16)})
