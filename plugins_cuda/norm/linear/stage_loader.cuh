// How the data of a streamed launch comes into shared memory: bulk copies fill a ring of stages.
#pragma once

#include "common/hopper.cuh"
#include "norm/linear/tensors.cuh"

namespace trtconv::linear
{

struct StreamLayout
{
    int32_t blocksPerSlice;
    int32_t numGroups;
    int32_t numStages;
    int64_t vectorsPerBlock;
    SliceSums* partialSums; // groups of several blocks: two for each block
    uint32_t* counters; // groups of several blocks: one for each group
};

// A place in the ring: stage number n is in slot n % numStages, which it uses for the (n / numStages)th time.
struct StageCursor
{
    int32_t numStages;
    int32_t slot = 0;
    uint32_t parity = 0;

    __device__ void advance()
    {
        ++slot;
        if (slot == numStages)
        {
            slot = 0;
            parity ^= 1U;
        }
    }
};

// The part of a slice that one block of a group holds.
struct StreamPart
{
    SliceSpan span;
    int64_t firstVector;
    int32_t numVectors;

    template <int VectorSize, typename T>
    __device__ static StreamPart of(Tensors<T> const& tensors, int64_t slice, StreamLayout const& layout, int32_t rank)
    {
        SliceSpan const span = tensors.template span<VectorSize>(slice);
        int64_t const first = min(rank * layout.vectorsPerBlock, span.numVectors);
        int64_t const end = min(first + layout.vectorsPerBlock, span.numVectors);
        return {span, first, static_cast<int32_t>(end - first)};
    }

    __device__ int32_t numStages() const { return (numVectors + kStageVectors - 1) / kStageVectors; }
    __device__ int32_t vectorsOfStage(int32_t stage) const
    {
        return min(numVectors - stage * kStageVectors, kStageVectors);
    }
};

struct StageRing
{
    AsyncBarrier filled[kMaxStages];
    AsyncBarrier emptied[kMaxStages]; // each thread that stores arrives

    __device__ void initialise(int32_t numStages)
    {
        for (int32_t slot = 0; slot < numStages; ++slot)
        {
            filled[slot].initialise(1);
            emptied[slot].initialise(kStoreThreads);
        }
    }
};

// Asks for all the data of this block, stage by stage.
template <typename T, int VectorSize>
class StageLoader
{
public:
    __device__ StageLoader(Tensors<T> const& tensors, StreamLayout const& layout, StageRing& ring, char* stages,
        int64_t group, int32_t rank)
        : mTensors(tensors)
        , mLayout(layout)
        , mRing(ring)
        , mStages(stages)
        , mCursor{layout.numStages}
        , mSlice(group)
        , mRank(rank)
    {
        findStage();
    }

    __device__ bool isDone() const { return mSlice >= mTensors.numSlices; }

    // Asks for what fits the empty ring.
    __device__ void fillRing()
    {
        while (!isDone() && !mIsRingFull)
        {
            load();
        }
    }

    __device__ void loadTheRest()
    {
        while (!isDone())
        {
            mRing.emptied[mCursor.slot].wait(mCursor.parity ^ 1U);
            load();
        }
    }

private:
    // Moves on to the next slice that has a stage to load, unless this one has more.
    __device__ void findStage()
    {
        for (; !isDone(); mSlice += mLayout.numGroups, mStage = 0)
        {
            mPart = StreamPart::of<VectorSize>(mTensors, mSlice, mLayout, mRank);
            if (mStage < mPart.numStages())
            {
                return;
            }
        }
    }

    __device__ void load()
    {
        uint32_t const numBytes = mPart.vectorsOfStage(mStage) * kVectorBytes;
        int64_t const vector = mPart.firstVector + mStage * kStageVectors;
        AsyncBarrier& filled = mRing.filled[mCursor.slot];
        filled.arriveAndExpect(numBytes);
        copyAsync(mStages + mCursor.slot * kStageBytes, mTensors.input + mPart.span.bodyBegin + vector * VectorSize,
            numBytes, filled);
        mCursor.advance();
        mIsRingFull = mIsRingFull || mCursor.slot == 0;
        ++mStage;
        if (mStage == mPart.numStages())
        {
            mStage = 0;
            mSlice += mLayout.numGroups;
            findStage();
        }
    }

    Tensors<T> const& mTensors;
    StreamLayout const& mLayout;
    StageRing& mRing;
    char* mStages;
    StageCursor mCursor;
    int64_t mSlice;
    int32_t mRank;
    int32_t mStage = 0;
    bool mIsRingFull = false;
    StreamPart mPart;
};

} // namespace trtconv::linear
