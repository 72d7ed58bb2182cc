// How the sums of a channels-last norm come together: within a thread, a warp, a block and a cluster.
#pragma once

#include "common/hopper.cuh"
#include "common/kernel_launch.cuh"
#include "norm/channels_last/part.cuh"

namespace trtconv::channels_last
{

template <typename T>
__device__ void flush(VectorSums<T>& sums)
{
    TRTCONV_UNROLL
    for (int i = 0; i < kVectorChannels<T>; ++i)
    {
        sums[i].flush();
    }
}

// Returns where a sample of an image's pixels begins.
template <typename T, ResultKind Kind>
__device__ ChannelVector<T> const* samplesOf(Tensors<T, Kind> const& tensors, ColumnPart const& part, int32_t sample)
{
    return tensors.input + part.imageBegin + sampleIndex(sample, tensors.pixels) * tensors.vectorsPerPixel;
}

// Begins the sums of this thread's channels.
template <typename T, ResultKind Kind>
__device__ void beginSums(VectorSums<T>& sums, Tensors<T, Kind> const& tensors, ColumnPart const& part)
{
    ChannelVector<T> samples[kNumSamples]{};
    TRTCONV_UNROLL
    for (int sample = 0; sample < kNumSamples; ++sample)
    {
        if (part.pixelsLeft > 0)
        {
            samples[sample] = samplesOf(tensors, part, sample)[part.vector];
        }
    }
    TRTCONV_UNROLL
    for (int i = 0; i < kVectorChannels<T>; ++i)
    {
        float const values[kNumSamples]{
            toFloat(samples[0].elements[i]), toFloat(samples[1].elements[i]), toFloat(samples[2].elements[i])};
        sums[i] = std::decay_t<decltype(sums[i])>(median(values));
    }
}

// What a thread needs to know of a channel of its column to finish it; it is loaded early.
struct ChannelFacts
{
    float shift;
    float scale;
    float bias;
    float parameter; // of the epilogue's curve
    bool isChannel; // false where the last vector has fewer channels or the last column fewer vectors

    template <typename T, ResultKind Kind>
    __device__ ChannelFacts(
        Tensors<T, Kind> const& tensors, ColumnPart const& part, int32_t channelOfColumn, int32_t columnChannels)
        : shift(0.0F)
        , scale(0.0F)
        , bias(0.0F)
        , parameter(0.0F)
    {
        int64_t const channel = part.columnBegin * kVectorChannels<T> + channelOfColumn;
        isChannel = channelOfColumn < columnChannels && channel < tensors.channels;
        if (isChannel)
        {
            float values[kNumSamples];
            TRTCONV_UNROLL
            for (int sample = 0; sample < kNumSamples; ++sample)
            {
                values[sample] = toFloat(reinterpret_cast<T const*>(samplesOf(tensors, part, sample))[channel]);
            }
            shift = median(values);
            int64_t index = channel;
            if constexpr (Kind != ResultKind::kPlain)
            {
                index += tensors.isAffinePerImage ? part.image * tensors.channels : 0;
                parameter = tensors.result.epilogue.parameterAt(channel);
            }
            scale = toFloat(tensors.scale[index]);
            bias = toFloat(tensors.bias[index]);
        }
    }
};

template <typename T, ResultKind Kind>
__device__ Affine affineOf(ChannelTotals const& totals, ChannelFacts const& facts, Tensors<T, Kind> const& tensors)
{
    return facts.isChannel ? finishChannel(totals, static_cast<double>(tensors.pixels), tensors.inversePixels,
                                 facts.shift, tensors.epsilon, facts.scale, facts.bias)
                           : Affine{};
}

// Returns the affine of the calling thread's channel of a column that holds whole groups. All threads of the block call
// it; `shared` is memory for the totals of the column's channels, which is free again at their next barrier.
template <typename T, ResultKind Kind>
__device__ Affine affineInGroup(
    ChannelTotals const& totals, ChannelFacts const& facts, Tensors<T, Kind> const& tensors, ChannelTotals* shared)
{
    if (tensors.channelsPerGroup == 1)
    {
        return affineOf(totals, facts, tensors);
    }
    auto const count = static_cast<double>(tensors.pixels);
    auto const thread = static_cast<int32_t>(threadIdx.x);
    if (facts.isChannel)
    {
        shared[thread] = aroundOwnMean(totals, count, tensors.inversePixels, facts.shift);
    }
    __syncthreads();
    if (!facts.isChannel)
    {
        return {};
    }
    ChannelTotals const* const group = shared + thread / tensors.channelsPerGroup * tensors.channelsPerGroup;
    SliceMoments const moments = finishGroup(
        [&](int32_t i) { return group[i]; }, tensors.channelsPerGroup, count, tensors.inversePixels, tensors.epsilon);
    return makeAffine(moments, facts.scale, facts.bias);
}

__device__ inline ChannelTotals fromLane(ChannelTotals const& totals, int32_t distance)
{
    return {__shfl_xor_sync(kAllLanes, totals.values, distance), __shfl_xor_sync(kAllLanes, totals.squares, distance)};
}

// Adds up the totals of the lanes of a warp that own the same vector, and writes the sum of each channel. At each step
// two lanes divide the channels that they still have between them.
template <int Size>
__device__ void writeSumsOfWarp(ChannelTotals (&totals)[Size], int32_t lanes, ChannelTotals* result)
{
    int32_t const lane = threadIdx.x % kWarpSize;
    int32_t channel = lane % lanes * Size;
    int32_t numHeld = Size;
    bool isFirst = true; // of the lanes that end with the same channels
    TRTCONV_UNROLL
    for (int step = 0; step < 5; ++step)
    {
        int32_t const distance = kWarpSize / 2 >> step;
        constexpr int kNone = 0;
        int const half = Size >> (step + 1); // a constant, because the loop is unrolled
        if (distance >= lanes)
        {
            bool const isUpper = (lane & distance) != 0;
            if (half > kNone)
            {
                TRTCONV_UNROLL
                for (int i = 0; i < half; ++i)
                {
                    ChannelTotals const given = isUpper ? totals[i] : totals[i + half];
                    totals[i] = isUpper ? totals[i + half] : totals[i];
                    totals[i].add(fromLane(given, distance));
                }
                channel += isUpper ? half : 0;
                numHeld = half;
            }
            else
            {
                totals[0].add(fromLane(totals[0], distance));
                isFirst = isFirst && !isUpper;
            }
        }
    }
    TRTCONV_UNROLL
    for (int i = 0; i < Size; ++i)
    {
        if (i < numHeld && isFirst)
        {
            result[channel + i] = totals[i];
        }
    }
}

template <int NumWarps>
using WarpTotals = ChannelTotals[NumWarps][kMaxColumnChannels];

// Returns the totals over all threads of the block: to each of the first threads those of one channel.
template <typename T, int NumWarps>
__device__ ChannelTotals sumOverBlock(VectorSums<T> const& sums, int32_t lanes, WarpTotals<NumWarps>& shared)
{
    ChannelTotals totals[kVectorChannels<T>];
    TRTCONV_UNROLL
    for (int i = 0; i < kVectorChannels<T>; ++i)
    {
        totals[i] = sums[i].totals();
    }
    writeSumsOfWarp(totals, lanes, shared[threadIdx.x / kWarpSize]);
    __syncthreads();
    ChannelTotals total;
    if (threadIdx.x < lanes * kVectorChannels<T>)
    {
#pragma unroll 4
        for (int32_t warp = 0; warp < blockDim.x / kWarpSize; ++warp)
        {
            total.add(shared[warp][threadIdx.x]);
        }
    }
    return total;
}

// Gives each block of a cluster the totals of the others: every block writes its own into the shared memory of all.
class ClusterExchange
{
public:
    // Must be called early by all threads: none writes before all blocks have called it.
    __device__ void begin(int32_t splits, int32_t columnChannels)
    {
#if __CUDA_ARCH__ >= 900
        if (threadIdx.x == 0)
        {
            mArrival.initialise(1);
            mArrival.arriveAndExpect(splits * columnChannels * static_cast<int32_t>(sizeof(ChannelTotals)));
            publishBarriers();
        }
        arriveAtCluster();
#endif
    }

    // Returns the totals over all blocks: to each of the first threads those of one channel.
    __device__ ChannelTotals sum(ChannelTotals const& own, int32_t split, int32_t splits, int32_t columnChannels)
    {
        ChannelTotals total;
#if __CUDA_ARCH__ >= 900
        waitForCluster();
        if (threadIdx.x < columnChannels)
        {
            for (int32_t rank = 0; rank < splits; ++rank)
            {
                auto* const target = reinterpret_cast<double2*>(&mTotals[split][threadIdx.x]);
                storeAsync(target, {own.values, own.squares}, mArrival, rank);
            }
            mArrival.wait(0);
            for (int32_t rank = 0; rank < splits; ++rank)
            {
                total.add(mTotals[rank][threadIdx.x]);
            }
        }
#endif
        return total;
    }

private:
    AsyncBarrier mArrival;
    ChannelTotals mTotals[kMaxClusterBlocks][kMaxColumnChannels];
};

} // namespace trtconv::channels_last
