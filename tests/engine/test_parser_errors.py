"""What TensorRT's parser refuses is told with the op, the nodes and the cause, without TensorRT's inner words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command_line import write_model
from trtconv import BuildConfig, build
from trtconv.errors import ModelError

trt = pytest.importorskip("tensorrt_rtx")

TITLE = f"TensorRT-RTX {trt.__version__}"
FLOAT_TO_FLOAT = "g (float[1,3] x) => (float[1,3] y)"

REFUSED = {
    "one op, once, with its nodes": (
        FLOAT_TO_FLOAT + '{ ["a"] a = my.Foo(x)  ["b"] b = my.Foo(a)  c = my.Foo(b)  d = my.Foo(c)  y = my.Foo(d) }',
        f"{TITLE} does not support the op Foo [nodes a, b, Foo(c) and 2 more]",
    ),
    "several ops": (
        FLOAT_TO_FLOAT + '{ ["a"] a = my.Foo(x)  ["b"] y = my.Bar(a) }',
        f"{TITLE} does not support the op Foo [node a]; {TITLE} does not support the op Bar [node b]",
    ),
    "an op that RTX knows and refuses": (
        FLOAT_TO_FLOAT + "{ s = SequenceConstruct(x)  i = Constant<value_int=0>()  y = SequenceAt(s, i) }",
        f"{TITLE} does not support the op SequenceConstruct [node SequenceConstruct(s)]",
    ),
    "an op in a branch": (
        "g (float[1,3] x, bool c) => (float[1,3] y) {"
        ' ["iffy"] y = If(c) <then_branch = t () => (float[1,3] a) { ["inner"] a = my.Foo(x) },'
        " else_branch = e () => (float[1,3] b) { b = Relu(x) }> }",
        "does not support the op Foo [node iffy/then_branch/inner]",
    ),
    "dimensions that do not fit": (
        "g (float[1,3] x, float[4] w) => (float[1,3] y) { y = MatMul(x, w) }",
        "last dimension of input0 = 3 and second to last dimension of input1 = 4 but must match",
    ),
    "an input of a type that TensorRT lacks": (
        "g (string[1,3] x) => (string[1,3] y) { y = Identity(x) }",
        "Failed to convert ONNX date type to TensorRT data type.",
    ),
    "an attribute that has no such value": (
        'g (float[1,3] x, int64[4] p) => (float[1,3] y) { y = Pad<mode="nonsense">(x, p) }',
        "Unsupported pad mode (in Pad)",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_models(tmp_path: Path, case: str) -> None:
    text, what = REFUSED[case]
    model = write_model(tmp_path, "refused", text)
    with pytest.raises(ModelError) as caught:
        build(model, BuildConfig(backend="tensorrt-rtx"))
    assert caught.value.where == str(model)
    assert what in caught.value.what
    assert "\n" not in caught.value.what
    assert "catchCudaError" not in caught.value.what
    assert len(caught.value.what) < 400
    assert [path.name for path in tmp_path.iterdir()] == ["refused.onnx"]
