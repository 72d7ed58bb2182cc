"""The C launchers on a machine without a GPU: version, workspace, and wrong arguments refused before CUDA is asked."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.gpu.kernel_library import FORMAT_CHANNELS_LAST, TorchKernels
from trtconv.element_types import FLOAT16, FLOAT32, INT64
from trtconv.plugins.kernels import KernelError, NormOptions, NormPlace, OutputMap, c_options, c_place

pytestmark = pytest.mark.usefixtures("plugin_library")

SHAPE, TYPE, POINTER, WORKSPACE, OPTION = -1, -2, -3, -4, -6


@pytest.fixture
def library(plugin_library: Path) -> ctypes.CDLL:
    return ctypes.CDLL(str(plugin_library))


def instance_norm_status(library: ctypes.CDLL, **changed: Any) -> int:
    """Call the launcher with good arguments (but null-like pointers) except for those changed."""
    arguments = {
        "input": ctypes.c_void_p(256),
        "scale": ctypes.c_void_p(512),
        "bias": ctypes.c_void_p(768),
        "output": ctypes.c_void_p(1024),
        "batch": ctypes.c_int64(1),
        "channels": ctypes.c_int64(2),
        "slice_size": ctypes.c_int64(1 << 20),
        "epsilon": ctypes.c_float(1e-5),
        "dtype": 0,
        "format": 0,
        "options": None,
        "workspace": ctypes.c_void_p(2048),
        "workspace_bytes": ctypes.c_size_t(1 << 20),
        "stream": ctypes.c_void_p(0),
    }
    assert set(changed) <= set(arguments)
    return int(library.trtconv_instance_norm(*{**arguments, **changed}.values()))


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"batch": ctypes.c_int64(-1)}, SHAPE),
        ({"slice_size": ctypes.c_int64(-5)}, SHAPE),
        ({"dtype": 3}, TYPE),
        ({"dtype": -1}, TYPE),
        ({"format": 2}, TYPE),
        ({"format": -1}, TYPE),
        ({"format": 1, "input": ctypes.c_void_p(264)}, POINTER),
        ({"format": 1, "output": ctypes.c_void_p(1028)}, POINTER),
        ({"format": 1, "workspace_bytes": ctypes.c_size_t(16)}, WORKSPACE),
        ({"input": ctypes.c_void_p(0)}, POINTER),
        ({"scale": ctypes.c_void_p(0)}, POINTER),
        ({"output": ctypes.c_void_p(1025)}, POINTER),
        ({"dtype": 1, "bias": ctypes.c_void_p(1025)}, POINTER),
        ({"workspace_bytes": ctypes.c_size_t(16)}, WORKSPACE),
        ({"workspace": ctypes.c_void_p(0)}, WORKSPACE),
        ({"workspace": ctypes.c_void_p(2056)}, WORKSPACE),
        ({"batch": ctypes.c_int64(0), "input": ctypes.c_void_p(0)}, 0),
        ({"slice_size": ctypes.c_int64(0), "output": ctypes.c_void_p(0)}, 0),
    ],
)
def test_instance_norm_checks_its_arguments(library: ctypes.CDLL, changed: dict[str, Any], status: int) -> None:
    assert instance_norm_status(library, **changed) == status


@pytest.mark.parametrize(
    ("options", "changed", "status"),
    [
        (NormOptions(groups=3), {}, OPTION),
        (NormOptions(groups=-1), {}, OPTION),
        (NormOptions(alpha=math.nan), {}, OPTION),
        (NormOptions(alpha=math.inf), {}, OPTION),
        (NormOptions(residual=1025), {}, POINTER),
        (NormOptions(residual=1028), {"format": 1}, POINTER),
        (NormOptions(activation="prelu"), {}, POINTER),
        (NormOptions(activation="prelu", slope=1025), {}, POINTER),
        (NormOptions(groups=1), {"workspace_bytes": ctypes.c_size_t(16)}, WORKSPACE),
        (NormOptions(groups=1, activation="silu"), {"batch": ctypes.c_int64(0)}, 0),
    ],
)
def test_instance_norm_checks_its_options(
    library: ctypes.CDLL, options: NormOptions, changed: dict[str, Any], status: int
) -> None:
    given = c_options(options)
    assert instance_norm_status(library, options=ctypes.byref(given), **changed) == status


@pytest.mark.parametrize(
    ("phases", "crop", "groups", "status"),
    [
        ((2, 3), (), 2, WORKSPACE),
        ((2, 3), (1, 2), 0, WORKSPACE),
        ((2, 3), (), 3, OPTION),
        ((2, 3), (2, 0), 0, OPTION),
        ((2, 3), (0, -1), 0, OPTION),
        ((1, 3), (1, 0), 0, OPTION),
        ((0, 3), (), 0, OPTION),
        ((5, 1), (), 0, OPTION),
    ],
)
def test_phases_of_a_norm_are_checked(
    library: ctypes.CDLL, phases: tuple[int, int], crop: tuple[int, ...], groups: int, status: int
) -> None:
    """Those that are good lack the memory in which they are interleaved: the input has a channel for each phase."""
    place = NormPlace((1, 1), (0, 0, 0, 0), phases=phases, crop=crop)
    given = c_options(NormOptions(groups=groups, place=place), c_place(place, (1, 24, 9, 7), FLOAT32))
    sizes = {"channels": ctypes.c_int64(24), "slice_size": ctypes.c_int64(63), "workspace_bytes": ctypes.c_size_t(16)}
    assert instance_norm_status(library, options=ctypes.byref(given), **sizes) == status


@pytest.mark.parametrize("activation", [-1, 7])
def test_instance_norm_refuses_an_unknown_activation(library: ctypes.CDLL, activation: int) -> None:
    given = c_options(NormOptions())
    given.activation = activation
    assert instance_norm_status(library, options=ctypes.byref(given)) == OPTION


@pytest.mark.parametrize(
    ("sizes", "pads", "element_bytes", "format_", "addresses", "status"),
    [
        ([4, 5], [0, 1, 0, 1], 3, 0, (256, 512), TYPE),
        ([4, 5], [0, 1, 0, 1], 4, 4, (256, 512), TYPE),
        ([4, 5], [0, 1, 0, 1], 4, 1, (256, 512), SHAPE),
        ([1, 4, 5], [0, 1, 1, 0, 0, 1], 4, 1, (256, 512), SHAPE),
        ([1] * 8, [0] * 16, 1, 3, (256, 512), SHAPE),
        ([1, 4, 5], [0, 0, 1, 0, 0, 1], 4, 1, (256, 516), POINTER),
        ([1, 4, 5], [0, 0, 1, 0, 0, 1], 1, 2, (260, 512), POINTER),
        ([4, 5], [0, 5, 0, 1], 4, 0, (256, 512), SHAPE),
        ([4, 5], [0, -1, 0, 1], 4, 0, (256, 512), SHAPE),
        ([4, -5], [0, 0, 0, 0], 4, 0, (256, 512), SHAPE),
        ([], [], 4, 0, (256, 512), SHAPE),
        ([1] * 9, [0] * 18, 4, 0, (256, 512), SHAPE),
        ([4, 5], [0, 1, 0, 1], 4, 0, (0, 512), POINTER),
        ([4, 5], [0, 1, 0, 1], 4, 0, (256, 514), POINTER),
        ([0, 5], [0, 1, 0, 1], 4, 0, (0, 0), 0),
    ],
)
def test_reflect_pad_checks_its_arguments(
    library: ctypes.CDLL,
    sizes: list[int],
    pads: list[int],
    element_bytes: int,
    format_: int,
    addresses: tuple[int, int],
    status: int,
) -> None:
    found = library.trtconv_reflect_pad(
        *map(ctypes.c_void_p, addresses),
        len(sizes),
        (ctypes.c_int64 * len(sizes))(*sizes),
        (ctypes.c_int64 * len(pads))(*pads),
        element_bytes,
        format_,
        None,
        ctypes.c_void_p(0),
    )
    assert found == status
    kernels = TorchKernels()
    if sizes and len(sizes) <= 8:
        launch = kernels.bind_reflect_pad(
            *addresses, shape=sizes, pads=pads, element_bytes=element_bytes, layout=format_, output_map=OutputMap()
        )
        assert status_of(launch) == status


LINEAR_MAP = {"shape": [1, 3, 4, 5], "pads": [0, 0, 1, 1, 0, 0, 1, 1], "element_bytes": 4, "layout": 0}


@pytest.mark.parametrize(
    ("changed", "output_map", "status"),
    [
        ({"pads": [0, 0, 4, 1, 0, 0, 1, 1]}, OutputMap(), SHAPE),
        ({"pads": [0, 0, 4, 1, 0, 0, 1, 1]}, OutputMap(upsample=(1, 1, 0, 1)), SHAPE),
        ({"pads": [0, 0, 0, -1, 0, 0, 0, 0]}, OutputMap(pad_mode="zero"), SHAPE),
        ({"shape": [1, 3, 0, 5]}, OutputMap(pad_mode="edge"), SHAPE),
        ({}, OutputMap(y_layout=2), SHAPE),
        ({}, OutputMap(y_layout=4), TYPE),
        ({}, OutputMap(upsample=(1, 2, 1, 1), y_layout=1), SHAPE),
        ({"shape": [1, 8, 4, 5]}, OutputMap(phases=(1, 1, 2, 3)), SHAPE),
        ({"shape": [1, 8, 4, 5]}, OutputMap(phases=(1, 2, 2, 1)), SHAPE),
        ({"shape": [1, 8, 4, 5]}, OutputMap(phases=(1, 1, 2, 0)), SHAPE),
        ({"shape": [1, 8, 4, 5]}, OutputMap(phases=(1, 1, 2, 2), crop=(0, 0, 0, 2)), SHAPE),
        ({"shape": [1, 8, 4, 5]}, OutputMap(crop=(0, 0, 0, 1)), SHAPE),
        ({}, OutputMap(x_type=FLOAT32), TYPE),
        ({}, OutputMap(x_type=FLOAT16, y_type=FLOAT32), TYPE),
        ({}, OutputMap(activation="relu"), TYPE),
        ({}, OutputMap(x_type=FLOAT32, y_type=FLOAT32, activation="prelu"), TYPE),
        ({}, OutputMap(x_type=FLOAT32, y_type=INT64), TYPE),
        ({"y": 514}, OutputMap(x_type=FLOAT32, y_type=FLOAT32, activation="relu"), POINTER),
        ({"y": 520}, OutputMap(x_type=FLOAT32, y_type=FLOAT16, y_layout=1), POINTER),
        ({"shape": [0, 3, 4, 5], "x": 0, "y": 0}, OutputMap(pad_mode="edge", upsample=(1, 1, 2, 2)), 0),
    ],
)
def test_output_maps_are_checked(
    library: ctypes.CDLL, changed: dict[str, Any], output_map: OutputMap, status: int
) -> None:
    launch = TorchKernels().bind_reflect_pad(**{"x": 256, "y": 512, **LINEAR_MAP, **changed, "output_map": output_map})
    assert status_of(launch) == status


def status_of(launch: Callable[[int], None]) -> int:
    try:
        launch(0)
    except KernelError as error:
        return error.status
    return 0


def test_workspace_is_asked_for_by_large_slices_only(library: ctypes.CDLL) -> None:
    kernels = TorchKernels()
    assert kernels.workspace_bytes((16, 512, 32 * 32)) == 0
    assert kernels.workspace_bytes((1, 32, 1080 * 1920)) > 0
    assert kernels.workspace_bytes((8, 64, 512 * 512)) < 1 << 16
    assert kernels.workspace_bytes((16, 512, 16 * 16), FORMAT_CHANNELS_LAST) == 0
    assert 0 < kernels.workspace_bytes((1, 32, 1080 * 1920), FORMAT_CHANNELS_LAST) <= 1 << 21
    assert kernels.workspace_bytes((1, 64, 32 * 32), groups=32) == 0
    assert kernels.workspace_bytes((1, 64, 1024 * 32), groups=32) > 0  # a group is a larger slice
    assert kernels.workspace_bytes((2, 320, 64 * 64), FORMAT_CHANNELS_LAST, groups=32) <= 1 << 21


@pytest.mark.parametrize(
    ("shape", "phases", "crop", "layout", "is_interleaved"),
    [
        ((1, 128, 9, 7), (2, 2), (), FORMAT_CHANNELS_LAST, False),
        ((1, 128, 9, 7), (4, 1), (), FORMAT_CHANNELS_LAST, False),
        ((1, 256, 9, 7, 5), (2, 2, 2), (), FORMAT_CHANNELS_LAST, False),
        ((1, 128, 9, 7), (2, 2), (0, 1), FORMAT_CHANNELS_LAST, True),
        ((1, 16, 9, 7), (2, 2), (), FORMAT_CHANNELS_LAST, True),  # channels of a phase that fill no vector
        ((1, 128, 9, 7), (2, 2), (), 0, True),
    ],
)
def test_memory_to_interleave_phases(
    library: ctypes.CDLL,
    shape: tuple[int, ...],
    phases: tuple[int, ...],
    crop: tuple[int, ...],
    layout: int,
    is_interleaved: bool,
) -> None:
    kernels, num_axes = TorchKernels(), len(phases)
    place = NormPlace((1,) * num_axes, (0,) * (2 * num_axes), phases=phases, crop=crop)
    ends = zip(shape[2:], phases, crop or (0,) * num_axes, strict=True)
    whole = (shape[0], shape[1] // math.prod(phases), *(size * factor - left_out for size, factor, left_out in ends))
    lanes = 8 if layout == FORMAT_CHANNELS_LAST else 1
    elements = -(-whole[1] // lanes) * lanes * math.prod(whole[2:])
    beside = kernels.workspace_bytes(shape, layout, 0, place, FLOAT16) - kernels.workspace_bytes(
        whole, layout, 0, place._replace(phases=(), crop=()), FLOAT16
    )
    assert beside == (-(-elements * 2 // 256) * 256 if is_interleaved else 0)


def test_no_memory_for_phases_that_cannot_be(library: ctypes.CDLL) -> None:
    place = NormPlace((1, 1), (0, 0, 0, 0), phases=(0, 2))
    assert TorchKernels().workspace_bytes((1, 8, 6, 6), place=place) == 0


def fake_tensor(address: int, *shape: int, dtype: str = "float32") -> Any:
    """A torch tensor on paper."""
    return SimpleNamespace(
        shape=shape,
        dtype=f"torch.{dtype}",
        data_ptr=lambda: address,
        element_size=lambda: 2 if dtype == "float16" else 4,
        numel=lambda: math.prod(shape),
    )


def test_what_the_gpu_tests_call_reaches_the_launchers(library: ctypes.CDLL) -> None:
    """An empty tensor enqueues nothing; wrong arguments come back as a status."""
    kernels = TorchKernels()
    scale, workspace = fake_tensor(512, 2), fake_tensor(2048, 64)
    kernels.instance_norm(fake_tensor(256, 0, 2, 9), scale, scale, fake_tensor(1024, 0, 2, 9), 1e-5, workspace)
    kernels.reflect_pad(fake_tensor(256, 0, 2, 9), fake_tensor(1024, 0, 2, 11), [0, 0, 1, 0, 0, 1])
    x, y = (fake_tensor(address, 1, 2, 9, dtype="float16") for address in (256, 1025))
    with pytest.raises(KernelError) as norm_error:
        kernels.instance_norm(x, scale, scale, y, 1e-5)
    with pytest.raises(KernelError) as pad_error:
        kernels.reflect_pad(x, y, [0, 0, 9, 0, 0, 1])
    assert (norm_error.value.status, pad_error.value.status) == (POINTER, SHAPE)
    with pytest.raises(KernelError) as type_error:
        kernels.instance_norm(fake_tensor(256, 1, 2, 9, dtype="int32"), scale, scale, y, 1e-5)
    assert type_error.value.is_not_offered


def test_version_is_that_of_the_project(library: ctypes.CDLL) -> None:
    major, minor, patch = TorchKernels().version().split(".")[:3]
    assert major.isdigit()
    assert minor.isdigit()
    assert patch
