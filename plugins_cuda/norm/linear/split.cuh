// Slices too large to be held on chip: two kernels, which both read the tensor. Several blocks share a slice.
#pragma once

#include "common/kernel_launch.cuh"
#include "norm/linear/sums.cuh"
#include "norm/linear/tensors.cuh"

namespace trtconv::linear
{

// Returns how many vectors of a tile a thread has from vector `first` on, of those before `end`.
template <int32_t TileVectors>
__device__ int32_t validVectors(int64_t first, int64_t end)
{
    return static_cast<int32_t>(min((end - first + kSplitThreads - 1) / kSplitThreads, int64_t{TileVectors}));
}

// The part of a slice that one block works on.
template <typename T, int VectorSize, ResultKind Kind>
struct SlicePart
{
    static constexpr int32_t kTileVectors = splitTileVectors(VectorSize);
    static constexpr int32_t kStep = kSplitThreads * kTileVectors;

    SliceSpan span;
    int64_t slice;
    int64_t firstVector;
    int64_t endVector;
    int32_t edge; // of this thread, or -1; the first part of a slice has all edges

    __device__ SlicePart(Tensors<T, Kind> const& tensors, int64_t part, int32_t blocksPerSlice, int64_t vectorsPerBlock)
        : span(tensors.template span<VectorSize>(part / blocksPerSlice))
        , slice(part / blocksPerSlice)
        , firstVector(part % blocksPerSlice * vectorsPerBlock)
        , endVector(min(firstVector + vectorsPerBlock, span.numVectors))
        , edge(part % blocksPerSlice == 0 && threadIdx.x < span.numEdges ? static_cast<int32_t>(threadIdx.x) : -1)
    {
    }

    __device__ Tile<T, VectorSize, kTileVectors> load(T const* __restrict__ input, int64_t first) const
    {
        Tile<T, VectorSize, kTileVectors> tile;
        TRTCONV_UNROLL
        for (int k = 0; k < kTileVectors; ++k)
        {
            int64_t const index = first + k * kSplitThreads;
            tile.vectors[k] = {};
            if (index < endVector)
            {
                tile.vectors[k] = loadVector<VectorSize>(input + span.bodyBegin + index * VectorSize);
            }
        }
        return tile;
    }

    // Stores the results of a tile that `load` has given, with an epilogue.
    template <typename Finish>
    __device__ void store(Result<T, Kind> const& result, int64_t first, Tile<T, VectorSize, kTileVectors> const& tile,
        Finish const& finish) const
    {
        auto const vectorAt = [&](int k) { return first + k * kSplitThreads; };
        auto const elementAt = [&](int k) { return span.bodyBegin + vectorAt(k) * VectorSize; };
        auto const exists = [&](int k) { return vectorAt(k) < endVector; };
        typename Result<T, Kind>::template Residuals<VectorSize, kTileVectors> residuals;
        result.load(residuals, elementAt, exists);
        result.template storeAll<VectorSize, kTileVectors>(
            residuals, elementAt, [&](int k) { return tile.vectors[k]; }, exists, finish);
    }
};

// Stores the sum over all threads of the block. `warpSums` may be used again when it returns.
__device__ inline void storeSumOfBlock(SliceSums const& sums, SliceSums* warpSums, SliceSums& target)
{
    leaveSumOfWarp(sums, warpSums);
    __syncthreads();
    if (threadIdx.x < kWarpSize)
    {
        SliceSums const ofBlock = sumOfWarps(warpSums, kSplitThreads / kWarpSize);
        if (threadIdx.x == 0)
        {
            target = ofBlock;
        }
    }
    __syncthreads();
}

// Leaves what finishes a slice, whose parts' sums are given, in shared memory, for all threads of the block.
template <typename T, ResultKind Kind>
__device__ void leaveFinish(Tensors<T, Kind> const& tensors, SliceSums const* partSums, int32_t numParts, int64_t slice,
    SliceSpan const& span, typename Tensors<T, Kind>::Finish& finish)
{
    if (threadIdx.x < kWarpSize)
    {
        SliceSums sums;
        for (int32_t part = threadIdx.x; part < numParts; part += kWarpSize)
        {
            sums.add(partSums[part]);
        }
        sums = sumOverWarp(sums);
        if (threadIdx.x == 0)
        {
            int64_t const index = tensors.parameterIndexOf(slice);
            float const shift = tensors.shiftOf(span);
            SliceParameters<float> const parameters = tensors.parametersAt(index).inFloat();
            finish = tensors.finishOf(sums, shift, parameters, slice);
        }
    }
    __syncthreads();
}

// The first kernel writes partialSums[slice * blocksPerSlice + part of the slice].
template <typename T, int VectorSize, ResultKind Kind>
__global__ __launch_bounds__(kSplitThreads) void sumSliceParts(
    Tensors<T, Kind> tensors, SliceSums* __restrict__ partialSums, int32_t blocksPerSlice, int64_t vectorsPerBlock)
{
    using Part = SlicePart<T, VectorSize, Kind>;
    __shared__ SliceSums warpSums[kSplitThreads / kWarpSize];
    int64_t const numParts = tensors.numSlices * blocksPerSlice;
    waitForEarlierWork();
    for (int64_t index = blockIdx.x; index < numParts; index += gridDim.x)
    {
        Part const part(tensors, index, blocksPerSlice, vectorsPerBlock);
        float const shift = tensors.shiftOf(part.span);
        SliceSums sums;
        if (part.edge >= 0)
        {
            sums.add(sumsOfElement(toFloat(tensors.input[part.span.edge(part.edge, VectorSize)]), shift));
        }
        for (int64_t first = part.firstVector + threadIdx.x; first < part.endVector; first += Part::kStep)
        {
            auto const tile = part.load(tensors.input, first);
            int32_t const numValid = validVectors<Part::kTileVectors>(first, part.endVector);
            sums.add(numValid == Part::kTileVectors ? tile.sums(shift) : tile.sums(numValid, shift));
        }
        storeSumOfBlock(sums, warpSums, partialSums[index]);
    }
}

// The second kernel begins where the first one ended: that part of the tensor is still in the L2 cache.
template <typename T, int VectorSize, ResultKind Kind>
__global__ __launch_bounds__(kSplitThreads) void normaliseSliceParts(Tensors<T, Kind> tensors,
    SliceSums const* __restrict__ partialSums, int32_t blocksPerSlice, int64_t vectorsPerBlock)
{
    using Part = SlicePart<T, VectorSize, Kind>;
    __shared__ typename Tensors<T, Kind>::Finish sharedFinish;
    int64_t const numParts = tensors.numSlices * blocksPerSlice;
    waitForEarlierWork();
    for (int64_t index = numParts - 1 - blockIdx.x; index >= 0; index -= gridDim.x)
    {
        Part const part(tensors, index, blocksPerSlice, vectorsPerBlock);
        __syncthreads(); // all have read what finishes the previous part
        leaveFinish(
            tensors, partialSums + part.slice * blocksPerSlice, blocksPerSlice, part.slice, part.span, sharedFinish);
        auto const finish = sharedFinish;
        if (part.edge >= 0)
        {
            int64_t const element = part.span.edge(part.edge, VectorSize);
            tensors.result.storeOne(element, toFloat(tensors.input[element]), finish);
        }
        for (int64_t first = part.firstVector + threadIdx.x; first < part.endVector; first += Part::kStep)
        {
            auto const tile = part.load(tensors.input, first);
            if constexpr (Kind == ResultKind::kPlain)
            {
                TRTCONV_UNROLL
                for (int k = 0; k < Part::kTileVectors; ++k)
                {
                    int64_t const vector = first + k * kSplitThreads;
                    if (vector < part.endVector)
                    {
                        tensors.result.store(part.span.bodyBegin + vector * VectorSize, tile.vectors[k], finish);
                    }
                }
            }
            else
            {
                part.store(tensors.result, first, tile, finish);
            }
        }
    }
}

} // namespace trtconv::linear
