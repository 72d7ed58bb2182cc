"""Measure how the time of the commands grows: `python -m tests.support.measure_costs [FAMILY...]` prints a table.

Each family is a model of n, 2n and 4n parts; the seconds are CPU time, of child processes too, in a fresh process.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trtconv import dry_running, rewriting
from trtconv.config import BuildConfig
from trtconv.inspection.model_inspection import inspect_model

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


def image(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 6, 6])


def model_of(
    nodes: list[onnx.NodeProto], output: str, functions: list[onnx.FunctionProto] | None = None
) -> onnx.ModelProto:
    inputs = [image("x"), helper.make_tensor_value_info("c", TensorProto.BOOL, [])]
    scale = numpy_helper.from_array(np.ones(2, np.float32), "s")
    graph = helper.make_graph(nodes, "g", inputs, [image(output)], [scale])
    return helper.make_model(graph, ir_version=8, opset_imports=OPSETS, functions=functions or [])


def norm(x: str, y: str, **named: str) -> onnx.NodeProto:
    return helper.make_node("InstanceNormalization", [x, "s", "s"], [y], **named)


def plain_nodes(num: int) -> onnx.ModelProto:
    """Relus in a row."""
    names = ["x", *(f"t{index}" for index in range(num))]
    return model_of([helper.make_node("Relu", [names[i]], [names[i + 1]]) for i in range(num)], names[-1])


def norms(num: int) -> onnx.ModelProto:
    """Norms in a row."""
    names = ["x", *(f"t{index}" for index in range(num))]
    return model_of([norm(names[i], names[i + 1]) for i in range(num)], names[-1])


def pads(num: int) -> onnx.ModelProto:
    """Reflect pads of one tensor."""
    model = model_of([helper.make_node("Pad", ["x", "p"], [f"y{index}"], mode="reflect") for index in range(num)], "y0")
    model.graph.initializer.append(numpy_helper.from_array(np.array([0, 0, 1, 1, 0, 0, 1, 1]), "p"))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("y0", TensorProto.FLOAT, [1, 2, 8, 8]))
    return model


def activated_norms(num: int) -> onnx.ModelProto:
    """Norms in a row, each followed by a Relu."""
    names = ["x", *(f"t{index}" for index in range(2 * num))]
    nodes = []
    for x, normalised, y in zip(names[:-1:2], names[1::2], names[2::2], strict=True):
        nodes += [norm(x, normalised), helper.make_node("Relu", [normalised], [y])]
    return model_of(nodes, names[-1])


def ifs(num: int) -> onnx.ModelProto:
    """Ifs that read one tensor, with a norm in a branch."""
    nodes = []
    for index in range(num):
        then = helper.make_graph([norm("x", f"t{index}")], "t", [], [image(f"t{index}")])
        other = helper.make_graph([helper.make_node("Relu", ["x"], [f"e{index}"])], "e", [], [image(f"e{index}")])
        nodes.append(helper.make_node("If", ["c"], [f"y{index}"], then_branch=then, else_branch=other))
    return model_of(nodes, "y0")


def calls(num: int) -> onnx.ModelProto:
    """Calls of functions: a hundred of one that calls another, which holds the rest."""
    inner = max(num // 100, 1)
    names = ["x", *(f"t{index}" for index in range(inner - 1)), "y"]
    body = [helper.make_node("Relu", [names[i]], [names[i + 1]]) for i in range(inner)]
    functions = [helper.make_function("own", "f", ["x"], ["y"], body, OPSETS)]
    outer = ["x", *(f"o{index}" for index in range(100))]
    nodes = [helper.make_node("f", [outer[i]], [outer[i + 1]], domain="own") for i in range(100)]
    return model_of(nodes, outer[-1], functions)


def long_name(num: int) -> onnx.ModelProto:
    """One norm whose name has n characters."""
    return model_of([norm("x", "y", name="A" * num)], "y")


def attributes(num: int) -> onnx.ModelProto:
    """One node with n attributes."""
    model = model_of([norm("x", "y")], "y")
    model.graph.node[0].attribute.extend(helper.make_attribute(f"a{index}", index) for index in range(num))
    return model


def initializers(num: int) -> onnx.ModelProto:
    """Initializers that nothing reads."""
    model = model_of([norm("x", "y")], "y")
    model.graph.initializer.extend(helper.make_tensor(f"i{index}", 1, [1], [0.0]) for index in range(num))
    return model


def value_info(num: int) -> onnx.ModelProto:
    """Declared shapes of tensors that nothing writes."""
    model = model_of([norm("x", "y")], "y")
    model.graph.value_info.extend(image(f"v{index}") for index in range(num))
    return model


def outputs(num: int) -> onnx.ModelProto:
    """Relus of one tensor, each an output."""
    model = model_of([helper.make_node("Relu", ["x"], [f"y{index}"]) for index in range(num)], "y0")
    model.graph.output.extend(image(f"y{index}") for index in range(1, num))
    return model


FAMILIES: dict[str, tuple[Callable[[int], onnx.ModelProto], int]] = {
    "plain_nodes": (plain_nodes, 5000),
    "norms": (norms, 1000),
    "pads": (pads, 1000),
    "activated_norms": (activated_norms, 1000),
    "ifs": (ifs, 500),
    "calls": (calls, 5000),
    "long_name": (long_name, 50_000),
    "attributes": (attributes, 5000),
    "initializers": (initializers, 5000),
    "value_info": (value_info, 5000),
    "outputs": (outputs, 1000),
}
COMMANDS: dict[str, Callable[[Path], object]] = {
    "dry run": lambda path: dry_running.dry_run(path, BuildConfig(backend="tensorrt")),
    "--ops fused": lambda path: dry_running.dry_run(path, BuildConfig(backend="tensorrt", ops="fused")),
    "--precision bf16": lambda path: dry_running.dry_run(path, BuildConfig(backend="tensorrt", precision="bf16")),
    "rewrite": lambda path: rewriting.rewrite(path, path.with_name("out.onnx")),
    "inspect": lambda path: inspect_model(path).render(),
}


def cpu_seconds(command: str, path: Path) -> float:
    before = os.times()
    COMMANDS[command](path)
    after = os.times()
    return sum(after[:4]) - sum(before[:4])


def main(names: list[str]) -> None:
    """Print a row for each family and command: n, and the seconds at n, 2n and 4n."""
    print("| model | command | n | n | 2n | 4n |\n|---|---|---|---|---|---|")
    for family in names or FAMILIES:
        make, num = FAMILIES[family]
        for command in COMMANDS:
            seconds = []
            for factor in (1, 2, 4):
                with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(1) as pool:
                    path = Path(folder, "model.onnx")
                    path.write_bytes(make(factor * num).SerializeToString())
                    seconds.append(pool.apply(cpu_seconds, (command, path)))
            row = " | ".join(f"{each:.2f}" for each in seconds)
            print(f"| {make.__doc__ or family} | {command} | {num} | {row} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
