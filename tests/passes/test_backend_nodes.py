"""ONNX's own backend tests of both operators, through the rewrite."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests

from tests.support.equivalence import Rewritten, assert_close, rewrite, run_onnxruntime, run_with_references
from tests.support.onnx_node_tests import load_node_tests
from trtconv.model.walking import walk_nodes

CASE_KINDS = ("node", "pytorch-converted", "pytorch-operator")
OPS = {"Pad", "InstanceNormalization"}
REWRITTEN = {"test_reflect_pad", "test_instancenorm_example", "test_instancenorm_epsilon"}
REWRITTEN_FILES = {"test_ReflectionPad2d", "test_operator_pad", "test_operator_symbolic_override"}


class BackendCase:
    """One backend test: its model, one set of inputs, and the outputs that ONNX expects."""

    def __init__(self, model: onnx.ModelProto, inputs: list[Any], outputs: list[Any]) -> None:
        self.model = model
        weights = {tensor.name for tensor in model.graph.initializer}
        names = [value.name for value in model.graph.input if value.name not in weights]
        self.feeds: dict[str, npt.NDArray[Any]] = dict(zip(names, map(np.asarray, inputs), strict=True))
        self.outputs = [np.asarray(output) for output in outputs]

    def bound(self, names: set[str]) -> onnx.ModelProto:
        """Return the model with inputs turned into initializers."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        free = [value for value in model.graph.input if value.name not in names]
        del model.graph.input[:]
        model.graph.input.extend(free)
        model.graph.initializer.extend(numpy_helper.from_array(self.feeds[name], name) for name in sorted(names))
        return model


@functools.cache
def backend_cases() -> dict[str, BackendCase]:
    """Return every case whose graph holds one of OPS."""
    cases = {}
    for kind in CASE_KINDS:
        for case in load_node_tests() if kind == "node" else load_model_tests(kind=kind):
            model = case.model or onnx.load(Path(case.model_dir, "model.onnx"))
            if any(node.op_type in OPS for node in walk_nodes(model.graph)):
                inputs, outputs = case.data_sets[0] if case.data_sets else _read_data(model, Path(case.model_dir))
                cases[case.name] = BackendCase(model, inputs, outputs)
    return cases


def _read_data(model: onnx.ModelProto, folder: Path) -> tuple[list[Any], list[Any]]:
    def read(kind: str) -> list[Any]:
        paths = sorted(folder.glob(f"test_data_set_0/{kind}_*.pb"))
        return [numpy_helper.to_array(onnx.load_tensor(path)) for path in paths]

    return read("input"), read("output")


def assert_gives_expected(rewritten: Rewritten, case: BackendCase, exact: bool) -> None:
    assert_close(run_onnxruntime(rewritten.proto, case.feeds), case.outputs, exact)
    assert_close(run_with_references(rewritten.proto, case.feeds), case.outputs, exact)


def test_cases_are_the_known_ones() -> None:
    assert backend_cases().keys() > REWRITTEN | REWRITTEN_FILES
    assert {"test_constant_pad", "test_edge_pad", "test_wrap_pad", "test_constant_pad_axes"} < backend_cases().keys()


@pytest.mark.parametrize("name", sorted(REWRITTEN))
def test_bound_parameters_are_rewritten(name: str, tmp_path: Path) -> None:
    case = backend_cases()[name]
    rewritten = rewrite(case.bound(case.feeds.keys() - {"x"}), tmp_path)
    assert rewritten.num_edits == 1
    assert_gives_expected(rewritten, case, exact=name == "test_reflect_pad")


@pytest.mark.parametrize("name", sorted(REWRITTEN_FILES))
def test_models_of_pytorch_are_rewritten(name: str, tmp_path: Path) -> None:
    case = backend_cases()[name]
    rewritten = rewrite(case.model, tmp_path)
    assert rewritten.num_edits == 1
    assert_gives_expected(rewritten, case, exact=name != "test_operator_symbolic_override")  # an InstanceNormalization


def test_unbound_pads_stay_native(tmp_path: Path) -> None:
    case = backend_cases()["test_reflect_pad"]
    rewritten = rewrite(case.model, tmp_path)
    assert rewritten.num_edits == 0
    assert rewritten.reasons == ["pads is only known at run time"]
    assert_close(run_onnxruntime(rewritten.proto, case.feeds), case.outputs, exact=True)


@pytest.mark.parametrize("name", sorted(REWRITTEN - {"test_reflect_pad"}))
def test_unbound_scale_and_bias_are_rewritten(name: str, tmp_path: Path) -> None:
    case = backend_cases()[name]
    rewritten = rewrite(case.model, tmp_path)
    assert rewritten.num_edits == 1  # the plugin takes them as run-time tensors
    assert_gives_expected(rewritten, case, exact=False)


def test_all_other_cases_are_untouched(tmp_path: Path) -> None:
    others = backend_cases().keys() - REWRITTEN - REWRITTEN_FILES
    assert len(others) >= 10
    for name in others:
        case = backend_cases()[name]
        rewritten = rewrite(case.model, tmp_path)
        assert (rewritten.num_edits, list(rewritten.decisions)) == (0, []), name
        assert list(rewritten.proto.graph.node) == list(case.model.graph.node), name
        bound = rewrite(case.bound(set(list(case.feeds)[1:])), tmp_path)
        assert (bound.num_edits, list(bound.decisions)) == (0, []), name
