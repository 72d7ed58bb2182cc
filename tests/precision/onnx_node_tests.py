"""ONNX's own test of every op, between two Mul by 1, in fp16 and bf16: what is converted, what stays, what is wrong.

    python -m tests.precision.onnx_node_tests [fp16|bf16]

runs all of them and prints the table of docs/accuracy.md. Inputs are rounded to the type first, so that an op which
compares or counts meets the same numbers in both models.
"""

from __future__ import annotations

import functools
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.onnx_node_tests import load_node_tests
from tests.support.rounding import run, run_rounded
from trtconv.errors import ModelError
from trtconv.model.walking import is_onnx, walk_graphs
from trtconv.precision import PrecisionOptions, convert_precision
from trtconv.precision.float_graph import FloatGraph

DTYPE: dict[str, Any] = {"fp16": np.float16, "bf16": ml_dtypes.bfloat16}
# Of max|y|. A case is one node or a few; a function body of thirty nodes rounds thirty times.
TOLERANCE = {"fp16": 5e-3, "bf16": 4e-2}
LARGEST = {"fp16": np.inf, "bf16": 3.39e38}  # beyond is infinity: a mask of the lowest float32, where it is an output
WRAPPED = "__wrapped"
CONVERTED, KEPT, WRONG, NO_FLOATS, NOT_RUN = "converted", "kept", "wrong", "without float32", "not run by ONNX Runtime"


@dataclass(frozen=True)
class NodeCase:
    """One node test: its model between Mul nodes, and one set of inputs."""

    name: str
    model: onnx.ModelProto
    feeds: dict[str, npt.NDArray[Any]]

    @property
    def ops(self) -> set[str]:
        """The ops of the test, the Mul nodes around it left out."""
        return {node.op_type for graph in walk_graphs(self.model.graph) for node in graph.node} - {"Mul"} or {"Mul"}


@functools.cache
def node_cases() -> tuple[NodeCase, ...]:
    """Return every node test of ONNX that computes with float32."""
    return tuple(case for each in load_node_tests() for case in _cases(each))


def _cases(loaded: Any) -> Iterator[NodeCase]:
    inputs = list(loaded.data_sets[0][0])
    is_plain = all(isinstance(each, (np.ndarray, np.generic)) for each in inputs)
    domains_are_known = all(is_onnx(entry.domain) for entry in loaded.model.opset_import)
    if not is_plain or not domains_are_known:
        return
    feeds = {v.name: np.asarray(x) for v, x in zip(loaded.model.graph.input, inputs, strict=True)}
    yield NodeCase(loaded.name, _wrapped(loaded.model), feeds)
    if len(feeds) > 1:
        yield NodeCase(f"{loaded.name}_bound", _wrapped(_bound(loaded.model, feeds)), feeds)


def _bound(model: onnx.ModelProto, feeds: dict[str, npt.NDArray[Any]]) -> onnx.ModelProto:
    """Return the model with every input but the first a constant."""
    bound = onnx.ModelProto()
    bound.CopyFrom(model)
    first, *others = list(bound.graph.input)
    del bound.graph.input[:]
    bound.graph.input.append(first)
    bound.graph.initializer.extend(numpy_helper.from_array(feeds[value.name], value.name) for value in others)
    return bound


def _wrapped(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with a Mul by 1 behind each float32 input and before each float32 output."""
    wrapped = onnx.ModelProto()
    wrapped.CopyFrom(model)
    graph = wrapped.graph
    one = f"one{WRAPPED}"
    before, behind = [], []
    for value in graph.input:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            before.append(helper.make_node("Mul", [value.name, one], [f"{value.name}{WRAPPED}"]))
    renamed = {node.input[0]: node.output[0] for node in before}
    for each in walk_graphs(graph):
        for node in each.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
    for value in graph.output:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            inner = renamed.get(value.name, value.name)
            value.name = f"{value.name}{WRAPPED}_out"
            behind.append(helper.make_node("Mul", [inner, one], [value.name]))
    nodes = [*before, *graph.node, *behind]
    del graph.node[:]
    graph.node.extend(nodes)
    if before or behind:
        graph.initializer.append(numpy_helper.from_array(np.float32(1), one))
    return wrapped


def judge(case: NodeCase, precision: Any) -> tuple[str, str]:
    """Return what became of a case, one of the words above, and why."""
    graph = FloatGraph(case.model, Path())
    if not any(graph.is_variable(name) for node in graph.nodes for name in (*node.input, *node.output)):
        return NO_FLOATS, ""
    feeds = {name: _rounded(values, precision) for name, values in case.feeds.items()}
    try:
        expected = run(case.model, feeds)
    except Exception as error:
        return NOT_RUN, str(error)
    try:
        low, kept, _ = convert_precision(case.model, Path("model.onnx"), PrecisionOptions(precision), [feeds])
    except ModelError as error:
        return KEPT, str(error)
    wrong = _difference(expected, low, feeds, precision)
    if wrong:
        return WRONG, wrong
    inner = [node for node in kept if WRAPPED not in node.address]
    return (KEPT, inner[0].reason) if inner else (CONVERTED, "")


def _rounded(values: npt.NDArray[Any], precision: str) -> npt.NDArray[Any]:
    if values.dtype != np.float32:
        return values
    with np.errstate(over="ignore"):
        rounded: npt.NDArray[Any] = values.astype(DTYPE[precision]).astype(np.float32)
    return np.where(np.isfinite(rounded) | ~np.isfinite(values), rounded, values)


def _difference(expected: dict[str, Any], low: onnx.ModelProto, feeds: dict[str, Any], precision: str) -> str:
    """Say what is wrong of the converted model; "" for nothing."""
    try:
        results = [run_rounded(low, feeds)]
    except Exception as error:
        return f"does not run: {error}"
    if precision == "fp16":
        try:
            results.append(run(low, feeds))  # ONNX Runtime lacks some fp16 kernels, but knows all types
        except Exception as error:
            if "NOT_IMPLEMENTED" not in str(error) and "Could not find an implementation" not in str(error):
                return f"does not run: {error}"
    for name, values in expected.items():
        for got in (each[name] for each in results):
            if np.shape(got) != np.shape(values):
                return f"{name} is {np.shape(got)}, expected {np.shape(values)}"
            if np.asarray(values).dtype.kind not in "fiub" or np.size(values) == 0:
                continue
            reference, other = np.asarray(values, np.float64), np.asarray(got, np.float64)
            reference = np.where(np.abs(reference) > LARGEST[precision], np.copysign(np.inf, reference), reference)
            finite = np.isfinite(reference)
            error = np.abs(other[finite] - reference[finite]).max(initial=0)
            largest = np.abs(reference[finite]).max(initial=0)
            if not error <= TOLERANCE[precision] * largest:
                return f"{name} is off by {error:.2g} of {largest:.2g}"
            if not np.array_equal(reference[~finite], other[~finite], equal_nan=True):
                return f"{name} differs where it is not finite"
    return ""


def main(precisions: list[str]) -> int:
    """Judge every case, print what is wrong and the table; return 1 if anything is."""
    rows = {}
    for precision in precisions:
        results = [(case.name, *judge(case, precision)) for case in node_cases()]
        rows[precision] = Counter(result for _, result, _ in results)
        for name, result, why in results:
            if result == WRONG or "-v" in sys.argv:
                print(f"{precision} {name}: {result}: {why[:300]}")
    words = (CONVERTED, KEPT, WRONG, NO_FLOATS, NOT_RUN)
    print(f"| | {' | '.join(words)} |\n|---|{'---|' * len(words)}")
    for precision, counts in rows.items():
        print(f"| {precision} | {' | '.join(str(counts[word]) for word in words)} |")
    return int(any(counts[WRONG] for counts in rows.values()))


if __name__ == "__main__":
    sys.exit(main([each for each in sys.argv[1:] if each in DTYPE] or list(DTYPE)))
