// The kernels of ReflectPad: a thread writes an aligned vector of the output, or the same word of several planes.
#pragma once

#include "common/kernel_launch.cuh"
#include "reflect_pad/choice.h"

namespace trtconv
{

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ == 800 || __CUDA_ARCH__ / 100 == 9 || __CUDA_ARCH__ / 100 == 10
constexpr int kProcessorThreads = 2048;
#else
constexpr int kProcessorThreads = __CUDA_ARCH__ == 750 ? 1024 : 1536;
#endif

// A vector at any address, made of the two aligned vectors that hold it.
struct UnalignedVector
{
    uint4 low;
    uint4 high;
    uint32_t offset;

    __device__ void load(char const* source)
    {
        offset = static_cast<uint32_t>(reinterpret_cast<uintptr_t>(source) % kVectorBytes);
        auto const* const aligned = reinterpret_cast<uint4 const*>(source - offset);
        low = __ldg(aligned);
        high = offset == 0 ? low : __ldg(aligned + 1);
    }

    __device__ uint4 value() const
    {
        uint32_t words[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
        TRTCONV_UNROLL
        for (int i = 0; i < 6; ++i)
        {
            words[i] = (offset & 8) != 0 ? words[i + 2] : words[i];
        }
        TRTCONV_UNROLL
        for (int i = 0; i < 5; ++i)
        {
            words[i] = (offset & 4) != 0 ? words[i + 1] : words[i];
        }
        auto const bits = offset % 4 * 8;
        return {__funnelshift_r(words[0], words[1], bits), __funnelshift_r(words[1], words[2], bits),
            __funnelshift_r(words[2], words[3], bits), __funnelshift_r(words[3], words[4], bits)};
    }
};

// Returns the vector with its elements, of ElementBytes bytes each, in the opposite order.
template <int ElementBytes>
__device__ uint4 reversed(uint4 vector)
{
    if constexpr (ElementBytes == 8)
    {
        return {vector.z, vector.w, vector.x, vector.y};
    }
    else
    {
        constexpr uint32_t kOrder = ElementBytes == 1 ? 0x0123 : (ElementBytes == 2 ? 0x1032 : 0x3210);
        return {__byte_perm(vector.w, 0, kOrder), __byte_perm(vector.z, 0, kOrder), __byte_perm(vector.y, 0, kOrder),
            __byte_perm(vector.x, 0, kOrder)};
    }
}

// Whether all `vectorSize` words of the vector that begins at `begin` belong to the output.
template <typename Index, int32_t Rank>
__device__ bool isWhole(PadMap<Index, Rank> const& map, Coordinate<Index> begin, int32_t vectorSize)
{
    return begin >= 0 && begin + vectorSize <= static_cast<Coordinate<Index>>(map.numOutputs);
}

// The words of those vectors of a warp that are not a run of the input; each lane has one word. Few rows have more such
// vectors than fit a batch. The loads of a batch are on their way together.
template <typename Word, typename Index>
class WordBatch
{
public:
    // Takes vectors off `rest`, which has a bit for each lane whose vector is left, and loads their words. All lanes
    // take part.
    template <int32_t Rank>
    __device__ void load(
        Word const* __restrict__ input, PadMap<Index, Rank> const& map, Coordinate<Index> begin, uint32_t& rest)
    {
        uint32_t const lane = threadIdx.x % kWarpSize;
        TRTCONV_UNROLL
        for (int step = 0; step < kNumSteps; ++step)
        {
            mTargets[step] = -1;
            if (rest != 0)
            {
                uint32_t mine = rest; // without the lowest bits, which are for the lanes before
                for (uint32_t i = 0; i < lane / kVectorSize; ++i)
                {
                    mine &= mine - 1;
                }
                int const owner = mine == 0 ? 0 : __ffs(static_cast<int>(mine)) - 1;
                auto const target =
                    __shfl_sync(kAllLanes, begin, owner) + static_cast<Coordinate<Index>>(lane % kVectorSize);
                if (mine != 0 && target >= 0 && target < static_cast<Coordinate<Index>>(map.numOutputs))
                {
                    mTargets[step] = target;
                    mWords[step] = input[inputOf(map, static_cast<Index>(target))];
                }
                for (int i = 0; i < kWarpSize / kVectorSize; ++i)
                {
                    rest &= rest - 1;
                }
            }
        }
    }

    __device__ void store(Word* __restrict__ output) const
    {
        TRTCONV_UNROLL
        for (int step = 0; step < kNumSteps; ++step)
        {
            if (mTargets[step] >= 0)
            {
                output[mTargets[step]] = mWords[step];
            }
        }
    }

private:
    static constexpr int kNumSteps = 2;
    static constexpr int kVectorSize = kVectorBytes / sizeof(Word);

    Coordinate<Index> mTargets[kNumSteps];
    Word mWords[kNumSteps];
};

// Blocks that a multiprocessor must be able to hold: as many as its threads allow, where 32 registers are enough. H100,
// [8, 64, 512, 512] by 3 in int8: 101.8 us, 112.6 at 40 registers.
template <typename Index>
constexpr int kPadBlocksPerProcessor = sizeof(Index) == 4 ? kProcessorThreads / kPadThreads : 1;

// Pads rows of any width at any alignment; each thread writes a vector. `baseOffset` is the number of words between the
// last aligned address and the output. Vectors within a row, or within its reflected part, are moved whole.
template <typename Word, typename Index, int32_t Rank>
__global__ __launch_bounds__(kPadThreads, kPadBlocksPerProcessor<Index>) void padByReflection(
    Word const* __restrict__ input, Word* __restrict__ output, __grid_constant__ PadMap<Index, Rank> const map,
    int32_t baseOffset, Index numVectors)
{
    constexpr Index kVectorSize = kVectorBytes / sizeof(Word);
    waitForEarlierWork();
    for (Index first = blockIdx.x * Index{kPadThreads}; first < numVectors; first += gridDim.x * Index{kPadThreads})
    {
        Index const index = first + threadIdx.x;
        auto const begin = static_cast<Coordinate<Index>>(index * kVectorSize) - baseOffset;
        PadRun<Index> run{RunKind::kScattered, 0};
        if (index < numVectors && isWhole(map, begin, kVectorSize))
        {
            run = runOf(map, static_cast<Index>(begin), kVectorSize);
        }
        // The aligned vectors around a run reach up to 15 bytes beyond it, which must not be outside the input.
        bool const isRun =
            run.kind != RunKind::kScattered && run.begin >= kVectorSize && run.begin + 2 * kVectorSize <= map.numInputs;
        UnalignedVector vector;
        if (isRun)
        {
            vector.load(reinterpret_cast<char const*>(input + run.begin));
        }
        uint32_t rest = __ballot_sync(kAllLanes, index < numVectors && !isRun);
        WordBatch<Word, Index> batch;
        batch.load(input, map, begin, rest);
        if (isRun)
        {
            uint4 const value = vector.value();
            *reinterpret_cast<uint4*>(output + begin) =
                run.kind == RunKind::kForward ? value : reversed<sizeof(Word)>(value);
        }
        batch.store(output);
        while (rest != 0)
        {
            batch.load(input, map, begin, rest);
            batch.store(output);
        }
    }
}

// Pads planes, which the first axis counts, all alike: each thread finds the source of a word once for several planes.
template <typename Word, typename Index, int32_t PlaneRank>
__global__ __launch_bounds__(kPadThreads) void padPlanesByReflection(Word const* __restrict__ input,
    Word* __restrict__ output, __grid_constant__ PadMap<Index, PlaneRank> const plane, Index numPlanes)
{
    Index const step = gridDim.x * Index{kPadThreads};
    waitForEarlierWork();
    for (Index target = blockIdx.x * Index{kPadThreads} + threadIdx.x; target < plane.numOutputs; target += step)
    {
        Index const source = inputOf(plane, target);
        for (Index first = blockIdx.y * Index{kPadPlanes}; first < numPlanes; first += gridDim.y * Index{kPadPlanes})
        {
            Word words[kPadPlanes];
            TRTCONV_UNROLL
            for (int k = 0; k < kPadPlanes; ++k)
            {
                if (first + k < numPlanes)
                {
                    words[k] = __ldg(input + ((first + k) * plane.numInputs + source));
                }
            }
            TRTCONV_UNROLL
            for (int k = 0; k < kPadPlanes; ++k)
            {
                if (first + k < numPlanes)
                {
                    output[(first + k) * plane.numOutputs + target] = words[k];
                }
            }
        }
    }
}

// Says which bits are channels in the last vector of each pixel of a channels-last tensor.
template <typename Index>
struct ChannelTail
{
    FastDivisor<Index> vectorsPerPixel;
    uint4 channelBits;
    bool isMasked; // false where the channels fill whole vectors

    __device__ uint4 mask(uint4 vector, Index index) const
    {
        Index const pixels = vectorsPerPixel.divide(index + 1);
        bool const isLast = isMasked && pixels * vectorsPerPixel.value() == index + 1;
        return isLast ? uint4{vector.x & channelBits.x, vector.y & channelBits.y, vector.z & channelBits.z,
                            vector.w & channelBits.w}
                      : vector;
    }
};

// Pads tensors of which every word is an aligned vector.
template <typename Index, int32_t Rank>
__global__ __launch_bounds__(kPadThreads) void padVectorsByReflection(uint4 const* __restrict__ input,
    uint4* __restrict__ output, __grid_constant__ PadMap<Index, Rank> const map,
    __grid_constant__ ChannelTail<Index> const tail)
{
    Index const step = gridDim.x * Index{kPadThreads};
    waitForEarlierWork();
    for (Index index = blockIdx.x * Index{kPadThreads} + threadIdx.x; index < map.numOutputs; index += step)
    {
        output[index] = tail.mask(__ldg(input + inputOf(map, index)), index);
    }
}

} // namespace trtconv
