"""Both plugins through TensorRT's own calls - shapes, formats, clones, serialised fields - without TensorRT and GPU."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from host_compiler import compile_cpp

from tests.gpu.kernel_library import library_path


def test_plugins_answer_as_tensorrt_expects(tmp_path: Path) -> None:
    if not library_path().exists():
        pytest.skip(f"no plugin library at {library_path()}")
    source = Path(__file__).with_name("plugin_lifecycle.cpp")
    program = compile_cpp(source, tmp_path / "plugin_lifecycle", "-Wall", "-Wextra", "-ldl")
    finished = subprocess.run([program, library_path()], capture_output=True, text=True, check=True)
    answers = [line.split("\t") for line in finished.stdout.splitlines()]
    assert len(answers) > 40
    assert [name for name, verdict in answers if verdict != "ok"] == []
    for message in (  # what a user reads: which node, what was expected, what was given
        'ReflectPad "middle_pad": pads [0, 0, 1, 2, 0, 0, 3, 4] are for rank 4, X has rank 3',
        "must be smaller than the axis they reflect, axis 3 has size 4",
        "must be smaller than the axis they reflect, axis 2 of X [2, 3, 3, 5] is too small",
        'InstanceNorm "first_norm": X must have rank 3 or more, got 2',
        "scale and bias must have rank 1, got 4 and 1",
        "expected 3 inputs, got 2",
        "X [2, 3, 8] has 3 channels, scale [4], bias [3]",
    ):
        assert message in finished.stderr
