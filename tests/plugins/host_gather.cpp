// The gathers themselves, kernels included, built for the host: host_cuda/ stands for CUDA.
#include <vector>

#include "gather/fill_pads.cu"
#include "gather/from_bfloat16.cu"
#include "gather/from_float.cu"
#include "gather/from_half.cu"
#include "gather/gather.cu"
#include "result/phase_order.h"
#include "result/plane_place.h"

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

// Scatters linear slices [slices, phases of rows, of columns, images, rows, columns] into the inside of larger ones, in
// runs of `run` elements of each plane, as the norm's kernels do; counts how often each of those is written. `axes` as
// for host_scatter, of all phases.
extern "C" void host_scatter_planes(int32_t const* input, int32_t* output, int32_t* counts, int32_t slices,
    int32_t images, int32_t row_phases, int32_t column_phases, int32_t const* axes, int32_t run)
{
    auto const phases = static_cast<uint32_t>(row_phases * column_phases);
    PlanePlace const place = makePlanePlace(axisAt(axes), axisAt(axes + 4), images, static_cast<uint32_t>(row_phases));
    auto const planeSize = static_cast<uint32_t>(images * axes[0] * axes[4]) / phases;
    PlanePlaces const places{place, place, static_cast<uint32_t>(row_phases),
        FastDivisor<uint32_t>(static_cast<uint32_t>(column_phases)), FastDivisor<uint32_t>(phases), planeSize};
    constexpr int32_t kVectorSize = 4;
    std::vector<int32_t> runs(phases * static_cast<uint32_t>(run));
    for (int32_t slice = 0; slice < slices; ++slice)
    {
        int32_t const* const planes = input + slice * phases * planeSize;
        for (uint32_t first = 0; first < planeSize; first += run)
        {
            uint32_t const count = std::min(static_cast<uint32_t>(run), planeSize - first);
            for (uint32_t phase = 0; phase < phases; ++phase)
            {
                std::copy_n(planes + phase * planeSize + first, count, runs.begin() + phase * count);
            }
            PlaneRun const part{first, count};
            PlacedRows const rows(places, kVectorSize, static_cast<uint32_t>(run));
            for (uint32_t task = 0; task < rows.numTasks(places, part); ++task)
            {
                uint32_t window = 0;
                PlacedRow const row = rows.rowOf(places, part, task, window);
                for (uint32_t k = 0; k < PlacedRows::kTaskWindows; ++k, window += rows.tasksOfRow.value())
                {
                    int64_t const rowBegin = slice * place.sliceSize + row.place;
                    int64_t const aligned = (rowBegin + row.begin) / kVectorSize * kVectorSize - rowBegin;
                    for (int64_t column = aligned + window * kVectorSize;
                        column < std::min<int64_t>(aligned + (window + 1) * kVectorSize, row.end); ++column)
                    {
                        if (column >= row.begin)
                        {
                            uint32_t const number = row.number - first * places.columnPhases.value()
                                + place.columnCopies.divide(static_cast<uint32_t>(column));
                            output[rowBegin + column] = runs[sourceOf(places, part, row.phase, number)];
                            ++counts[rowBegin + column];
                        }
                    }
                }
            }
        }
    }
}

// Fills the pads of such images: channels-last of 4 words a vector, or linear of one word.
extern "C" void host_fill_pads(
    void* output, int32_t images, int32_t words_per_pixel, int32_t const* axes, int32_t mode, int32_t word_bytes)
{
    launchFillPads(
        {output, images, axisAt(axes), axisAt(axes + 4), words_per_pixel, static_cast<PadMode>(mode), word_bytes}, {},
        nullptr);
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
