// The way of a thread of a streamed launch over its steps: its slots of shared memory, its vectors, its residuals.
#pragma once

#include "norm/channels_last/part.cuh"
#include "norm/channels_last/step_copies.cuh"

namespace trtconv::channels_last
{

// The next of a thread's slots.
class SlotCursor
{
public:
    __device__ SlotCursor(uint4* slots, int32_t numSlots)
        : mSlots(slots)
        , mNumSlots(numSlots)
    {
    }

    __device__ uint4* next()
    {
        uint4* const slot = mSlots + mIndex * (kStreamedThreads * kStepVectors);
        mIndex = mIndex + 1 == mNumSlots ? 0 : mIndex + 1;
        ++mNumTaken;
        return slot;
    }

    __device__ void skip(int32_t count)
    {
        mIndex = (mIndex + count) % mNumSlots;
        mNumTaken += static_cast<uint32_t>(count);
    }

    // Returns how many slots were taken after the one that is next here.
    __device__ uint32_t numTakenAfter(SlotCursor const& other) const { return other.mNumTaken - mNumTaken - 1; }

private:
    uint4* mSlots;
    int32_t mNumSlots;
    int32_t mIndex = 0;
    uint32_t mNumTaken = 0;
};

// A thread's way over its steps of a column: on to the last one, and then back over the repeated ones. `Place` is the
// address of a vector, or a ChannelResult.
template <typename Place>
class StepWalk
{
public:
    __device__ StepWalk(Place tensor, ColumnPart const& part, int32_t firstStep)
        : mVectors(tensor + part.first)
        , mStride(part.stride)
        , mRows(part.rows)
        , mPixelsLeft(part.pixelsLeft)
    {
        move(firstStep);
    }

    __device__ void next(Config const& config)
    {
        bool const isOn = !mIsBack && mStep + 1 < config.steps;
        int32_t const turnedBack = mIsBack ? mStep - 1 : config.repeats - 1;
        mIsBack = !isOn;
        move(isOn ? 1 : turnedBack - mStep);
    }

    // Calls body(k, place) for each vector of the step.
    template <typename Body>
    __device__ void forEachVector(Body const& body) const
    {
        TRTCONV_UNROLL
        for (int k = 0; k < kStepVectors; ++k)
        {
            if (k * mRows < mPixelsLeft)
            {
                body(k, mVectors + k * mStride);
            }
        }
    }

    __device__ Place vectorAt(int k) const { return mVectors + k * mStride; }
    __device__ bool exists(int k) const { return k * mRows < mPixelsLeft; }

private:
    __device__ void move(int32_t numSteps)
    {
        mStep += numSteps;
        mVectors = mVectors + numSteps * kStepVectors * mStride;
        mPixelsLeft -= numSteps * kStepVectors * mRows;
    }

    Place mVectors;
    int64_t mStride;
    int32_t mRows;
    int32_t mPixelsLeft;
    int32_t mStep = 0;
    bool mIsBack = false;
};

// Asks for a thread's steps, column after column.
template <typename T, ResultKind Kind>
class StepLoader
{
public:
    __device__ StepLoader(
        Tensors<T, Kind> const& tensors, Config const& config, SlotCursor slots, BlockPlace const& place)
        : mTensors(tensors)
        , mConfig(config)
        , mSlots(slots)
        , mPolicies(config.repeats > 0)
        , mColumn(place.column)
        , mSplit(place.split)
        , mWalk(tensors.input, ColumnPart(tensors, config, place.column, place.split), 0)
    {
    }

    __device__ SlotCursor const& slots() const { return mSlots; }

    __device__ void next()
    {
        uint4* const slot = mSlots.next();
        uint64_t const policy = mIndex < mConfig.repeats ? mPolicies.normal : mPolicies.lastUse;
        mWalk.forEachVector([&](int k, ChannelVector<T> const* source)
            { copyVector(slot + k * kStreamedThreads, reinterpret_cast<uint4 const*>(source), policy); });
        endStepOfCopies();
        mWalk.next(mConfig);
        if (++mIndex == mConfig.steps + mConfig.repeats)
        {
            mIndex = 0;
            mColumn += mConfig.columnsAtOnce;
            mWalk = {mTensors.input, ColumnPart(mTensors, mConfig, mColumn, mSplit), 0};
        }
    }

private:
    Tensors<T, Kind> const& mTensors;
    Config const& mConfig;
    SlotCursor mSlots;
    CachePolicies mPolicies;
    int64_t mColumn;
    int32_t mSplit;
    StepWalk<ChannelVector<T> const*> mWalk;
    int32_t mIndex = 0; // steps of the column that were asked for, repeated ones too
};

// What a walk over results moves: a result moves on as a pointer does, unless it is placed.
template <typename T, ResultKind Kind>
using ResultPlace = std::conditional_t<kIsPlaced<Kind>, VectorNumber, ChannelResult<T, Kind>>;

// The residual of a step.
template <typename T, ResultKind Kind>
class StepResiduals
{
public:
    __device__ void load(StepWalk<ResultPlace<T, Kind>> const& walk, ChannelResult<T, Kind> const& result)
    {
        walk.forEachVector(
            [&](int k, ResultPlace<T, Kind> const& place) { mVectors[k] = loadHere(residualAt(result, place)); });
    }

    __device__ uint4 operator[](int k) const { return mVectors[k]; }

private:
    uint4 mVectors[kStepVectors]{};
};

} // namespace trtconv::channels_last
