// Columns held in the registers of a block, of a cluster or of a whole cooperative grid: each column is read once.
#pragma once

#include <utility>

#include "norm/channels_last/exchange.cuh"

namespace trtconv::channels_last
{

template <typename T, Method Method>
__global__ __launch_bounds__(kColumnThreads, 1) void normaliseResidentColumns(
    __grid_constant__ Tensors<T> const tensors, __grid_constant__ Config const config, int64_t firstColumn,
    TaggedNumbers* memory)
{
    constexpr bool kIsCluster = Method == Method::kCluster;
    constexpr bool kIsGrid = Method == Method::kGrid;
    __shared__ WarpTotals<kColumnThreads / kWarpSize> warpTotals;
    __shared__ ColumnAffines columnAffines;
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
    Affine affine;
    if constexpr (kIsGrid)
    {
        cooperative_groups::this_grid().barrier_wait(std::move(cleared));
        affine = gridExchange.finish(total, facts, part, 1);
    }
    else
    {
        if constexpr (kIsCluster)
        {
            total = clusterExchange.sum(total, place.split, config.splits, columnChannels);
        }
        affine = affineOf(total, facts, tensors);
    }
    tile.store(shareAffines(affine, columnAffines, tensors, part, columnChannels), part, tensors.result);
}

} // namespace trtconv::channels_last
