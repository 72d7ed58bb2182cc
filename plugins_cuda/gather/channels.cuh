// Gathers of channels-last tensors. A cell is the neighbouring channels of a pixel that a thread reads and writes.
#pragma once

#include "common/element_type.cuh"
#include "common/kernel_launch.cuh"
#include "gather/choice.h"

namespace trtconv
{

// How many channels a cell has: as many as fit 16 bytes of both types.
template <typename Operation>
constexpr int kCellChannels =
    kVectorBytes / static_cast<int>(std::max(sizeof(typename Operation::Input), sizeof(typename Operation::Output)));

// What one instruction moves, by its bytes.
template <size_t Bytes>
using WordOf = std::conditional_t<Bytes == 16, uint4,
    std::conditional_t<Bytes == 8, uint2, std::conditional_t<Bytes == 4, uint32_t, uint16_t>>>;

template <typename T, int Size>
__device__ Vector<T, Size> loadCell(T const* __restrict__ cell)
{
    using Word = WordOf<sizeof(Vector<T, Size>)>;
    static_assert(sizeof(Word) == sizeof(Vector<T, Size>));
    Word const word = __ldg(reinterpret_cast<Word const*>(cell));
    return reinterpret_cast<Vector<T, Size> const&>(word);
}

template <typename T, int Size>
__device__ void storeCell(T* __restrict__ cell, Vector<T, Size> const& vector)
{
    using Word = WordOf<sizeof(Vector<T, Size>)>;
    static_assert(sizeof(Word) == sizeof(Vector<T, Size>));
    *reinterpret_cast<Word*>(cell) = reinterpret_cast<Word const&>(vector);
}

// Zeroes what is not a channel in the vector that begins with channel `first`.
template <typename T, int Size>
__device__ void clearFilling(Vector<T, Size>& vector, uint32_t first, uint32_t channels)
{
    if (first + Size > channels)
    {
        constexpr int kNumWords = sizeof(vector) / sizeof(uint32_t);
        auto& words = reinterpret_cast<uint32_t (&)[kNumWords]>(vector);
        auto const numBits = static_cast<int64_t>(channels - first) * static_cast<int64_t>(sizeof(T) * 8);
        TRTCONV_UNROLL
        for (int i = 0; i < kNumWords; ++i)
        {
            words[i] &= lowBits(numBits - i * 32);
        }
    }
}

// The channels of both tensors of a gather.
struct GatherChannels
{
    uint32_t count;
    uint32_t inputStride; // elements of a pixel, with what fills vectors up
    FastDivisor<uint32_t> outputCells; // of a pixel
};

template <typename Operation>
__device__ auto gatherCell(typename Operation::Input const* __restrict__ input, MapSource<uint32_t> const& pixel,
    uint32_t firstChannel, GatherChannels const& channels, Operation const& operation)
{
    constexpr int kSize = kCellChannels<Operation>;
    Vector<typename Operation::Output, kSize> result{};
    if (pixel.isInside && firstChannel < channels.count)
    {
        int64_t const offset = static_cast<int64_t>(pixel.offset) * channels.inputStride + firstChannel;
        result = operation(loadCell<typename Operation::Input, kSize>(input + offset));
        clearFilling(result, firstChannel, channels.count);
    }
    return result;
}

// A thread writes one cell.
template <typename Operation, typename Map>
__global__ __launch_bounds__(kGatherThreads) void gatherCells(typename Operation::Input const* __restrict__ input,
    typename Operation::Output* __restrict__ output, __grid_constant__ Map const pixels, GatherChannels const channels,
    Operation const operation)
{
    constexpr int kSize = kCellChannels<Operation>;
    uint32_t const numCells = pixels.numOutputs * channels.outputCells.value();
    uint32_t const step = gridDim.x * kGatherThreads;
    waitForEarlierWork();
    for (uint32_t index = blockIdx.x * kGatherThreads + threadIdx.x; index < numCells; index += step)
    {
        uint32_t const pixel = channels.outputCells.divide(index);
        uint32_t const firstChannel = (index - pixel * channels.outputCells.value()) * kSize;
        auto const cell = gatherCell(input, sourceOf(pixels, pixel), firstChannel, channels, operation);
        storeCell(output + static_cast<int64_t>(index) * kSize, cell);
    }
}

// The pairs of outputs along the last two axes, both upsampled by 2.
struct OutputPairs
{
    FastDivisor<uint32_t> rows;
    FastDivisor<uint32_t> columns;
    uint32_t count; // of two by two outputs, over all axes
};

// A thread writes the cells of two by two pixels, which are copies of one input, except for pads.
template <typename Operation>
__global__ __launch_bounds__(kGatherThreads) void gatherCellsByTwo(typename Operation::Input const* __restrict__ input,
    typename Operation::Output* __restrict__ output, __grid_constant__ OutputMap<uint32_t> const pixels,
    OutputPairs const pairs, GatherChannels const channels, Operation const operation)
{
    using OutputCell = Vector<typename Operation::Output, kCellChannels<Operation>>;
    constexpr int kSize = kCellChannels<Operation>;
    MapAxis<uint32_t> const& rows = pixels.axisFromEnd(1);
    MapAxis<uint32_t> const& columns = pixels.axisFromEnd(0);
    uint32_t const numThreads = pairs.count * channels.outputCells.value();
    uint32_t const step = gridDim.x * kGatherThreads;
    waitForEarlierWork();
    for (uint32_t index = blockIdx.x * kGatherThreads + threadIdx.x; index < numThreads; index += step)
    {
        uint32_t const pair = channels.outputCells.divide(index);
        uint32_t const cellOfPixel = index - pair * channels.outputCells.value();
        uint32_t const pairRow = pairs.columns.divide(pair);
        uint32_t const image = pairs.rows.divide(pairRow);
        auto const firstColumn = static_cast<int32_t>((pair - pairRow * pairs.columns.value()) * 2)
            - static_cast<int32_t>(columns.padBegin % 2);
        auto const firstRow =
            static_cast<int32_t>((pairRow - image * pairs.rows.value()) * 2) - static_cast<int32_t>(rows.padBegin % 2);
        MapSource<uint32_t> const imageSource = outerSource(pixels, image, 2);
        MapSource<uint32_t> last{0, false};
        OutputCell cell{};
#pragma unroll 1 // the operation is long, and nearly always runs once
        for (int k = 0; k < 4; ++k)
        {
            int32_t const row = firstRow + k / 2;
            int32_t const column = firstColumn + k % 2;
            if (row < 0 || column < 0 || row >= static_cast<int32_t>(rows.outputSize.value())
                || column >= static_cast<int32_t>(columns.outputSize.value()))
            {
                continue;
            }
            MapSource<uint32_t> const source = imageSource.along(rows, row).along(columns, column);
            if (source.isInside != last.isInside || (source.isInside && source.offset != last.offset))
            {
                cell = gatherCell(input, source, cellOfPixel * kSize, channels, operation);
                last = source;
            }
            int64_t const pixel =
                (static_cast<int64_t>(image) * rows.outputSize.value() + row) * columns.outputSize.value() + column;
            storeCell(output + (pixel * channels.outputCells.value() + cellOfPixel) * kSize, cell);
        }
    }
}

// The images of a linear tensor beside the same in a channels-last one. The lanes of a warp are pixels side by side,
// and cells of these: what it writes of a channel, and what it reads of a pixel, should each be whole sectors of
// memory.
struct GatherImages
{
    uint32_t numImages;
    uint32_t channels;
    int64_t inputPixels; // of an image
    FastDivisor<uint32_t> warpsOfPixel;
    uint32_t pixelBits; // a warp has 2^pixelBits pixels
};

// What a thread gathers of each image; both numbers may be beyond the last one.
struct PixelCell
{
    uint32_t pixel;
    uint32_t firstChannel;
};

// Warps take all cells of their pixels before the next pixels, so that the cells of a pixel share its lines in the
// caches.
template <int Size>
__device__ PixelCell pixelCellOf(uint32_t index, GatherImages const& images)
{
    uint32_t const lane = index % kWarpSize;
    uint32_t const warp = index / kWarpSize;
    uint32_t const pixels = images.warpsOfPixel.divide(warp);
    uint32_t const cells = warp - pixels * images.warpsOfPixel.value();
    uint32_t const cellOfWarp = lane >> images.pixelBits;
    uint32_t const pixelOfWarp = lane - (cellOfWarp << images.pixelBits);
    uint32_t const cell = cells * (kWarpSize >> images.pixelBits) + cellOfWarp;
    return {(pixels << images.pixelBits) + pixelOfWarp, cell * Size};
}

// From linear to channels-last. A thread writes a cell of a pixel.
template <typename Operation, typename Map>
__global__ __launch_bounds__(kGatherThreads) void gatherToChannels(typename Operation::Input const* __restrict__ input,
    typename Operation::Output* __restrict__ output, __grid_constant__ Map const pixels, GatherImages const images,
    uint32_t numThreads, Operation const operation)
{
    using In = typename Operation::Input;
    constexpr int kSize = kVectorChannels<typename Operation::Output>;
    uint32_t const numStored = (images.channels + kSize - 1) / kSize * kSize;
    uint32_t const step = gridDim.x * kGatherThreads;
    waitForEarlierWork();
    for (uint32_t index = blockIdx.x * kGatherThreads + threadIdx.x; index < numThreads; index += step)
    {
        PixelCell const cell = pixelCellOf<kSize>(index, images);
        if (cell.pixel >= pixels.numOutputs || cell.firstChannel >= images.channels)
        {
            continue;
        }
        auto const count = static_cast<int>(min(images.channels - cell.firstChannel, uint32_t{kSize}));
        MapSource<uint32_t> const source = sourceOf(pixels, cell.pixel);
        for (uint32_t image = blockIdx.y; image < images.numImages; image += gridDim.y)
        {
            In const* plane = input
                + (static_cast<int64_t>(image) * images.channels + cell.firstChannel) * images.inputPixels
                + source.offset;
            Vector<In, kSize> values{};
            TRTCONV_UNROLL
            for (int i = 0; i < kSize; ++i)
            {
                if (i < count)
                {
                    values.elements[i] = source.isInside ? __ldg(plane) : In{};
                    plane += images.inputPixels;
                }
            }
            int64_t const pixel = static_cast<int64_t>(image) * pixels.numOutputs + cell.pixel;
            storeCell(output + pixel * numStored + cell.firstChannel, operation(values, count));
        }
    }
}

// From channels-last to linear. A thread reads a cell of each pixel of a run, and writes that run of several planes.
template <typename Operation, typename Map, int Run>
__global__ __launch_bounds__(kGatherThreads) void gatherFromChannels(
    typename Operation::Input const* __restrict__ input, typename Operation::Output* __restrict__ output,
    __grid_constant__ Map const pixels, GatherImages const images, uint32_t numThreads, Operation const operation)
{
    using In = typename Operation::Input;
    using Out = typename Operation::Output;
    constexpr int kSize = kVectorChannels<In>;
    uint32_t const numStored = (images.channels + kSize - 1) / kSize * kSize;
    uint32_t const step = gridDim.x * kGatherThreads;
    waitForEarlierWork();
    for (uint32_t index = blockIdx.x * kGatherThreads + threadIdx.x; index < numThreads; index += step)
    {
        PixelCell const cell = pixelCellOf<kSize>(index, images);
        uint32_t const pixel = cell.pixel * Run;
        if (pixel >= pixels.numOutputs || cell.firstChannel >= images.channels)
        {
            continue;
        }
        auto const count = static_cast<int>(min(images.channels - cell.firstChannel, uint32_t{kSize}));
        MapSource<uint32_t> sources[Run];
        TRTCONV_UNROLL
        for (int k = 0; k < Run; ++k)
        {
            sources[k] = sourceOf(pixels, pixel + k);
        }
        for (uint32_t image = blockIdx.y; image < images.numImages; image += gridDim.y)
        {
            Vector<In, kSize> values[Run]{};
            TRTCONV_UNROLL
            for (int k = 0; k < Run; ++k)
            {
                if (sources[k].isInside)
                {
                    int64_t const source = image * images.inputPixels + sources[k].offset;
                    values[k] = loadCell<In, kSize>(input + source * numStored + cell.firstChannel);
                }
            }
            Vector<Out, kSize> results[Run];
            TRTCONV_UNROLL
            for (int k = 0; k < Run; ++k)
            {
                results[k] = operation(values[k], count);
            }
            int64_t const plane = static_cast<int64_t>(image) * images.channels + cell.firstChannel;
            Out* target = output + plane * pixels.numOutputs + pixel;
            TRTCONV_UNROLL
            for (int i = 0; i < kSize; ++i)
            {
                if (i < count)
                {
                    Vector<Out, Run> neighbours;
                    TRTCONV_UNROLL
                    for (int k = 0; k < Run; ++k)
                    {
                        neighbours.elements[k] = results[k].elements[i];
                    }
                    *reinterpret_cast<Vector<Out, Run>*>(target) = neighbours;
                    target += pixels.numOutputs;
                }
            }
        }
    }
}

} // namespace trtconv
