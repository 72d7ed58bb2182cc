"""The page of a build and of a dry run: both graphs beside each other, decisions, precision, accuracy, layers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from tests.support.command_line import OPSET_17, write_model
from tests.support.engine_files import MANIFEST
from tests.support.html_page import ReadPage, read_page
from tests.support.page_models import CHAIN
from trtconv import BuildConfig, dry_run
from trtconv.comparison.measuring import compare_output
from trtconv.comparison.report import ComparisonReport
from trtconv.comparison.tolerance import Tolerance
from trtconv.decisions import KEPT_FP32, Decision
from trtconv.manifest import Manifest
from trtconv.model import model_io
from trtconv.pages.build_page import Rewrite, build_page
from trtconv.pages.graph_reading import MAX_NODES, tensor_types
from trtconv.pages.graphs import put_together
from trtconv.preparation import prepare
from trtconv.progress import StepTime
from trtconv.reports.html.page import LayerRow, Page
from trtconv.reports.html.rendering import render_page
from trtconv.shapes import ShapeRange


def page_of_dry_run(model: Path, **options: object) -> ReadPage:
    path = model.with_suffix(".html")
    report = dry_run(model, BuildConfig(backend="tensorrt", report=path, **{"ops": "plugin", **options}))  # type: ignore[arg-type]
    assert report.page == path
    assert ["page", str(path)] in [line.split() for line in report.render().splitlines()]
    assert report.told_backend in path.read_text()
    return read_page(path.read_bytes())


def test_the_graph_before_and_after_with_what_became_of_each_node(tmp_path: Path) -> None:
    page = page_of_dry_run(write_model(tmp_path, "chain", CHAIN), ops="fused")
    assert page.outcomes("before") == {
        "conv": "same", "norm": "plugin", "relu": "fused", "pad": "fused", "last": "same", "tanh": "same"
    }  # fmt: skip
    after = page.nodes("after")
    assert [(node["address"], node["op"], node["outcome"]) for node in after] == [
        ("conv", "Conv", "same"),
        ("pad", "trtconv::InstanceNorm", "plugin"),
        ("last", "Conv", "same"),
        ("tanh", "Tanh", "same"),
    ]
    assert [node["match"] for node in after] == [0, 3, 4, 5]
    assert [page.text(block) for block in page.data["blocks"]] == ["conv", "last"]
    assert [node["block"] for node in after] == [0, 0, 1, 1]
    assert after[1]["attributes"] == "epsilon 1e-05, activation relu, pads [1,1,1,1]"
    assert page.data["before"]["constants"] == 3


@pytest.mark.parametrize("name", ['["up"]', ""], ids=["named", "unnamed"])
def test_a_rewritten_convolution_stands_beside_the_one_that_it_was(name: str, tmp_path: Path) -> None:
    text = f"""g (float[1,2,8,8] x) => (float[1,8,16,16] y) <float[2,8,4,4] w, float[8] one> {{
        {name} up = ConvTranspose<strides = [2,2], pads = [1,1,1,1]>(x, w)
        ["norm"] y = InstanceNormalization(up, one, one)
    }}"""
    page = page_of_dry_run(write_weighted(tmp_path, text), ops="rewritten")
    (before, _), (after, norm) = page.nodes("before"), page.nodes("after")
    assert (before["outcome"], after["outcome"], norm["outcome"]) == ("rewritten", "rewritten", "plugin")
    assert (before["op"], after["op"], after["match"], norm["match"]) == ("ConvTranspose", "Conv", 0, 1)


def write_weighted(folder: Path, text: str) -> Path:
    """Write a model whose declared tensors become initializers."""
    model = onnx.parser.parse_model(OPSET_17 + text)
    for declared in model.graph.value_info:
        shape = [dim.dim_value for dim in declared.type.tensor_type.shape.dim]
        values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, declared.name))
    del model.graph.value_info[:]
    path = folder / "weighted.onnx"
    onnx.save(model, path)
    return path


def test_edges_types_and_roles_of_tensors(tmp_path: Path) -> None:
    page = page_of_dry_run(write_model(tmp_path, "chain", CHAIN), ops="fused")
    nodes = page.nodes("before")
    assert nodes[0]["inputs"] == [("x", "float32 1×3×8×8", "input"), ("w", "float32 3×3×1×1", "weight")]
    assert nodes[3]["outputs"] == [("d", "float32 1×3×10×10", "")]
    assert nodes[5]["outputs"] == [("y", "float32 1×3×10×10", "output")]
    raw = page.data["before"]["nodes"]
    assert raw[1][6][0] == raw[0][7][0], "the norm reads what the convolution writes"


def test_decisions_with_their_figures_in_groups(tmp_path: Path) -> None:
    page = page_of_dry_run(write_model(tmp_path, "chain", CHAIN), ops="fused")
    assert ("relu", "Relu", "trtconv::InstanceNorm", "activation relu, fused into norm", "fused") in page.decisions()
    relu = next(made for made in page.data["decisions"] if page.text(made[0]) == "relu")
    assert [[page.text(key), page.text(value)] for key, value in relu[5]] == [["activation", "relu"]]
    assert sorted(number for _, numbers in page.data["groups"] for number in numbers) == [0, 1, 2]


def test_what_stays_native_and_what_stays_fp32(tmp_path: Path) -> None:
    text = """g (float[1,3,8,8] x) => (float[1,3,8,8] y) {
        scale = Constant<value_floats=[1.0, 2.0, 0.5]>()
        ["norm"] a = InstanceNormalization(x, scale, scale)
        ["relu"] b = Relu(a)
        ["exp"] y = Exp(b)
    }"""
    model = write_model(tmp_path, "kept", text)
    page = page_of_dry_run(model, keep_native=["norm"], precision="bf16", keep_fp32=["relu"])
    assert page.outcomes("before") == {"norm": "native", "relu": "same", "exp": "same"}
    after = page.outcomes("after")
    assert (after["norm"], after["relu"]) == ("native", "fp32")
    types = {node["address"]: node["outputs"][0][1] for node in page.nodes("after")}
    assert types["norm"] == "1×3×8×8", "the shape stays, the type does not"
    assert "new" in after.values(), "a cast"
    assert [made[3] for made in page.decisions() if made[4] == "native"] == ["asked for by --keep-native norm"]
    assert "asked for by --keep-fp32 relu" in [made[3] for made in page.decisions() if made[4] == "fp32"]
    assert ["precision", "bf16, but for 2 nodes that stay fp32"] in page.rows()


def test_tensors_of_one_name_in_two_branches_are_two(tmp_path: Path) -> None:
    text = """g (bool c, float[2] x) => (float[2] y) {
        ["if"] y = If (c) <
            then_branch = t () => (float[2] a) { ["neg"] b = Neg(x)  ["abs"] a = Abs(b) },
            else_branch = e () => (float[2] a) { ["exp"] b = Exp(x)  ["sin"] a = Sin(b) }>
    }"""
    page = page_of_dry_run(write_model(tmp_path, "branches", text))
    nodes = {node[0]: node for node in page.data["before"]["nodes"]}
    by_address = {page.text(number): node for number, node in nodes.items()}
    neg, abs_, exp, sin = (
        by_address[f"if/{each}"]
        for each in ("then_branch/neg", "then_branch/abs", "else_branch/exp", "else_branch/sin")
    )
    assert abs_[6] == neg[7]
    assert sin[6] == exp[7]
    assert neg[7] != exp[7]
    assert neg[6] == exp[6], "both read the outer tensor"
    assert list(page.outcomes("before")) == list(page.outcomes("after")), "branches follow their node on both sides"


def test_a_branch_does_not_change_what_the_graph_around_it_reads() -> None:
    graph = onnx.parser.parse_graph("""g (bool c, float[2] x) => (float[2] y) {
        ["outer"] b = Relu(x)
        ["if"] i = If (c) <
            then_branch = t () => (float[2] a) { ["inner"] b = Neg(x)  ["abs"] a = Abs(b) },
            else_branch = e () => (float[2] a) { ["exp"] a = Exp(b) }>
        ["add"] y = Add(b, i)
    }""")
    nodes = {node.address: node for node in put_together(graph, None, [], {}).before.nodes}
    inner, outer = nodes["if/then_branch/inner"].outputs[0], nodes["outer"].outputs[0]
    assert list(nodes["if/then_branch/abs"].inputs) == [inner]
    assert list(nodes["if/else_branch/exp"].inputs) == [outer]
    assert nodes["add"].inputs[0] == outer


def test_nodes_that_a_plugin_replaces_without_a_decision_of_their_own() -> None:
    before = onnx.parser.parse_graph('g (float[N] x) => (float[N] y) { ["a"] b = Neg(x)  ["c"] y = Abs(b) }')
    after = onnx.parser.parse_graph('g (float[N] x) => (float[N] y) { ["c"] y = trtconv.ReflectPad(x) }')
    decided = [Decision("c", "Abs", "trtconv::ReflectPad", "two nodes")]
    graphs = put_together(before, after, decided, {})
    assert [node.outcome for node in graphs.before.nodes] == ["replaced", "plugin"]
    assert put_together(before, None, decided, {}).before.nodes[0].outcome == "same", "nobody knows what comes after"


def test_a_cast_of_the_same_output_is_no_match_for_the_node_before() -> None:
    before = onnx.parser.parse_graph('g (float[N] x) => (float[N] y) { ["a"] y = Neg(x) }')
    after = onnx.parser.parse_graph('g (float[N] x) => (float[N] y) { ["a"] y16 = Neg(x)  y = Cast<to=1>(y16) }')
    graphs = put_together(before, after, [Decision("a", "Neg", KEPT_FP32, "why")], {})
    assert graphs.after is not None
    assert [(node.match, node.outcome) for node in graphs.after.nodes] == [(0, "fp32"), (None, "new")]


def test_nodes_without_a_name_match_by_their_output() -> None:
    before = onnx.parser.parse_graph("g (float[N] x) => (float[N] y) { b = Neg(x)  y = Abs(b) }")
    after = onnx.parser.parse_graph("g (float[N] x) => (float[N] y) { b = Neg(x)  y = trtconv.ReflectPad(b) }")
    graphs = put_together(before, after, [], {})
    assert graphs.after is not None
    assert [node.match for node in graphs.after.nodes] == [0, 1]
    assert [node.outcome for node in graphs.before.nodes] == ["same", "same"]


def test_nodes_beyond_the_limit_are_counted() -> None:
    nodes = [onnx.helper.make_node("Relu", [f"t{index}"], [f"t{index + 1}"]) for index in range(MAX_NODES + 7)]
    graphs = put_together(onnx.helper.make_graph(nodes, "g", [], []), None, [], {})
    assert (len(graphs.before.nodes), graphs.before.num_left_out) == (MAX_NODES, 7)


def full_page(tmp_path: Path) -> Page:
    model = model_io.load(write_model(tmp_path, "chain", CHAIN))
    types = tensor_types(model.graph)
    rewritten, report = prepare(model, BuildConfig(ops="fused"), None)
    arrays = {"y": np.ones((2, 2), dtype=np.float32)}
    compared = compare_output("y", arrays, {"y": arrays["y"] * 1.25}, Tolerance(0.5, 0.5), "noise")
    return build_page(
        Rewrite(model, types, rewritten, report),
        Manifest.from_json(MANIFEST),
        engine=Path("model.engine"),
        backend="TensorRT 10.6 for NVIDIA H100",
        notes=["the timing cache is new"],
        steps=[StepTime("reading chain.onnx", 0.25), StepTime("building", 1.5)],
        comparison=ComparisonReport("model", "engine", [compared], ["noise"]),
        layers=([LayerRow("conv + relu", "Conv", "float16", "HWC8", "sm90", ["conv"])], ""),
    )


def test_the_page_of_a_build_has_times_errors_and_layers(tmp_path: Path) -> None:
    page = read_page(render_page(full_page(tmp_path)))
    rows = page.rows()
    assert ["reading chain.onnx", "0.25 s", ""] in rows
    assert ["note", "the timing cache is new"] in rows
    assert ["y", "same", "0.25", "0.25", "0.25", "1.0000000"] in rows
    assert ["input", "sizes", "int64", "2", "[1,1]:[2,2]:[8,8]"] in rows
    tiles = [element.text.split(maxsplit=1) for element in page.all("li")]
    assert ["1", "plugins"] in tiles
    assert ["2", "fused into plugins"] in tiles
    assert any("libtrtconv_plugins.so" in row[-1] for row in rows if row and row[0] == "plugins")
    ((name, *_, nodes),) = page.data["layers"]
    assert (page.text(name), [page.text(node) for node in nodes]) == ("conv + relu", ["conv"])


def test_unknown_layers_have_a_reason(tmp_path: Path) -> None:
    page = full_page(tmp_path)
    unknown = read_page(render_page(Page(**(vars(page) | {"layers": None, "no_layers": "there is no GPU"}))))
    assert unknown.data["layers"] is None
    assert "Unknown: there is no GPU." in [element.text for element in unknown.all("p")]
    assert all(element.attributes.get("id") != "layer-list" for element in unknown.elements)


def test_profiles_fix_the_shapes_that_the_page_shows(tmp_path: Path) -> None:
    text = "g (float[N,3,8,8] x) => (float[N,3,8,8] y) { y = Relu(x) }"
    model = write_model(tmp_path, "open", text)
    open_page = page_of_dry_run(model)
    assert open_page.nodes("before")[0]["outputs"] == [("y", "float32 [N, 3, 8, 8]", "output")]
    given = {"x": ShapeRange((2, 3, 8, 8), (2, 3, 8, 8), (2, 3, 8, 8))}
    fixed = page_of_dry_run(model, profiles=[given])
    assert fixed.nodes("before")[0]["outputs"] == [("y", "float32 2×3×8×8", "output")]


@pytest.mark.parametrize("value", ["x", 3, 2.5, [1, 2.5], {"plugin": 1.25, "native": [2]}, float("nan"), None])
def test_any_figure_can_be_shown(tmp_path: Path, value: object) -> None:
    page = full_page(tmp_path)
    decided = Decision("n", "Op", None, "why", {"figure": value})
    read = read_page(render_page(Page(**(vars(page) | {"decisions": [decided], "graphs": None}))))
    shown = read.text(read.data["decisions"][0][5][0][1])
    texts = {"x": "x", "3": "3", "2.5": "2.5", "[1, 2.5]": "[1,2.5]", "nan": "nan", "None": "None"}
    assert shown == texts.get(str(value), "plugin 1.25, native [2]")
