"""What `inspect` gives to a parser: the model as it was read, with ONNX's ops in place of custom ops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import write_model
from trtconv import rewrite
from trtconv.inspection import model_inspection
from trtconv.inspection.model_inspection import inspect_model
from trtconv.inspection.op_support import BackendCheck
from trtconv.model import model_io, walking
from trtconv.model.model_io import Model


@pytest.mark.parametrize(("is_rewritten", "num_readings"), [(False, 1), (True, 2)])
def test_the_parser_gets_the_model_as_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_rewritten: bool, num_readings: int
) -> None:
    """A model without custom ops is read once: most of the time of a large one goes into it."""
    path = write_model(tmp_path, "static")
    if is_rewritten:
        path = tmp_path / "rewritten.onnx"
        rewrite(tmp_path / "static.onnx", path, ops="plugin")
    given: list[Model] = []
    read: list[Path] = []

    def check_backend(wanted: str, read_native: Callable[[], Model]) -> BackendCheck:
        given.append(read_native())
        return BackendCheck(None, False, "no parser")

    def load(path: Path, load: Any = model_io.load, **options: Any) -> Model:
        read.append(path)
        return load(path, **options)  # type: ignore[no-any-return]

    monkeypatch.setattr(model_inspection, "check_backend", check_backend)
    monkeypatch.setattr(model_io, "load", load)
    inspection = inspect_model(path, ops="plugin")
    assert [node.became for node in inspection.nodes] == ["trtconv::ReflectPad", "trtconv::InstanceNorm"]
    assert read == [path] * num_readings
    (model,) = given
    for ops in (
        [node.op_type for node in walking.walk_nodes(model.proto.graph)],
        [node.op for node in model.graph.nodes],
    ):
        assert {"Pad", "InstanceNormalization"} < {*ops}
        assert not {"ReflectPad", "InstanceNorm"} & {*ops}
