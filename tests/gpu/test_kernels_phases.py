"""Phases through the C launchers of both ops, on a GPU: maps and norms of inputs that hold neighbours as channels.

X is made from the tensor that it stands for, which the references are taken of; what is cropped of it is NaN.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gpu.cuda_torch import torch
from tests.gpu.fused_checks import FusedCase
from tests.gpu.kernel_library import BY_NAME, FORMAT_CHANNELS_LAST, FORMAT_LINEAR, TorchKernels
from tests.gpu.kernel_tensors import to_numpy
from tests.gpu.layouts import from_layout, in_phases, to_layout
from tests.gpu.map_checks import assert_near, counting, gather, normal, reference
from tests.gpu.placed_checks import Place, check_placed
from tests.support.map_references import ACTIVATIONS, PAD_MODES, activated, phased
from trtconv.plugins.kernels import NormOptions, NormPlace, OutputMap

pytestmark = pytest.mark.gpu

FLOATS = ("float32", "float16", "bfloat16")
LAYOUTS = (FORMAT_LINEAR, FORMAT_CHANNELS_LAST)
FORMATS = tuple(itertools.product(LAYOUTS, LAYOUTS))

# Sizes of what the phases stand for, phases, pads and factors of the spatial axes. Where the phases do not divide a
# size, X is cropped.
CASES = [
    ((34, 38), (2, 2), (0, 0, 0, 0), (1, 1)),
    ((64, 80), (4, 4), (0, 0, 0, 0), (1, 1)),
    ((33, 39), (2, 2), (1, 1, 1, 1), (1, 1)),
    ((30, 42), (2, 3), (2, 0, 1, 3), (2, 2)),
    ((31, 40), (1, 4), (0, 2, 0, 1), (1, 2)),
    ((31, 40), (3, 1), (1, 0, 1, 0), (1, 1)),
    ((602,), (2,), (0, 0), (1,)),
    ((301,), (4,), (7, 5), (2,)),
    ((9, 10, 16), (1, 1, 4), (0, 0, 0, 0, 0, 0), (1, 1, 1)),
    ((8, 10, 12), (2, 2, 2), (0, 0, 0, 0, 0, 0), (1, 1, 1)),
    ((9, 10, 11), (2, 3, 2), (1, 1, 1, 1, 1, 1), (2, 1, 2)),
]


def test_phases_are_those_of_depth_to_space(kernels: TorchKernels) -> None:
    """What the tests make X of is what the reference, which is checked against ONNX's operator, interleaves again."""
    for sizes, phases, _, _ in CASES:
        whole = counting((2, 3, *sizes), "float32")
        x, crop = in_phases(whole, phases, float("nan"))
        assert (phased(to_numpy(x), phases, crop) == to_numpy(whole)).all()


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "int64"])
@pytest.mark.parametrize(("sizes", "phases", "pads", "upsample"), CASES)
def test_words_are_moved(
    kernels: TorchKernels,
    sizes: tuple[int, ...],
    phases: tuple[int, ...],
    pads: tuple[int, ...],
    upsample: tuple[int, ...],
    dtype: str,
) -> None:
    for number, (batch, channels) in enumerate(((1, 1), (2, 3), (1, 8), (3, 64))):
        whole = counting((batch, channels, *sizes), dtype)
        mode = PAD_MODES[number % 3]
        expected = reference(whole, pads, upsample, mode)
        for formats in FORMATS if dtype != "int64" else FORMATS[:1]:
            y = gather(kernels, whole, pads, upsample, mode, phases=phases, formats=formats)
            assert (to_numpy(y) == expected).all()
        y = gather(kernels, whole, pads, upsample, mode, phases=phases, misalignment=3)
        assert (to_numpy(y) == expected).all()


@pytest.mark.parametrize("formats", FORMATS)
@pytest.mark.parametrize("y_type", FLOATS)
@pytest.mark.parametrize("x_type", FLOATS)
def test_activations_and_types(kernels: TorchKernels, x_type: str, y_type: str, formats: tuple[int, int]) -> None:
    for number, activation in enumerate(ACTIVATIONS):
        for offset, channels in enumerate((3, 8, 20)):
            sizes, phases, pads, upsample = CASES[(number + offset * 4) % len(CASES)]
            mode = PAD_MODES[(number + offset) % 3]
            whole = normal((2, channels, *sizes), x_type, number)
            y = gather(
                kernels,
                whole,
                pads,
                upsample,
                mode,
                to=y_type,
                activation=activation,
                alpha=0.3,
                formats=formats,
                phases=phases,
            )
            assert_near(y, activated(reference(whole, pads, upsample, mode), activation, 0.3), y_type)


@pytest.mark.parametrize("phases", [(4, 4), (2, 2), (3, 4)])
@pytest.mark.parametrize(
    ("x_type", "y_type", "activation"),
    [
        ("float16", "float32", "tanh"),
        ("bfloat16", "float32", "tanh"),
        ("float16", "float16", "tanh"),
        ("float16", "float16", None),
    ],
)
def test_last_map_of_a_network(
    kernels: TorchKernels, x_type: str, y_type: str, activation: str | None, phases: tuple[int, int]
) -> None:
    """Three channels of phases, channels-last, into a linear image, of sizes that the phases divide and not."""
    for sizes in ((1080, 1920), (61, 68), (61, 67), (4, 4), (1, 5)):
        whole = normal((2, 3, *sizes), x_type)
        y = gather(
            kernels,
            whole,
            (0, 0, 0, 0),
            (1, 1),
            "zero",
            to=y_type if activation else None,
            activation=activation,
            formats=(FORMAT_CHANNELS_LAST, FORMAT_LINEAR),
            phases=phases,
        )
        expected = activated(to_numpy(whole), activation, 0) if activation else to_numpy(whole)
        assert_near(y, expected, y_type)


def test_last_map_into_a_misaligned_image(kernels: TorchKernels) -> None:
    whole = normal((2, 3, 64, 64), "float16")
    for misalignment in (1, 2):
        y = gather(
            kernels,
            whole,
            (0, 0, 0, 0),
            (1, 1),
            "zero",
            formats=(FORMAT_CHANNELS_LAST, FORMAT_LINEAR),
            phases=(4, 4),
            misalignment=misalignment,
        )
        assert torch.equal(y, whole)


def test_rows_of_volumes(kernels: TorchKernels) -> None:
    """More pixels than a block, all three axes with phases, cropped and padded."""
    for sizes, pads in (((32, 40, 48), (0,) * 6), ((31, 39, 47), (0,) * 6), ((31, 40, 47), (1, 0, 2, 1, 1, 0))):
        whole = counting((2, 32, *sizes), "float16")
        formats = (FORMAT_CHANNELS_LAST, FORMAT_CHANNELS_LAST)
        y = gather(kernels, whole, pads, (1, 1, 1), "reflect", phases=(2, 2, 2), formats=formats)
        assert (to_numpy(y) == reference(whole, pads, (1, 1, 1), "reflect")).all()


def test_of_more_images_than_a_grid_has_layers(kernels: TorchKernels) -> None:
    whole = counting((65537, 1, 16, 16), "float16")
    y = gather(kernels, whole, (0, 0, 0, 0), (1, 1), "zero", phases=(2, 2))
    assert torch.equal(y, whole)


def test_more_than_2_31_elements(kernels: TorchKernels) -> None:
    x = torch.randint(0, 100, (1, 4, 1 << 15, 16500), dtype=torch.uint8, device="cuda")
    y = torch.empty(1, 1, 1 << 16, 33000, dtype=torch.uint8, device="cuda")
    kernels.reflect_pad(x, y, (0,) * 8, output_map=OutputMap((1,) * 4, "zero", phases=(1, 1, 2, 2)))
    torch.cuda.synchronize()
    assert y.numel() > 1 << 31
    for row, column in itertools.product(range(2), range(2)):
        assert torch.equal(y[0, 0, row::2, column::2], x[0, 2 * row + column])


# What networks have before a norm that reads phases, and shapes of all kernels: a block, clusters, a cooperative grid,
# streamed. The phases of the first divide the sizes, which is the fast path.
NORM_CASES = [
    ((2, 32, 12, 14), (2, 2)),
    ((2, 64, 80, 80), (2, 2)),
    ((1, 32, 256, 256), (4, 4)),
    ((2, 64, 300, 302), (2, 2)),
    ((1, 32, 1080, 1920), (2, 2)),
    ((1, 8, 60, 45), (1, 3)),
    ((1, 8, 60, 45), (4, 1)),
    ((2, 16, 33, 35), (2, 2)),
    ((2, 20, 34, 36), (2, 2)),
    ((1, 3, 64, 64), (4, 4)),
]
IMAGE_PLACES = [
    Place((1, 1), (0, 0, 0, 0)),
    Place((1, 1), (1, 1, 1, 1)),
    Place((1, 1), (4, 3, 0, 2), "zero"),
    Place((2, 2), (1, 1, 1, 1), "edge"),
    Place((1, 1), (0, 0, 0, 0), residual_pads=(1, 2, 3, 0)),
]


@pytest.mark.parametrize("place", IMAGE_PLACES)
@pytest.mark.parametrize(("shape", "phases"), NORM_CASES)
@pytest.mark.parametrize("format_", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_norms_of_images(
    kernels: TorchKernels, dtype: str, format_: int, shape: tuple[int, ...], phases: tuple[int, int], place: Place
) -> None:
    if shape[2] > 1000 and (dtype == "bfloat16" or place.upsample != (1, 1)):
        pytest.skip("large tensors of the types and places that networks have")
    number = NORM_CASES.index((shape, phases))
    activation = ("none", "relu", "silu", "leaky_relu", "prelu")[number % 5]
    has_residual = bool(place.residual_pads) or number % 2 == 1
    case = FusedCase(shape, dtype, format_, activation, has_residual=has_residual)
    check_placed(kernels, case, replace(place, phases=phases))


@pytest.mark.parametrize("format_", LAYOUTS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_norms_of_lines_volumes_and_groups(kernels: TorchKernels, dtype: str, format_: int) -> None:
    for shape, phases in (((2, 16, 602), (2,)), ((2, 12, 301), (4,))):
        for upsample, pads in (((1,), (0, 0)), ((2,), (3, 4))):
            check_placed(kernels, FusedCase(shape, dtype, format_, "relu"), Place(upsample, pads, phases=phases))
    for sizes, phases in (((8, 10, 12), (2, 2, 2)), ((9, 10, 12), (1, 1, 4)), ((9, 11, 13), (2, 3, 2))):
        for pads in ((0,) * 6, (0, 1, 1, 0, 1, 1), (1, 2, 0, 3, 0, 1)):
            case = FusedCase((2, 32, *sizes), dtype, format_, "silu", has_residual=pads[0] == 0)
            check_placed(kernels, case, Place((1, 1, 1), pads, phases=phases))
    for is_affine_per_image in (False, True):
        case = FusedCase(
            (2, 32, 20, 22),
            dtype,
            format_,
            "silu",
            groups=4,
            has_residual=True,
            is_affine_per_image=is_affine_per_image,
        )
        check_placed(kernels, case, Place((1, 1), (0, 0, 0, 0), phases=(2, 2)))
        check_placed(kernels, case, Place((2, 2), (1, 1, 1, 1), phases=(1, 2)))


@pytest.mark.parametrize("format_", LAYOUTS)
def test_norms_of_another_type(kernels: TorchKernels, format_: int) -> None:
    for to, pads in itertools.product(("float16", "bfloat16"), (0, 1)):
        check_placed(
            kernels, FusedCase((2, 16, 20, 22), "float32", format_), Place((1, 1), (pads,) * 4, to=to, phases=(2, 2))
        )


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(2, 40), min_size=1, max_size=3),
    phases=st.lists(st.integers(1, 4), min_size=3, max_size=3),
    pads=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    factors=st.lists(st.sampled_from((1, 1, 2)), min_size=3, max_size=3),
    batch=st.integers(1, 3),
    channels=st.sampled_from((1, 3, 8, 16, 24, 32)),
    mode=st.sampled_from(PAD_MODES),
    dtype=st.sampled_from(FLOATS),
    formats=st.sampled_from(FORMATS),
    activation=st.sampled_from(("none", "relu", "prelu", "silu", "tanh")),
    has_residual=st.booleans(),
)
def test_any_shape(
    kernels: TorchKernels,
    sizes: list[int],
    phases: list[int],
    pads: list[int],
    factors: list[int],
    batch: int,
    channels: int,
    mode: str,
    dtype: str,
    formats: tuple[int, int],
    activation: str,
    has_residual: bool,
) -> None:
    num_axes = len(sizes)
    inside = [size * factor for size, factor in zip(sizes, factors, strict=False)]
    spread = [min(pad, size - 1) for pad, size in zip(pads, inside + inside, strict=False)][: 2 * num_axes]
    shape, upsample = (batch, channels, *sizes), tuple(factors[:num_axes])
    whole = normal(shape, dtype)
    y = gather(kernels, whole, spread, upsample, mode, formats=formats, phases=phases[:num_axes])
    assert (to_numpy(y) == reference(whole, spread, upsample, mode)).all()
    place = Place(upsample, tuple(spread), mode, phases=tuple(phases[:num_axes]))
    check_placed(kernels, FusedCase(shape, dtype, formats[0], activation, has_residual=has_residual), place)


def test_in_a_cuda_graph(kernels: TorchKernels) -> None:
    whole = normal((1, 32, 60, 62), "float16")
    x, _ = in_phases(whole, (2, 2), 0)
    stored = to_layout(x, FORMAT_CHANNELS_LAST, 0)
    scale, bias = torch.ones(32, device="cuda").half(), torch.zeros(32, device="cuda").half()
    moved, normalised = (torch.empty(1, 60, 62, 32, device="cuda", dtype=torch.float16) for _ in range(2))
    place = NormPlace((1, 1), (0, 0, 0, 0), y_type=BY_NAME["float16"], phases=(2, 2))
    output_map = OutputMap((1,) * 4, "zero", y_layout=FORMAT_CHANNELS_LAST, phases=(1, 1, 2, 2))
    count = kernels.workspace_bytes(x.shape, FORMAT_CHANNELS_LAST, 0, place, BY_NAME["float16"])
    workspace = torch.empty(count, dtype=torch.uint8, device="cuda")

    def launch(stream: int) -> None:
        both = {"shape": x.shape, "format_": FORMAT_CHANNELS_LAST}
        kernels.reflect_pad(stored, moved, (0,) * 8, stream, output_map=output_map, **both)
        options = NormOptions(place=place)
        kernels.instance_norm(stored, scale, bias, normalised, 1e-5, workspace, stream, options=options, **both)

    launch(0)  # readies the kernels
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        launch(torch.cuda.current_stream().cuda_stream)
    whole = normal((1, 32, 60, 62), "float16", seed=1)
    stored.copy_(to_layout(in_phases(whole, (2, 2), 0)[0], FORMAT_CHANNELS_LAST, 0))
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(from_layout(moved, 32, FORMAT_CHANNELS_LAST)[0], whole)
    values = to_numpy(whole).astype(np.float64)
    expected = (values - values.mean((2, 3), keepdims=True)) / np.sqrt(values.var((2, 3), keepdims=True) + 1e-5)
    y = to_numpy(from_layout(normalised, 32, FORMAT_CHANNELS_LAST)[0])
    assert np.abs(y - expected).max() < 4e-3  # two units of fp16 near 4
