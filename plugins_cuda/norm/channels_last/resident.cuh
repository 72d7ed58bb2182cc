// Columns held in the registers of a block, of a cluster or of a whole cooperative grid: each column is read once.
#pragma once

#include <utility>

#include "norm/channels_last/exchange.cuh"

namespace trtconv::channels_last
{

// `Kind` is kPlain, kFused, kPlaced or kPhased.
template <typename T, Method Method, ResultKind Kind>
__global__ __launch_bounds__(kColumnThreads, 1) void normaliseResidentColumns(
    __grid_constant__ Tensors<T, Kind> const tensors, __grid_constant__ Config const config, int64_t firstColumn,
    TaggedNumbers* memory)
{
    constexpr bool kIsCluster = Method == Method::kCluster;
    constexpr bool kIsGrid = Method == Method::kGrid;
    constexpr bool kIsPlain = Kind == ResultKind::kPlain;
    __shared__ WarpTotals<kColumnThreads / kWarpSize> warpTotals;
    __shared__ ColumnFinish<Kind> columnFinish;
    __shared__ ClusterExchange clusterExchange;
    BlockPlace const place(config);
    int32_t const columnChannels = config.lanes * kVectorChannels<T>;
    ColumnPart const part(tensors, config, firstColumn + place.column, place.split);
    GridExchange<T, Kind> const gridExchange(tensors, columnChannels, config.splits, place, memory);
    cooperative_groups::grid_group::arrival_token cleared{};
    if constexpr (kIsCluster)
    {
        clusterExchange.begin(config.splits, columnChannels);
    }
    waitForEarlierWork();
    if constexpr (kIsPlaced<Kind>)
    {
        letNextKernelBegin(); // which fills the pads
    }
    if constexpr (kIsGrid)
    {
        cleared = gridExchange.begin();
    }

    PixelTile<T> tile;
    tile.load(part, tensors.input);
    std::conditional_t<kIsPlain, NoGroups, PixelResiduals<T, Kind>> residuals;
    if constexpr (!kIsPlain)
    {
        residuals.request(part, tensors.result);
    }
    ChannelFacts const facts(
        tensors, part, kIsGrid && kIsPlain ? gridExchange.firstChannel() : threadIdx.x, columnChannels);
    VectorSums<T> sums;
    beginSums(sums, tensors, part);
    tile.addTo(sums, part);
    flush<T>(sums);
    ChannelTotals total = sumOverBlock<T>(sums, config.lanes, warpTotals);
    if constexpr (!kIsPlain)
    {
        residuals.load(part, tensors.result);
    }
    if constexpr (kIsGrid)
    {
        cooperative_groups::this_grid().barrier_wait(std::move(cleared));
    }
    Affine affine;
    if constexpr (kIsGrid && kIsPlain)
    {
        affine = gridExchange.finish(total, facts, part, 1);
    }
    else
    {
        if constexpr (kIsGrid)
        {
            total = gridExchange.sum(total, 1);
        }
        if constexpr (kIsCluster)
        {
            total = clusterExchange.sum(total, place.split, config.splits, columnChannels);
        }
        if constexpr (kIsPlain)
        {
            affine = affineOf(total, facts, tensors);
        }
        else
        {
            affine = affineInGroup(total, facts, tensors, warpTotals[0]);
        }
    }
    auto const finish = shareFinish(affine, facts.parameter, columnFinish, tensors, part, columnChannels);
    if constexpr (kIsPlain)
    {
        tile.store(finish, part, tensors.result);
    }
    else
    {
        tile.store(residuals, finish, part, tensors.result);
    }
}

} // namespace trtconv::channels_last
