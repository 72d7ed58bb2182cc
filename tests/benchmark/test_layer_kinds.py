"""What kind of work a layer of an engine is, from what TensorRT's inspector and profiler say of it."""

from __future__ import annotations

from pathlib import Path

import onnx.parser
import pytest

from trtconv.benchmark.layer_kinds import KindTime, kind_of, ops_by_node, times_by_kind
from trtconv.engine.inspector_json import Layer, parse_engine_information

OPS = {
    "/conv1/Conv": "Conv",
    "/norm1": "InstanceNormalization",
    "/plugin1": "InstanceNorm",
    "/pad1": "Pad",
    "/plugin2": "ReflectPad",
    "/relu": "Relu",
    "/add": "Add",
    "/up": "Resize",
    "/cast": "Cast",
    "/concat": "Concat",
}


@pytest.mark.parametrize(
    ("layer", "kind"),
    [
        (Layer("/conv1/Conv + /relu", "CaskConvolution", nodes=["/conv1/Conv", "/relu"]), "convolution"),
        (Layer("whatever", "CaskDeconvolutionV2"), "convolution"),
        (Layer("/conv1/Conv_myl0_3", "gemm", nodes=["/conv1/Conv"]), "convolution"),
        (Layer("/norm1", "Normalization", nodes=["/norm1"]), "norm"),
        (Layer("/plugin1", "PluginV3", nodes=["/plugin1"]), "norm"),
        (Layer("/plugin2", "PluginV3"), "pad"),  # by its own name where TensorRT keeps no other
        (Layer("/pad1", "Slice", nodes=["/pad1"]), "pad"),
        (Layer("/up", "Resize", nodes=["/up"]), "resize"),
        (Layer("/relu + /add", "PointWiseV2"), "activation, add"),
        (Layer("__myl_MeanSubMulRelu_myl0_3", "kgen", nodes=["/relu", "/norm1", "/add"]), "norm"),
        (Layer("__myl_AddResi_myl0_1", "kgen", nodes=["/conv1/Conv", "/up"]), "resize"),
        (Layer("__myl_Tran_myl0_0", "kgen", nodes=["/conv1/Conv"]), "reformat, cast"),
        (Layer("__myl_SlicAdd_myl0_2", "kgen"), "pad"),
        (Layer("__mye55_myl0_2", "kgen"), "other"),
        (Layer("Reformatting CopyNode for Input Tensor 0 to /conv1/Conv", "Reformat"), "reformat, cast"),
        (Layer("Reformatting CopyNode for Output Tensor 0 to /norm1"), "reformat, cast"),  # names only
        (Layer("/cast", "Cast", nodes=["/cast"]), "reformat, cast"),
        (Layer("/concat", "Concat", nodes=["/concat"]), "other"),
        (Layer("unknown"), "other"),
    ],
)
def test_a_layer_has_the_kind_of_its_work(layer: Layer, kind: str) -> None:
    assert kind_of(layer, OPS) == kind


def test_times_are_added_up_and_layers_counted() -> None:
    layers = [Layer("a", "CaskConvolution"), Layer("b", "CaskConvolution"), Layer("c", "PluginV3", nodes=["/plugin1"])]
    times = times_by_kind({"a": 1.0, "b": 2.0, "c": 4.0, "/relu": 8.0}, layers, OPS)
    assert times == {
        "convolution": KindTime(2, 3.0),
        "norm": KindTime(1, 4.0),
        "activation, add": KindTime(1, 8.0),
    }
    assert list(times) == ["convolution", "norm", "activation, add"]


def test_nodes_have_the_names_of_the_parser() -> None:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]> g (float[N] x) => (float[N] y) { [first] h = Relu(x)  y = Abs(h) }'
    )
    assert ops_by_node(model) == {"first": "Relu", "node_of_y": "Abs"}


@pytest.mark.parametrize("separator", ["\\u001e", "\\u001f", ""])
def test_the_inspector_names_the_nodes_of_a_layer(separator: str) -> None:
    text = f'{{"Layers": [{{"Name": "x", "Metadata": "[ONNX Layer: a[0]]{separator}[ONNX Layer: /b/c]"}}]}}'
    (layer,) = parse_engine_information(text).layers
    assert layer.nodes == ["a[0]", "/b/c"]


def test_engines_of_both_forms_name_their_nodes() -> None:
    for name in ("inspector_10.json", "inspector_11.json"):
        text = (Path(__file__).parents[1] / "data" / name).read_text()
        by_name = {layer.name: list(layer.nodes) for layer in parse_engine_information(text).layers}
        assert by_name["norm1"] == ["norm1"]
        assert by_name["conv1 + relu1"] == ["conv1"]
