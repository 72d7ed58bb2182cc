// The gather of a thin output, such as the three channels of an image, from its phases.
#pragma once

#include "common/element_type.cuh"
#include "common/kernel_launch.cuh"
#include "gather/choice.h"

namespace trtconv
{

// The images of a channels-last tensor of phases beside the same in a linear one.
struct PhasedImages
{
    uint32_t numImages;
    uint32_t channels; // of a phase
    int64_t imageStride; // elements of the input
};

// From phases of channels that need not fill vectors, channels-last, to linear. A thread writes the same column of as
// many rows as have phases: those of a block are made of the same pixels of the input, unless pads shift the rows.
template <typename Operation>
__global__ __launch_bounds__(kGatherThreads) void gatherFromPhases(typename Operation::Input const* __restrict__ input,
    typename Operation::Output* __restrict__ output, __grid_constant__ PhasedMap<uint32_t, 2> const pixels,
    PhasedImages const images, Operation const operation)
{
    using In = typename Operation::Input;
    using Out = typename Operation::Output;
    constexpr int kSize = kVectorChannels<In>;
    PhasedAxis<uint32_t> const& rows = pixels.axes[0];
    PhasedAxis<uint32_t> const& columns = pixels.axes[1];
    uint32_t const numRows = rows.outputSize.value();
    uint32_t const numColumns = columns.outputSize.value();
    uint32_t const rowsOfThread = rows.phases.value();
    uint32_t const numThreads = (numRows + rowsOfThread - 1) / rowsOfThread * numColumns;
    uint32_t const step = gridDim.x * kGatherThreads;
    waitForEarlierWork();
    for (uint32_t index = blockIdx.x * kGatherThreads + threadIdx.x; index < numThreads; index += step)
    {
        uint32_t const part = columns.outputSize.divide(index);
        uint32_t const column = index - part * numColumns;
        uint32_t const endRow = min((part + 1) * rowsOfThread, numRows);
        MapSource<uint32_t> const columnSource =
            MapSource<uint32_t>{0, true}.along(columns, static_cast<int32_t>(column));
        for (uint32_t image = blockIdx.y; image < images.numImages; image += gridDim.y)
        {
            Out* const plane = output + static_cast<int64_t>(image) * images.channels * pixels.numOutputs + column;
            for (uint32_t row = part * rowsOfThread; row < endRow; ++row)
            {
                MapSource<uint32_t> const source = columnSource.along(rows, static_cast<int32_t>(row));
                In const* const origin = input + image * images.imageStride + source.offset;
                Out* target = plane + row * numColumns;
                for (uint32_t first = 0; first < images.channels; first += kSize)
                {
                    auto const count = static_cast<int>(min(images.channels - first, uint32_t{kSize}));
                    Vector<In, kSize> values{};
                    TRTCONV_UNROLL
                    for (int i = 0; i < kSize; ++i)
                    {
                        if (i < count && source.isInside)
                        {
                            values.elements[i] = __ldg(origin + first + i);
                        }
                    }
                    Vector<Out, kSize> const results = operation(values, count);
                    TRTCONV_UNROLL
                    for (int i = 0; i < kSize; ++i)
                    {
                        if (i < count)
                        {
                            *target = results.elements[i];
                            target += pixels.numOutputs;
                        }
                    }
                }
            }
        }
    }
}

} // namespace trtconv
