// Where the results of a channels-last tensor go, with an epilogue.
#pragma once

#include "result/residual_tile.cuh"
#include "result/result.cuh"

namespace trtconv
{

// What finishes the results of a vector of channels.
template <typename T>
struct ChannelFinish
{
    VectorAffines<T> affines;
    float parameters[kVectorChannels<T>]; // of the epilogue's curve
    uint4 mask; // of the channels that exist
};

template <typename T>
struct ChannelResult<T, ResultKind::kFused>
{
    using Finish = ChannelFinish<T>;

    ChannelVector<T>* __restrict__ output;
    ChannelVector<T> const* __restrict__ residual; // like output; not looked at unless the epilogue has one
    Epilogue<T> epilogue;

    __device__ ChannelResult operator+(int64_t numVectors) const
    {
        return {output + numVectors, residual + numVectors, epilogue};
    }

    // Returns the vector of the residual that is added here.
    __device__ uint4 loadResidual() const
    {
        constexpr int kSize = kVectorChannels<T>;
        auto const vector = loadHere<T, kSize>(reinterpret_cast<T const*>(residual));
        return reinterpret_cast<uint4 const&>(vector);
    }

    template <typename Form>
    __device__ void store(uint4 words, uint4 residualWords, Finish const& finish) const
    {
        ChannelVector<T> const result = finished<Form>(
            reinterpret_cast<ChannelVector<T> const&>(words), reinterpret_cast<ChannelVector<T> const&>(residualWords),
            [&](int i) { return finish.affines.ofChannel[i]; }, [&](int i) { return finish.parameters[i]; });
        auto const& bits = reinterpret_cast<uint4 const&>(result);
        uint4 const& mask = finish.mask;
        __stcs(reinterpret_cast<uint4*>(output),
            make_uint4(bits.x & mask.x, bits.y & mask.y, bits.z & mask.z, bits.w & mask.w));
    }
};

} // namespace trtconv
