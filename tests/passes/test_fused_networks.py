"""Everything that fuses, in small networks: one custom op a branch is left, and the numbers stay the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import onnx.parser
import pytest

from tests.support.equivalence import assert_close, run_onnxruntime, seeded_inputs
from tests.support.fused_networks import BRANCHES, fused_network, mapped_network
from trtconv import BuildConfig
from trtconv.model import model_io
from trtconv.model.walking import walk_nodes
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN
from trtconv.preparation import prepare

OLD_MODEL = Path(__file__).parents[1] / "data" / "rewritten_by_0.1.0.onnxtxt"


def rewritten(model: onnx.ModelProto, folder: Path, ops: str) -> onnx.ModelProto:
    path = folder / "model.onnx"
    onnx.save(model, path)
    return prepare(model_io.load(path), BuildConfig(backend="tensorrt", ops=ops), None)[0]  # type: ignore[arg-type]


def live_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes that something reads: TensorRT leaves the others out."""
    read = {name for node in model.graph.node for name in node.input} | {each.name for each in model.graph.output}
    return [node for node in model.graph.node if read & set(node.output)]


def assert_same(original: onnx.ModelProto, made: onnx.ModelProto) -> None:
    feeds = seeded_inputs(original)
    assert_close(run_onnxruntime(made, feeds), run_onnxruntime(original, feeds))


# Nodes that only view scale and bias of each image, which the op wants as [N, C], or the sizes of a tensor.
VIEWS = {"Unsqueeze", "Squeeze", "Reshape", "Flatten"}


@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_becomes_one_op(name: str, dtype: str, tmp_path: Path) -> None:
    model = fused_network(dtype, has_convolutions=True, names=[name])
    made = rewritten(model, tmp_path, "fused")
    left = [node.op_type for node in live_nodes(made) if node.domain != DOMAIN]
    assert set(left) - VIEWS == {"Conv"}
    assert name == "adain" or set(left) == {"Conv"}
    assert sum(node.domain == DOMAIN for node in made.graph.node) == 1
    assert_same(model, made)


@pytest.mark.parametrize("num_axes", [1, 2, 3])
@pytest.mark.parametrize("has_convolutions", [True, False])
def test_all_branches_beside_each_other(num_axes: int, has_convolutions: bool, tmp_path: Path) -> None:
    model = fused_network("fp32", has_convolutions=has_convolutions, num_axes=num_axes)
    made = rewritten(model, tmp_path, "fused")
    left = {node.op_type for node in live_nodes(made) if node.domain != DOMAIN}
    assert left - VIEWS == ({"Conv"} if has_convolutions else set())
    assert sum(node.domain == DOMAIN for node in made.graph.node) == len(model.graph.output)
    assert_same(model, made)


def test_open_sizes_fuse_too(tmp_path: Path) -> None:
    model = fused_network("fp32", has_convolutions=True, sizes=("N", "H", "W"))
    made = rewritten(model, tmp_path, "fused")
    assert sum(node.domain == DOMAIN for node in made.graph.node) == len(model.graph.output)


def test_the_first_pad_takes_the_cast(tmp_path: Path) -> None:
    model = mapped_network()
    made = rewritten(model, tmp_path, "fused")
    assert [node.op_type for node in made.graph.node][:3] == ["ReflectPad", "Conv", "InstanceNorm"]
    assert_same(model, made)


@pytest.mark.parametrize(("ops", "num_plugins"), [("plugin", 2), ("fused", 1)])
def test_a_model_rewritten_by_0_1_0_is_taken(ops: str, num_plugins: int, tmp_path: Path) -> None:
    model = onnx.parser.parse_model(OLD_MODEL.read_text())
    made = rewritten(model, tmp_path, ops)
    counts = Counter(node.op_type for node in walk_nodes(made.graph) if node.domain == DOMAIN)
    assert counts.keys() <= CUSTOM_OPS.keys()
    assert counts.total() == num_plugins
    assert_same(model, made)
