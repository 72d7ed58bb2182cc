// Where the results of channels-last images go through an output map: each is scattered to its copies and into the
// pads.
#pragma once

#include "result/fused_channel_result.cuh"
#include "result/image_place.h"

namespace trtconv
{

// Stores a vector of which pads are made, too. Rare, so not inlined; by value, so that the place stays a constant of
// the kernel.
template <typename T>
__device__ __noinline__ void storeIntoPads(
    ImagePlace place, VectorPlace source, ChannelVector<T>* __restrict__ output, uint4 words)
{
    forEachTarget(place, source, [&](uint32_t vector, bool isValue)
        { __stcs(reinterpret_cast<uint4*>(output + vector), isValue ? words : make_uint4(0, 0, 0, 0)); });
}

// The number of a vector of the input. It moves on as a pointer does.
struct VectorNumber
{
    int64_t value;

    __device__ VectorNumber operator+(int64_t numVectors) const { return {value + numVectors}; }
};

template <typename T>
struct ChannelResult<T, ResultKind::kPlaced>
{
    using Finish = ChannelFinish<T>;

    ChannelVector<T>* __restrict__ output;
    ChannelVector<T> const* __restrict__ residual; // like the input; not looked at unless the epilogue has one
    Epilogue<T> epilogue;
    ImagePlace place;

    __device__ VectorNumber operator+(int64_t numVectors) const { return {numVectors}; }

    // Stores the results of those of `Count` vectors that exist: numberAt(k) is that of the input vector. Those of
    // which pads are made come last, so that nothing keeps the others from being on their way together.
    template <int Count, typename NumberAt, typename Exists>
    __device__ void scatter(uint4 const (&results)[Count], NumberAt const& numberAt, Exists const& exists) const
    {
        uint32_t inPads = 0;
        TRTCONV_UNROLL
        for (int k = 0; k < Count; ++k)
        {
            VectorPlace const source(place, static_cast<uint32_t>(numberAt(k)));
            bool const isInner = place.rows.isInner(source.row) && place.columns.isInner(source.column);
            if (exists(k) && isInner)
            {
                forEachCopy(place, source,
                    [&](uint32_t target) { __stcs(reinterpret_cast<uint4*>(output + target), results[k]); });
            }
            inPads |= exists(k) && !isInner ? 1U << k : 0U;
        }
        if (inPads != 0)
        {
            TRTCONV_UNROLL
            for (int k = 0; k < Count; ++k)
            {
                if ((inPads >> k & 1) != 0)
                {
                    storeIntoPads<T>(place, {place, static_cast<uint32_t>(numberAt(k))}, output, results[k]);
                }
            }
        }
    }
};

// Returns the vector of the residual that is added where a result lies.
template <typename T>
__device__ uint4 residualAt(
    ChannelResult<T, ResultKind::kFused> const& /*result*/, ChannelResult<T, ResultKind::kFused> const& here)
{
    return here.loadResidual();
}

template <typename T>
__device__ uint4 residualAt(ChannelResult<T, ResultKind::kPlaced> const& result, VectorNumber here)
{
    return loadHere(result.residual + here.value);
}

template <typename T>
__device__ void prefetchResidualAt(
    ChannelResult<T, ResultKind::kFused> const& /*result*/, ChannelResult<T, ResultKind::kFused> const& here)
{
    prefetchLine(here.residual);
}

template <typename T>
__device__ void prefetchResidualAt(ChannelResult<T, ResultKind::kPlaced> const& result, VectorNumber here)
{
    prefetchLine(result.residual + here.value);
}

} // namespace trtconv
