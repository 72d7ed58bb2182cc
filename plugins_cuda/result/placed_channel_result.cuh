// Where the results of channels-last images go that are the inside of larger ones: upsampled, and with pads, which
// another kernel fills. The residual may be the inside of larger images too.
#pragma once

#include "result/fused_channel_result.cuh"
#include "result/image_place.h"
#include "result/phase_order.h"

namespace trtconv
{

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
    ChannelVector<T> const* __restrict__ residual; // not looked at unless the epilogue has one
    Epilogue<T> epilogue;
    ImagePlaces places;

    __device__ VectorNumber operator+(int64_t numVectors) const { return {numVectors}; }

    // Returns the address of the residual of a vector of the input.
    __device__ ChannelVector<T> const* residualOf(int64_t vector) const
    {
        return residual + places.residual.firstCopy(static_cast<uint32_t>(vector));
    }

    // Stores the results of those of `Count` vectors that exist: numberAt(k) is that of the input vector.
    template <int Count, typename NumberAt, typename Exists>
    __device__ void scatter(uint4 const (&results)[Count], NumberAt const& numberAt, Exists const& exists) const
    {
        ImagePlace const& place = places.result;
        auto const store = [&](uint32_t vector, uint4 words)
        { __stcs(reinterpret_cast<uint4*>(output + vector), words); };
        if (place.hasOneCopy()) // without loops, so that nothing keeps the stores of a thread apart
        {
            TRTCONV_UNROLL
            for (int k = 0; k < Count; ++k)
            {
                if (exists(k))
                {
                    store(place.firstCopy(static_cast<uint32_t>(numberAt(k))), results[k]);
                }
            }
            return;
        }
        TRTCONV_UNROLL
        for (int k = 0; k < Count; ++k)
        {
            if (exists(k))
            {
                forEachCopy(
                    place, static_cast<uint32_t>(numberAt(k)), [&](uint32_t vector) { store(vector, results[k]); });
            }
        }
    }
};

// The same where the vectors of the input are those of phases, whose order is not that of the images.
template <typename T>
struct ChannelResult<T, ResultKind::kPhased> : ChannelResult<T, ResultKind::kPlaced>
{
    using Placed = ChannelResult<T, ResultKind::kPlaced>;

    PhaseOrder order;

    __device__ ChannelVector<T> const* residualOf(int64_t vector) const
    {
        return Placed::residualOf(order.placeOf(static_cast<uint32_t>(vector)));
    }

    template <int Count, typename NumberAt, typename Exists>
    __device__ void scatter(uint4 const (&results)[Count], NumberAt const& numberAt, Exists const& exists) const
    {
        auto const placeAt = [&](int k) { return order.placeOf(static_cast<uint32_t>(numberAt(k))); };
        Placed::scatter(results, placeAt, exists);
    }
};

// Returns the address of the residual that is added where a result lies.
template <typename T>
__device__ ChannelVector<T> const* residualAt(
    ChannelResult<T, ResultKind::kFused> const& /*result*/, ChannelResult<T, ResultKind::kFused> const& here)
{
    return here.residual;
}

template <typename T, ResultKind Kind>
__device__ ChannelVector<T> const* residualAt(ChannelResult<T, Kind> const& result, VectorNumber here)
{
    return result.residualOf(here.value);
}

} // namespace trtconv
