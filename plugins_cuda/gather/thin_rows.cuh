// The gather of images of three channels, channels-last, to linear: whole runs of a row, from phases or without.
#pragma once

#include "gather/channels.cuh"
#include "gather/phases.cuh"

namespace trtconv
{

// Images whose rows are runs of columns: all phases of a pixel along its row or, without phases, some pixels.
struct ThinRows
{
    PhasedImages images;
    uint32_t runs; // of a row
    uint32_t runStride; // elements of the input
    FastDivisor<uint32_t> warpsOfRow;
};

// Loads the channels of the columns of a run, column by column.
template <int Columns, bool IsPhased, typename In>
__device__ void loadThinRun(In const* __restrict__ origin, In (&run)[kThinChannels * Columns])
{
    constexpr int kNumLoads = IsPhased ? kThinChannels : Columns;
    constexpr int kLoaded = IsPhased ? Columns : kVectorChannels<In> / 2;
    constexpr int kUsed = IsPhased ? Columns : kThinChannels;
    constexpr int kStep = IsPhased ? Columns : kVectorChannels<In>;
    TRTCONV_UNROLL
    for (int i = 0; i < kNumLoads; ++i)
    {
        auto const part = loadCell<In, kLoaded>(origin + i * kStep);
        TRTCONV_UNROLL
        for (int k = 0; k < kUsed; ++k)
        {
            run[i * kUsed + k] = part.elements[k];
        }
    }
}

// A thread reads a run and writes it into each plane; neighbours in a warp read and write on along the row. With phases
// the warps of a block take all rows of the same pixels in turn, unless pads shift them.
template <typename Operation, int Columns, bool IsPhased>
__global__ __launch_bounds__(kGatherThreads) void gatherThinRows(typename Operation::Input const* __restrict__ input,
    typename Operation::Output* __restrict__ output, __grid_constant__ PhasedMap<uint32_t, 2> const pixels,
    ThinRows const thin, uint32_t numThreads, Operation const operation)
{
    using In = typename Operation::Input;
    PhasedAxis<uint32_t> const& rows = pixels.axes[0];
    uint32_t const step = gridDim.x * kGatherThreads;
    waitForEarlierWork();
    for (uint32_t index = blockIdx.x * kGatherThreads + threadIdx.x; index < numThreads; index += step)
    {
        uint32_t const warp = index / kWarpSize;
        uint32_t const warpOfPhase = rows.phases.divide(warp);
        uint32_t const pixelRow = thin.warpsOfRow.divide(warpOfPhase);
        uint32_t const row = pixelRow * rows.phases.value() + (warp - warpOfPhase * rows.phases.value());
        uint32_t const run = (warpOfPhase - pixelRow * thin.warpsOfRow.value()) * kWarpSize + index % kWarpSize;
        if (row >= rows.outputSize.value() || run >= thin.runs)
        {
            continue;
        }
        MapSource<uint32_t> const source = MapSource<uint32_t>{0, true}.along(rows, static_cast<int32_t>(row));
        uint32_t const offset = source.offset + run * thin.runStride;
        uint32_t const target = row * pixels.axes[1].outputSize.value() + run * Columns;
        for (uint32_t image = blockIdx.y; image < thin.images.numImages; image += gridDim.y)
        {
            In elements[kThinChannels * Columns]{};
            if (source.isInside)
            {
                loadThinRun<Columns, IsPhased>(input + image * thin.images.imageStride + offset, elements);
            }
            TRTCONV_UNROLL
            for (int channel = 0; channel < kThinChannels; ++channel)
            {
                Vector<In, Columns> values;
                TRTCONV_UNROLL
                for (int column = 0; column < Columns; ++column)
                {
                    values.elements[column] = elements[column * kThinChannels + channel];
                }
                int64_t const plane = static_cast<int64_t>(image) * kThinChannels + channel;
                storeCell(output + plane * pixels.numOutputs + target, operation(values));
            }
        }
    }
}

} // namespace trtconv
