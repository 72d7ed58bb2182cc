"""The layers of an engine that was just built: read where it can be loaded, else with the reason."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.support.engine_files import DATA, H100
from tests.support.fake_engine import FakeEngine
from trtconv.engine import loading
from trtconv.engine.backends import Backend
from trtconv.engine.building import Plan
from trtconv.errors import BackendError
from trtconv.pages.engine_parts import read_layers

PLAN = Plan(memoryview(b""), [], [], None, [])
HERE = Backend("tensorrt", SimpleNamespace(__version__="10.6.0"), H100, "sm_90")


def test_an_engine_that_loads_tells_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (DATA / "inspector_10.json").read_text()
    monkeypatch.setattr(loading, "load_plan", lambda plan, backend: FakeEngine(text))
    layers, why_not = read_layers(PLAN, HERE)
    assert why_not == ""
    assert layers
    assert {"float16"} <= {layer.writes for layer in layers}
    assert any(layer.nodes for layer in layers)
    assert not any(layer.tactic and not layer.tactic.strip("0x") for layer in layers), "0x0 is no tactic"


def test_without_its_gpu_layers_are_unknown() -> None:
    for gpu, here in ((None, "there is no GPU here"), (H100, "the GPU here is sm_90")):
        backend = Backend("tensorrt-rtx", HERE.trt, gpu, "sm_89")
        assert read_layers(PLAN, backend) == (None, f"only a loaded engine tells its layers, and {here}")


def test_an_engine_that_does_not_load_fails_no_build(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(plan: Plan, backend: Backend) -> FakeEngine:
        raise BackendError("no memory")

    monkeypatch.setattr(loading, "load_plan", refuse)
    assert read_layers(PLAN, HERE) == (None, "the engine could not be loaded to read them: no memory")
