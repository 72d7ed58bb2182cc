// Slices in registers - of part of a warp, of a block or of a cluster of blocks: one kernel, which reads each once.
#pragma once

#include <cooperative_groups.h>

#include "common/kernel_launch.cuh"
#include "instance_norm/block_sums.cuh"
#include "instance_norm/slice_tensors.cuh"

namespace trtconv
{

struct ResidentShared
{
    SliceSums warpSums[2][kMaxResidentThreads / kWarpSize]; // for slices in turn
    SliceSums blockSums[2][kMaxResidentBlocks];
};

// Gives every thread of a cluster the sum over its blocks, each of which has its own. The cluster's barrier has been
// arrived at once since the last call: all blocks have begun, and read what they got by that call but one.
__device__ inline SliceSums sumOverCluster(SliceSums const& ofBlock, SliceSums* blockSums)
{
#if __CUDA_ARCH__ >= 900
    auto const cluster = cooperative_groups::this_cluster();
    cluster.barrier_wait();
    if (threadIdx.x < cluster.num_blocks())
    {
        *cluster.map_shared_rank(blockSums + cluster.block_rank(), threadIdx.x) = ofBlock;
    }
    cluster.sync();
    return sumOfWarps(blockSums, cluster.num_blocks());
#else
    return ofBlock;
#endif
}

__device__ inline void arriveAtCluster()
{
#if __CUDA_ARCH__ >= 900
    cooperative_groups::this_cluster().barrier_arrive();
#endif
}

// Gives all threads of a slice its sums. `round` counts the slices of this block.
__device__ inline SliceSums sumOverSlice(
    SliceSums const& sums, uint32_t numLanes, ResidentShared& shared, uint32_t round)
{
    if (numLanes <= kWarpSize)
    {
        return sumOverLanes(sums, numLanes);
    }
    // Two sets of sums in turn: no warp writes to one before all have read the other.
    SliceSums* const warpSums = shared.warpSums[round & 1U];
    leaveSumOfWarp(sums, warpSums);
    __syncthreads();
    // By each warp, which is faster than to wait for one.
    SliceSums const ofBlock = sumOfWarps(warpSums, min(numLanes, blockDim.x) / kWarpSize);
    return numLanes <= blockDim.x ? ofBlock : sumOverCluster(ofBlock, shared.blockSums[round & 1U]);
}

// Of the 2^log2Lanes threads of a slice, each has a tile: vectors lane, lane + numLanes, ...; and edge `lane`, if there
// is one. `AllFull`: no slice has edges, and all tiles are full.
template <typename T, int VectorSize, int NumVectors, bool AllFull>
__global__ __launch_bounds__(kMaxResidentThreads) void normaliseResidentSlices(
    __grid_constant__ InstanceNormTensors<T> const tensors, int32_t log2Lanes)
{
    __shared__ ResidentShared shared;
    uint32_t const numLanes = 1U << log2Lanes;
    int64_t const step = (int64_t{gridDim.x} * blockDim.x) >> log2Lanes;
    int64_t const firstThread = int64_t{blockIdx.x} * blockDim.x;
    auto const lane = static_cast<int32_t>((blockIdx.x * blockDim.x + threadIdx.x) & (numLanes - 1));
    uint32_t round = 0;
    waitForEarlierWork();
    for (int64_t first = firstThread >> log2Lanes; first < tensors.numSlices; first += step, ++round)
    {
        if (numLanes > blockDim.x)
        {
            arriveAtCluster();
        }
        int64_t const ownSlice = first + (threadIdx.x >> log2Lanes);
        bool const isInside = ownSlice < tensors.numSlices;
        int64_t const slice = isInside ? ownSlice : first; // spare threads only take part in exchanges
        SliceSpan const span = AllFull ? wholeSliceSpan(slice * tensors.sliceSize, int64_t{NumVectors} << log2Lanes)
                                       : tensors.template span<VectorSize>(slice);
        int64_t const left = span.numVectors - lane;
        int32_t const numValid = AllFull ? NumVectors
            : left <= 0                  ? 0
                                         : static_cast<int32_t>((left + numLanes - 1) >> log2Lanes);
        bool const hasEdge = !AllFull && lane < span.numEdges;

        Tile<T, VectorSize, NumVectors> tile;
        int64_t const firstElement = span.bodyBegin + lane * VectorSize;
        int64_t const elementStep = int64_t{VectorSize} << log2Lanes;
        TRTCONV_UNROLL
        for (int k = 0; k < NumVectors; ++k)
        {
            tile.vectors[k] = {};
            if (k < numValid)
            {
                tile.vectors[k] = loadVector<VectorSize>(tensors.input + firstElement + k * elementStep);
            }
        }
        // All loads are under way before the first result is looked at.
        T const edge = hasEdge ? tensors.input[span.edge(lane, VectorSize)] : T{};
        float const shift = tensors.shiftOf(span); // here: after the channel's, its loads would wait for the tile
        int64_t const channel = tensors.channelOf(slice);
        T const scale = tensors.scale[channel];
        T const bias = tensors.bias[channel];

        SliceSums sums = AllFull ? tile.sums(shift) : tile.sums(numValid, shift);
        if (hasEdge)
        {
            sums.add(sumsOfElement(toFloat(edge), shift));
        }
        sums = sumOverSlice(sums, numLanes, shared, round);
        SliceMap const map = tensors.mapOf(sums, shift, toFloat(scale), toFloat(bias));
        TRTCONV_UNROLL
        for (int k = 0; k < NumVectors; ++k)
        {
            if (k < numValid && isInside)
            {
                storeMapped(tensors.output + firstElement + k * elementStep, tile.vectors[k], map);
            }
        }
        if (hasEdge && isInside)
        {
            tensors.output[span.edge(lane, VectorSize)] = fromFloat<T>(map(toFloat(edge)));
        }
    }
}

} // namespace trtconv
