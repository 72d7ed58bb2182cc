"""What `trtconv bench --ops` times: its cases, their values, and the calls into the plugin library."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.bench_fakes import CASES, FUSED, GROUPS, PAD, RELU, SMALL
from trtconv.benchmark import cases
from trtconv.benchmark.cases import select_cases
from trtconv.benchmark.kernels import Tensors, bind, workspace_bytes
from trtconv.errors import BackendError, ConfigError
from trtconv.plugins.kernels import LAYOUTS, load_kernels


def test_case_names_and_patterns() -> None:
    everything = select_cases(())
    assert len({case.name for case in everything}) == len(everything) >= 45
    assert {case.dtype for case in everything if case.op == "ReflectPad"} == {"fp32", "fp16", "int8"}
    assert {case.tensorrt_format for case in everything} == {None, "HWC", "HWC8", "DHWC8", "CHW32"}
    chosen = select_cases(("InstanceNorm/*/fp16/*", "ReflectPad/*+512/int8/*"))
    assert {case.op for case in chosen} == {"InstanceNorm", "ReflectPad"}
    assert [case.shape for case in chosen if case.op == "ReflectPad"] == [(1, 256, 44100)]
    with pytest.raises(ConfigError, match="no case matches 'LayerNorm"):
        select_cases(("*", "LayerNorm*"))


def test_cases_of_what_is_fused_have_names_and_families() -> None:
    chosen = select_cases(("InstanceNorm/1x256x128x128*/fp16/channels_last*",))
    names = [case.name.partition("channels_last")[2] for case in chosen]
    assert names == ["", "/relu", "/residual+relu", "/relu+upsample2", "/relu+pad", "/relu+upsample2+pad"]
    assert [case.family for case in chosen] == ["InstanceNorm", *["InstanceNorm fused"] * 5]
    assert [case.output_shape for case in chosen[-2:]] == [(1, 256, 130, 130), (1, 256, 258, 258)]
    element = 2
    assert chosen[2].num_bytes == 3 * 256 * 128 * 128 * element
    assert chosen[-1].num_bytes == 256 * (128 * 128 + 258 * 258) * element
    (cast,) = select_cases(("ReflectPad/*/fp32/linear/to-fp16",))
    assert cast.output_bytes * 2 * 256 * 256 == cast.input_bytes * 258 * 258
    groups = select_cases(("*/groups32",))
    assert {case.family for case in groups} == {"InstanceNorm groups"}
    assert {case.shape for case in groups} == {(1, 128, 512, 512), (1, 512, 64, 64), (2, 320, 64, 64)}


def test_the_real_library_takes_the_calls_as_they_are_made() -> None:
    """Needs no GPU: an empty tensor enqueues nothing, and wrong arguments are told apart."""
    try:
        library, _ = load_kernels()
    except BackendError:
        pytest.skip("the plugin library is not compiled")
    for case in (SMALL, replace(SMALL, dtype="bf16"), PAD, GROUPS, FUSED, replace(PAD, dtype="fp16", extra=RELU)):
        empty = replace(case, shape=(0, *case.shape[1:]))
        bind(library, empty, Tensors(256, 512, 1024, 2048, 8192, 4096))(0)
        with pytest.raises(BackendError, match="launcher status -3"):
            bind(library, case, Tensors(0, 0))(0)
    resident, split = (replace(SMALL, shape=(2, 3, size)) for size in (64, 1 << 22))
    assert workspace_bytes(library, split) > workspace_bytes(library, resident) == 0
    assert workspace_bytes(library, PAD) == 0


def test_numbers_are_those_of_the_header() -> None:
    header = (Path(__file__).parents[2] / "plugins_cuda" / "trtconv_kernels.h").read_text()
    layouts = {name.lower(): int(number) for name, number in re.findall(r"TRTCONV_FORMAT_(\w+) (\d+)", header)}
    assert layouts
    assert layouts.items() <= LAYOUTS.items()
    assert "#define TRTCONV_ERROR_TYPE (-2)" in header


def test_made_values_hide_no_mistake() -> None:
    for case in CASES:
        values = cases.make_values(case)
        assert values.x.shape == case.shape
        slices = {values.x[n, c].tobytes() for n in range(case.shape[0]) for c in range(case.shape[1])}
        assert len(slices) == case.shape[0] * case.shape[1], "no two slices are alike"
        if values.scale is not None:
            assert abs(float(values.x.astype(np.float64).mean())) > 1, "the mean matters"
