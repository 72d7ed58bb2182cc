"""Python callers give paths as text, shapes as tuples and options as keywords, and type checkers agree."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trtconv
from tests.support.command_line import write_model
from trtconv import BuildConfig, CompareConfig, ShapeRange, comparison
from trtconv.errors import ConfigError
from trtconv.keyword_options import BuildOptions, CompareOptions
from trtconv.run import RunConfig

REPOSITORY = Path(__file__).parents[1]
RTX = {"backend": "tensorrt-rtx", "gpu_arch": "sm_89"}


def test_paths_as_text_and_shapes_as_tuples_build(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    model = str(write_model(tmp_path, "dynamic"))
    output, page = str(tmp_path / "a.engine"), str(tmp_path / "a.html")
    shapes = {"x": ((1, 3, 8, 8), (1, 3, 16, 16), (2, 3, 32, 32))}
    report = trtconv.build(model, output=output, report=page, shapes=shapes, **RTX)
    assert report.engine == Path(output)
    assert Path(page).exists()
    assert list(report.manifest.profiles) == [{"x": ShapeRange(*shapes["x"])}]


def test_options_go_before_those_of_a_configuration(tmp_path: Path) -> None:
    model = str(write_model(tmp_path, "static"))
    config = BuildConfig(backend="tensorrt", keep_native="/pad", precision="bf16", ops="plugin")
    report = trtconv.dry_run(model, config, keep_native="/norm", decisions=str(tmp_path / "plan.json"))
    assert report.precision == "bf16"
    assert {made.node for made in report.decisions if made.became is None} == {"/norm"}
    assert (tmp_path / "plan.json").exists()
    assert trtconv.compare(model, model, num_sets=1, plot=str(tmp_path / "p.png")).input_sets == ["random 1"]
    with pytest.raises(TypeError, match=r"there is no option 'fp16', expected one of: .*precision"):
        trtconv.build(model, fp16=True)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((1, 3, 8), "1x3x8"),
        ([1, 3, 8], "1x3x8"),
        (((1,), (2,), (3,)), "1:2:3"),
        ("1x3:2x3:4x3", "1x3:2x3:4x3"),
        ("[1,2]", "[1,2]"),
        ((), "[]"),
        (np.array([1, 3]), "1x3"),
        (ShapeRange((1,), (2,), (3,)), "1:2:3"),
    ],
)
def test_shapes(given: Any, expected: str) -> None:
    (profile,) = BuildConfig(shapes={"x": given}).profiles
    assert str(profile["x"]) == expected
    assert BuildConfig(profiles=[{"x": given}, {"x": given}]).profiles == (profile, profile)
    assert CompareConfig(shapes={"x": given}).profiles == (profile,)


@pytest.mark.parametrize("given", [1, None, (1, "a"), ((1,), (2,)), (1, None, 3), ((1,), (2,), 3)])
def test_what_is_not_a_shape_is_an_error_that_names_the_input(given: Any) -> None:
    with pytest.raises(ConfigError, match="shape of x"):
        BuildConfig(shapes={"x": given})


def test_shapes_and_profiles_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="there are profiles"):
        BuildConfig(profiles=[{"x": (1,)}], shapes={"x": (1,)})
    with pytest.raises(ConfigError, match="a list of mappings"):
        BuildConfig(profiles={"x": (1,)})  # type: ignore[arg-type]


def test_one_path_or_pattern_may_stand_for_a_list() -> None:
    config = BuildConfig(calibration="a.npz", keep_fp32="n*", precision="fp16")
    assert (config.calibration, config.keep_fp32) == ((Path("a.npz"),), ("n*",))
    assert CompareConfig(inputs=["a.npz", Path("b.npz")]).inputs == (Path("a.npz"), Path("b.npz"))
    assert RunConfig(output="y.npz").output == Path("y.npz")


def test_one_dict_of_arrays_is_one_input_set(tmp_path: Path) -> None:
    model = str(write_model(tmp_path, "static"))
    report = comparison.compare(model, model, {"x": np.ones((1, 3, 8, 8), np.float32)}, 1e-4)
    assert report.passed
    assert report.input_sets == ["input set 1"]


@pytest.mark.parametrize(("options", "config"), [(BuildOptions, BuildConfig), (CompareOptions, CompareConfig)])
def test_the_keywords_are_the_fields(options: Any, config: Any) -> None:
    assert options.__annotations__.keys() == inspect.signature(config).parameters.keys()


GOOD = """
from pathlib import Path
import trtconv

report = trtconv.build("m.onnx", precision="fp16", shapes={"x": (1, 3, 8, 8)}, output="m.engine", calibration="c.npz")
path: Path = report.engine
config = trtconv.BuildConfig(output="m.engine", profiles=[{"x": ((1, 3), (2, 3), (4, 3))}], keep_native="n*")
output: Path | None = config.output
shapes: trtconv.ShapeRange = config.profiles[0]["x"]
passed: bool = trtconv.compare("m.onnx", "m.engine", inputs=["a.npz"], plot="p.png").passed
version: str = trtconv.__version__
"""
BAD = (
    'trtconv.build("m.onnx", fp16=True)',
    'trtconv.build("m.onnx", precision="fp8")',
    "trtconv.BuildConfig(output=3)",
    'trtconv.BuildConfig(shapes={"x": 3})',
    'trtconv.compare("m.onnx")',
    'trtconv.bild("m.onnx")',
)


def test_type_checkers_see_what_is_right_and_what_is_wrong(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    source = tmp_path / "user.py"
    source.write_text(GOOD + "\n".join(BAD) + "\n")
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", str(source)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=300)
    lines = [int(number) for number in re.findall(r"user\.py:(\d+): error", done.stdout)]
    first = GOOD.count("\n") + 1
    assert sorted(set(lines)) == list(range(first, first + len(BAD))), done.stdout + done.stderr
