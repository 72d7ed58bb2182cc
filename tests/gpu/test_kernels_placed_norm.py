"""InstanceNorm through an output map: upsampled, padded, with a padded residual or another type, on a GPU."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gpu.fused_checks import FusedCase
from tests.gpu.kernel_library import BY_NAME, FORMAT_CHANNELS_LAST, FORMAT_LINEAR, TorchKernels
from tests.gpu.placed_checks import Place, check_placed
from tests.support.map_references import PAD_MODES
from trtconv.plugins.kernels import NormPlace

pytestmark = pytest.mark.gpu


IMAGE_PLACES = [
    Place((1, 1), (1, 1, 1, 1)),
    Place((1, 1), (4, 3, 0, 2)),
    Place((2, 2), (0, 0, 0, 0)),
    Place((2, 2), (1, 1, 1, 1)),
    Place((3, 1), (0, 5, 2, 0)),
    Place((2, 3), (4, 0, 3, 2)),
]
# Shapes that the kernels of each method take: a block, clusters, a cooperative grid, streamed.
SHAPES = [(2, 20, 6, 7), (2, 64, 40, 40), (1, 60, 150, 151), (2, 60, 300, 301), (3, 9, 7, 8)]


@pytest.mark.parametrize("mode", PAD_MODES)
@pytest.mark.parametrize("place", IMAGE_PLACES)
@pytest.mark.parametrize("format_", [FORMAT_LINEAR, FORMAT_CHANNELS_LAST])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_images(kernels: TorchKernels, dtype: str, format_: int, place: Place, mode: str) -> None:
    for number, shape in enumerate(SHAPES):
        activation = ("none", "relu", "silu", "leaky_relu", "prelu")[number]
        check_placed(
            kernels,
            FusedCase(shape, dtype, format_, activation, has_residual=number % 2 == 1),
            replace(place, mode=mode),
        )


@pytest.mark.parametrize("format_", [FORMAT_LINEAR, FORMAT_CHANNELS_LAST])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("mode", PAD_MODES)
def test_lines_volumes_and_groups(kernels: TorchKernels, dtype: str, format_: int, mode: str) -> None:
    check_placed(kernels, FusedCase((2, 12, 301), dtype, format_), Place((2,), (3, 4), mode))
    check_placed(kernels, FusedCase((2, 12, 7, 8, 9), dtype, format_), Place((2, 1, 2), (1, 2, 0, 3, 0, 1), mode))
    for residual_pads in ((), (1, 0, 2, 3)):
        case = FusedCase((2, 32, 20, 21), dtype, format_, groups=4, has_residual=bool(residual_pads))
        check_placed(kernels, case, Place((2, 2), (1, 1, 1, 1), mode, residual_pads))


@pytest.mark.parametrize("format_", [FORMAT_LINEAR, FORMAT_CHANNELS_LAST])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("is_placed", [True, False])
def test_the_inside_of_a_padded_residual(kernels: TorchKernels, dtype: str, format_: int, is_placed: bool) -> None:
    place = Place((1, 1), (1, 1, 1, 1) if is_placed else (0, 0, 0, 0), residual_pads=(1, 2, 3, 0))
    for shape in ((2, 20, 6, 7), (1, 60, 150, 151)):
        check_placed(kernels, FusedCase(shape, dtype, format_, "relu", has_residual=True), place)


RESIDUAL_PADS = (1, 2, 3, 0)
SMALLEST_STREAMED = 240_000  # elements of a slice of 16 bits that no two blocks of an H100 hold


@pytest.mark.parametrize("mode", PAD_MODES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_padded_residuals_of_all_kernels(kernels: TorchKernels, dtype: str, shape: tuple[int, ...], mode: str) -> None:
    """As CycleGAN's blocks have them: the residual is the inside of what was padded for the convolution before."""
    for upsample, pads in (((1, 1), (0, 0, 0, 0)), ((1, 1), (1, 1, 1, 1)), ((2, 3), (0, 2, 1, 0))):
        place = Place(upsample, pads, mode, RESIDUAL_PADS)
        check_placed(kernels, FusedCase(shape, dtype, FORMAT_CHANNELS_LAST, "silu", has_residual=True), place)


@pytest.mark.parametrize("mode", PAD_MODES)
@pytest.mark.parametrize("shape", [(3, 3, 9, 11), (3, 10, 40, 33), (1, 8, 1, 40), (2, 16, 40, 1)])
@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_pads_as_large_as_they_can_be(
    kernels: TorchKernels, dtype: str, factor: int, shape: tuple[int, ...], mode: str
) -> None:
    """Pads of more than the inside, which several blocks fill; a reflection reaches the other end."""
    height, width = (size * factor for size in shape[2:])
    beyond = 0 if mode == "reflect" else 50
    largest = (height - 1 + beyond, width - 1 + beyond)
    for pads in ((*largest, *largest), (*largest, 0, 0), (0, 0, *largest), (0, largest[1], largest[0], 0)):
        place = Place((factor, factor), pads, mode)
        check_placed(kernels, FusedCase(shape, dtype, FORMAT_CHANNELS_LAST, "relu"), place)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_images_need_no_memory_for_their_place(kernels: TorchKernels, dtype: str) -> None:
    shape, element = (2, 20, 16, 17), BY_NAME[dtype]
    alone = kernels.workspace_bytes(shape, FORMAT_CHANNELS_LAST, 0, None, element)
    place = NormPlace((2, 1), (1, 2, 3, 4), "edge", (1, 1, 1, 1), element)
    assert 0 <= kernels.workspace_bytes(shape, FORMAT_CHANNELS_LAST, 0, place, element) - alone < 256


@pytest.mark.parametrize("format_", [FORMAT_LINEAR, FORMAT_CHANNELS_LAST])
@pytest.mark.parametrize("to", ["float16", "bfloat16"])
def test_another_type(kernels: TorchKernels, to: str, format_: int) -> None:
    for upsample, pads in itertools.product((1, 2), (0, 1)):
        place = Place((upsample,) * 2, (pads,) * 4, to=to)
        check_placed(kernels, FusedCase((2, 20, 16, 17), "float32", format_), place)


@pytest.mark.parametrize("shape", [(1, 32, 1080, 1920), (1, 128, 270, 480)])
@pytest.mark.parametrize("format_", [FORMAT_LINEAR, FORMAT_CHANNELS_LAST])
def test_large_images(kernels: TorchKernels, format_: int, shape: tuple[int, ...]) -> None:
    for place in (Place((1, 1), (4, 4, 4, 4)), Place((2, 2), (1, 1, 1, 1), "edge")):
        check_placed(kernels, FusedCase(shape, "float16", format_, "relu"), place)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    channels=st.sampled_from((1, 3)),
    height=st.sampled_from((1, 9, 61, 333, 2000, 17000)),
    wider=st.integers(0, 9),
    phases=st.sampled_from(((1, 1), (1, 1), (2, 2), (1, 2), (2, 1), (4, 4), (1, 3), (5, 5), (6, 6))),
    are_whole=st.booleans(),
    factors=st.sampled_from(((1, 1), (1, 1), (2, 2), (1, 3), (3, 1))),
    pads=st.tuples(*[st.integers(0, 9)] * 4),
    residual_pads=st.one_of(st.just(()), st.tuples(*[st.integers(0, 5)] * 4)),
    mode=st.sampled_from(PAD_MODES),
    dtype=st.sampled_from(("float32", "float16", "bfloat16")),
    activation=st.sampled_from(("none", "relu", "prelu", "silu", "tanh")),
)
def test_linear_images_of_any_size(
    kernels: TorchKernels,
    channels: int,
    height: int,
    wider: int,
    phases: tuple[int, int],
    are_whole: bool,
    factors: tuple[int, int],
    pads: tuple[int, int, int, int],
    residual_pads: tuple[int, ...],
    mode: str,
    dtype: str,
    activation: str,
) -> None:
    """Slices that are streamed or split, of rows of all lengths: their ends lie within vectors, runs and edges."""
    width = -(-SMALLEST_STREAMED // height) + wider
    if phases != (1, 1):
        width = -(-width // (phases[0] * phases[1]))
        width = -(-width // 8) * 8 if are_whole else width  # planes of whole vectors
    sizes = (height * phases[0], width * phases[1])
    limits = [size * factor - 1 for size, factor in zip(sizes, factors, strict=True)] * 2
    place = Place(factors, tuple(map(min, pads, limits)), mode, residual_pads, phases=phases)
    case = FusedCase((1, channels, *sizes), dtype, FORMAT_LINEAR, activation, has_residual=bool(residual_pads))
    check_placed(kernels, case, place)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_large_linear_images_need_no_tensor_beside(kernels: TorchKernels, dtype: str) -> None:
    """The linear norms of CycleGAN and fast neural style, whose tensors are most of the memory that a network takes."""
    shape, place = (1, 64, 510, 509), Place((1, 1), (3,) * 4)
    check_placed(kernels, FusedCase(shape, dtype, FORMAT_LINEAR, "relu"), place)
    given = NormPlace((1, 1), (3,) * 4, "reflect", (), BY_NAME[dtype])
    count = kernels.workspace_bytes(shape, FORMAT_LINEAR, 0, given, BY_NAME[dtype])
    assert count <= 64 * 2 * 227 * 1024 + 33_792  # what clusters hold, and sums


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("phases", [(1, 1), (2, 2), (4, 2)])
@pytest.mark.parametrize("sizes", [(4000, 4096), (4001, 4003)])
def test_slices_that_no_ring_holds(
    kernels: TorchKernels, sizes: tuple[int, int], phases: tuple[int, int], dtype: str
) -> None:
    """Split launches of an H200, which streams smaller ones: of vectors of the planes, or of single elements."""
    if phases != (1, 1):
        sizes = (sizes[0] // 8 * 8, sizes[1] // 64 * 64)
    for pads, residual_pads in (((3, 1, 0, 2), ()), ((0,) * 4, (1, 2, 3, 0))):
        case = FusedCase((1, 2, *sizes), dtype, FORMAT_LINEAR, "silu", has_residual=bool(residual_pads))
        check_placed(kernels, case, Place((1, 1), pads, "reflect", residual_pads, phases=phases))
