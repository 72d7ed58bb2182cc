"""What onnx.checker and shape inference object to is told whole, in one line, with the tensor or the node."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.parser
import pytest

from trtconv import dry_run

HEAD = '<ir_version: 8, opset_import: ["": 17, "my": 1]> '
MODELS = {
    "unsorted": (
        'g (float[1,4] x) => (float[1,4] y) { ["late"] y = Relu(n)  ["early"] n = Neg(x) }',
        "the model does not pass onnx.checker, neither before the rewrite nor after it: "
        "Nodes in a graph must be topologically sorted, "
        "however input 'n' of node: name: late OpType: Relu is not output of any previous nodes",
    ),
    "output without a shape": (
        "g (float[1,4] x) => (float y, float[1,4] z) { y = Relu(x)  z = Neg(x) }",
        "the model does not pass onnx.checker, neither before the rewrite nor after it: "
        "Field 'shape' of 'type' is required but missing (output y)",
    ),
    "two types in one node": (
        'g (float[1,4] x, float16[1,4] h) => (float[1,4] y) { ["sum"] y = Add(x, h) }',
        "the model breaks ONNX's rules on types and shapes, and may be refused: "
        "node sum (Add): B has inconsistent type tensor(float16)",
    ),
    "dimensions that do not fit": (
        'g (float[1,4] x, float[5,4] w) => (float[1,4] y) { ["product"] y = MatMul(x, w) }',
        "the model breaks ONNX's rules on types and shapes, and may be refused: "
        "node product (MatMul): Incompatible dimensions for matrix multiplication",
    ),
}
SOUND = {
    "plain": "g (float[1,4] x) => (float[1,4] y) { y = Relu(x) }",
    "behind a custom op": "g (float[1,4] x) => (float[1,4] y) { a = my.Foo(x)  y = Relu(a) }",
    "stale inner shape": "g (float[N,4] x) => (float[N,4] y) <float[9,9] a> { a = Relu(x)  y = Neg(a) }",
}


def warnings_of(folder: Path, text: str) -> list[str]:
    path = folder / "model.onnx"
    model = onnx.parser.parse_model(HEAD + text)
    for value in model.graph.output:
        if not value.type.tensor_type.shape.dim:
            value.type.tensor_type.ClearField("shape")
    onnx.save(model, path)
    return list(dry_run(path, backend="tensorrt").warnings)


@pytest.mark.parametrize("case", MODELS)
def test_warnings_are_whole(tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    text, warning = MODELS[case]
    assert warnings_of(tmp_path, text) == [warning]
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("case", SOUND)
def test_sound_models_have_none(tmp_path: Path, case: str) -> None:
    assert not [warning for warning in warnings_of(tmp_path, SOUND[case]) if "breaks ONNX's rules" in warning]
