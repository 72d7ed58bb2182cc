// How the results of a stage of a streamed launch are stored.
#pragma once

#include "norm/linear/exchange.cuh"
#include "norm/linear/stage_loader.cuh"

namespace trtconv::linear
{

// Stores the results of a stage; thread i has the vectors i, i + kStoreThreads, ...
template <typename T, int VectorSize>
__device__ void storeStage(
    char const* stage, Result<T, ResultKind::kPlain> const& result, int32_t numVectors, Affine const& affine)
{
    int32_t const first = threadIdx.x - kSumThreads;
    auto const* const elements = reinterpret_cast<T const*>(stage);
    TRTCONV_UNROLL
    for (int k = 0; k < kStageVectors / kStoreThreads; ++k)
    {
        int32_t const index = first + k * kStoreThreads;
        if (index < numVectors)
        {
            result.store(index * VectorSize, loadVector<VectorSize>(elements + index * VectorSize), affine);
        }
    }
}

// With an epilogue. The loader has asked for the residual.
template <int VectorSize, typename T, ResultKind Kind, typename AnyFinish>
__device__ void storeVectors(
    char const* stage, Result<T, Kind> const& result, int32_t numVectors, AnyFinish const& finish)
{
    constexpr int kCount = kStageVectors / kStoreThreads;
    constexpr int kHeld = 2;
    auto const* const vectors = reinterpret_cast<uint4 const*>(stage);
    auto const first = static_cast<int32_t>(threadIdx.x) - kSumThreads;
    auto const indexAt = [&](int k) { return first + k * kStoreThreads; };
    auto const elementAt = [&](int k) { return indexAt(k) * VectorSize; };
    auto const exists = [&](int k) { return indexAt(k) < numVectors; };
    typename Result<T, Kind>::template Residuals<VectorSize, kCount, kHeld> residuals;
    result.loadNow(residuals, elementAt, exists);
    result.template storeAll<VectorSize, kCount>(
        residuals, elementAt, [&](int k) { return vectors[indexAt(k)]; }, exists, finish);
}

// What finishes the channel that the last stage was of.
struct LastChannel
{
    int64_t channel = -1;
    SliceFinish finish{};
};

template <typename T, int VectorSize>
__device__ void storeStage(char const* stage, Result<T, ResultKind::kFused> const& result, int32_t numVectors,
    SliceFinish const& finish, LastChannel& /*last*/)
{
    storeVectors<VectorSize>(stage, result, numVectors, finish);
}

template <typename T, int VectorSize>
__device__ void storeStage(char const* stage, Result<T, ResultKind::kGrouped> const& result, int32_t numVectors,
    GroupFinish const& finish, LastChannel& last)
{
    int64_t const channel = result.channelOf(0, finish);
    if (channel != result.channelOf(numVectors * VectorSize - 1, finish))
    {
        return storeVectors<VectorSize>(stage, result, numVectors, finish);
    }
    if (channel != last.channel)
    {
        last = {channel, result.runs.finishOf(channel, finish, result.epilogue)};
    }
    storeVectors<VectorSize>(stage, result, numVectors, last.finish);
}

} // namespace trtconv::linear
