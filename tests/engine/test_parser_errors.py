"""What TensorRT's parser refuses is told with the op, the nodes and the cause, without TensorRT's inner words."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.checker
import pytest

from tests.support.command_line import write_model
from trtconv import BuildConfig, build
from trtconv.errors import ModelError
from trtconv.model import loops

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
        ": last dimension of input0 = 3 and second to last dimension of input1 = 4 but must match [node MatMul(y)]",
    ),
    "an input of a type that TensorRT lacks": (
        "g (string[1,3] x) => (string[1,3] y) { y = Identity(x) }",
        f"input x is of type string, which {TITLE} lacks",
    ),
    "an attribute that has no such value": (
        'g (float[1,3] x, int64[4] p) => (float[1,3] y) { y = Pad<mode="nonsense">(x, p) }',
        "Unsupported pad mode (in Pad)",
    ),
    "an initializer of a type that TensorRT lacks": (
        "g (float[1] x) => (float[1] y, uint16[2] z) <uint16[2] w = {1, 2}> { y = Relu(x)  z = Identity(w) }",
        f": initializer w is of type uint16, which {TITLE} lacks",
    ),
    "one in a branch": (
        "g (float[1] x, bool c) => (float[1] y) { y = If(c) <"
        " then_branch = t () => (float[1] a) <uint16[1] w = {1}> { f = Cast<to=1>(w)  a = Add(x, f) },"
        " else_branch = e () => (float[1] b) { b = Relu(x) }> }",
        f"w is of type uint16, which {TITLE} lacks",
    ),
    "a constant of a type that TensorRT lacks": (
        'g (float[1] x) => (float[1] y) { ["k"] w = Constant<value = int16[1] {3}>()'
        "  f = Cast<to=1>(w)  y = Add(x, f) }",
        f": constant k is of type int16, which {TITLE} lacks",
    ),
    "a cast to such a type": (
        'g (float[1] x) => (float[1] y) { ["there"] w = Cast<to=4>(x)  y = Cast<to=1>(w) }',
        f": node there casts to type uint16, which {TITLE} lacks",
    ),
    "a node with two problems is named once": (
        "g (float[2,2,3,3] x) => (float[2,2,3,3] y) <float[2] s = {1, 2}> {"
        ' ["bn"] y, m, v = BatchNormalization<training_mode=1>(x, s, s, s, s) }',
        "BatchNormalization nodes! [node bn (BatchNormalization)]",
    ),
    "an input that nothing gives": (
        'g (float[1,3] x) => (float[1,3] y) { ["sum"] y = Add(x, lost) }',
        ": no node in the model produces its input lost [node sum (Add)]",
    ),
    "an output that nothing gives": (
        "g (float[1,3] x) => (float[1,3] z) { y = Relu(x) }",
        ": no node in the model produces the output z",
    ),
    "a circle": (
        "g (float[1,3] x) => (float[1,3] y) { a = Add(x, b)  b = Relu(a)  y = Neg(b) }",
        ": nodes read each other's results in a circle: Relu(b) -> Add(a) -> Relu(b)",
    ),
}

# What is parsed, and found to be impossible only by the builder.
UNBUILDABLE = {
    "branches of two ranks": (
        'g (float[1,3] x, bool c) => (float y) { ["if"] y = If(c) <'
        " then_branch = t () => (float[1,3] a) { a = Relu(x) },"
        " else_branch = e () => (float[3] b) { s = Constant<value_ints=[3]>()  b = Reshape(x, s) }> }",
        ": Must have inputs with equal ranks when condition is not a build-time constant. "
        "Dimensions are [1,3] and [3] [node if (If)]",
    ),
    "an int8 constant": (
        "g (float[1] x) => (float[1] y, int8[2] z) <int8[2] lut = {1, 2}> { y = Relu(x)  z = Identity(lut) }",
        f"constant lut is of type int8, which {TITLE} takes only right before a DequantizeLinear",
    ),
    "more than there are": (
        "g (float[1,3] x) => (float[1,9] y, int64[1,9] i) { k = Constant<value_ints=[9]>()  y, i = TopK(x, k) }",
        ": length of reduction axis (3) is smaller than K (9) [node TopK(y)]",
    ),
    "a loop whose state grows": (
        "g (float[1,3] x, int64 n, bool c) => (float y) { y = Loop(n, c, x) <body ="
        " b (int64 i, bool d, float[1,3] w) => (bool e, float o) { e = Identity(d)  o = Concat<axis=1>(w, w) }> }",
        "IRecurrenceLayer must have inputs with same shape. First input x has shape [1,3]",
    ),
}


@pytest.mark.parametrize("case", [*REFUSED, *UNBUILDABLE])
def test_refused_models(tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]) -> None:
    text, what = (REFUSED | UNBUILDABLE)[case]
    model = write_model(tmp_path, "refused", text)
    with pytest.raises(ModelError) as caught:
        build(model, BuildConfig(backend="tensorrt-rtx"))
    assert caught.value.where == str(model)
    assert what in str(caught.value)
    assert caught.value.hint
    assert capfd.readouterr() == ("", "")
    assert not any(inner in caught.value.what for inner in ("Error Code", "Assertion", "/_src/", "node_of_", ".cpp"))
    assert "\n" not in caught.value.what
    assert "catchCudaError" not in caught.value.what
    assert len(caught.value.what) < 400
    assert [path.name for path in tmp_path.iterdir()] == ["refused.onnx"]


@pytest.mark.parametrize("trip_count", ["n", "", "endless", "most"])
def test_a_loop_without_a_condition_is_built(tmp_path: Path, trip_count: str) -> None:
    """The body reads the counter, which the parser has only where there is a count below 2**31 - 1."""
    body = "b (int64 i, bool d, float[1,3] w) => (bool e, float[1,3] o) { e = Less(i, n)  o = Relu(w) }"
    text = "g (float[1,3] x) => (float[1,3] y) <int64 n = {3}, int64 endless = {2147483647}, "
    text += f"int64 most = {{9223372036854775807}}> {{ y = Loop({trip_count}, , x) <body = {body}> }}"
    model = write_model(tmp_path, "loop", text)
    before = model.read_bytes()
    report = build(model, BuildConfig(backend="tensorrt-rtx"))
    assert report.engine.exists()
    assert model.read_bytes() == before


def test_a_loop_in_a_branch_reads_the_same_condition(tmp_path: Path) -> None:
    body = "b (int64 i, bool d, float[1,3] w) => (bool e, float[1,3] o) { e = Identity(d)  o = Relu(w) }"
    text = (
        "g (float[1,3] x, bool c, float[1] loop_condition) => (float[1,3] y) <int64 n = {3}> { y = If(c) <"
        f" then_branch = t () => (float[1,3] a) {{ a = Loop(n, , x) <body = {body}> }},"
        " else_branch = e () => (float[1,3] p) { p = Add(x, loop_condition) }> }"
    )
    proto = onnx.load(write_model(tmp_path, "loop", text))
    given = loops.completed(proto)
    assert loops.completed(given) is given
    onnx.checker.check_model(given, full_check=True)
    added = [tensor.name for tensor in given.graph.initializer if tensor.name != "n"]
    assert added == ["loop_condition_", "loop_count"]


def test_an_unnamed_node_of_a_body_is_not_taken_for_its_loop(tmp_path: Path) -> None:
    body = "b (int64 i, bool d, float[1,3] w) => (bool e, float[1,3] o) { e = Identity(d)  o = my.Foo(w) }"
    text = f"g (float[1,3] x, int64 n, bool c) => (float[1,3] y) {{ q = Relu(x)  y = Loop(n, c, q) <body = {body}> }}"
    with pytest.raises(ModelError) as caught:
        build(write_model(tmp_path, "loop", text), BuildConfig(backend="tensorrt-rtx"))
    assert caught.value.what == f"{TITLE} does not support the op Foo [node Loop(y)/body/Foo(o)]"


def test_what_the_parser_prints_is_in_the_log_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = write_model(tmp_path, "odd", "g (int16[1] x) => (int16[1] y) { y = Identity(x) }")
    log: list[str] = []
    with pytest.raises(ModelError):
        build(model, BuildConfig(backend="tensorrt-rtx"), log=log.append)
    assert "printed: Unsupported ONNX data type: INT16 (5)" in log
    assert capfd.readouterr() == ("", "")
