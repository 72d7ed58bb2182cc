// Slices too large to be held on chip whose results are scattered, where they are not streamed: two kernels, which both
// read the tensor. Several blocks share a slice: each has a part of every plane of it.
#pragma once

#include "common/kernel_launch.cuh"
#include "norm/linear/split.cuh"

namespace trtconv::linear
{

template <typename T>
using PlacedTensors = Tensors<T, ResultKind::kPlaced>;

// The part of a slice that one block works on.
template <typename T>
struct PlanePart
{
    SliceSpan span;
    int64_t slice;
    int64_t begin; // the elements of each plane
    int64_t end;

    __device__ PlanePart(
        PlacedTensors<T> const& tensors, int64_t part, int32_t blocksPerSlice, int64_t elementsPerBlock)
        : span(tensors.template span<1>(part / blocksPerSlice))
        , slice(part / blocksPerSlice)
        , begin(part % blocksPerSlice * elementsPerBlock)
        , end(min(begin + elementsPerBlock, tensors.result.places.planeSize))
    {
    }

    __device__ T const* plane(PlacedTensors<T> const& tensors, uint32_t phase) const
    {
        return tensors.input + (span.begin + phase * tensors.phaseStep());
    }
};

// The first kernel writes partialSums[slice * blocksPerSlice + part of the slice]. Planes are whole vectors.
template <typename T, int VectorSize>
__global__ __launch_bounds__(kSplitThreads) void sumPlaneParts(__grid_constant__ PlacedTensors<T> const tensors,
    SliceSums* __restrict__ partialSums, int32_t blocksPerSlice, int64_t elementsPerBlock)
{
    using PartTile = Tile<T, VectorSize, splitTileVectors(VectorSize)>;
    __shared__ SliceSums warpSums[kSplitThreads / kWarpSize];
    int64_t const numParts = tensors.numSlices * blocksPerSlice;
    waitForEarlierWork();
    for (int64_t index = blockIdx.x; index < numParts; index += gridDim.x)
    {
        PlanePart<T> const part(tensors, index, blocksPerSlice, elementsPerBlock);
        float const shift = tensors.shiftOf(part.span);
        SliceSums sums;
        for (uint32_t phase = 0; phase < tensors.result.places.phases.value(); ++phase)
        {
            T const* const plane = part.plane(tensors, phase);
            for (int64_t first = part.begin / VectorSize + threadIdx.x; first < part.end / VectorSize;
                first += kSplitThreads * PartTile::kNumVectors)
            {
                int32_t const numValid = validVectors<PartTile::kNumVectors>(first, part.end / VectorSize);
                PartTile tile;
                tile.load(plane, first * VectorSize, kSplitThreads * VectorSize, numValid);
                sums.add(tile.sums(numValid, shift));
            }
        }
        storeSumOfBlock(sums, warpSums, partialSums[index]);
    }
}

// Part of a slice: a run of each of its planes, one after another, as long as a stage, for which PlacedRows is made.
// The results of a run read a few bytes beyond it.
template <typename T>
struct HeldRun
{
    static constexpr int32_t kMaxElements = kStageBytes / sizeof(T);

    alignas(kVectorBytes) T elements[kMaxElements + kVectorBytes / sizeof(T)];
};

// Copies neighbouring elements by pieces: single elements, or vectors, of which they are whole ones.
template <typename Piece, typename T>
__device__ void copyByPieces(T* target, T const* source, int32_t count)
{
    constexpr int32_t kSize = sizeof(Piece) / sizeof(T);
    for (int32_t piece = threadIdx.x; piece < count / kSize; piece += kSplitThreads)
    {
        reinterpret_cast<Piece*>(target)[piece] = reinterpret_cast<Piece const*>(source)[piece];
    }
}

// The second kernel begins where the first one ended: that part of the tensor is still in the L2 cache.
template <typename T>
__global__ __launch_bounds__(kSplitThreads) void scatterPlaneParts(__grid_constant__ PlacedTensors<T> const tensors,
    SliceSums const* __restrict__ partialSums, int32_t blocksPerSlice, int64_t elementsPerBlock, bool areWhole)
{
    __shared__ SliceFinish finish;
    __shared__ HeldRun<T> held;
    uint32_t const phases = tensors.result.places.phases.value();
    int64_t const maxCount = HeldRun<T>::kMaxElements / phases;
    int64_t const numParts = tensors.numSlices * blocksPerSlice;
    waitForEarlierWork();
    for (int64_t index = numParts - 1 - blockIdx.x; index >= 0; index -= gridDim.x)
    {
        PlanePart<T> const part(tensors, index, blocksPerSlice, elementsPerBlock);
        leaveFinish(tensors, partialSums + part.slice * blocksPerSlice, blocksPerSlice, part.slice, part.span, finish);
        for (int64_t first = part.begin; first < part.end; first += maxCount)
        {
            auto const count = static_cast<int32_t>(min(maxCount, part.end - first));
            for (uint32_t phase = 0; phase < phases; ++phase)
            {
                T const* const source = part.plane(tensors, phase) + first;
                T* const target = held.elements + phase * count;
                areWhole ? copyByPieces<uint4>(target, source, count) : copyByPieces<T>(target, source, count);
            }
            __syncthreads();
            PlaneRun const run{static_cast<uint32_t>(first), static_cast<uint32_t>(count)};
            tensors.result.scatter(held.elements, part.slice, run, finish, {threadIdx.x, kSplitThreads});
            __syncthreads(); // all have read the run and, of the last one, what finishes the part
        }
    }
}

} // namespace trtconv::linear
