// What a block and a thread of channels-last InstanceNorm work on. A thread owns one vector of neighbouring channels at
// many pixels.
#pragma once

#include "common/element_type.cuh"
#include "instance_norm/channel_sums.h"
#include "instance_norm/channels_last_config.h"

namespace trtconv
{

template <typename T>
constexpr int kVectorChannels = 16 / sizeof(T);

template <typename T>
using ChannelVector = Vector<T, kVectorChannels<T>>;

template <typename T>
using VectorSums = ChannelSums[kVectorChannels<T>];

constexpr int kMaxColumnChannels = kMaxColumnLanes * kVectorChannels<__half>;

// The tensors of one launch, typed.
template <typename T>
struct ChannelsLastTensors
{
    ChannelVector<T> const* __restrict__ input;
    T const* __restrict__ scale;
    T const* __restrict__ bias;
    ChannelVector<T>* __restrict__ output;
    int64_t channels;
    int64_t pixels; // of an image
    int64_t vectorsPerPixel;
    double inversePixels;
    float epsilon;
};

// Returns the channels of a vector. The compiler does not get to know them: it would convert a whole tile to float
// ahead, and have no registers for it.
template <typename T>
__device__ ChannelVector<T> unpacked(uint4 words)
{
    asm volatile("" : "+r"(words.x), "+r"(words.y), "+r"(words.z), "+r"(words.w));
    return reinterpret_cast<ChannelVector<T> const&>(words);
}

// What a block works on: a run of pixels of a column. And of it, what a thread works on: the vectors first, first +
// stride, ...
struct ColumnPart
{
    int64_t imageBegin; // vector that the image begins with
    int64_t columnBegin; // vector of a pixel that the column begins with
    int64_t vector; // of a pixel that this thread owns
    int64_t first;
    int64_t stride;
    int64_t count;

    template <typename T>
    __device__ ColumnPart(
        ChannelsLastTensors<T> const& tensors, ChannelsLastConfig const& config, int64_t column, int32_t split)
    {
        int32_t const lanesShift = __ffs(config.lanes) - 1;
        int32_t const pixelShift = __ffs(static_cast<int32_t>(blockDim.x)) - 1 - lanesShift;
        int64_t const columnsPerImage = (tensors.vectorsPerPixel + config.lanes - 1) >> lanesShift;
        int64_t const image = tensors.vectorsPerPixel <= config.lanes ? column : column / columnsPerImage;
        int64_t const firstPixel = split * config.pixelsPerSplit;
        int64_t const endPixel = min(firstPixel + config.pixelsPerSplit, tensors.pixels);
        int64_t const pixel = firstPixel + (threadIdx.x >> lanesShift);

        imageBegin = image * tensors.pixels * tensors.vectorsPerPixel;
        columnBegin = (column - image * columnsPerImage) << lanesShift;
        vector = columnBegin + (threadIdx.x & (config.lanes - 1));
        first = imageBegin + pixel * tensors.vectorsPerPixel + vector;
        stride = tensors.vectorsPerPixel << pixelShift;
        bool const isInside = vector < tensors.vectorsPerPixel && pixel < endPixel;
        count = isInside ? (endPixel - pixel + (int64_t{1} << pixelShift) - 1) >> pixelShift : 0;
    }
};

// Some of a thread's vectors: those from `position` on.
template <typename T, int Size = kTilePixels>
class PixelTile
{
public:
    __device__ void load(ColumnPart const& part, ChannelVector<T> const* __restrict__ tensor, int64_t position)
    {
        ChannelVector<T> const* const source = tensor + part.first + position * part.stride;
        mCount = static_cast<int32_t>(min(part.count - position, int64_t{Size}));
        TRTCONV_UNROLL
        for (int k = 0; k < Size; ++k)
        {
            if (k < mCount)
            {
                mVectors[k] = reinterpret_cast<uint4 const&>(source[k * part.stride]);
            }
        }
    }

    __device__ void addTo(VectorSums<T>& sums) const
    {
        constexpr int kStep = sizeof(T) == 2 ? 2 : 1;
        TRTCONV_UNROLL
        for (int k = 0; k < Size; k += kStep)
        {
            if (kStep == 2 && k + 1 < mCount)
            {
                addPair(sums, unpacked<T>(mVectors[k]), unpacked<T>(mVectors[k + kStep - 1]));
            }
            else if (k < mCount)
            {
                addOne(sums, unpacked<T>(mVectors[k]));
            }
        }
    }

    // Stores what the lines make of the tile; of the vector, only `numChannels` are channels.
    __device__ void storeAlong(SliceMap const (&lines)[kVectorChannels<T>], int64_t numChannels, ColumnPart const& part,
        ChannelVector<T>* __restrict__ tensor, int64_t position) const
    {
        ChannelVector<T>* const target = tensor + part.first + position * part.stride;
        TRTCONV_UNROLL
        for (int k = 0; k < Size; ++k)
        {
            if (k < mCount)
            {
                ChannelVector<T> vector = unpacked<T>(mVectors[k]);
                TRTCONV_UNROLL
                for (int i = 0; i < kVectorChannels<T>; ++i)
                {
                    vector.elements[i] = fromFloat<T>(lines[i](toFloat(vector.elements[i])));
                }
                if (numChannels < kVectorChannels<T>)
                {
                    TRTCONV_UNROLL
                    for (int i = 0; i < kVectorChannels<T>; ++i)
                    {
                        vector.elements[i] = i < numChannels ? vector.elements[i] : fromFloat<T>(0.0F);
                    }
                }
                __stcs(reinterpret_cast<uint4*>(target + k * part.stride), reinterpret_cast<uint4 const&>(vector));
            }
        }
    }

private:
    __device__ static void addPair(VectorSums<T>& sums, ChannelVector<T> const& first, ChannelVector<T> const& second)
    {
        TRTCONV_UNROLL
        for (int i = 0; i < kVectorChannels<T>; ++i)
        {
            sums[i].addPair(toFloat(first.elements[i]), toFloat(second.elements[i]));
        }
    }

    __device__ static void addOne(VectorSums<T>& sums, ChannelVector<T> const& vector)
    {
        TRTCONV_UNROLL
        for (int i = 0; i < kVectorChannels<T>; ++i)
        {
            sums[i].add(toFloat(vector.elements[i]));
        }
    }

    uint4 mVectors[Size];
    int32_t mCount = 0;
};

} // namespace trtconv
