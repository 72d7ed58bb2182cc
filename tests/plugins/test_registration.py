"""The library in the plugin registries of TensorRT and TensorRT-RTX, however it is loaded. Needs no GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import util
from pathlib import Path
from typing import Any

import pytest

from tests.gpu.kernel_library import library_path
from tests.support.plugin_libraries import compiled_library
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import VERSION
from trtconv.plugins.network import FIELD_TYPES

SCENARIO = Path(__file__).with_name("registration_scenario.py")
BOTH = sorted(f"{op.title} {VERSION}" for op in CUSTOM_OPS.values())
MODULES = [
    pytest.param(name, marks=pytest.mark.skipif(util.find_spec(name) is None, reason=f"{name} is not installed"))
    for name in ("tensorrt_rtx", "tensorrt")
]

pytestmark = pytest.mark.usefixtures("plugin_library")


def run_scenario(module: str, *steps: str, preload: str = "") -> tuple[list[dict[str, Any]], str]:
    """Run the steps in a fresh process; return what each found, and standard error."""
    environment = {**os.environ, "LD_PRELOAD": preload} if preload else dict(os.environ)
    finished = subprocess.run(
        [sys.executable, str(SCENARIO), module, *steps],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    return [json.loads(line) for line in finished.stdout.splitlines() if line.startswith("{")], finished.stderr


@pytest.mark.parametrize(
    "steps",
    [
        ["dlopen"],
        ["dlopen", "dlopen"],
        ["load_library"],
        ["load_library", "load_library"],
        ["dlopen", "load_library"],
        ["dlopen", "load_library", "load_library"],
        ["load_library", "dlopen"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("module", MODULES)
def test_each_creator_is_registered_once(module: str, steps: list[str]) -> None:
    found, errors = run_scenario(module, *steps)
    assert [step["creators"] for step in found] == [BOTH] * len(steps)
    assert "rror" not in errors


@pytest.mark.parametrize(
    "before", [["load_library"], ["dlopen", "load_library"], ["load_library", "dlopen"]], ids=" ".join
)
@pytest.mark.parametrize("module", MODULES)
def test_deregistered_library_can_be_loaded_again(module: str, before: list[str]) -> None:
    found, _ = run_scenario(module, *before, "deregister", "load_library")
    assert found[-2]["creators"] == []
    assert found[-1]["creators"] == BOTH


@pytest.mark.parametrize("module", MODULES)
def test_loaded_before_tensorrt_it_waits_for_load_library(module: str) -> None:
    found, _ = run_scenario(module, "dlopen", "import", "load_library")
    assert [step["creators"] for step in found] == [[], [], BOTH]


def test_preloaded_together_with_tensorrt_it_registers() -> None:
    package = util.find_spec("tensorrt_rtx_libs")
    if package is None or not package.submodule_search_locations:
        pytest.skip("tensorrt_rtx is not installed")
    tensorrt = Path(next(iter(package.submodule_search_locations)), "libtensorrt_rtx.so.1")
    for order in (f"{tensorrt} {library_path()}", f"{library_path()} {tensorrt}"):
        found, _ = run_scenario("tensorrt_rtx", "look", preload=order)
        assert found[0]["creators"] == BOTH


@pytest.mark.parametrize("module", MODULES)
def test_creators_take_the_fields_of_the_table(module: str) -> None:
    """TensorRT's parser hands a plugin the attributes that its creator lists, and no other."""
    found, _ = run_scenario(module, "load_library", "fields")
    assert found[-1]["result"] == {
        op.name: {name: FIELD_TYPES[row.kind][1] for name, row in op.attributes.items()} for op in CUSTOM_OPS.values()
    }


@pytest.mark.parametrize("module", MODULES)
def test_plugins_are_created_from_right_fields_only(module: str) -> None:
    found, errors = run_scenario(module, "load_library", "create")
    created = found[-1]["result"]
    assert {case for case, is_created in created.items() if is_created} == {
        "good epsilon",
        "good pads",
        "good int64 pads",
    }
    for message in (
        'InstanceNorm "some_node": field "epsilon" is missing, expected float32 x 1; given fields: none',
        'InstanceNorm "some_node": field "epsilon" is missing, expected float32 x 1; given fields: eps',
        'InstanceNorm "some_node": field "epsilon": expected float32 x 1, given float64 x 1',
        'InstanceNorm "some_node": field "epsilon": expected float32 x 1, given float32 x 2',
        'InstanceNorm "some_node": unknown field "alfa", given float32 x 1; expected fields: epsilon',
        'InstanceNorm "some_node": field "epsilon" is given twice',
        'ReflectPad "some_node": field "pads": expected int32 or int64, given float32 x 6',
        'ReflectPad "some_node": field "pads": expected 2 values for each of 1 to 8 axes, given 5 values',
        'ReflectPad "some_node": field "pads": expected no negative value, given [0, 0, -3, 0, 0, -2]',
    ):
        assert message in errors


def test_library_exports_its_interface_and_nothing_else() -> None:
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", str(library_path())], capture_output=True, text=True, check=True
    ).stdout
    assert {line.split()[-1] for line in listing.splitlines()} == {
        "getCreators",
        "setLoggerFinder",
        "trtconv_instance_norm",
        "trtconv_instance_norm_workspace_bytes",
        "trtconv_reflect_pad",
        "trtconv_plugin_library_version",
    }


def test_library_needs_neither_tensorrt_nor_cuda_libraries() -> None:
    command = ["readelf", "-d", str(compiled_library())]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    needed = [line.split("[")[1].rstrip("]") for line in listing.splitlines() if "(NEEDED)" in line]
    assert all(
        name.startswith(("libstdc++", "libgcc_s", "libc.", "libm.", "ld-linux", "libdl", "libpthread", "librt"))
        for name in needed
    ), needed
