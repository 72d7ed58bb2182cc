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

// Returns the vector of a residual at an address.
template <typename T>
__device__ uint4 residualWords(ChannelVector<T> const* address)
{
    auto const vector = loadHere<T, kVectorChannels<T>>(reinterpret_cast<T const*>(address));
    return reinterpret_cast<uint4 const&>(vector);
}

// Returns the results of a vector of channels.
template <typename Form, typename T>
__device__ uint4 finishedWords(uint4 words, uint4 residualWords, ChannelFinish<T> const& finish)
{
    ChannelVector<T> const result = finished<Form>(
        unpacked<T>(words), unpacked<T>(residualWords), [&](int i) { return finish.affines.ofChannel[i]; },
        [&](int i) { return finish.parameters[i]; });
    auto const& bits = reinterpret_cast<uint4 const&>(result);
    uint4 const& mask = finish.mask;
    return make_uint4(bits.x & mask.x, bits.y & mask.y, bits.z & mask.z, bits.w & mask.w);
}

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
    __device__ uint4 loadResidual() const { return residualWords<T>(residual); }

    template <typename Form>
    __device__ void store(uint4 words, uint4 residualWords, Finish const& finish) const
    {
        __stcs(reinterpret_cast<uint4*>(output), finishedWords<Form, T>(words, residualWords, finish));
    }
};

} // namespace trtconv
