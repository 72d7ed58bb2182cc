// The part of a slice that one block of a cluster holds, in shared memory or in registers.
#pragma once

#include <cuda_pipeline_primitives.h>

#include "norm/linear/tensors.cuh"

namespace trtconv::linear
{

// The part of a slice that one block holds in shared memory. Thread i alone uses the vectors i, i + kClusterThreads,
// ...: it asks for some ahead and sums them up as they come, so that it waits for the last ones only.
template <typename T, int VectorSize, ResultKind Kind>
class SharedPart
{
public:
    using PartTensors = Tensors<T, Kind>;
    using Finish = typename PartTensors::Finish;
    using Element = T;
    static constexpr int kVectorSize = VectorSize;
    static constexpr bool kIsGrouped = Kind == ResultKind::kGrouped;

    __device__ static SliceSpan spanOf(PartTensors const& tensors, int64_t slice)
    {
        return tensors.template span<VectorSize>(slice);
    }

    __device__ SharedPart(
        PartTensors const& tensors, SliceSpan const& span, T* held, uint32_t rank, int32_t vectorsPerBlock)
        : mHeld(held)
        , mFirstElement(span.bodyBegin + int64_t{rank} * vectorsPerBlock * VectorSize)
        , mNumVectors(static_cast<int32_t>(
              max(min(span.numVectors - int64_t{rank} * vectorsPerBlock, int64_t{vectorsPerBlock}), int64_t{0})))
        , mInput(tensors.input + mFirstElement)
        , mResult(tensors.result + mFirstElement)
    {
    }

    __device__ void request() const
    {
        TRTCONV_UNROLL
        for (int stage = 0; stage < kClusterStagesAhead; ++stage)
        {
            requestStage(stage);
        }
        if constexpr (Kind != ResultKind::kPlain)
        {
            requestResiduals();
        }
    }

    // Sums up the vectors of this thread; they were asked for by request.
    __device__ SliceSums sum(float shift) const
    {
        SliceSums sums;
        for (int32_t stage = 0; stage * kClusterThreads < mNumVectors; stage += SumTile::kNumVectors)
        {
            SumTile tile;
            TileSum<T> total;
            TRTCONV_UNROLL
            for (int k = 0; k < SumTile::kNumVectors; ++k)
            {
                __pipeline_wait_prior(kClusterStagesAhead - 1);
                int32_t const index = indexIn(stage + k);
                tile.vectors[k] = {};
                if (index < mNumVectors)
                {
                    tile.vectors[k] = loadVector<VectorSize>(mHeld + index * VectorSize);
                }
                requestStage(stage + k + kClusterStagesAhead);
                tile.addVector(k, total);
                total.addUpHere();
            }
            int32_t const left = mNumVectors - indexIn(stage);
            sums.add(left > (SumTile::kNumVectors - 1) * kClusterThreads
                    ? tile.sumsAround(total, shift)
                    : tile.sumsAround(total, left <= 0 ? 0 : (left + kClusterThreads - 1) / kClusterThreads, shift));
        }
        return sums;
    }

    // Loads the first residuals, before the wait for the other blocks.
    __device__ void loadResiduals() { loadResidualsFrom(indexIn(0)); }

    __device__ void store(Finish const& finish)
    {
        if constexpr (Kind == ResultKind::kPlain)
        {
#pragma unroll 4
            for (int32_t index = indexIn(0); index < mNumVectors; index += kClusterThreads)
            {
                mResult.store(index * VectorSize, loadVector<VectorSize>(mHeld + index * VectorSize), finish);
            }
        }
        else
        {
            storeAtOnce(finish);
        }
    }

private:
    using SumTile = Tile<T, VectorSize, kMaxTileSize / VectorSize>;

    static constexpr int kAtOnce = 4; // vectors that a thread stores between two loads of residuals

    __device__ void loadResidualsFrom(int32_t first)
    {
        mResult.load(
            mResiduals, [&](int k) { return (first + k * kClusterThreads) * VectorSize; },
            [&](int k) { return first + k * kClusterThreads < mNumVectors; });
    }

    __device__ void requestResiduals() const
    {
        for (int32_t index = indexIn(0); mResult.epilogue.hasResidual && index < mNumVectors; index += kClusterThreads)
        {
            prefetchLine(mResult.residual + index * VectorSize);
        }
    }

    __device__ void storeAtOnce(Finish const& finish)
    {
        for (int32_t first = indexIn(0); first < mNumVectors; first += kAtOnce * kClusterThreads)
        {
            auto const indexAt = [&](int k) { return first + k * kClusterThreads; };
            mResult.template storeAll<VectorSize, kAtOnce>(
                mResiduals, [&](int k) { return indexAt(k) * VectorSize; },
                [&](int k) { return reinterpret_cast<uint4 const*>(mHeld)[indexAt(k)]; },
                [&](int k) { return indexAt(k) < mNumVectors; }, finish);
            loadResidualsFrom(first + kAtOnce * kClusterThreads);
        }
    }

    __device__ static int32_t indexIn(int32_t stage)
    {
        return stage * kClusterThreads + static_cast<int32_t>(threadIdx.x);
    }

    // Asks for a vector. There is nothing to ask for after the last one, but the stage counts.
    __device__ void requestStage(int32_t stage) const
    {
        int32_t const index = indexIn(stage);
        if (index < mNumVectors)
        {
            __pipeline_memcpy_async(mHeld + index * VectorSize, mInput + index * VectorSize, kVectorBytes);
        }
        __pipeline_commit();
    }

    T* mHeld;
    typename Result<T, Kind>::template Residuals<VectorSize, kAtOnce> mResiduals;
    int64_t mFirstElement;
    int32_t mNumVectors;
    T const* mInput;
    Result<T, Kind> mResult;
};

// The part of a slice that one block holds in registers; the slice has no edges, and each thread has NumTiles full
// tiles.
template <typename T, int VectorSize, int NumTiles, ResultKind Kind>
class RegisterPart
{
public:
    using PartTensors = Tensors<T, Kind>;
    using Finish = typename PartTensors::Finish;
    using Element = T;
    static constexpr int kVectorSize = VectorSize;
    static constexpr bool kIsGrouped = Kind == ResultKind::kGrouped;

    __device__ static SliceSpan spanOf(PartTensors const& tensors, int64_t slice)
    {
        return wholeSliceSpan(slice * tensors.sliceSize, kClusterBlocks * kNumVectors * kClusterThreads);
    }

    __device__ RegisterPart(
        PartTensors const& tensors, SliceSpan const& span, T* /*held*/, uint32_t rank, int32_t /*vectorsPerBlock*/)
    {
        int64_t const element = span.begin + (rank * kNumVectors * kClusterThreads + threadIdx.x) * VectorSize;
        mInput = tensors.input + element;
        mResult = tensors.result + element;
    }

    __device__ void request()
    {
        TRTCONV_UNROLL
        for (int k = 0; k < kNumVectors; ++k)
        {
            mTiles[k / TileType::kNumVectors].vectors[k % TileType::kNumVectors] =
                loadVector<VectorSize>(mInput + k * kClusterThreads * VectorSize);
        }
        mResult.request(mResiduals, elementAt, existsAlways);
    }

    // Loads the first residuals, before the wait for the other block.
    __device__ void loadResiduals() { mResult.load(mResiduals, elementAt, existsAlways); }

    __device__ SliceSums sum(float shift) const
    {
        SliceSums sums;
        TRTCONV_UNROLL
        for (TileType const& tile : mTiles)
        {
            TileSum<T> total;
            TRTCONV_UNROLL
            for (int k = 0; k < TileType::kNumVectors; ++k)
            {
                tile.addVector(k, total);
                total.addUpHere();
            }
            sums.add(tile.sumsAround(total, shift));
        }
        return sums;
    }

    __device__ void store(Finish const& finish)
    {
        mResult.template storeAll<VectorSize, kNumVectors>(
            mResiduals, elementAt, [&](int k)
            { return mTiles[k / TileType::kNumVectors].vectors[k % TileType::kNumVectors]; }, existsAlways, finish);
    }

private:
    using TileType = Tile<T, VectorSize, kMaxTileSize / VectorSize>;

    static constexpr int kNumVectors = NumTiles * TileType::kNumVectors;

    __device__ static int32_t elementAt(int k) { return k * kClusterThreads * VectorSize; }
    __device__ static bool existsAlways(int /*k*/) { return true; }

    typename Result<T, Kind>::template Residuals<VectorSize, kNumVectors> mResiduals;
    TileType mTiles[NumTiles];
    T const* mInput;
    Result<T, Kind> mResult;
};

} // namespace trtconv::linear
