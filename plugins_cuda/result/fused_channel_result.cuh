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

// Returns the results of a vector of channels.
template <typename Form, typename T>
__device__ uint4 finishedWords(uint4 words, uint4 residualWords, ChannelFinish<T> const& finish)
{
    uint4 const result = finished<Form, T>(
        words, residualWords, [&](int i) { return finish.affines.ofChannel[i]; },
        [&](int i) { return finish.parameters[i]; });
    uint4 const& mask = finish.mask;
    return make_uint4(result.x & mask.x, result.y & mask.y, result.z & mask.z, result.w & mask.w);
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

    // Returns the address of the residual of a vector of the input.
    __device__ ChannelVector<T> const* residualOf(int64_t vector) const { return residual + vector; }

    template <typename Form>
    __device__ void store(uint4 words, uint4 residualWords, Finish const& finish) const
    {
        __stcs(reinterpret_cast<uint4*>(output), finishedWords<Form, T>(words, residualWords, finish));
    }
};

} // namespace trtconv
