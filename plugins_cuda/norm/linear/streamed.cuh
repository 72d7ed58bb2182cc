// Slices held in the shared memory of several blocks: one kernel, which reads each slice once. It needs sm_90 or later.
//
// A slice belongs to a group of blocks, each of which holds one part of it in a ring of stages. The warps of a block
// have four tasks, and hand slices to each other:
//   load      asks for stages, as far ahead as there is room; one thread does it
//   sum       sums up a part, stage by stage as they come
//   exchange  exchanges the sums within the group, through device memory
//   store     stores the results of the part, and frees its stages
// So the next slices come in and are summed up while the last one still goes out.
#pragma once

#include <cooperative_groups.h>

#include "common/kernel_launch.cuh"
#include "norm/linear/exchange.cuh"
#include "norm/linear/stage_loader.cuh"
#include "norm/linear/store_stage.cuh"

namespace trtconv::linear
{

// The tasks of one block, each over all slices of its group.
template <typename T, int VectorSize, ResultKind Kind>
class StreamTasks
{
public:
    using Finish = typename Tensors<T, Kind>::Finish;
    using Threads = StreamThreads<Kind>;
    using Shared = StreamShared<Finish, Threads>;
    static constexpr int32_t kSum = Threads::kSum;
    static constexpr int32_t kStore = Threads::kStore;

    __device__ StreamTasks(Tensors<T, Kind> const& tensors, StreamLayout const& layout, char const* stages,
        Shared& shared, int32_t group, int32_t rank)
        : mTensors(tensors)
        , mLayout(layout)
        , mStages(stages)
        , mShared(shared)
        , mGroup(group)
        , mRank(rank)
    {
    }

    __device__ void sum()
    {
        forEachSlice(
            [&](StreamPart const& part, int64_t, Round round)
            {
                float const shift = mTensors.shiftOf(part.span);
                SliceSums sums;
                if (mRank == 0 && threadIdx.x < part.span.numEdges)
                {
                    sums = sumsOfElement(toFloat(mTensors.input[part.span.edge(threadIdx.x, VectorSize)]), shift);
                }
                for (int32_t stage = 0; stage < part.numStages(); stage += SumTile::kNumStages)
                {
                    sums.add(sumStages(part.numVectors - stage * kStageVectors, shift));
                }
                round.waitForSpace(mShared.sumsTaken);
                leaveSumOfWarp(sums, mShared.warpSums[round.which()]);
                round.tell(mShared.summed);
            });
    }

    __device__ void exchange()
    {
        forEachSlice(
            [&](StreamPart const& part, int64_t slice, Round round)
            {
                float const shift = mTensors.shiftOf(part.span);
                SliceParameters<float> const parameters =
                    mTensors.parametersAt(mTensors.parameterIndexOf(slice)).inFloat();
                round.waitFor(mShared.summed);
                SliceSums sums = sumOfWarps(mShared.warpSums[round.which()], kSum / kWarpSize);
                round.tell(mShared.sumsTaken);
                if (mLayout.blocksPerSlice > 1)
                {
                    sums = exchangeInGroup(sums, mLayout, mGroup, mRank, round);
                }
                Finish const finish = mTensors.finishOf(sums, shift, parameters, slice);
                round.waitForSpace(mShared.finishTaken);
                if (threadIdx.x % kWarpSize == 0)
                {
                    mShared.finishes[round.which()] = finish;
                }
                round.tell(mShared.finishReady);
            });
    }

    __device__ void store()
    {
        forEachSlice(
            [&](StreamPart const& part, [[maybe_unused]] int64_t slice, Round round)
            {
                round.waitFor(mShared.finishReady);
                Finish const finish = mShared.finishes[round.which()];
                round.tell(mShared.finishTaken);
                int32_t const thread = threadIdx.x - kSum;
                if constexpr (Kind == ResultKind::kPlaced)
                {
                    storePlaced(part, slice, finish, thread);
                }
                else
                {
                    storeInPlace(part, finish, thread);
                }
            });
    }

private:
    __device__ void storeInPlace(StreamPart const& part, Finish const& finish, int32_t thread)
    {
        if (mRank == 0 && thread < part.span.numEdges)
        {
            int64_t const element = part.span.edge(thread, VectorSize);
            mTensors.result.storeOne(element, toFloat(mTensors.input[element]), finish);
        }
        Result<T, Kind> result = mTensors.result + (part.span.bodyBegin + part.firstVector * VectorSize);
        [[maybe_unused]] LastChannel last;
        for (int32_t stage = 0; stage < part.numStages(); ++stage)
        {
            if constexpr (Kind == ResultKind::kPlain)
            {
                storeStage<T, VectorSize>(waitForStage(), result, part.vectorsOfStage(stage), finish);
            }
            else
            {
                storeStage<T, VectorSize>(waitForStage(), result, part.vectorsOfStage(stage), finish, last);
            }
            result = result + kStageVectors * VectorSize;
            emptyStage();
        }
    }

    __device__ void storePlaced(StreamPart const& part, int64_t slice, Finish const& finish, int32_t thread)
    {
        auto const& result = mTensors.result;
        if (mRank == 0 && thread < part.span.numEdges)
        {
            int64_t const element = part.span.edge(thread, VectorSize);
            auto const number = static_cast<uint32_t>(element - part.span.begin);
            result.storeOne(slice, number, toFloat(mTensors.input[element]), finish);
        }
        ThreadRun const threads{static_cast<uint32_t>(thread), kStore};
        for (int32_t stage = 0; stage < part.numStages(); ++stage)
        {
            auto const* const elements = reinterpret_cast<T const*>(waitForStage());
            auto const numElements = static_cast<uint32_t>(part.vectorsOfStage(stage) * VectorSize);
            PlaneRun const run{
                part.firstElementOfPlane<VectorSize>(stage, mTensors), result.places.phases.divide(numElements)};
            result.scatter(elements, slice, run, finish, threads);
            emptyStage();
        }
    }

    // Frees the stage whose results this thread has stored.
    __device__ void emptyStage()
    {
        mShared.ring.emptied[mCursor.slot].arrive();
        mCursor.advance();
    }

    // The vectors of several stages, which a thread sums up at once.
    struct SumTile : Tile<T, VectorSize, kSumTileSize / VectorSize>
    {
        static constexpr int32_t kNumStages = kSumTileSize / VectorSize * kSum / kStageVectors;
    };

    // Returns the sums of the next stages, of which `numVectors` vectors are left; thread i has i, i + kSum,
    // ...
    __device__ SliceSums sumStages(int32_t numVectors, float shift)
    {
        SumTile tile;
        TileSum<T> total;
        TRTCONV_UNROLL
        for (int k = 0; k < tile.kNumVectors; ++k)
        {
            constexpr int32_t kPerStage = kStageVectors / kSum;
            tile.vectors[k] = {};
            if (k * kSum < numVectors)
            {
                char const* const stage = k % kPerStage == 0 ? waitForStage() : currentStage();
                int32_t const index = threadIdx.x + k % kPerStage * kSum;
                if (index + k / kPerStage * kStageVectors < numVectors)
                {
                    tile.vectors[k] = loadVector<VectorSize>(reinterpret_cast<T const*>(stage) + index * VectorSize);
                }
                if ((k + 1) % kPerStage == 0 || (k + 1) * kSum >= numVectors)
                {
                    mCursor.advance();
                }
            }
            tile.addVector(k, total);
        }
        if (numVectors >= tile.kNumVectors * kSum)
        {
            return tile.sumsAround(total, shift);
        }
        auto const left = numVectors - static_cast<int32_t>(threadIdx.x);
        return tile.sumsAround(total, left <= 0 ? 0 : (left + kSum - 1) / kSum, shift);
    }

    template <typename Body>
    __device__ void forEachSlice(Body const& body)
    {
        mCursor = {mLayout.numStages};
        Round round;
        for (int64_t slice = mGroup; slice < mTensors.numSlices; slice += mLayout.numGroups, ++round.number)
        {
            body(StreamPart::of<VectorSize>(mTensors, slice, mLayout, mRank), slice, round);
        }
    }

    __device__ char const* waitForStage() const
    {
        mShared.ring.filled[mCursor.slot].wait(mCursor.parity);
        return currentStage();
    }

    __device__ char const* currentStage() const { return mStages + mCursor.slot * kStageBytes; }

    Tensors<T, Kind> const& mTensors;
    StreamLayout const& mLayout;
    char const* mStages;
    Shared& mShared;
    int32_t mGroup;
    int32_t mRank;
    StageCursor mCursor{};
};

// Does the task of the calling thread for all slices of its group.
template <typename Loader, typename Tasks>
__device__ void runTask(Loader& loader, Tasks& tasks, bool isLoader)
{
    if (threadIdx.x < Tasks::kSum)
    {
        tasks.sum();
    }
    else if (threadIdx.x < Tasks::kSum + Tasks::kStore)
    {
        tasks.store();
    }
    else if (isLoader)
    {
        loader.loadTheRest();
    }
    else if (threadIdx.x >= Tasks::kSum + Tasks::kStore + kWarpSize)
    {
        tasks.exchange();
    }
}

// A launch of groups of several blocks is cooperative.
template <typename T, int VectorSize, ResultKind Kind>
__global__ __launch_bounds__(kStreamedThreads, 1) void normaliseStreamedSlices(
    __grid_constant__ Tensors<T, Kind> const tensors, __grid_constant__ StreamLayout const layout)
{
#if __CUDA_ARCH__ >= 900
    extern __shared__ __align__(128) char stages[];
    using Tasks = StreamTasks<T, VectorSize, Kind>;
    __shared__ typename Tasks::Shared shared;
    int32_t const group = blockIdx.x / layout.blocksPerSlice;
    int32_t const rank = blockIdx.x % layout.blocksPerSlice;
    bool const isLoader = threadIdx.x == kStreamedThreads - 2 * kWarpSize;
    StageLoader<T, VectorSize, Kind> loader(tensors, layout, shared.ring, stages, group, rank);
    if (isLoader)
    {
        shared.initialise(layout.numStages);
    }
    waitForEarlierWork();
    if (isLoader)
    {
        loader.fillRing(); // before all threads wait for each other
    }
    if (layout.blocksPerSlice > 1)
    {
        if (rank == 0 && threadIdx.x == 0)
        {
            layout.counters[group] = 0;
        }
        cooperative_groups::this_grid().sync();
    }
    else
    {
        __syncthreads();
    }
    Tasks tasks(tensors, layout, stages, shared, group, rank);
    runTask(loader, tasks, isLoader);
#endif
}

} // namespace trtconv::linear
