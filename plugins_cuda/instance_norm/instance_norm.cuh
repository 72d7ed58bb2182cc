// The kernels of InstanceNorm. A thread's share of a slice is a tile: a few vectors, held in registers.
#pragma once

#include "common/element_type.cuh"
#include "common/vector_span.h"
#include "instance_norm/instance_norm_config.h"
#include "instance_norm/slice_statistics.h"

namespace trtconv
{

// The tensors of one launch, typed.
template <typename T>
struct InstanceNormTensors
{
    T const* __restrict__ input;
    T const* __restrict__ scale;
    T const* __restrict__ bias;
    T* __restrict__ output;
    int64_t numSlices;
    int64_t channels;
    int64_t sliceSize;
    int32_t baseOffset; // of input and output alike: elements since the last aligned address
    float epsilon;
};

template <typename T, int VectorSize>
struct Tile
{
    static constexpr int kNumVectors = tileVectors(VectorSize);
    static constexpr int kSize = kNumVectors * VectorSize;

    Vector<T, VectorSize> vectors[kNumVectors];
    uint32_t valid = 0; // bit k * VectorSize + i: element i of vector k belongs to the slice

    __device__ float operator()(int i) const { return toFloat(vectors[i / VectorSize].elements[i % VectorSize]); }
};

template <int VectorSize>
__device__ constexpr uint32_t fullVector()
{
    return (uint32_t{1} << VectorSize) - 1;
}

// Loads the vectors first, first + step, ... that lie in the span and below `end`.
template <typename T, int VectorSize>
__device__ Tile<T, VectorSize> loadTile(
    T const* __restrict__ input, VectorSpan const& span, int64_t first, int32_t step, int64_t end)
{
    Tile<T, VectorSize> tile;
    TRTCONV_UNROLL
    for (int k = 0; k < tile.kNumVectors; ++k)
    {
        int64_t const index = first + k * step;
        uint32_t const valid = index < end ? validElements(span, index, VectorSize) : 0;
        T const* const source = input + span.firstVectorBegin + index * VectorSize;
        tile.vectors[k] = {};
        if (valid == fullVector<VectorSize>())
        {
            tile.vectors[k] = *reinterpret_cast<Vector<T, VectorSize> const*>(source);
        }
        else if (valid != 0)
        {
            TRTCONV_UNROLL
            for (int i = 0; i < VectorSize; ++i)
            {
                if ((valid >> i & 1U) != 0)
                {
                    tile.vectors[k].elements[i] = source[i];
                }
            }
        }
        tile.valid |= valid << (k * VectorSize);
    }
    return tile;
}

// Stores the tile's elements, normalised, where they came from.
template <typename T, int VectorSize>
__device__ void storeNormalised(Tile<T, VectorSize> const& tile, T* __restrict__ output, VectorSpan const& span,
    int64_t first, int32_t step, SliceMoments const& moments, float scale, float bias)
{
    TRTCONV_UNROLL
    for (int k = 0; k < tile.kNumVectors; ++k)
    {
        uint32_t const valid = tile.valid >> (k * VectorSize) & fullVector<VectorSize>();
        T* const target = output + span.firstVectorBegin + (first + k * step) * VectorSize;
        Vector<T, VectorSize> result;
        TRTCONV_UNROLL
        for (int i = 0; i < VectorSize; ++i)
        {
            result.elements[i] = fromFloat<T>(normalise(tile(k * VectorSize + i), moments, scale, bias));
        }
        if (valid == fullVector<VectorSize>())
        {
            *reinterpret_cast<Vector<T, VectorSize>*>(target) = result;
        }
        else if (valid != 0)
        {
            TRTCONV_UNROLL
            for (int i = 0; i < VectorSize; ++i)
            {
                if ((valid >> i & 1U) != 0)
                {
                    target[i] = result.elements[i];
                }
            }
        }
    }
}

template <typename T, int VectorSize>
__device__ SliceSums sumsOf(Tile<T, VectorSize> const& tile, float shift)
{
    // A full tile needs no test per element, so the compiler gets it as a constant.
    constexpr uint32_t kAllValid = tile.kSize == 32 ? ~uint32_t{0} : (uint32_t{1} << (tile.kSize % 32)) - 1;
    return tile.valid == kAllValid ? sumTile<Tile<T, VectorSize>::kSize>(tile, kAllValid, tile.kSize, shift)
                                   : sumTile<Tile<T, VectorSize>::kSize>(tile, tile.valid, __popc(tile.valid), shift);
}

// Gives each of `lanes` neighbouring threads of a warp the sum over all of them.
__device__ inline SliceSums sumOverWarp(SliceSums sums, int lanes)
{
    for (int distance = lanes / 2; distance > 0; distance /= 2)
    {
        sums.add({__shfl_xor_sync(0xffffffffU, sums.deviations, distance),
            __shfl_xor_sync(0xffffffffU, sums.squares, distance)});
    }
    return sums;
}

// Gives every thread of the block the sum over all of them. `warpSums` holds one entry per warp.
__device__ inline SliceSums sumOverBlock(SliceSums sums, SliceSums* warpSums)
{
    auto const lane = threadIdx.x % kWarpSize;
    sums = sumOverWarp(sums, kWarpSize);
    __syncthreads(); // the previous slice's sums have been read
    if (lane == 0)
    {
        warpSums[threadIdx.x / kWarpSize] = sums;
    }
    __syncthreads();
    return sumOverWarp(lane < blockDim.x / kWarpSize ? warpSums[lane] : SliceSums{}, kWarpSize);
}

// Slices of a block's registers: each is read once.
template <typename T, int VectorSize>
__global__ __launch_bounds__(kMaxResidentLanes) void normaliseResidentSlices(
    InstanceNormTensors<T> tensors, int32_t lanesPerSlice)
{
    __shared__ SliceSums warpSums[kMaxResidentLanes / kWarpSize];
    int32_t const lane = threadIdx.x % lanesPerSlice;
    int32_t const slicesPerBlock = blockDim.x / lanesPerSlice;
    int64_t const step = int64_t{gridDim.x} * slicesPerBlock;
    for (int64_t firstSlice = int64_t{blockIdx.x} * slicesPerBlock; firstSlice < tensors.numSlices; firstSlice += step)
    {
        int64_t const slice = firstSlice + threadIdx.x / lanesPerSlice;
        bool const isInside = slice < tensors.numSlices;
        int64_t const begin = (isInside ? slice : firstSlice) * tensors.sliceSize;
        VectorSpan const span = makeVectorSpan(begin, tensors.sliceSize, tensors.baseOffset, VectorSize);
        int64_t const end = isInside ? span.numVectors : 0; // spare threads only take part in the warp's exchange

        Tile<T, VectorSize> const tile = loadTile<T, VectorSize>(tensors.input, span, lane, lanesPerSlice, end);
        float const shift = toFloat(tensors.input[begin]);
        SliceSums sums = sumsOf(tile, shift);
        sums = lanesPerSlice <= kWarpSize ? sumOverWarp(sums, lanesPerSlice) : sumOverBlock(sums, warpSums);

        int64_t const channel = (isInside ? slice : firstSlice) % tensors.channels;
        storeNormalised(tile, tensors.output, span, lane, lanesPerSlice,
            finishMoments(sums, tensors.sliceSize, shift, tensors.epsilon), toFloat(tensors.scale[channel]),
            toFloat(tensors.bias[channel]));
    }
}

// The part of a slice that one block of a split launch works on.
struct SlicePart
{
    VectorSpan span;
    int64_t slice;
    int64_t firstVector;
    int64_t endVector;
};

__device__ inline SlicePart slicePart(int64_t part, int64_t sliceSize, int32_t baseOffset, int32_t vectorSize,
    int32_t splitsPerSlice, int64_t vectorsPerSplit)
{
    int64_t const slice = part / splitsPerSlice;
    int64_t const firstVector = part % splitsPerSlice * vectorsPerSplit;
    VectorSpan const span = makeVectorSpan(slice * sliceSize, sliceSize, baseOffset, vectorSize);
    return {span, slice, firstVector, min(firstVector + vectorsPerSplit, span.numVectors)};
}

// First kernel of a split launch: partialSums[slice * splitsPerSlice + split].
template <typename T, int VectorSize>
__global__ __launch_bounds__(kSplitThreads) void sumSliceParts(InstanceNormTensors<T> tensors,
    SliceSums* __restrict__ partialSums, int32_t splitsPerSlice, int64_t vectorsPerSplit)
{
    __shared__ SliceSums warpSums[kSplitThreads / kWarpSize];
    int64_t const numParts = tensors.numSlices * splitsPerSlice;
    for (int64_t index = blockIdx.x; index < numParts; index += gridDim.x)
    {
        SlicePart const part =
            slicePart(index, tensors.sliceSize, tensors.baseOffset, VectorSize, splitsPerSlice, vectorsPerSplit);
        float const shift = toFloat(tensors.input[part.span.begin]);
        SliceSums sums;
        constexpr int32_t kStep = kSplitThreads * tileVectors(VectorSize);
        for (int64_t first = part.firstVector + threadIdx.x; first < part.endVector; first += kStep)
        {
            sums.add(
                sumsOf(loadTile<T, VectorSize>(tensors.input, part.span, first, kSplitThreads, part.endVector), shift));
        }
        sums = sumOverBlock(sums, warpSums);
        if (threadIdx.x == 0)
        {
            partialSums[index] = sums;
        }
    }
}

// Second kernel of a split launch.
template <typename T, int VectorSize>
__global__ __launch_bounds__(kSplitThreads) void normaliseSliceParts(InstanceNormTensors<T> tensors,
    SliceSums const* __restrict__ partialSums, int32_t splitsPerSlice, int64_t vectorsPerSplit)
{
    int64_t const numParts = tensors.numSlices * splitsPerSlice;
    for (int64_t index = blockIdx.x; index < numParts; index += gridDim.x)
    {
        SlicePart const part =
            slicePart(index, tensors.sliceSize, tensors.baseOffset, VectorSize, splitsPerSlice, vectorsPerSplit);
        SliceSums sums; // each warp adds up all parts, in the same order: no exchange between warps
        for (int32_t split = threadIdx.x % kWarpSize; split < splitsPerSlice; split += kWarpSize)
        {
            sums.add(partialSums[part.slice * splitsPerSlice + split]);
        }
        sums = sumOverWarp(sums, kWarpSize);

        float const shift = toFloat(tensors.input[part.span.begin]);
        SliceMoments const moments = finishMoments(sums, tensors.sliceSize, shift, tensors.epsilon);
        int64_t const channel = part.slice % tensors.channels;
        float const scale = toFloat(tensors.scale[channel]);
        float const bias = toFloat(tensors.bias[channel]);
        constexpr int32_t kStep = kSplitThreads * tileVectors(VectorSize);
        for (int64_t first = part.firstVector + threadIdx.x; first < part.endVector; first += kStep)
        {
            storeNormalised(loadTile<T, VectorSize>(tensors.input, part.span, first, kSplitThreads, part.endVector),
                tensors.output, part.span, first, kSplitThreads, moments, scale, bias);
        }
    }
}

} // namespace trtconv
