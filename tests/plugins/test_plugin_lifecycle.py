"""Both plugins through TensorRT's own calls - shapes, formats, clones, serialised fields - without TensorRT and GPU."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from host_compiler import compile_cpp

from tests.gpu.kernel_library import library_path
from tests.support.plugin_trace import DOCUMENT, MARK, VARIABLE, calls_of, document, documented, normalised, trace_lines

pytestmark = pytest.mark.usefixtures("plugin_library")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = Path(__file__).with_name("plugin_lifecycle.cpp")
    output = tmp_path_factory.mktemp("lifecycle") / "plugin_lifecycle"
    return compile_cpp(source, output, "-O0", "-Wall", "-Wextra", "-ldl")


def run(program: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name != VARIABLE}
    return subprocess.run(
        [program, library_path()], capture_output=True, text=True, check=True, env={**clean, **environment}
    )


def test_plugins_answer_as_tensorrt_expects(program: Path) -> None:
    finished = run(program)
    answers = [line.split("\t") for line in finished.stdout.splitlines()]
    assert len(answers) > 40
    assert [name for name, verdict in answers if verdict != "ok"] == []
    for message in (  # what a user reads: which node, what was expected, what was given
        'ReflectPad "middle_pad": pads [0, 0, 1, 2, 0, 0, 3, 4] are for rank 4, X has rank 3',
        "must be smaller than the axis they reflect, axis 3 has size 4",
        "must be smaller than the axis they reflect, axis 2 of X [2, 3, 3, 5] is too small",
        'InstanceNorm "first_norm": X must have rank 3 or more, got 2',
        "scale and bias must both have rank 1 or both rank 2, got 4 and 1",
        "expected 3 to 4 inputs, got 2",
        "X [2, 3, 8] has 3 channels, scale [4], bias [3]",
        'InstanceNorm "from_cpp": field "epsilon" is missing, expected float32 x 1; given fields: none',
        'InstanceNorm "from_cpp": field "epsilon" is missing, expected float32 x 1; given fields: Epsilon',
        'InstanceNorm "from_cpp": field 0 has no name',
        'InstanceNorm "from_cpp": field "epsilon": expected float32 x 1, given float64 x 1',
        'InstanceNorm "from_cpp": field "epsilon": expected float32 x 1, given float32 x 2',
        'InstanceNorm "from_cpp": field "epsilon" has no data',
        'InstanceNorm "from_cpp": field "epsilon": expected a finite number not below 0, given -1e-05',
        'InstanceNorm "from_cpp": field "epsilon": expected a finite number not below 0, given -inf',
        'InstanceNorm "from_cpp": field "epsilon": expected a finite number not below 0, given inf',
        'InstanceNorm "from_cpp": field "epsilon": expected a finite number not below 0, given nan',
        'InstanceNorm "first_norm": X has 3 channels, scale has 2 elements',
        'InstanceNorm "first_norm": X has 3 channels, bias has 6 elements',
        "input 2 must be of type 1, got type 0",
        "X [2, 3, 8] has 3 channels, scale [3], bias [2]",
        "residual must have the rank of X, 4, got 3",
        "axis 3 of X has size 7 and pads of 0, residual has 8",
        "residual [2, 3, 9] does not have the shape of X [2, 3, 8]",
        'InstanceNorm "prelu_norm": expected 4 to 5 inputs, got 3',
        'InstanceNorm "prelu_norm": X has 8 channels, slope has 7 elements',
        'InstanceNorm "prelu_norm": groups 4 do not divide the 6 channels of X',
        "groups 4 do not divide the 6 channels of X [2, 6, 9]",
        'field "activation": expected one of none, relu, leaky_relu, prelu, silu, elu, tanh, given "gelu"',
        'field "activation": expected char, given int32 x 1',
        'field "groups": expected no negative number, given -1',
        'field "groups": expected one integer, given 2',
        'field "pad_mode": expected one of reflect, edge, zero, given "wrap"',
        'ReflectPad "from_cpp": field "pads": expected int32 or int64, given int8 x 4',
        'ReflectPad "from_cpp": field "pads": expected 2 values for each of 1 to 8 axes, given 3 values',
        'ReflectPad "from_cpp": field "pads": expected int32 or int64, given int32 x -4',
        'ReflectPad "from_cpp": field "pad_mode": expected one of reflect, edge, zero, given "constant"',
        'ReflectPad "from_cpp": field "activation": prelu has a slope for each channel, which only a norm takes',
        'ReflectPad "from_cpp": field "upsample": expected factors of at least 1',
        'ReflectPad "from_cpp": field "upsample": expected 1 or 4 factors',
        'ReflectPad "from_cpp": field "to": expected 0, 1 (float32), 10 (float16) or 16 (bfloat16), given 2',
        'ReflectPad "edge_pad": pads 1 and 3 need an axis that is not empty, axis 2 has size 0',
        'ReflectPad "upsampled_pad": pads 2 and 4 must be smaller than the axis they reflect, axis 3 has size 4',
        'InstanceNorm "placed_norm": pads 2 and 4 must be smaller than the axis they reflect, axis 3 has size 4',
        'field "pads": X needs 1 or 6 values, given 4',
        'field "to": this version converts from float32 alone, X has type 7',
        'ReflectPad "phased_pad": phases [1, 1, 2, 3] need a multiple of 6 channels, X has 8',
        'ReflectPad "phased_pad": crop 1 leaves nothing of axis 2 of X, which has 2 phases of size 0',
        'ReflectPad "from_cpp": field "phases": expected 1 for axis 0, which is not spatial, given 2',
        'ReflectPad "from_cpp": field "phases": X needs 1 or 4 values, given 2',
        'ReflectPad "from_cpp": field "crop": expected fewer than the 1 phases of axis 0, given 2',
        'InstanceNorm "phased_norm": X has 4 channels, scale has 16 elements',
        'InstanceNorm "phased_norm": groups 2 do not divide the 3 channels of X',
        'InstanceNorm "phased_norm": field "crop": X needs 1 or 3 values, given 2',
        "axis 1 of X has size 4 and pads of 0, residual has 16",
        "phases [1, 1, 2, 2] need a multiple of 4 channels, X has 18",
        "residual [2, 16, 9, 7] does not have the shape of X [2, 4, 18, 13]",
        'InstanceNorm "from_cpp": field "phases": expected values of at least 1, given [0]',
        'InstanceNorm "from_cpp": field "crop": expected values of at least 0, given [-1]',
        'with an activation or "to", X must be float32, float16 or bfloat16, got type 3',
    ):
        assert message in finished.stderr


# What the program does with a plugin at first: create, clone, attach, save, create again; and drop them all.
COPIES = """
creator InstanceNorm: createPlugin build "a node" -> #1
#1 build InstanceNorm "a node": clone -> #2
#2 build InstanceNorm "a node": attachToContext -> #3
#1 build InstanceNorm "a node": getTimingCacheID
#1 build InstanceNorm "a node": destroyed
#2 build InstanceNorm "a node": getFieldsToSerialize
#3 build InstanceNorm "a node": getFieldsToSerialize
#3 build InstanceNorm "a node": getTimingCacheID
#3 build InstanceNorm "a node": getFieldsToSerialize
creator InstanceNorm: createPlugin runtime "a node" -> #4
#4 runtime InstanceNorm "a node": getFieldsToSerialize
#4 runtime InstanceNorm "a node": destroyed
#3 build InstanceNorm "a node": destroyed
#2 build InstanceNorm "a node": destroyed
""".strip().splitlines()


def test_trace_tells_each_call_of_a_life(program: Path) -> None:
    lines = trace_lines(run(program, **{VARIABLE: "1"}).stderr)
    assert normalised(lines)[: len(COPIES)] == COPIES
    assert calls_of(lines) == {
        *("createPlugin", "clone", "attachToContext", "destroyed", "getFieldsToSerialize", "getTimingCacheID"),
        *("getOutputDataTypes", "getOutputShapes", "supportsFormatCombination", "getWorkspaceSize", "onShapeChange"),
        *("enqueue", "configurePlugin", "setTactic", "getFieldNames"),
    }
    for line in (
        '#5 build InstanceNorm "first_norm": onShapeChange [2, 3, 8] [4] [3]',
        '#5 build InstanceNorm "first_norm": enqueue [2, 3, 0] [3] [3] stream 0',
        '#5 build InstanceNorm "first_norm": supportsFormatCombination tensor 0 type 3 format 0 -> no',
        '#5 build InstanceNorm "first_norm": configurePlugin [2, 3, 4, 4]:[2, 3, 4, 4] [3]:[3] [3]:[3]',
    ):
        assert line in lines


def test_the_document_names_each_call_that_is_traced(program: Path) -> None:
    text = DOCUMENT.read_text()
    lines = trace_lines(run(program, **{VARIABLE: "1"}).stderr)
    assert {call for call in calls_of(lines) if call not in text} == set()


def test_the_document_takes_a_trace(tmp_path: Path) -> None:
    page = tmp_path / "plugins.md"
    page.write_text(DOCUMENT.read_text())
    lines = ["TensorRT 1.2.3", '#1 build Op "a\1b": clone -> #2']
    document(lines, page)
    assert documented(page) == lines
    document(documented(), page)
    assert page.read_text() == DOCUMENT.read_text()


def test_every_plugin_that_was_made_is_destroyed_once(program: Path) -> None:
    lines = trace_lines(run(program, **{VARIABLE: "1"}).stderr)
    made = [found[1] for line in lines if (found := re.search(r"-> #(\d+)$", line))]
    gone = [found[1] for line in lines if (found := re.match(r"#(\d+) .*: destroyed$", line))]
    assert made == [str(number) for number in range(1, len(made) + 1)]
    assert sorted(gone, key=int) == made


@pytest.mark.parametrize("value", ["", "0", "yes"])
def test_nothing_is_traced_without_being_asked(program: Path, value: str) -> None:
    errors = run(program, **({VARIABLE: value} if value else {})).stderr
    assert MARK.strip() not in errors
    assert "InstanceNorm" in errors  # refusals are told all the same
