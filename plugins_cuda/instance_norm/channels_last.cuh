// The kernels of InstanceNorm on channels-last tensors.
#pragma once

#include "instance_norm/column_sums.cuh"

namespace trtconv
{

template <typename T>
__device__ void readLines(SliceMap (&lines)[kVectorChannels<T>], SliceMap const* columnLines, ColumnPart const& part)
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
    __shared__ SliceMap columnLines[kMaxColumnChannels];
    arriveAtCluster<IsCluster>();
    int32_t const split = static_cast<int32_t>(blockIdx.x) & (config.splits - 1);
    int64_t const column = firstColumn + (blockIdx.x >> (__ffs(config.splits) - 1));
    ColumnPart const part(tensors, config, column, split);
    int32_t const columnChannels = config.lanes * kVectorChannels<T>;

    PixelTile<T> tile;
    tile.load(part, tensors.input, 0);
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
    SliceMap lines[kVectorChannels<T>];
    readLines<T>(lines, columnLines, part);
    tile.storeAlong(lines, tensors.channels - part.vector * kVectorChannels<T>, part, tensors.output, 0);
}

// Two halves of a tile: while one is worked on, the other is on its way.
template <typename T>
using TileHalves = PixelTile<T, kTilePixels / 2>[2];

// Adds up all vectors of a thread. Its last tile stays in the halves.
template <typename T>
__device__ void sumPixels(
    VectorSums<T>& sums, TileHalves<T>& halves, ChannelsLastTensors<T> const& tensors, ColumnPart const& part)
{
    halves[0].load(part, tensors.input, 0);
    beginSums(sums, tensors, part);
    for (int64_t done = 0; done < part.count; done += kTilePixels)
    {
        halves[1].load(part, tensors.input, done + kTilePixels / 2);
        halves[0].addTo(sums);
        if (done + kTilePixels < part.count)
        {
            halves[0].load(part, tensors.input, done + kTilePixels);
        }
        halves[1].addTo(sums);
        if ((done + kTilePixels) % kPixelsPerFlush == 0)
        {
            flush<T>(sums);
        }
    }
    flush<T>(sums);
}

// Normalises all vectors of a thread, from the last, still in the halves, to the first: those before are in the cache.
template <typename T>
__device__ void storePixels(SliceMap const (&lines)[kVectorChannels<T>], TileHalves<T>& halves,
    ChannelsLastTensors<T> const& tensors, ColumnPart const& part)
{
    int64_t const numChannels = tensors.channels - part.vector * kVectorChannels<T>;
    int64_t position = part.count > 0 ? (part.count - 1) / kTilePixels * kTilePixels : 0;
    for (; position >= 0; position -= kTilePixels)
    {
        halves[1].storeAlong(lines, numChannels, part, tensors.output, position + kTilePixels / 2);
        if (position > 0)
        {
            halves[1].load(part, tensors.input, position - kTilePixels / 2);
        }
        halves[0].storeAlong(lines, numChannels, part, tensors.output, position);
        if (position > 0)
        {
            halves[0].load(part, tensors.input, position - kTilePixels);
        }
    }
}

// Columns that a cooperative grid shares: all of its blocks sum, wait for each other, and normalise.
template <typename T>
__global__ __launch_bounds__(kColumnThreads, 1) void normaliseGridColumns(
    __grid_constant__ ChannelsLastTensors<T> const tensors, __grid_constant__ ChannelsLastConfig const config,
    ChannelTotals* gridTotals)
{
    __shared__ WarpTotals warpTotals;
    __shared__ SliceMap columnLines[kMaxColumnChannels];
    int32_t const columnChannels = config.lanes * kVectorChannels<T>;
    int32_t const place = static_cast<int32_t>(blockIdx.x) / config.splits;
    int32_t const split = static_cast<int32_t>(blockIdx.x) - place * config.splits;
    bool isOdd = false; // each half of the workspace is written again after two barriers
    for (int64_t firstColumn = 0; firstColumn < config.columns; firstColumn += config.columnsAtOnce, isOdd = !isOdd)
    {
        bool const hasColumn = firstColumn + place < config.columns;
        ColumnPart part(tensors, config, hasColumn ? firstColumn + place : 0, split);
        part.count = hasColumn ? part.count : 0;
        TileHalves<T> halves;
        VectorSums<T> sums;
        sumPixels(sums, halves, tensors, part);
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
        SliceMap lines[kVectorChannels<T>];
        readLines<T>(lines, columnLines, part);
        storePixels(lines, halves, tensors, part);
    }
}

} // namespace trtconv
