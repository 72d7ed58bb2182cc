"""Models of public bug reports, and exports of real architectures: no crash, the same numbers, and the right words.

The folder of `TRTCONV_TEST_CASES` holds reports/make_cases.py, which makes the models of the reports, and the exports
in zoo/models and zoo/spellings. What must hold for a case beyond what holds for all is in EXPECTED; every other one is
rewritten and inspected without an error.
"""

from __future__ import annotations

import importlib.util
import os
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.support.extent import IS_WHOLE, part
from trtconv import BuildConfig, build, dry_run, rewrite
from trtconv.errors import TrtconvError
from trtconv.inspection.model_inspection import inspect_model
from trtconv.model.walking import walk_nodes

VARIABLE = "TRTCONV_TEST_CASES"
CASES = Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
pytestmark = pytest.mark.skipif(CASES is None, reason=f"{VARIABLE} names no folder of cases")

SYMBOL_SIZE = 32
# One case in so many is judged for fp16 and bf16 too: each takes ten times as long as the others.
SAMPLE = 5 if IS_WHOLE else 15
# A node of ONNX Runtime that ends the process, and a function that it does not look at because of its name.
NOT_RUN = {"random_scale_zero", "function_named_like_op"}
# Faults that are known and not mended yet: the rewritten model computes something else.
WRONG_NUMBERS: set[str] = set()


@dataclass(frozen=True)
class Expected:
    """What one command must give for a case: its exit code, what it says and what it does not say."""

    command: str
    exit_code: int = 0
    says: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


def dry(*says: str, exit_code: int = 0, never: tuple[str, ...] = ()) -> Expected:
    return Expected("dry run", exit_code, says, never)


def built(*says: str, exit_code: int = 0) -> Expected:
    return Expected("build", exit_code, says)


NOTHING = ("nothing: no",)
NORMS = "InstanceNormalization -> trtconv::InstanceNorm"
PADS = "Pad(reflect) -> trtconv::ReflectPad"
EXPECTED: dict[str, tuple[Expected, ...]] = {
    # functions of another opset than the model
    "function_opset": (dry(f"2 {NORMS}"), built()),
    "function_opset_dynamo": (dry(NORMS, PADS), built()),
    "function_attributes": (dry(NORMS, PADS), built()),
    # one name for two values
    "if_shadowing": (dry("if/then_branch defines the outer tensor pads again", "takes the outer value [if/"),),
    # what TensorRT's parser lacks
    "loop_norm": (built(),),
    "sparse_weights": (built("its input w is a sparse initializer", "[node conv (Conv)]", exit_code=3),),
    "small_types": (built("initializer q8 is of type", exit_code=3),),
    "string_input": (built("input name is of type string", exit_code=3),),
    "int8_constant": (built("constant lut is of type int8", exit_code=3),),
    # parameters that do not fit are found when the model is read
    "norm_of_scale_mismatch": (dry("norm: scale has shape [2], expected [4]", exit_code=3),),
    "norm_of_scale_1c11": (dry("norm: scale has shape [1, 4, 1, 1], expected [4]", exit_code=3),),
    "norm_mixed_types": (dry("scale is of type float32, expected float16", exit_code=3),),
    # batch statistics
    "batchnorm_training": (dry(f"1 {NORMS}", never=NOTHING), built()),
    "munit_adain_decoder__leg17": (dry(f"2 {NORMS}", "1 written-out norm"), built()),
    "timm_nfnet_small__leg17": (dry("computed"), built()),
    # shapes that follow from the inputs
    "stale_value_info": (dry("pads computed at run time", "do not follow from its inputs"),),
    "stale_small": (dry("do not follow from its inputs"),),
    "static_pad_after_pad": (dry(f"{PADS}", never=("run time",)),),
    "encodec_seanet_weightnorm__leg17": (dry(f"4 {PADS}", f"5 {PADS}", "8 Pad(reflect): all pads are zero"),),
    "encodec_seanet_weightnorm__dyn18d": (dry("18 Pad(reflect) -> trtconv::DynamicReflectPad"),),
    "pad_to_multiple__leg17d": (dry("1 Pad(reflect) -> trtconv::DynamicReflectPad"),),
    # nodes that are not in order; warnings are whole
    "unsorted": (dry(NORMS, PADS),),
    "unsorted_chain": (dry(PADS),),
    "duplicate_outputs": (dry("is required but missing (output"),),
    # norms that no pass takes up
    "groupnorm_one_group": (dry("1 GroupNormalization", never=NOTHING),),
    "groupnorm_opset18": (dry("1 GroupNormalization", never=NOTHING),),
    "norm_tf_decomposed": (dry("1 written-out norm", never=NOTHING),),
    "groupnorm_unet2d__dyn21": (dry("5 GroupNormalization", never=NOTHING),),
    # pads beyond the dimension
    "stretched_reflect_twice": (
        dry("pad: reflect pad of 4 on axis 2 of size 4", exit_code=3),
        Expected("rewrite", 3, ("reflect pad of 4",)),
    ),
}
# Exit codes that are right beside 0, where another change decides between them.
ALLOWED: dict[str, set[int]] = {
    name: {3} for name in ("norm_of_scale_mismatch", "norm_of_scale_1c11", "norm_mixed_types")
}


def _make_cases() -> ModuleType | None:
    path = None if CASES is None else CASES / "reports" / "make_cases.py"
    if path is None or not path.exists():
        return None
    spec = importlib.util.spec_from_file_location("make_cases", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKE_CASES = _make_cases()


def _names() -> Iterator[str]:
    if MAKE_CASES is not None:
        yield from (*MAKE_CASES.CASES, *MAKE_CASES.FOLDERS)
    if CASES is not None:
        yield from sorted(path.stem for path in (CASES / "zoo").glob("*/*.onnx"))


def _is_in_part(name: str) -> bool:
    """Say whether a case is of a report or in EXPECTED, or one in three of the other exports."""
    is_of_report = MAKE_CASES is not None and name in {*MAKE_CASES.CASES, *MAKE_CASES.FOLDERS}
    return is_of_report or name in EXPECTED or zlib.crc32(name.encode()) % 3 == 0


@pytest.fixture
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The model of a case, made in a folder of its own or where it lies."""
    name: str = request.param
    assert CASES is not None
    if MAKE_CASES is None or name not in {*MAKE_CASES.CASES, *MAKE_CASES.FOLDERS}:
        return next((CASES / "zoo").glob(f"*/{name}.onnx"))
    MAKE_CASES.RNG = np.random.default_rng(7)
    if name in MAKE_CASES.FOLDERS:
        MAKE_CASES.FOLDERS[name](tmp_path / name)
        return next((tmp_path / name).glob("*.onnx"))
    made = tmp_path / f"{name}.onnx"
    made.write_bytes(MAKE_CASES.CASES[name]().SerializeToString())
    return made


def _name_of(path: Path) -> str:
    return path.parent.name if path.stem == "model" else path.stem


def outcome(work: Callable[[], Any]) -> tuple[int, str]:
    """Return the exit code and the text that a command would give; whatever else is raised is a defect."""
    try:
        return 0, work().render()
    except TrtconvError as error:
        return error.exit_code, f"{error}\n{error.hint or ''}"


def require(name: str, command: str, exit_code: int, text: str) -> None:
    """Hold one outcome against what is expected of all cases and of this one."""
    expected = next((each for each in EXPECTED.get(name, ()) if each.command == command), None)
    codes = {0} if expected is None else {expected.exit_code}
    assert exit_code in codes | ALLOWED.get(name, set()), text
    for said in expected.says if expected is not None else ():
        assert said in text
    assert not any(said in text for said in (expected.never if expected is not None else ()))
    require_words(text)


def require_words(text: str) -> None:
    """Hold that a text has no cut line and none of the words that other libraries write for themselves."""
    assert not [line for line in text.splitlines() if line.rstrip().endswith(":")], text
    inner = re.search(r"Traceback|Assertion|\.cc:\d+|\.cpp:\d+|/project/|/_src/|0x[0-9a-f]{8}", text)
    assert inner is None, text


@pytest.mark.parametrize("path", part(_names(), _is_in_part), indirect=True)
def test_a_case(path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    name, rewritten = _name_of(path), tmp_path / "rewritten" / "model.onnx"
    rewritten.parent.mkdir()
    require(name, "dry run", *outcome(lambda: dry_run(path, BuildConfig(backend="tensorrt", ops="plugin"))))
    exit_code, text = outcome(lambda: rewrite(path, rewritten))
    require(name, "rewrite", exit_code, text)
    require_words(outcome(lambda: inspect_model(path))[1])
    assert capfd.readouterr() == ("", "")
    if exit_code == 0 and name not in NOT_RUN | WRONG_NUMBERS:
        require_same_numbers(path, rewritten)


@pytest.mark.parametrize("path", [name for name in _names() if zlib.crc32(name.encode()) % SAMPLE == 0], indirect=True)
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_case_in_another_precision(path: Path, precision: Any) -> None:
    if _name_of(path) in NOT_RUN:
        pytest.skip("ONNX Runtime ends the process")
    exit_code, _ = outcome(lambda: dry_run(path, BuildConfig(backend="tensorrt", precision=precision)))
    assert exit_code in (0, 2, 3)


@pytest.mark.parametrize(
    "path",
    [name for name in _names() if any(each.command == "build" for each in EXPECTED.get(name, ()))],
    indirect=True,
)
def test_an_engine_of_a_case(path: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorrt_rtx")
    config = BuildConfig(backend="tensorrt-rtx", output=tmp_path / "model.engine")
    require(_name_of(path), "build", *outcome(lambda: build(path, config)))
    assert capfd.readouterr() == ("", "")


def require_same_numbers(original: Path, rewritten: Path) -> None:
    """Compare two models in ONNX Runtime; one that it does not run on made-up inputs cannot be compared."""
    proto = onnx.load(original, load_external_data=False)
    if any(node.op_type.startswith("Random") for node in walk_nodes(proto.graph)):
        return
    try:
        expected = run(original, proto)
    except Exception:  # ONNX Runtime has many, and none of them is about the rewritten model
        return
    for one, other in zip(run(rewritten, proto), expected, strict=True):
        got, wanted = np.asarray(one), np.asarray(other)
        assert got.dtype == wanted.dtype
        if wanted.dtype.kind != "f":
            np.testing.assert_array_equal(got, wanted)
        elif wanted.size:
            finite = wanted[np.isfinite(wanted)].astype(np.float64)
            limit = (1e-2 if wanted.dtype == np.float16 else 1e-4) * max(np.abs(finite).max(initial=0), 1e-6)
            np.testing.assert_allclose(got.astype(np.float64), wanted.astype(np.float64), rtol=0, atol=limit)


def run(path: Path, proto: onnx.ModelProto) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    outputs: list[Any] = session.run(None, feeds(proto))
    return outputs


def feeds(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Return seeded values for every input that is no initializer; a size that is open is SYMBOL_SIZE, a batch 1."""
    random, initializers = np.random.default_rng(3), {tensor.name for tensor in proto.graph.initializer}
    made = {}
    for value in proto.graph.input:
        if value.name in initializers:
            continue
        kind = value.type.tensor_type
        shape = [dim.dim_value or (SYMBOL_SIZE if axis else 1) for axis, dim in enumerate(kind.shape.dim)]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        made[value.name] = np.asarray(random.standard_normal(shape)).astype(dtype)
    return made
