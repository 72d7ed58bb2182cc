// Groups of channels that lie in several columns: three kernels, the first and the last of which read the tensor.
#pragma once

#include "norm/channels_last/sums.cuh"

namespace trtconv::channels_last
{

// The workspace: the totals of each channel in each part of its column, and then what they are made into.
struct SplitMemory
{
    ChannelTotals* totals; // [columns, splits, channels of a column]; later those of split 0 are of all parts
    Affine* affines; // [batch, channels]
};

// Calls body(part) for each tile of a thread's vectors, the tiles of its part of a column one after another.
template <typename Body>
__device__ void forEachTile(ColumnPart part, Body const& body)
{
    while (part.pixelsLeft > 0)
    {
        body(part);
        part.pixelsLeft -= kTilePixels * part.rows;
        part.first += kTilePixels * part.stride;
    }
}

template <typename T>
__global__ __launch_bounds__(kStreamedThreads) void sumColumnParts(
    __grid_constant__ Tensors<T, ResultKind::kFused> const tensors, __grid_constant__ Config const config,
    SplitMemory memory)
{
    __shared__ WarpTotals<kStreamedThreads / kWarpSize> warpTotals;
    BlockPlace const place(config);
    int32_t const columnChannels = config.lanes * kVectorChannels<T>;
    ColumnPart const part(tensors, config, place.column, place.split);
    waitForEarlierWork();
    VectorSums<T> sums;
    beginSums(sums, tensors, part);
    forEachTile(part,
        [&](ColumnPart const& tilePart)
        {
            PixelTile<T> tile;
            tile.load(tilePart, tensors.input);
            tile.addTo(sums, tilePart);
            flush<T>(sums);
        });
    ChannelTotals const total = sumOverBlock<T>(sums, config.lanes, warpTotals);
    if (threadIdx.x < columnChannels)
    {
        memory.totals[int64_t{blockIdx.x} * columnChannels + threadIdx.x] = total;
    }
}

// One block for each group of each image: adds up the parts of its channels, a warp for each, and finishes them.
template <typename T>
__global__ __launch_bounds__(kStreamedThreads) void finishGroups(
    __grid_constant__ Tensors<T, ResultKind::kFused> const tensors, __grid_constant__ Config const config,
    SplitMemory memory)
{
    __shared__ SliceMoments shared;
    int32_t const columnChannels = config.lanes * kVectorChannels<T>;
    int64_t const columnsPerImage = (tensors.vectorsPerPixel + config.lanes - 1) / config.lanes;
    int32_t const groupSize = tensors.channelsPerGroup;
    int64_t const groups = tensors.channels / groupSize;
    int64_t const image = blockIdx.x / groups;
    int64_t const firstChannel = blockIdx.x % groups * groupSize;
    auto const totalsOf = [&](int64_t channel, int32_t split)
    {
        int64_t const column = image * columnsPerImage + channel / columnChannels;
        return memory.totals + (column * config.splits + split) * columnChannels + channel % columnChannels;
    };
    auto const count = static_cast<double>(tensors.pixels);
    auto const lane = static_cast<int32_t>(threadIdx.x % kWarpSize);
    waitForEarlierWork();
    for (int32_t i = static_cast<int32_t>(threadIdx.x / kWarpSize); i < groupSize; i += kStreamedThreads / kWarpSize)
    {
        int64_t const channel = firstChannel + i;
        ColumnPart const part(tensors, config, image * columnsPerImage, 0);
        int32_t const channelOfImage = static_cast<int32_t>(channel);
        ChannelFacts const facts(tensors, part, channelOfImage, INT32_MAX);
        ChannelTotals total;
        for (int32_t split = lane; split < config.splits; split += kWarpSize)
        {
            total.add(*totalsOf(channel, split));
        }
        TRTCONV_UNROLL
        for (int32_t distance = kWarpSize / 2; distance > 0; distance /= 2)
        {
            total.add(fromLane(total, distance));
        }
        __syncwarp(); // all have read the first part's totals
        if (lane == 0)
        {
            *totalsOf(channel, 0) = aroundOwnMean(total, count, tensors.inversePixels, facts.shift);
        }
    }
    __syncthreads();
    if (threadIdx.x == 0)
    {
        shared = finishGroup([&](int32_t i) { return *totalsOf(firstChannel + i, 0); }, groupSize, count,
            tensors.inversePixels, tensors.epsilon);
    }
    __syncthreads();
    for (auto i = static_cast<int32_t>(threadIdx.x); i < groupSize; i += kStreamedThreads)
    {
        int64_t const channel = firstChannel + i;
        int64_t const index = tensors.isAffinePerImage ? image * tensors.channels + channel : channel;
        memory.affines[image * tensors.channels + channel] =
            makeAffine(shared, toFloat(tensors.scale[index]), toFloat(tensors.bias[index]));
    }
}

// Returns what finishes the vector of the calling thread.
template <typename T>
__device__ ChannelFinish<T> loadFinish(
    Tensors<T, ResultKind::kFused> const& tensors, ColumnPart const& part, Affine const* affines)
{
    ChannelFinish<T> finish{};
    finish.mask = maskOf(tensors, part);
    TRTCONV_UNROLL
    for (int i = 0; i < kVectorChannels<T>; ++i)
    {
        int64_t const channel = part.vector * kVectorChannels<T> + i;
        if (channel < tensors.channels)
        {
            finish.affines.ofChannel[i] = affines[part.image * tensors.channels + channel];
            finish.parameters[i] = tensors.result.epilogue.parameterAt(channel);
        }
    }
    return finish;
}

template <typename T>
__global__ __launch_bounds__(kStreamedThreads) void normaliseColumnParts(
    __grid_constant__ Tensors<T, ResultKind::kFused> const tensors, __grid_constant__ Config const config,
    SplitMemory memory)
{
    BlockPlace const place(config);
    ColumnPart const part(tensors, config, place.column, place.split);
    waitForEarlierWork();
    ChannelFinish<T> const finish = loadFinish(tensors, part, memory.affines);
    forEachTile(part,
        [&](ColumnPart const& tilePart)
        {
            PixelTile<T> tile;
            tile.load(tilePart, tensors.input);
            PixelResiduals<T> residuals;
            residuals.load(tilePart, tensors.result);
            tile.store(residuals, finish, tilePart, tensors.result);
        });
}

} // namespace trtconv::channels_last
