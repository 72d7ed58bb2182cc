// The kernels of InstanceNorm on channels-last tensors.
#pragma once

#include "instance_norm/column_sums.cuh"

namespace trtconv
{

template <typename T>
__device__ void readLines(
    ChannelLine (&lines)[kVectorChannels<T>], ChannelLine const* columnLines, ColumnPart const& part)
{
    TRTCONV_UNROLL
    for (int i = 0; i < kVectorChannels<T>; ++i)
    {
        lines[i] = columnLines[(part.vector - part.columnBegin) * kVectorChannels<T> + i];
    }
}

// Columns held in the registers of a block or, with `IsCluster`, of a cluster: each is read once.
template <typename T, bool IsCluster>
__global__ __launch_bounds__(kColumnThreads, 1) void normaliseResidentColumns(
    __grid_constant__ ChannelsLastTensors<T> const tensors, __grid_constant__ ChannelsLastConfig const config,
    int64_t firstColumn)
{
    __shared__ WarpTotals warpTotals;
    __shared__ ChannelLine columnLines[kMaxColumnChannels];
    arriveAtCluster<IsCluster>();
    int32_t const split = static_cast<int32_t>(blockIdx.x) & (config.splits - 1);
    int64_t const column = firstColumn + (blockIdx.x >> (__ffs(config.splits) - 1));
    ColumnPart const part(tensors, config, column, split);
    int32_t const columnChannels = config.lanes * kVectorChannels<T>;

    PixelTile<T> tile;
    tile.load(tensors.input + part.first, part.stride, part.count);
    ChannelFacts const facts(tensors, part, columnChannels);
    VectorSums<T> sums;
    beginSums(sums, tensors, part);
    tile.addTo(sums);
    flush<T>(sums);
    ChannelTotals total = sumOverBlock<T>(sums, config.lanes, warpTotals);
    total = sumOverCluster<IsCluster>(total, split, config.splits, columnChannels);
    if (threadIdx.x < columnChannels)
    {
        columnLines[threadIdx.x] = lineOf(total, facts, tensors);
    }
    __syncthreads();
    ChannelLine lines[kVectorChannels<T>];
    readLines<T>(lines, columnLines, part);
    tile.storeAlong(
        lines, tensors.channels - part.vector * kVectorChannels<T>, tensors.output + part.first, part.stride);
}

// Columns that a cooperative grid shares: all of its blocks sum, wait for each other, and normalise from the last pixel
// to the first, as the last ones are still in their registers, and those before in the cache.
template <typename T>
__global__ __launch_bounds__(kColumnThreads, 1) void normaliseGridColumns(
    __grid_constant__ ChannelsLastTensors<T> const tensors, __grid_constant__ ChannelsLastConfig const config,
    ChannelTotals* gridTotals)
{
    __shared__ WarpTotals warpTotals;
    __shared__ ChannelLine columnLines[kMaxColumnChannels];
    int32_t const columnChannels = config.lanes * kVectorChannels<T>;
    int32_t const place = static_cast<int32_t>(blockIdx.x) / config.splits;
    int32_t const split = static_cast<int32_t>(blockIdx.x) - place * config.splits;
    bool isOdd = false; // each half of the workspace is written again after two barriers
    for (int64_t firstColumn = 0; firstColumn < config.columns; firstColumn += config.columnsAtOnce, isOdd = !isOdd)
    {
        bool const hasColumn = firstColumn + place < config.columns;
        ColumnPart part(tensors, config, hasColumn ? firstColumn + place : 0, split);
        part.count = hasColumn ? part.count : 0;
        ChannelVector<T> const* const source = tensors.input + part.first;
        int64_t const lastTile = part.count > 0 ? (part.count - 1) / kTilePixels * kTilePixels : 0;

        PixelTile<T> tile;
        tile.load(source, part.stride, part.count);
        VectorSums<T> sums;
        beginSums(sums, tensors, part);
        for (int64_t done = 0; done < lastTile; done += kTilePixels)
        {
            tile.addTo(sums);
            if ((done + kTilePixels) % kPixelsPerFlush == 0)
            {
                flush<T>(sums);
            }
            tile.load(source + (done + kTilePixels) * part.stride, part.stride, part.count - done - kTilePixels);
        }
        tile.addTo(sums);
        flush<T>(sums);
        ChannelFacts const facts(tensors, part, columnChannels);
        ChannelTotals* const columnTotals =
            gridTotals + ((isOdd ? config.columnsAtOnce : 0) + place) * config.splits * columnChannels;
        ChannelTotals total = sumOverBlock<T>(sums, config.lanes, warpTotals);
        if (threadIdx.x < columnChannels)
        {
            columnTotals[split * columnChannels + threadIdx.x] = total;
        }
        cooperative_groups::this_grid().sync();
        total = sumOverColumn(columnTotals, config.splits, columnChannels, warpTotals[0]);
        if (threadIdx.x < columnChannels)
        {
            columnLines[threadIdx.x] = lineOf(total, facts, tensors);
        }
        __syncthreads();
        ChannelLine lines[kVectorChannels<T>];
        readLines<T>(lines, columnLines, part);
        int64_t const numChannels = tensors.channels - part.vector * kVectorChannels<T>;
        ChannelVector<T>* const target = tensors.output + part.first;
        tile.storeAlong(lines, numChannels, target + lastTile * part.stride, part.stride);
        for (int64_t done = lastTile - kTilePixels; done >= 0; done -= kTilePixels)
        {
            tile.load(source + done * part.stride, part.stride, kTilePixels);
            tile.storeAlong(lines, numChannels, target + done * part.stride, part.stride);
        }
    }
}

} // namespace trtconv
