// Columns held in the registers of a block, of a cluster, or of a whole cooperative grid: each is read once.
#pragma once

#include <utility>

#include "norm/channels_last/exchange.cuh"

namespace trtconv
{

template <typename T, ChannelsLastMethod Method>
__global__ __launch_bounds__(kColumnThreads, 1) void normaliseResidentColumns(
    __grid_constant__ ChannelsLastTensors<T> const tensors, __grid_constant__ ChannelsLastConfig const config,
    int64_t firstColumn, TaggedNumbers* memory)
{
    constexpr bool kIsCluster = Method == ChannelsLastMethod::kCluster;
    constexpr bool kIsGrid = Method == ChannelsLastMethod::kGrid;
    __shared__ WarpTotals<kColumnThreads / 32> warpTotals;
    __shared__ ColumnLines columnLines;
    __shared__ ClusterExchange clusterExchange;
    BlockPlace const place(config);
    int32_t const columnChannels = config.lanes * kVectorChannels<T>;
    ColumnPart const part(tensors, config, firstColumn + place.column, place.split);
    GridExchange<T> const gridExchange(tensors, columnChannels, config.splits, place, memory);
    cooperative_groups::grid_group::arrival_token cleared{};
    if constexpr (kIsCluster)
    {
        clusterExchange.begin(config.splits, columnChannels);
    }
    waitForEarlierWork();
    if constexpr (kIsGrid)
    {
        cleared = gridExchange.begin();
    }

    PixelTile<T> tile;
    tile.load(part, tensors.input);
    ChannelFacts const facts(tensors, part, kIsGrid ? gridExchange.firstChannel() : threadIdx.x, columnChannels);
    VectorSums<T> sums;
    beginSums(sums, tensors, part);
    tile.addTo(sums, part);
    flush<T>(sums);
    ChannelTotals total = sumOverBlock<T>(sums, config.lanes, warpTotals);
    SliceMap line;
    if constexpr (kIsGrid)
    {
        cooperative_groups::this_grid().barrier_wait(std::move(cleared));
        line = gridExchange.finish(total, facts, part, 1);
    }
    else
    {
        if constexpr (kIsCluster)
        {
            total = clusterExchange.sum(total, place.split, config.splits, columnChannels);
        }
        line = lineOf(total, facts, tensors);
    }
    tile.store(shareLines(line, columnLines, tensors, part, columnChannels), part, tensors.output);
}

} // namespace trtconv
