// How the data of a streamed launch comes into shared memory: bulk copies fill a ring of stages.
#pragma once

#include "common/hopper.cuh"
#include "norm/linear/tensors.cuh"

namespace trtconv::linear
{

// How many threads of a block have which task. Where results are scattered, storing takes longer: H100, [1,64,540,960]
// fp32 with a padded residual 208 us like this, 264 with the other numbers, of 2x2 phases 127 and 145.
template <ResultKind Kind>
struct StreamThreads
{
    static constexpr int32_t kSum = Kind == ResultKind::kPlaced ? kStoreThreads : kSumThreads;
    static constexpr int32_t kStore = Kind == ResultKind::kPlaced ? kSumThreads : kStoreThreads;
};

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

    template <int VectorSize, typename AnyTensors>
    __device__ static StreamPart of(AnyTensors const& tensors, int64_t slice, StreamLayout const& layout, int32_t rank)
    {
        SliceSpan const span = tensors.template span<VectorSize>(slice);
        int64_t const first = min(rank * layout.vectorsPerBlock, span.numVectors);
        int64_t const end = min(first + layout.vectorsPerBlock, span.numVectors);
        return {span, first, static_cast<int32_t>(end - first)};
    }

    __device__ int32_t numStages() const { return (numVectors + kStageVectors - 1) / kStageVectors; }
    // Returns the vector of each plane of a slice of phases that a stage begins with.
    __device__ uint32_t firstOfPlane(int32_t stage, PlanePlaces const& places) const
    {
        return places.phases.divide(static_cast<uint32_t>(firstVector) + stage * kStageVectors);
    }
    // Returns the number of that element, or of a slice's element where there are no phases.
    template <int VectorSize, typename AnyTensors>
    __device__ uint32_t firstElementOfPlane(int32_t stage, AnyTensors const& tensors) const
    {
        return span.numHeadElements + firstOfPlane(stage, tensors.result.places) * VectorSize;
    }
    __device__ int32_t vectorsOfStage(int32_t stage) const
    {
        return min(numVectors - stage * kStageVectors, kStageVectors);
    }
};

struct StageRing
{
    AsyncBarrier filled[kMaxStages];
    AsyncBarrier emptied[kMaxStages]; // each thread that stores arrives

    __device__ void initialise(int32_t numStages, int32_t numStoring)
    {
        for (int32_t slot = 0; slot < numStages; ++slot)
        {
            filled[slot].initialise(1);
            emptied[slot].initialise(numStoring);
        }
    }
};

// The stages of a block, slice after slice.
template <typename T, int VectorSize, ResultKind Kind>
class StageWalk
{
public:
    __device__ StageWalk(Tensors<T, Kind> const& tensors, StreamLayout const& layout, int64_t group, int32_t rank)
        : mTensors(tensors)
        , mLayout(layout)
        , mSlice(group)
        , mRank(rank)
    {
        findStage();
    }

    __device__ bool isDone() const { return mSlice >= mTensors.numSlices; }
    __device__ int64_t slice() const { return mSlice; }
    __device__ int64_t firstElement() const
    {
        if constexpr (Kind == ResultKind::kPlaced)
        {
            return mPart.span.bodyBegin + int64_t{mPart.firstOfPlane(mStage, mTensors.result.places)} * VectorSize;
        }
        return mPart.span.bodyBegin + (mPart.firstVector + mStage * kStageVectors) * VectorSize;
    }
    __device__ uint32_t firstOfPlane() const
    {
        return mPart.template firstElementOfPlane<VectorSize>(mStage, mTensors);
    }
    __device__ uint32_t numBytes() const { return mPart.vectorsOfStage(mStage) * kVectorBytes; }

    __device__ void next()
    {
        ++mStage;
        if (mStage == mPart.numStages())
        {
            mStage = 0;
            mSlice += mLayout.numGroups;
            findStage();
        }
    }

private:
    // Moves on to the next slice that has a stage, unless this one has more.
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

    Tensors<T, Kind> const& mTensors;
    StreamLayout const& mLayout;
    int64_t mSlice;
    int32_t mRank;
    int32_t mStage = 0;
    StreamPart mPart;
};

// Asks for all the data of this block, stage by stage: of the residual into the L2 cache, not so far ahead.
template <typename T, int VectorSize, ResultKind Kind>
class StageLoader
{
public:
    __device__ StageLoader(Tensors<T, Kind> const& tensors, StreamLayout const& layout, StageRing& ring, char* stages,
        int64_t group, int32_t rank)
        : mTensors(tensors)
        , mRing(ring)
        , mStages(stages)
        , mCursor{layout.numStages}
        , mInputs(tensors, layout, group, rank)
        , mResiduals(tensors, layout, group, rank)
    {
    }

    // Asks for what fits the empty ring.
    __device__ void fillRing()
    {
        while (!mInputs.isDone() && !mIsRingFull)
        {
            load();
        }
        for (int32_t i = 0; i < kResidualStages; ++i)
        {
            requestResiduals();
        }
    }

    __device__ void loadTheRest()
    {
        while (!mInputs.isDone())
        {
            mRing.emptied[mCursor.slot].wait(mCursor.parity ^ 1U);
            load();
            requestResiduals();
        }
        if constexpr (Kind != ResultKind::kPlain)
        {
            while (hasResidual())
            {
                requestResiduals();
            }
        }
    }

private:
    static constexpr int32_t kResidualStages = 4; // that are asked for before they are added

    struct NoWalk
    {
        template <typename... Ignored>
        __device__ explicit NoWalk(Ignored const&...)
        {
        }
    };

    __device__ bool hasResidual() const { return mTensors.result.epilogue.hasResidual && !mResiduals.isDone(); }

    __device__ void requestResiduals()
    {
        if constexpr (Kind == ResultKind::kPlaced)
        {
            if (hasResidual())
            {
                requestPlacedResiduals();
                mResiduals.next();
            }
        }
        else if constexpr (Kind != ResultKind::kPlain)
        {
            if (hasResidual())
            {
                prefetchAsync(mTensors.result.residual + mResiduals.firstElement(), mResiduals.numBytes());
                mResiduals.next();
            }
        }
    }

    // Asks for whole vectors of the rows that hold the residual of a stage.
    __device__ void requestPlacedResiduals() const
    {
        PlanePlaces const& places = mTensors.result.places;
        uint32_t const columns = places.columnPhases.value();
        uint32_t const count = places.phases.divide(mResiduals.numBytes() / sizeof(T)) * columns;
        int64_t length = 0;
        T const* const run =
            mTensors.result.residualRun(mResiduals.slice(), mResiduals.firstOfPlane() * columns, count, length);
        auto const begin = (reinterpret_cast<uintptr_t>(run) + kVectorBytes - 1) / kVectorBytes;
        auto const end = reinterpret_cast<uintptr_t>(run + length) / kVectorBytes;
        if (begin < end)
        {
            prefetchAsync(reinterpret_cast<void const*>(begin * kVectorBytes),
                static_cast<uint32_t>((end - begin) * kVectorBytes));
        }
    }

    // Asks for a stage: where the slice lies in phases, for as much of each.
    __device__ void load()
    {
        AsyncBarrier& filled = mRing.filled[mCursor.slot];
        char* const stage = mStages + mCursor.slot * kStageBytes;
        T const* const first = mTensors.input + mInputs.firstElement();
        filled.arriveAndExpect(mInputs.numBytes());
        if constexpr (Kind == ResultKind::kPlaced)
        {
            uint32_t const phases = mTensors.result.places.phases.value();
            uint32_t const numBytes = mTensors.result.places.phases.divide(mInputs.numBytes());
            for (uint32_t phase = 0; phase < phases; ++phase)
            {
                copyAsync(stage + phase * numBytes, first + phase * mTensors.phaseStep(), numBytes, filled);
            }
        }
        else
        {
            copyAsync(stage, first, mInputs.numBytes(), filled);
        }
        mCursor.advance();
        mIsRingFull = mIsRingFull || mCursor.slot == 0;
        mInputs.next();
    }

    Tensors<T, Kind> const& mTensors;
    StageRing& mRing;
    char* mStages;
    StageCursor mCursor;
    bool mIsRingFull = false;
    StageWalk<T, VectorSize, Kind> mInputs;
    std::conditional_t<Kind == ResultKind::kPlain, NoWalk, StageWalk<T, VectorSize, Kind>> mResiduals;
};

} // namespace trtconv::linear
