"""Whole networks in fp16 and bf16: how far from fp32 they are, and that TensorRT-RTX builds them.

The errors are those of rounding every 16-bit tensor (tests/support/rounding.py); data for judging differ from those
that the calibration makes up. The published models come from the folder that TRTCONV_TEST_MODELS names.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trtconv
from models import make_models
from tests.precision.test_calibration import power
from tests.support.extent import num_examples, part
from tests.support.precision_cases import AROUND_QUANTISED, HEADER, IF, LOOP, ROUND, SCAN, assert_sound
from tests.support.rounding import run, run_rounded, widened
from trtconv import BuildConfig, ShapeRange
from trtconv.engine import backends, building
from trtconv.errors import ModelError
from trtconv.inputs.made_inputs import make_feeds
from trtconv.model import model_io, walking
from trtconv.passes import run_passes
from trtconv.passes.base import Choices, PassContext
from trtconv.precision import KeptNode, PrecisionOptions, convert_precision, rules
from trtconv.progress import NoProgress

FOLDER = os.environ.get("TRTCONV_TEST_MODELS", "")
SHAPES: Mapping[str, Mapping[str, tuple[int, ...]]] = {
    "basic_pitch_nmp_op15": {"serving_default_input_2:0": (1, 43844, 1)},
    "silero_vad_16k_sequence_op16": {"input": (4, 576)},
    "onnxasr_whisper80_conv_op17": {"waveforms": (1, 16000), "waveforms_lens": (1,)},
    "onnxasr_whisper80_stft_op17": {"waveforms": (1, 16000), "waveforms_lens": (1,)},
}
MADE: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "fast_neural_style": lambda: make_models.make("fast_neural_style", height=64, width=64),
    "cyclegan": lambda: make_models.make("cyclegan", height=64, width=64, channels=32),
    "unet3d": lambda: make_models.make("unet3d", depth=16, height=16, width=16, stages=3),
    "melgan": lambda: make_models.make("melgan", frames=6),
}
# How many nodes stay fp32 with plugins, in fp16 and bf16: many only where norms or spectra are written out.
PUBLISHED = {
    "basic_pitch_nmp_op15": (202, 193),
    "fns_candy_nc16_128_op9": (150, 150),
    "litemono_tiny_decoder_op13": (4, 9),
    "silero_vad_16k_sequence_op16": (11, 11),
    "xfeat_256x256_op17": (2, 4),
    "xfeat_480x640_fp16_op12": (0, None),
}
NETWORKS = {**dict.fromkeys(MADE, (0, None)), **PUBLISHED}
TOLERANCE = {"fp16": 2e-2, "bf16": 5e-2}
# With random weights and 23 norms: rounding the tensors of its convolutions alone to bf16 gives 6e-2 already.
TOLERANCES = {("cyclegan", "bf16"): 1e-1}


@cache
def network(name: str, *, native: bool) -> tuple[onnx.ModelProto, Path]:
    """Return a network as `trtconv build` has it before its types are changed, with plugins or without."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder if name in MADE else FOLDER or "no folder") / f"{name}.onnx"
        if name in MADE:
            path.write_bytes(MADE[name]().SerializeToString())
        elif not path.exists():
            pytest.skip(f"TRTCONV_TEST_MODELS names no folder with {name}")
        model = model_io.load(path, inline_plugins=native)
    run_passes(
        model.graph,
        PassContext(model.opset, path.parent, Choices(native_reason="asked for by a test" if native else None)),
    )
    return model_io.to_proto(model), path


@cache
def converted(name: str, precision: Any, *, native: bool) -> tuple[onnx.ModelProto, list[KeptNode]]:
    proto, path = network(name, native=native)
    feeds = make_feeds(proto, SHAPES.get(name)) if precision == "fp16" else []
    conversion = convert_precision(proto, path, PrecisionOptions(precision), feeds, are_made=True)
    return conversion.proto, conversion.kept


def relative_errors(name: str, model: onnx.ModelProto) -> list[float]:
    """Return max|error| / max|y| of every output, for white and for natural noise."""
    original, _ = network(name, native=False)
    errors = []
    for feeds in make_feeds(original, SHAPES.get(name), seed=7)[:2]:
        expected, got = run(original, feeds), run_rounded(model, feeds)
        for output, values in expected.items():
            reference = values.astype(np.float64)
            errors.append(float(np.abs(reference - got[output]).max() / np.abs(reference).max()))
    return errors


ALL = [(name, precision) for name in NETWORKS for precision in ("fp16", "bf16")]
ROUNDED = [*((name, "fp16") for name in NETWORKS), ("unet3d", "bf16"), ("melgan", "bf16")]


@pytest.mark.parametrize("network_type", part(ALL, ROUNDED.__contains__), ids="-".join)
def test_rounding_every_tensor_leaves_the_outputs_right(network_type: tuple[str, str]) -> None:
    name, precision = network_type
    if name == "xfeat_480x640_fp16_op12" and precision == "bf16":
        pytest.skip("it is in fp16 already")
    model, kept = converted(name, precision, native=False)
    assert_sound(model, precision)
    assert max(relative_errors(name, model)) <= TOLERANCES.get((name, precision), TOLERANCE[precision])
    expected = NETWORKS[name][precision == "bf16"]
    assert expected is None or len(kept) == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_runs_what_became_fp16(name: str) -> None:
    model, _ = converted(name, "fp16", native=False)
    original, _ = network(name, native=False)
    feeds = make_feeds(original, SHAPES.get(name), seed=7)[0]
    expected, got = run(original, feeds), run(model, feeds)
    for output, values in expected.items():
        assert np.abs(values.astype(np.float32) - got[output]).max() <= TOLERANCE["fp16"] * np.abs(values).max()


BUILT = [
    *((name, "fp16") for name in ("fast_neural_style", "unet3d", "melgan")),
    ("unet3d", "bf16"),
    ("silero_vad_16k_sequence_op16", "bf16"),
]


@pytest.mark.parametrize("network_type", part(ALL, BUILT.__contains__), ids="-".join)
def test_tensorrt_rtx_builds_it(network_type: tuple[str, str]) -> None:
    name, precision = network_type
    pytest.importorskip("tensorrt_rtx")
    if name == "xfeat_480x640_fp16_op12":
        pytest.skip("not changed, and slow to build")
    model, _ = converted(name, precision, native=True)
    described = walking.describe_inputs(model)
    dynamic = [name for name, dims in described.items() if not all(isinstance(dim, int) for dim in dims or ())]
    profile = {each: ShapeRange(*(SHAPES[name][each],) * 3) for each in dynamic}
    config = BuildConfig(backend="tensorrt-rtx", gpu_arch="sm_89", profiles=[profile] if profile else [])
    backend, notes = backends.select_backend(config)
    plan = building.build(model, network(name, native=True)[1], config, backend, NoProgress(), notes)
    assert len(plan.data) > 0
    assert {tensor.dtype for tensor in (*plan.inputs, *plan.outputs)} == {"float32"}


@pytest.mark.parametrize("name", ["onnxasr_whisper80_conv_op17", "onnxasr_whisper80_stft_op17"])
def test_a_model_that_is_all_spectrum_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=r"nothing of it can be fp16: .*spectrum"):
        converted(name, "fp16", native=False)


def test_pictures_of_0_to_255_overflow_nothing_in_fns_candy() -> None:
    """Its norms are written out and square values of 2e3: without the rules fp16 gives infinities."""
    name = "fns_candy_nc16_128_op9"
    original, path = network(name, native=False)
    model, kept = converted(name, "fp16", native=False)
    assert sum(node.op == "Mul" for node in kept) == 15, "the square of each norm"
    assert max(relative_errors(name, model)) < 5e-3
    black = [{"input.1": np.zeros((1, 3, 128, 128), np.float32)}]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(rules, "square_sums", lambda graph: iter(()))
        patched.setattr(rules, "MIN_NORMAL", 0.0)  # of a black picture much is small
        reckless = convert_precision(original, path, PrecisionOptions("fp16"), black).proto
    picture = make_feeds(original, seed=7)[0]
    wrong = np.abs(run_rounded(reckless, picture)["433"] - run(original, picture)["433"])
    assert not wrong.max() < 10, "this is what the test would see"


@settings(deadline=None, max_examples=40)
@given(
    values=st.lists(st.floats(width=32, allow_nan=False, min_value=-1e5, max_value=1e5), min_size=1, max_size=50),
    scale=st.sampled_from([1.0, 1e-3, 1e-7]),
)
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_rounding_of_these_tests_is_that_of_the_type(precision: str, values: list[float], scale: float) -> None:
    elem_type, dtype = {
        "fp16": (onnx.TensorProto.FLOAT16, np.float16),
        "bf16": (onnx.TensorProto.BFLOAT16, ml_dtypes.bfloat16),
    }[precision]
    text = f'<ir_version: 8, opset_import: ["": 17]> g (float[n] x) => (float[n] y) {{ h = Cast<to = {elem_type}>(x) r = Neg(h) y = Cast<to = 1>(r) }}'  # noqa: E501
    x = np.array(values, np.float32) * np.float32(scale)
    if precision == "bf16":  # whose subnormal numbers, below 1e-38, no network comes near
        x[np.abs(x) < 1e-37] = 0
    with np.errstate(over="ignore"):
        expected = -x.astype(dtype).astype(np.float32)
    got = run(widened(onnx.parser.parse_model(text)), {"x": x})["y"]
    assert np.array_equal(got, expected) or _differ_by_ties_alone(got, expected, x)


def _differ_by_ties_alone(got: Any, expected: Any, x: Any) -> bool:
    """Say whether both are equally near to the exact value."""
    return bool(np.array_equal(np.abs(got + x), np.abs(expected + x)))


UNARY = ["Relu", "Sigmoid", "Tanh", "Neg", "Exp", "Abs", "Softplus", "Identity", "Sqrt", "Log"]
BINARY = ["Add", "Sub", "Mul", "Div", "Max", "MatMul"]


@st.composite
def graphs(draw: st.DrawFn) -> onnx.ModelProto:
    """A random network of matrices [4, 4], with shared tensors and several outputs."""
    tensors, lines = ["x"], []
    for index in range(draw(st.integers(2, 14))):
        op = draw(st.sampled_from(UNARY + BINARY))
        names = [draw(st.sampled_from(tensors)) for _ in range(1 if op in UNARY else 2)]
        if op in BINARY and draw(st.booleans()):
            names[1] = "w"
        lines.append(f"t{index} = {op}({', '.join(names)})")
        tensors.append(f"t{index}")
    lines.append("last = MatMul(x, w)")
    outputs = sorted({*draw(st.lists(st.sampled_from(tensors[1:]), min_size=1, max_size=3)), "last"})
    weights = ",".join(["0.5", "-0.25", "1", "0.125"] * 4)
    declared = ", ".join(f"float[4,4] {name}" for name in outputs)
    text = f"g (float[4,4] x) => ({declared}) <float[4,4] w = {{{weights}}}> {{ {' '.join(lines)} }}"
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}')


@settings(deadline=None, max_examples=num_examples(60))
@given(model=graphs())
def test_any_network_stays_sound_and_overflows_nowhere(model: onnx.ModelProto) -> None:
    feeds = [{"x": np.random.default_rng(seed).uniform(-2, 2, (4, 4)).astype(np.float32)} for seed in range(2)]
    for precision in ("fp16", "bf16"):
        options = PrecisionOptions(precision)  # type: ignore[arg-type]
        low = convert_precision(model, Path("model.onnx"), options, feeds).proto
        assert_sound(low, precision)
        for feed in feeds:
            expected, got = run(model, feed), run_rounded(low, feed)
            for name, values in expected.items():
                assert np.array_equal(np.isfinite(values), np.isfinite(got[name])) or not np.isfinite(values).all()


@st.composite
def nested_graphs(draw: st.DrawFn) -> onnx.ModelProto:
    """A random network of matrices [4, 4] with If, Loop and Scan inside one another, whose names repeat in branches."""

    def block(visible: list[str], depth: int) -> tuple[str, str]:
        lines, tensors = [], list(visible)
        for index in range(draw(st.integers(1, 4))):
            name = f"t{depth}_{index}"
            kinds = ["op"] * 3 + (["If", "Loop", "Scan"] if depth < 2 else [])
            kind, source = draw(st.sampled_from(kinds)), draw(st.sampled_from(tensors))
            if kind == "op":
                op = draw(st.sampled_from(UNARY[:-2] + BINARY[:3] + ["MatMul"]))
                other = ", w" if op == "MatMul" else f", {draw(st.sampled_from(tensors))}"
                lines.append(f"{name} = {op}({source}{'' if op in UNARY else other})")
            elif kind == "If":
                (first, a), (second, b) = block(tensors, depth + 1), block(tensors, depth + 1)
                lines.append(
                    f"{name} = If(c) <then_branch = t () => (float[4,4] {a}) {{ {first} }}, "
                    f"else_branch = e () => (float[4,4] {b}) {{ {second} }}>"
                )
            else:
                state = f"s{depth}"
                inner, last = block([*tensors, state], depth + 1)
                body = f"{inner} {state}_next = Tanh({last})"
                if kind == "Loop":
                    entering = f"int64 i{depth}, bool on{depth}, float[4,4] {state}"
                    leaving = f"bool go{depth}, float[4,4] {state}_next, float[4,4] {last}"
                    body = f"go{depth} = Identity(on{depth}) {body}"
                    call = f"Loop(n, yes, {source})"
                    lines.append(f"{name}, {name}_all = {call} <body = l ({entering}) => ({leaving}) {{ {body} }}>")
                else:
                    lines.append(
                        f"{name}, {name}_all = Scan({source}, xs) <num_scan_inputs = 1, body = l (float[4,4] {state}, "
                        f"float[4,4] e{depth}) => (float[4,4] {state}_next, float[4,4] r{depth}) "
                        f"{{ {body} r{depth} = Add(e{depth}, {last}) }}>"
                    )
            tensors.append(name)
        return "\n".join(lines), tensors[-1]

    lines, last = block(["x"], 0)
    weights = ",".join(["0.5", "-0.25", "1", "0.125"] * 4)
    text = f"""g (float[4,4] x, float[2,4,4] xs, bool c) => (float[4,4] {last}, float[4,4] y)
        <float[4,4] w = {{{weights}}}, int64 n = {{2}}, bool yes = {{1}}> {{ {lines} y = MatMul({last}, w) }}"""
    return onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {text}')


@settings(deadline=None, max_examples=num_examples(40))
@given(model=nested_graphs())
def test_any_network_with_branches_and_bodies_stays_sound(model: onnx.ModelProto) -> None:
    rng = np.random.default_rng(0)
    feeds = {"x": rng.uniform(-1, 1, (4, 4)).astype(np.float32), "xs": rng.uniform(-1, 1, (2, 4, 4)).astype(np.float32)}
    both = [{**feeds, "c": np.array(choice)} for choice in (True, False)]
    for precision in ("fp16", "bf16"):
        low = convert_precision(model, Path("model.onnx"), PrecisionOptions(precision), both[:1]).proto  # type: ignore[arg-type]
        assert_sound(low, precision)
        for feed in both:
            expected, got = run(model, feed), run_rounded(low, feed)
            for name, values in expected.items():
                assert np.array_equal(np.isfinite(values), np.isfinite(got[name])) or not np.isfinite(values).all()


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
@pytest.mark.parametrize("kind", ["if", "loop", "scan", "quantised"])
def test_tensorrt_rtx_builds_branches_bodies_and_quantised_parts(kind: str, precision: Any, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    text = {
        "if": IF,
        "loop": LOOP.replace("BODY", ROUND),
        "scan": SCAN.replace("BODY", ROUND.replace("MatMul(v, w)", "Add(v, e)")),
        "quantised": AROUND_QUANTISED.replace("OP", "Relu"),
    }[kind]
    header = HEADER.replace('"": 17', '"": 21').replace("ir_version: 8", "ir_version: 10")
    path = tmp_path / "model.onnx"
    onnx.save(onnx.parser.parse_model((header if kind == "quantised" else HEADER) + text), path)
    config = BuildConfig(backend="tensorrt-rtx", gpu_arch="sm_89", precision=precision, output=tmp_path / "e.engine")
    report = trtconv.build(path, config)  # which reads the types back
    assert not report.rewrite.kept_fp32


def test_the_report_warns_of_made_inputs_that_are_nan(tmp_path: Path) -> None:
    path = tmp_path / "power.onnx"
    onnx.save(power(), path)
    report = trtconv.dry_run(path, BuildConfig(backend="tensorrt", precision="fp16"))
    assert {decision.node for decision in report.kept_fp32} == {"wide", "head"}
    assert ["from r (root) on" in warning for warning in report.warnings] == [True]
    assert report.to_json()["warnings"] == list(report.warnings)
    np.savez(tmp_path / "real.npz", x=np.full((2, 4), 0.9, np.float32))
    given = trtconv.dry_run(
        path, BuildConfig(backend="tensorrt", precision="fp16", calibration=(tmp_path / "real.npz",))
    )
    assert {decision.node for decision in given.kept_fp32} == {"wide", "head"}
    assert not given.warnings


@pytest.mark.parametrize(("rate", "samples", "num_kept"), [(8000, 288, 58), (16000, 576, 139)])
def test_a_network_within_nested_branches(rate: int, samples: int, num_kept: int) -> None:
    """silero v6: one branch for each sample rate, LSTM layers in nested If nodes that ask for the rank."""
    original, path = network("silero_vad_v6_op16_if", native=False)
    sound = np.random.default_rng(0).uniform(-1, 1, (1, samples)).astype(np.float32)
    feeds = {"input": sound, "state": np.zeros((2, 1, 128), np.float32), "sr": np.array(rate)}
    for precision, kept in (("fp16", num_kept), ("bf16", 22)):
        conversion = convert_precision(original, path, PrecisionOptions(precision), [feeds])  # type: ignore[arg-type]
        assert len(conversion.kept) == kept
        assert_sound(conversion.proto, precision)
        expected, got = run(original, feeds), run_rounded(conversion.proto, feeds)
        for name, values in expected.items():
            assert np.abs(values - got[name]).max() <= TOLERANCE[precision] * np.abs(values).max()
