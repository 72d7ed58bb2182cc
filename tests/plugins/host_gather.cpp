// The gathers themselves, kernels included, built for the host: host_cuda/ stands for CUDA.
#include "gather/fill_pads.cu"
#include "gather/from_bfloat16.cu"
#include "gather/from_float.cu"
#include "gather/from_half.cu"
#include "gather/gather.cu"
#include "result/phase_order.h"

using namespace trtconv;

namespace
{

// `phases` holds the phases of all axes, then what is cropped of each; it may be null.
MapRequest requestOf(int32_t rank, int64_t const* sizes, int64_t const* pads, int64_t const* upsample, int32_t mode,
    int32_t inputLayout, int32_t outputLayout, int64_t const* phases = nullptr)
{
    MapRequest request{};
    request.rank = rank;
    std::copy(sizes, sizes + rank, request.sizes);
    std::copy(pads, pads + 2 * rank, request.pads);
    std::copy(upsample, upsample + rank, request.upsample);
    request.mode = static_cast<PadMode>(mode);
    request.inputLayout = static_cast<Layout>(inputLayout);
    request.outputLayout = static_cast<Layout>(outputLayout);
    if (phases != nullptr)
    {
        std::copy(phases, phases + rank, request.phases);
        std::copy(phases + rank, phases + 2 * rank, request.crop);
    }
    return request;
}

PlaceAxis axisAt(int32_t const* numbers)
{
    return {numbers[0], numbers[1], numbers[2], numbers[3]};
}

} // namespace

// Writes Y as the kernels do; returns how many reads a GPU would have refused. `element_bytes` are moved where
// `input_type` is negative.
extern "C" int32_t host_gather(void const* input, void* output, int32_t rank, int64_t const* sizes, int64_t const* pads,
    int64_t const* upsample, int64_t const* phases, int32_t mode, int32_t input_layout, int32_t output_layout,
    int32_t element_bytes, int32_t input_type, int32_t output_type, int32_t activation, float alpha)
{
    GatherArguments arguments{input, output,
        requestOf(rank, sizes, pads, upsample, mode, input_layout, output_layout, phases), element_bytes};
    arguments.isComputed = input_type >= 0;
    arguments.inputType = static_cast<ElementType>(input_type);
    arguments.outputType = static_cast<ElementType>(output_type);
    arguments.activation = static_cast<Activation>(activation);
    arguments.alpha = alpha;
    numMisalignedReads = 0;
    launchGather(arguments, {}, nullptr);
    return numMisalignedReads;
}

// Returns what was launched last.
extern "C" char const* host_last_launch()
{
    return lastLaunch;
}

// Writes Y, linear int32, by 64-bit numbers: those of tensors too large for the fast kernels.
extern "C" void host_gather_large(int32_t const* input, int32_t* output, int32_t rank, int64_t const* sizes,
    int64_t const* pads, int64_t const* upsample, int64_t const* phases, int32_t mode)
{
    MapShape const shape = makeElementShape(requestOf(rank, sizes, pads, upsample, mode, 0, 0, phases), 4, 4);
    auto const map = makeMap<PhasedMap<int64_t>>(shape);
    for (int64_t index = 0; index < map.numOutputs; ++index)
    {
        MapSource<int64_t> const source = sourceOf(map, index);
        output[index] = source.isInside ? input[source.offset] : 0;
    }
}

// Scatters images of vectors of 16 bytes into the inside of larger ones, as the norm's kernels do; counts how often
// each of those is written. `axes` holds the size, the factor and both pads of rows, then of columns.
extern "C" void host_scatter(
    uint4 const* input, uint4* output, int32_t* counts, int32_t images, int32_t vectors_per_pixel, int32_t const* axes)
{
    ImagePlace const place = makeImagePlace(axisAt(axes), axisAt(axes + 4), vectors_per_pixel);
    auto const numVectors = static_cast<uint32_t>(images * axes[0] * axes[4] * vectors_per_pixel);
    for (uint32_t vector = 0; vector < numVectors; ++vector)
    {
        forEachCopy(place, vector,
            [&](uint32_t copy)
            {
                output[copy] = input[vector];
                ++counts[copy];
            });
    }
}

// Scatters images, or volumes, of runs of channels, which are phases; counts how often each vector is written.
extern "C" int32_t host_scatter_phases(uint4 const* input, uint4* output, int32_t* counts, int32_t images,
    int32_t num_axes, int64_t const* sizes, int64_t const* phases, int32_t vectors_per_run)
{
    std::optional<PhaseOrder> const order = makePhaseOrder(num_axes, sizes, phases, vectors_per_run);
    if (!order)
    {
        return -1;
    }
    auto numVectors = static_cast<uint32_t>(images * vectors_per_run);
    for (int32_t axis = 0; axis < num_axes; ++axis)
    {
        numVectors *= static_cast<uint32_t>(sizes[axis] * phases[axis]);
    }
    for (uint32_t vector = 0; vector < numVectors; ++vector)
    {
        uint32_t const place = order->placeOf(vector);
        output[place] = input[vector];
        ++counts[place];
    }
    return order->numLevels;
}

// Fills the pads of such images.
extern "C" void host_fill_pads(
    void* output, int32_t images, int32_t vectors_per_pixel, int32_t const* axes, int32_t mode)
{
    launchFillPads(
        {output, images, axisAt(axes), axisAt(axes + 4), vectors_per_pixel, static_cast<PadMode>(mode)}, {}, nullptr);
}

extern "C" int32_t host_find_bad_axis(
    int32_t rank, int64_t const* sizes, int64_t const* pads, int64_t const* upsample, int32_t mode)
{
    return findBadAxis(requestOf(rank, sizes, pads, upsample, mode, 0, 0));
}

extern "C" int32_t host_can_map_between(
    int32_t rank, int64_t const* pads, int64_t const* upsample, int32_t input_layout, int32_t output_layout)
{
    int64_t const sizes[kMaxRank]{};
    return canMapBetween(requestOf(rank, sizes, pads, upsample, 0, input_layout, output_layout)) ? 1 : 0;
}

// `phases` holds the phases of all axes, then what is cropped of each.
extern "C" int32_t host_has_good_phases(int32_t rank, int64_t const* sizes, int64_t const* phases)
{
    int64_t const pads[2 * kMaxRank]{};
    int64_t const upsample[kMaxRank]{};
    return hasGoodPhases(requestOf(rank, sizes, pads, upsample, 0, 0, 0, phases)) ? 1 : 0;
}

extern "C" int32_t host_can_map_phases(int32_t rank, int64_t const* pads, int64_t const* upsample,
    int64_t const* phases, int32_t input_layout, int32_t output_layout)
{
    int64_t const sizes[kMaxRank]{};
    return canMapBetween(requestOf(rank, sizes, pads, upsample, 0, input_layout, output_layout, phases)) ? 1 : 0;
}
