// Where the results of channels-last images go through an output map: each is scattered to its copies and into the
// pads.
#pragma once

#include "result/fused_channel_result.cuh"
#include "result/image_place.h"

namespace trtconv
{

// Stores a vector of which pads are made, too. Rare, so not inlined: each kernel has many calls.
template <typename T>
__device__ __noinline__ void storeIntoPads(
    ImagePlace const& place, VectorPlace source, ChannelVector<T>* __restrict__ output, uint4 words)
{
    forEachTarget(place, source, [&](uint32_t vector, bool isValue)
        { __stcs(reinterpret_cast<uint4*>(output + vector), isValue ? words : make_uint4(0, 0, 0, 0)); });
}

template <typename T>
struct ChannelResult<T, ResultKind::kPlaced>
{
    using Finish = ChannelFinish<T>;

    ChannelVector<T>* __restrict__ output;
    ChannelVector<T> const* __restrict__ residual; // like the input; not looked at unless the epilogue has one
    Epilogue<T> epilogue;
    ImagePlace place;

    // Stores the result of an input vector.
    __device__ void scatter(int64_t vector, uint4 words) const
    {
        VectorPlace const source(place, static_cast<uint32_t>(vector));
        if (place.rows.isInner(source.row) && place.columns.isInner(source.column))
        {
            forEachCopy(
                place, source, [&](uint32_t target) { __stcs(reinterpret_cast<uint4*>(output + target), words); });
        }
        else
        {
            storeIntoPads<T>(place, source, output, words);
        }
    }
};

// A vector of such a result. It moves on as a pointer does; the result itself stays where the kernel's arguments are.
template <typename T>
class PlacedVector
{
public:
    __device__ PlacedVector(ChannelResult<T, ResultKind::kPlaced> const& result, int64_t vector)
        : mResult(&result)
        , mVector(vector)
    {
    }

    __device__ PlacedVector operator+(int64_t numVectors) const { return {*mResult, mVector + numVectors}; }
    __device__ uint4 loadResidual() const { return residualWords<T>(mResult->residual + mVector); }
    __device__ void prefetchResidual() const { prefetchLine(mResult->residual + mVector); }
    __device__ void scatter(uint4 words) const { mResult->scatter(mVector, words); }

private:
    ChannelResult<T, ResultKind::kPlaced> const* mResult;
    int64_t mVector;
};

template <typename T>
__device__ PlacedVector<T> operator+(ChannelResult<T, ResultKind::kPlaced> const& result, int64_t numVectors)
{
    return {result, numVectors};
}

} // namespace trtconv
