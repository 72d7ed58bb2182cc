"""Every name of TensorRT's API that trtconv uses exists in the versions at hand: needs no GPU and builds nothing."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from tests.support.plugin_libraries import any_library
from trtconv.ops import CUSTOM_OPS
from trtconv.ops.custom_op import DOMAIN, VERSION

COMMON = (
    "ILogger.Severity.INTERNAL_ERROR",
    "Builder.build_serialized_network",
    "Builder.create_network",
    "Builder.create_optimization_profile",
    "OnnxParser.parse",
    "OnnxParser.get_error",
    "IBuilderConfig.set_memory_pool_limit",
    "IBuilderConfig.get_memory_pool_limit",
    "IBuilderConfig.set_flag",
    "IBuilderConfig.clear_flag",
    "IBuilderConfig.profiling_verbosity",
    "IBuilderConfig.progress_monitor",
    "IBuilderConfig.add_optimization_profile",
    "IOptimizationProfile.set_shape",
    "IOptimizationProfile.set_shape_input",
    "MemoryPoolType.WORKSPACE",
    "BuilderFlag.TF32",
    "ProfilingVerbosity.DETAILED",
    "IProgressMonitor",
    "NetworkDefinitionCreationFlag",
    "Runtime.deserialize_cuda_engine",
    "get_plugin_registry",
)
# By option of `trtconv build`, for those that full TensorRT alone has.
OPTIONS = {
    "--opt-level": ("IBuilderConfig.builder_optimization_level",),
    "--timing-cache": (
        "IBuilderConfig.create_timing_cache",
        "IBuilderConfig.set_timing_cache",
        "IBuilderConfig.get_timing_cache",
        "ITimingCache.combine",
        "ITimingCache.serialize",
    ),
    "--version-compatible": ("BuilderFlag.VERSION_COMPATIBLE",),
    "--exclude-lean-runtime": ("BuilderFlag.EXCLUDE_LEAN_RUNTIME", "Runtime.load_runtime"),
    "--hardware-compatible": (
        "IBuilderConfig.hardware_compatibility_level",
        "HardwareCompatibilityLevel.AMPERE_PLUS",
    ),
    "--refittable": (
        "BuilderFlag.REFIT",
        "Refitter.get_missing_weights",
        "Refitter.refit_cuda_engine",
        "OnnxParserRefitter.refit_from_bytes",
    ),
    "--strip-weights": ("BuilderFlag.STRIP_PLAN",),
    "--embed-plugins": ("IBuilderConfig.plugins_to_serialize", "Runtime.engine_host_code_allowed"),
}


def module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed")


def has(trt: Any, path: str) -> bool:
    value = trt
    for part in path.split("."):
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True


@pytest.mark.parametrize("name", COMMON)
@pytest.mark.parametrize("package", ["tensorrt", "tensorrt_rtx"])
def test_what_every_build_uses(package: str, name: str) -> None:
    assert has(module(package), name)


@pytest.mark.parametrize("option", OPTIONS)
def test_what_an_option_uses(option: str) -> None:
    trt = module("tensorrt")
    assert [name for name in OPTIONS[option] if not has(trt, name)] == []


def test_networks_are_strongly_typed_and_streams_are_there_where_the_version_has_them() -> None:
    trt = module("tensorrt")
    version = tuple(map(int, trt.__version__.split(".")[:2]))
    assert has(trt, "NetworkDefinitionCreationFlag.STRONGLY_TYPED")
    assert has(trt, "Builder.build_serialized_network_to_stream") == (version >= (10, 14))
    assert has(trt, "IStreamWriter") == (version >= (10, 14))


def test_the_registry_takes_the_plugin_library(monkeypatch: pytest.MonkeyPatch) -> None:
    trt = module("tensorrt")
    registry = trt.get_plugin_registry()
    known = all(registry.get_creator(name, str(VERSION), DOMAIN) for name in CUSTOM_OPS)
    assert known or registry.load_library(str(any_library(monkeypatch))) is not None
    assert all(registry.get_creator(name, str(VERSION), DOMAIN) for name in CUSTOM_OPS)
