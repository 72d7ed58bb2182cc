// Slices held in registers, of part of a warp or of a block: one kernel, which reads each slice once.
#pragma once

#include "common/kernel_launch.cuh"
#include "norm/linear/sums.cuh"
#include "norm/linear/tensors.cuh"

namespace trtconv::linear
{

// Two sets of sums, for slices in turn: no warp writes to one before all have read the other.
using WarpSums = SliceSums[2][kMaxResidentThreads / kWarpSize];

constexpr int kHeldResiduals = 2; // vectors of a residual that registers last for beside a tile

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
template <typename T, int VectorSize, int NumVectors, bool AllFull, ResultKind Kind>
__global__ __launch_bounds__(kMaxResidentThreads) void normaliseResidentSlices(
    __grid_constant__ Tensors<T, Kind> const tensors, int32_t log2Lanes)
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
        auto const elementAt = [&](int k) { return firstElement + k * elementStep; };
        auto const exists = [&](int k) { return k < numValid; };
        typename Result<T, Kind>::template Residuals<VectorSize, NumVectors, kHeldResiduals> residuals;
        tensors.result.request(residuals, elementAt, exists);
        // All loads are under way before the first result is looked at.
        T const edge = hasEdge ? tensors.input[span.edge(lane, VectorSize)] : T{};
        float const shift =
            toFloat(tensors.input[span.begin]); // loaded here: after the channel's it would wait for the tile
        SliceParameters<T> const parameters = tensors.parametersAt(tensors.parameterIndexOf(slice));

        SliceSums sums = AllFull ? tile.sums(shift) : tile.sums(numValid, shift);
        if (hasEdge)
        {
            sums.add(sumsOfElement(toFloat(edge), shift));
        }
        tensors.result.load(residuals, elementAt, exists);
        sums = sumOverSlice(sums, numLanes, warpSums, round);
        auto const finish = tensors.finishOf(sums, shift, parameters.inFloat(), slice);
        auto const stores = [&](int k) { return k < numValid && isInside; };
        tensors.result.template storeAll<VectorSize, NumVectors>(
            residuals, elementAt, [&](int k) { return tile.vectors[k]; }, stores, finish);
        if (hasEdge && isInside)
        {
            float const value = toFloat(edge);
            tensors.result.storeOne(span.edge(lane, VectorSize), value, finish);
        }
    }
}

} // namespace trtconv::linear
