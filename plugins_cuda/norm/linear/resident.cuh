// Slices held in registers, of part of a warp or of a block: one kernel, which reads each slice once.
#pragma once

#include "common/kernel_launch.cuh"
#include "norm/linear/sums.cuh"
#include "norm/linear/tensors.cuh"

namespace trtconv::linear
{

// Two sets of sums, for slices in turn: no warp writes to one before all have read the other.
using WarpSums = SliceSums[2][kMaxResidentThreads / kWarpSize];

// Gives all threads of a slice its sums. `round` counts the slices of this block.
__device__ inline SliceSums sumOverSlice(SliceSums const& sums, uint32_t numLanes, WarpSums& warpSums, uint32_t round)
{
    if (numLanes <= kWarpSize)
    {
        return sumOverLanes(sums, numLanes);
    }
    leaveSumOfWarp(sums, warpSums[round & 1U]);
    __syncthreads();
    return sumOfWarps(
        warpSums[round & 1U], numLanes / kWarpSize); // each warp adds, which is faster than to wait for one
}

// Each of the 2^log2Lanes threads of a slice has a tile, the vectors lane, lane + numLanes, ..., and edge `lane` if
// there is one. `AllFull` says that no slice has edges and all tiles are full.
template <typename T, int VectorSize, int NumVectors, bool AllFull>
__global__ __launch_bounds__(kMaxResidentThreads) void normaliseResidentSlices(
    __grid_constant__ Tensors<T> const tensors, int32_t log2Lanes)
{
    __shared__ WarpSums warpSums;
    uint32_t const numLanes = 1U << log2Lanes;
    int64_t const step = (int64_t{gridDim.x} * blockDim.x) >> log2Lanes;
    int64_t const firstThread = int64_t{blockIdx.x} * blockDim.x;
    auto const lane = static_cast<int32_t>((blockIdx.x * blockDim.x + threadIdx.x) & (numLanes - 1));
    uint32_t round = 0;
    waitForEarlierWork();
    for (int64_t first = firstThread >> log2Lanes; first < tensors.numSlices; first += step, ++round)
    {
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
        tile.load(tensors.input, firstElement, elementStep, numValid);
        // All loads are under way before the first result is looked at.
        T const edge = hasEdge ? tensors.input[span.edge(lane, VectorSize)] : T{};
        float const shift =
            toFloat(tensors.input[span.begin]); // loaded here: after the channel's it would wait for the tile
        int64_t const channel = tensors.channelOf(slice);
        T const scale = tensors.scale[channel];
        T const bias = tensors.bias[channel];

        SliceSums sums = AllFull ? tile.sums(shift) : tile.sums(numValid, shift);
        if (hasEdge)
        {
            sums.add(sumsOfElement(toFloat(edge), shift));
        }
        sums = sumOverSlice(sums, numLanes, warpSums, round);
        Affine const affine = tensors.affineOf(sums, shift, toFloat(scale), toFloat(bias));
        tile.store(tensors.result, firstElement, elementStep, numValid, isInside, affine);
        if (hasEdge && isInside)
        {
            float const value = toFloat(edge);
            tensors.result.storeOne(span.edge(lane, VectorSize), value, affine);
        }
    }
}

} // namespace trtconv::linear
