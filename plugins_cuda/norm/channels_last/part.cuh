// What a block and a thread of a channels-last norm work on. A thread owns one vector of neighbouring channels at many
// pixels.
#pragma once

#include <type_traits>

#include "common/element_type.cuh"
#include "norm/channels_last/choice.h"
#include "norm/statistics.h"
#include "result/placed_channel_result.cuh"

namespace trtconv::channels_last
{

template <typename T>
using VectorSums =
    ChannelSums<std::conditional_t<std::is_same_v<T, __half>, AnchoredPairs, CompensatedSum>>[kVectorChannels<T>];

constexpr int kMaxColumnChannels = kMaxColumnLanes * kVectorChannels<__half>;

// What the fused kernels need to know beside.
struct ChannelGroups
{
    int32_t channelsPerGroup; // 1: each channel is normalised by itself
    bool isAffinePerImage; // scale and bias are [N, C]
};

struct NoGroups
{
};

// The tensors of one launch, typed; `Kind` is kPlain, kFused, kPlaced or kPhased.
template <typename T, ResultKind Kind>
struct Tensors : std::conditional_t<Kind == ResultKind::kPlain, NoGroups, ChannelGroups>
{
    ChannelVector<T> const* __restrict__ input;
    T const* __restrict__ scale;
    T const* __restrict__ bias;
    ChannelResult<T, Kind> result;
    int64_t channels;
    int64_t pixels; // of an image
    int64_t vectorsPerPixel;
    double inversePixels;
    float epsilon;
};

// A block's place among the columns that are worked on at once: the column and the part of it.
struct BlockPlace
{
    int32_t column;
    int32_t split;

    __device__ explicit BlockPlace(Config const& config)
        : column(static_cast<int32_t>(blockIdx.x / static_cast<uint32_t>(config.splits)))
        , split(static_cast<int32_t>(blockIdx.x) - column * config.splits)
    {
    }
};

// The run of pixels of a column that a block works on, and the vectors of it that a thread works on: first, first +
// stride, ... A column beyond the last has no pixels.
struct ColumnPart
{
    int64_t image;
    int64_t imageBegin; // the first vector of the image
    int64_t columnBegin; // the column's first vector within a pixel
    int64_t vector; // this thread's vector within a pixel
    int64_t first;
    int64_t stride;
    int32_t rows; // pixels that the block takes at once
    int32_t pixelsLeft; // pixels from this thread's first on; it has a vector for each `rows` of them

    template <typename AnyTensors>
    __device__ ColumnPart(AnyTensors const& tensors, Config const& config, int64_t anyColumn, int32_t split)
    {
        bool const exists = anyColumn < config.columns;
        int64_t const column = exists ? anyColumn : 0;
        int32_t const lanesShift = __ffs(config.lanes) - 1;
        int64_t const columnsPerImage = (tensors.vectorsPerPixel + config.lanes - 1) >> lanesShift;
        image = tensors.vectorsPerPixel <= config.lanes ? column : column / columnsPerImage;
        int64_t const firstPixel = split * config.pixelsPerSplit;
        int64_t const endPixel = min(firstPixel + config.pixelsPerSplit, tensors.pixels);
        int64_t const pixel = firstPixel + (threadIdx.x >> lanesShift);

        imageBegin = image * tensors.pixels * tensors.vectorsPerPixel;
        columnBegin = (column - image * columnsPerImage) << lanesShift;
        vector = columnBegin + (threadIdx.x & (config.lanes - 1));
        first = imageBegin + pixel * tensors.vectorsPerPixel + vector;
        rows = static_cast<int32_t>(blockDim.x >> lanesShift);
        stride = tensors.vectorsPerPixel * rows;
        pixelsLeft = exists && vector < tensors.vectorsPerPixel ? static_cast<int32_t>(endPixel - pixel) : 0;
    }
};

template <typename T>
__device__ void addVector(VectorSums<T>& sums, uint4 words)
{
    ChannelVector<T> const vector = unpacked<T>(words);
    TRTCONV_UNROLL
    for (int i = 0; i < kVectorChannels<T>; ++i)
    {
        sums[i].add(toFloat(vector.elements[i]));
    }
}

template <typename T>
__device__ void addVectors(VectorSums<T>& sums, uint4 firstWords, uint4 secondWords)
{
    if constexpr (sizeof(T) > 2)
    {
        addVector<T>(sums, firstWords);
        addVector<T>(sums, secondWords);
    }
    else
    {
        ChannelVector<T> const first = unpacked<T>(firstWords);
        ChannelVector<T> const second = unpacked<T>(secondWords);
        TRTCONV_UNROLL
        for (int i = 0; i < kVectorChannels<T>; ++i)
        {
            sums[i].addPair(toFloat(first.elements[i]), toFloat(second.elements[i]));
        }
    }
}

// Adds the vectors vectorAt(k), k in [0, NumVectors); there is one for each `rows` of the pixels left.
template <typename T, int NumVectors, typename VectorAt>
__device__ void addVectorsLeft(VectorSums<T>& sums, int32_t rows, int32_t pixelsLeft, VectorAt const& vectorAt)
{
    TRTCONV_UNROLL
    for (int k = 0; k < NumVectors; k += 2)
    {
        if ((k + 1) * rows < pixelsLeft)
        {
            addVectors<T>(sums, vectorAt(k), vectorAt(k + 1));
        }
        else if (k * rows < pixelsLeft)
        {
            addVector<T>(sums, vectorAt(k));
        }
    }
}

// What finishes the channels of a column.
template <ResultKind Kind>
struct ColumnFinish
{
    alignas(16) Affine ofChannel[kMaxColumnChannels];
    float parameters[kMaxColumnChannels];
};

template <>
struct ColumnFinish<ResultKind::kPlain>
{
    alignas(16) Affine ofChannel[kMaxColumnChannels];
};

template <typename T, ResultKind Kind>
__device__ uint4 maskOf(Tensors<T, Kind> const& tensors, ColumnPart const& part)
{
    int64_t const numBits = (tensors.channels - part.vector * kVectorChannels<T>)*int64_t{sizeof(T) * 8};
    return tailMask(numBits);
}

// Gives all threads what finishes their vectors; the first threads have an affine and a parameter of one channel each.
template <typename T, ResultKind Kind>
__device__ typename ChannelResult<T, Kind>::Finish shareFinish(Affine const& affine, float parameter,
    ColumnFinish<Kind>& shared, Tensors<T, Kind> const& tensors, ColumnPart const& part, int32_t columnChannels)
{
    if (threadIdx.x < columnChannels)
    {
        shared.ofChannel[threadIdx.x] = affine;
        if constexpr (Kind != ResultKind::kPlain)
        {
            shared.parameters[threadIdx.x] = parameter;
        }
    }
    __syncthreads();
    auto const* const vectors = reinterpret_cast<VectorAffines<T> const*>(shared.ofChannel);
    int64_t const vector = part.vector - part.columnBegin;
    if constexpr (Kind == ResultKind::kPlain)
    {
        return {vectors[vector], maskOf(tensors, part)};
    }
    else
    {
        ChannelFinish<T> finish{vectors[vector], {}, maskOf(tensors, part)};
        TRTCONV_UNROLL
        for (int i = 0; i < kVectorChannels<T>; ++i)
        {
            finish.parameters[i] = shared.parameters[vector * kVectorChannels<T> + i];
        }
        return finish;
    }
}

// The residual of a thread's vectors.
template <typename T, ResultKind Kind = ResultKind::kFused>
class PixelResiduals
{
public:
    __device__ void request(ColumnPart const& part, ChannelResult<T, Kind> const& result)
    {
        mTile.request(result.epilogue.hasResidual, addresses(part, result), existing(part));
    }

    __device__ void load(ColumnPart const& part, ChannelResult<T, Kind> const& result)
    {
        mTile.load(result.epilogue.hasResidual, addresses(part, result), existing(part));
    }

    // Returns that of vector k; must be called for all in turn.
    __device__ uint4 take(int k, bool hasResidual, ColumnPart const& part, ChannelResult<T, Kind> const& result)
    {
        return mTile.take(k, hasResidual, addresses(part, result), existing(part));
    }

private:
    __device__ static auto addresses(ColumnPart const& part, ChannelResult<T, Kind> const& result)
    {
        return [&](int k) { return result.residualOf(part.first + k * part.stride); };
    }

    __device__ static auto existing(ColumnPart const& part)
    {
        return [&](int k) { return k * part.rows < part.pixelsLeft; };
    }

    ResidualTile<kTilePixels> mTile;
};

// A thread's vectors, held in registers.
template <typename T>
class PixelTile
{
public:
    __device__ void load(ColumnPart const& part, ChannelVector<T> const* __restrict__ tensor)
    {
        TRTCONV_UNROLL
        for (int k = 0; k < kTilePixels; ++k)
        {
            if (k * part.rows < part.pixelsLeft)
            {
                mVectors[k] = reinterpret_cast<uint4 const&>(tensor[part.first + k * part.stride]);
            }
        }
    }

    __device__ void addTo(VectorSums<T>& sums, ColumnPart const& part) const
    {
        addVectorsLeft<T, kTilePixels>(sums, part.rows, part.pixelsLeft, [&](int k) { return mVectors[k]; });
    }

    __device__ void store(ChannelAffines<T> const& affines, ColumnPart const& part,
        ChannelResult<T, ResultKind::kPlain> const& result) const
    {
        TRTCONV_UNROLL
        for (int k = 0; k < kTilePixels; ++k)
        {
            if (k * part.rows < part.pixelsLeft)
            {
                (result + (part.first + k * part.stride)).store(mVectors[k], affines);
            }
        }
    }

    __device__ void store(PixelResiduals<T, ResultKind::kFused>& residuals, ChannelFinish<T> const& finish,
        ColumnPart const& part, ChannelResult<T, ResultKind::kFused> const& result) const
    {
        withForm(result.epilogue,
            [&](auto form)
            {
                using Form = decltype(form);
                TRTCONV_UNROLL
                for (int k = 0; k < kTilePixels; ++k)
                {
                    bool const hasResidual = Form::kHasResidual && result.epilogue.hasResidual;
                    uint4 const residual = residuals.take(k, hasResidual, part, result);
                    if (k * part.rows < part.pixelsLeft)
                    {
                        (result + (part.first + k * part.stride)).template store<Form>(mVectors[k], residual, finish);
                    }
                }
            });
    }

    // All are finished before one is scattered, which takes more code than the forms of an epilogue have room for.
    template <ResultKind Kind>
    __device__ void store(PixelResiduals<T, Kind>& residuals, ChannelFinish<T> const& finish, ColumnPart const& part,
        ChannelResult<T, Kind> const& result) const
    {
        static_assert(kIsPlaced<Kind>);
        uint4 results[kTilePixels];
        withForm(result.epilogue,
            [&](auto form)
            {
                using Form = decltype(form);
                TRTCONV_UNROLL
                for (int k = 0; k < kTilePixels; ++k)
                {
                    bool const hasResidual = Form::kHasResidual && result.epilogue.hasResidual;
                    uint4 const residual = residuals.take(k, hasResidual, part, result);
                    results[k] = finishedWords<Form, T>(mVectors[k], residual, finish);
                }
            });
        result.scatter(
            results, [&](int k) { return part.first + k * part.stride; },
            [&](int k) { return k * part.rows < part.pixelsLeft; });
    }

private:
    uint4 mVectors[kTilePixels];
};

} // namespace trtconv::channels_last
