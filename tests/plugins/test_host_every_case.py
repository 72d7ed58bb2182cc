"""The host build of the kernels' arithmetic on every golden case and on the nodes of real models.

The rewritten model is run with the custom ops replaced by recorders, branches and loop bodies included. What each of
them was given then goes through spatial map, statistics and launch choice as the kernels use them, against ONNX
Runtime's own operator and, as a third party, the float64 reference.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from host_compiler import compile_cpp
from host_tools import session_of
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from test_host_instance_norm import normalise_on_host
from test_host_reflect_pad import PAD_SESSION, pad_on_host, pad_planes_on_host

from models.make_models import make
from tests.models.test_make_models import SMALL
from tests.passes.test_real_models import RUNS_NOWHERE, feeds_for, fetched_models, given_models
from tests.support.equivalence import (
    DynamicReflectPad,
    InstanceNorm,
    ReflectPad,
    rewrite,
    rewrite_file,
    seeded_inputs,
)
from tests.support.extent import part
from tests.support.golden import Case, case_paths, read_case
from tests.support.references import instance_norm_reference, reflect_pad_reference, worst_excess
from trtconv.model import functions
from trtconv.model.onnx_session import open_session
from trtconv.ops import CUSTOM_OPS, input_map
from trtconv.ops.custom_op import DOMAIN, CustomOp, attributes_of
from trtconv.ops.output_map import spread

VECTOR_SIZES = (1, 4, 8)
# In the notes of cases whose model no runtime takes, or not ONNX's evaluator.
NOT_RUN_MARKS = ("othing runs", "onnx.reference mixes up")
# Values with which the branch that holds the custom op is taken.
TAKEN = {"if_computed_condition": {"size": np.array([3])}, "if_keep_native_by_path": {"c": np.array(True)}}
# A network has many nodes of few kinds; the host runs one after another.
MAX_ELEMENTS = 1 << 20


@dataclass(frozen=True)
class Call:
    """What a custom op was run on."""

    x: npt.NDArray[Any]
    epsilon: float = 0.0
    scale: npt.NDArray[Any] | None = None
    bias: npt.NDArray[Any] | None = None
    pads: tuple[int, ...] = ()


def recorders(calls: list[Call]) -> list[type[OpRun]]:
    """Return the custom ops as ONNX's evaluator takes them; each run goes into `calls`."""

    def recorded(computing: type[OpRun]) -> type[OpRun]:
        op = CUSTOM_OPS[computing.__name__]

        class Recorder(computing):  # type: ignore[misc, valid-type]
            def _run(self, *inputs: Any, **attributes: Any) -> tuple[Any]:
                given = {name: value for name in op.attributes if (value := getattr(self, name, None)) is not None}
                calls.append(call_with(op, given, list(inputs)))
                results: tuple[Any] = super()._run(*inputs, **attributes)
                return results

        Recorder.__name__ = op.name
        return Recorder

    return [recorded(each) for each in (InstanceNorm, ReflectPad, DynamicReflectPad)]


def calls_of_case(case: Case) -> list[Call]:
    calls: list[Call] = []
    bare = functions.without_functions(case.rewrite().proto)
    feeds = seeded_inputs(case.model, {**case.feeds, **TAKEN.get(case.path.stem, {})})
    ReferenceEvaluator(bare, new_ops=recorders(calls)).run(None, dict(feeds))
    return calls


def calls_of_model(proto: onnx.ModelProto, feeds: Any) -> list[Call]:
    """Return what the custom ops of the main graph are given, which ONNX Runtime computes.

    Where there are only some in branches, ONNX's evaluator runs the model.
    """
    if not any(node.domain == DOMAIN for node in proto.graph.node):
        calls: list[Call] = []
        ReferenceEvaluator(functions.without_functions(proto), new_ops=recorders(calls)).run(None, dict(feeds))
        return calls
    nodes = [node for node in proto.graph.node if node.domain == DOMAIN]
    tapped = onnx.ModelProto()
    tapped.CopyFrom(proto)
    names = list(dict.fromkeys(name for node in nodes for name in node.input))
    known = {value.name: value.type.tensor_type.elem_type for value in (*proto.graph.value_info, *proto.graph.input)}
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    computed = [name for name in names if name not in weights]
    del tapped.graph.output[:]
    for index, name in enumerate(computed):
        tapped.graph.node.append(helper.make_node("Identity", [name], [f"tap_{index}"]))
        tapped.graph.output.append(helper.make_tensor_value_info(f"tap_{index}", known.get(name, 1), None))
    session = open_session(tapped, Path())
    inputs = {entry.name for entry in session.get_inputs()}
    results = session.run(None, {name: values for name, values in feeds.items() if name in inputs})
    values = weights | dict(zip(computed, results, strict=True))
    return [call_of(node, [values[name] for name in node.input]) for node in nodes]


def call_of(node: onnx.NodeProto, inputs: list[npt.NDArray[Any]]) -> Call:
    op = CUSTOM_OPS[node.op_type]
    return call_with(op, attributes_of(op, node), inputs)


def call_with(op: CustomOp, given: Mapping[str, Any], inputs: list[npt.NDArray[Any]]) -> Call:
    """Return the part of a call that the host's statistics and reflections compute.

    Phases are put in place before. Groups and parameters of each image are slices of their own; what follows the norm,
    and other maps than reflections, test_host_fused_norm and test_host_gather hold.
    """
    x, attributes = inputs[0], op.complete(given)
    if op is CUSTOM_OPS["DynamicReflectPad"]:
        return Call(x, pads=(*inputs[1].shape, *inputs[2].shape))
    first = 0 if op is CUSTOM_OPS["InstanceNorm"] else 2
    phases, crop = (spread(attributes[name], x.ndim - 2 + first)[first:] for name in ("phases", "crop"))
    x = np.ascontiguousarray(input_map.put_in_place(x, phases, crop))
    if op is CUSTOM_OPS["ReflectPad"]:
        is_reflection = attributes["pad_mode"] == "reflect" and set(attributes["upsample"]) == {1}
        return Call(x, pads=tuple(attributes["pads"]) if is_reflection else ())
    scale, bias = inputs[1:3]
    if attributes["groups"]:
        x = x.reshape(x.shape[0], attributes["groups"], -1)
        scale, bias = np.ones(x.shape[1], x.dtype), np.zeros(x.shape[1], x.dtype)
    elif scale.ndim == 2:
        x = x.reshape(1, x.shape[0] * x.shape[1], *x.shape[2:])
        scale, bias = (np.broadcast_to(each, inputs[0].shape[:2]).reshape(-1) for each in (scale, bias))
    return Call(x, attributes["epsilon"], scale, bias)


# A call, computed and judged. ---------------------------------------------------------------------------------------


def check(maths: ctypes.CDLL, call: Call) -> None:
    """Hold the host's arithmetic against ONNX Runtime's operator and the float64 reference."""
    if call.pads:
        check_pad(maths, call, call)
    elif call.scale is not None:
        check_norm(maths, call, call)


def check_pad(maths: ctypes.CDLL, call: Call, done: Call) -> None:
    """`done` is what the host is given; a test that it is found gives it something wrong."""
    numbers = np.arange(1, call.x.size + 1, dtype=np.int32).reshape(call.x.shape)
    expected = PAD_SESSION.run(None, {"x": numbers, "pads": np.array(call.pads, np.int64)})[0]
    assert np.array_equal(reflect_pad_reference(numbers, call.pads), expected)
    for vector_size in VECTOR_SIZES:
        for fast in (False, True):
            got = pad_on_host(maths, numbers, list(done.pads), vector_size - 1, vector_size, fast)
            assert np.array_equal(got, expected)
    by_planes = pad_planes_on_host(maths, numbers, list(done.pads))
    assert by_planes is None or np.array_equal(by_planes, expected)
    # The numbers say where each element comes from, so that every type is copied alike.
    assert np.array_equal(call.x.ravel()[expected - 1], reflect_pad_reference(call.x, call.pads))


def check_norm(maths: ctypes.CDLL, call: Call, done: Call) -> None:
    assert call.scale is not None
    assert call.bias is not None
    assert done.scale is not None
    assert done.bias is not None
    x = call.x.astype(np.float32)
    scale, bias, done_scale, done_bias = (
        np.ascontiguousarray(each, np.float32) for each in (call.scale, call.bias, done.scale, done.bias)
    )
    reference = instance_norm_reference(x, scale, bias, call.epsilon)
    for vector_size in VECTOR_SIZES:
        for num_processors in (1, 132):
            got = normalise_on_host(
                maths, x, done_scale, done_bias, done.epsilon, 0, vector_size, num_processors=num_processors
            )
            assert worst_excess(got, reference, "float32") <= 1
    if np.isfinite(reference.y).all():
        expected = run_norm(x, scale, bias, call.epsilon)
        assert np.abs(got - expected).max() <= 1e-5 * max(float(np.abs(expected).max()), 1e-30)


def run_norm(x: Any, scale: Any, bias: Any, epsilon: float) -> npt.NDArray[Any]:
    """Run ONNX Runtime's InstanceNormalization."""
    kinds = dict.fromkeys(("x", "scale", "bias"), TensorProto.FLOAT)
    session = session_of("InstanceNormalization", kinds, epsilon=epsilon)
    return np.asarray(session.run(None, {"x": x, "scale": scale, "bias": bias})[0])


# Every case and model. ----------------------------------------------------------------------------------------------


REWRITTEN = [
    path
    for path in case_paths()
    if f"= {DOMAIN}." in (text := path.read_text()) and not any(mark in text for mark in NOT_RUN_MARKS)
]


@pytest.mark.parametrize(
    "path", part(REWRITTEN, REWRITTEN[::3].__contains__), ids=lambda path: f"{path.parent.name}/{path.stem}"
)
def test_golden_case(maths: ctypes.CDLL, path: Path) -> None:
    calls = calls_of_case(read_case(path))
    assert calls, "no custom op was run"
    for call in calls:
        check(maths, call)


REAL_MODELS = [*given_models(), *fetched_models()]


@pytest.mark.parametrize("model", part(REAL_MODELS, REAL_MODELS[::2].__contains__), ids=lambda model: model[0])
def test_real_model(maths: ctypes.CDLL, model: tuple[str, Path, tuple[int, int]]) -> None:
    name, path, counts = model
    if name in RUNS_NOWHERE or not sum(counts):
        pytest.skip("nothing runs it" if name in RUNS_NOWHERE else "it has none of the two operators")
    if not path.is_file():
        pytest.skip(f"{name}.onnx is not here")
    proto = rewrite_file(path).proto
    calls = calls_of_model(proto, feeds_for(onnx.load(path))[0])
    assert calls, "no custom op was run"
    for call in representative(calls):
        check(maths, call)


@pytest.mark.parametrize("name", SMALL)
def test_made_model(maths: ctypes.CDLL, name: str, tmp_path: Path) -> None:
    model = make(name, **SMALL[name])
    calls = calls_of_model(rewrite(model, tmp_path, ops="rewritten").proto, seeded_inputs(model))
    assert calls
    for call in representative(calls):
        check(maths, call)


def representative(calls: list[Call]) -> Iterator[Call]:
    """Yield one call of each shape and pads, cut to whole slices where the tensor is large."""
    seen = set()
    for call in calls:
        kind = (call.x.shape, call.pads)
        if kind in seen:
            continue
        seen.add(kind)
        if call.x.size > MAX_ELEMENTS and call.scale is not None and call.bias is not None:
            kept = max(MAX_ELEMENTS // call.x[0, 0].size, 1)
            call = replace(call, x=call.x[:1, :kept], scale=call.scale[:kept], bias=call.bias[:kept])
        yield call


# Wrong arithmetic is found. -------------------------------------------------------------------------------------------

RNG = np.random.default_rng(3)
NORM = Call(
    (1e-3 * RNG.standard_normal((2, 3, 9, 11))).astype(np.float32),
    1e-5,
    np.array([1, 2, 3], np.float32),
    np.array([4, 5, 6], np.float32),
)
PAD = Call(np.zeros((2, 3, 8, 8), np.float32), pads=(0, 0, 1, 2, 0, 0, 3, 4))
WRONG: dict[str, tuple[Call, Callable[[Call], Call]]] = {
    "begins and ends swapped": (PAD, lambda call: replace(call, pads=call.pads[4:] + call.pads[:4])),
    "axes reversed": (
        PAD,
        lambda call: replace(call, pads=tuple(call.pads[axis] for axis in (0, 1, 3, 2, 4, 5, 7, 6))),
    ),
    "epsilon dropped": (NORM, lambda call: replace(call, epsilon=0.0)),
    "scale and bias swapped": (NORM, lambda call: replace(call, scale=call.bias, bias=call.scale)),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_arguments_are_found(maths: ctypes.CDLL, name: str) -> None:
    call, spoil = WRONG[name]
    check(maths, call)
    with pytest.raises(AssertionError):
        (check_pad if call.pads else check_norm)(maths, call, spoil(call))


def test_one_block_too_few_is_found(maths: ctypes.CDLL, tmp_path: Path) -> None:
    source = Path(__file__).with_name("host_instance_norm.cpp").read_text()
    spoilt, count = re.subn(r"(< )sharing\.blocks\b", r"\1(sharing.blocks - 1)", source)
    assert count == 2, "the loops over a slice's blocks look different: change this test with them"
    (tmp_path / "spoilt.cpp").write_text(spoilt)
    library = ctypes.CDLL(str(compile_cpp(tmp_path / "spoilt.cpp", tmp_path / "spoilt.so", "-fPIC", "-shared")))
    x = RNG.standard_normal((1, 1, 1 << 18)).astype(np.float32)  # several blocks to a slice
    call = Call(x, 1e-5, np.ones(1, np.float32), np.zeros(1, np.float32))
    check(maths, call)
    with pytest.raises(AssertionError):
        check(library, call)
