// Columns that do not fit registers: a cooperative grid takes some of them at once and streams them through shared
// memory.
//
// A thread takes its vectors in steps of a few. It asks for steps ahead and adds them up as they come; at the end of a
// column its slots of shared memory still hold the last steps. It stores those when it has the column's affines, while
// the first steps come a second time, the last of these first, as the cache may still hold them. After them come the
// steps of the next column, which the thread adds up in turn with the last ones that it stores. So slots are filled and
// freed in the same order, and no thread waits for another within a column.
#pragma once

#include <utility>

#include "norm/channels_last/exchange.cuh"
#include "norm/channels_last/step_walk.cuh"

namespace trtconv::channels_last
{

// What a thread does with its columns.
template <typename T, ResultKind Kind>
class ColumnStream
{
public:
    using Finish = typename ChannelResult<T, Kind>::Finish;

    __device__ ColumnStream(
        Tensors<T, Kind> const& tensors, Config const& config, BlockPlace const& place, uint4* slots)
        : mTensors(tensors)
        , mConfig(config)
        , mToAdd(slots, config.slots)
        , mToStore(mToAdd)
        , mLoader(tensors, config, mToAdd, place)
        , mStored(tensors.result + 0, ColumnPart(tensors, config, place.column, place.split), 0)
    {
    }

    __device__ void fillSlots()
    {
        for (int32_t i = 0; i < mConfig.slots; ++i)
        {
            mLoader.next();
        }
    }

    // Stores the column before, if `stores`, and adds up the vectors of `part`, if `adds`.
    __device__ void pass(bool stores, Finish const& finish, bool adds, ColumnPart const& part, VectorSums<T>& sums)
    {
        int32_t numFreed = 0; // slots that are free, but not the next to be used
        int32_t const numTurns = mConfig.steps + (adds ? mConfig.repeats : 0);
        for (int32_t turn = stores ? 0 : mConfig.repeats; turn < numTurns; ++turn)
        {
            bool const storesNow = stores && turn < mConfig.steps;
            if (storesNow)
            {
                storeStep(finish, mConfig.steps - 1 - turn);
                mLoader.next();
            }
            int32_t const step = turn - mConfig.repeats;
            if (adds && step >= 0)
            {
                addStep(sums, part.rows, part.pixelsLeft - step * kStepVectors * part.rows);
                numFreed += step < mConfig.repeats ? 1 : 0; // others are stored first
                if ((step + 1) % (kPixelsPerFlush / kStepVectors) == 0)
                {
                    flush<T>(sums);
                }
            }
            for (; numFreed > 0 && (!storesNow || turn == mConfig.steps - 1); --numFreed)
            {
                mLoader.next();
            }
        }
    }

    // Turns to the column that comes after `part`, which is now to be stored.
    __device__ void turnFrom(ColumnPart const& part)
    {
        mToAdd.skip(mConfig.repeats);
        mToStore.skip(mConfig.repeats);
        mStored = {mTensors.result + 0, part, mConfig.repeats};
        if constexpr (Kind != ResultKind::kPlain)
        {
            if (mTensors.result.epilogue.hasResidual)
            {
                requestResiduals(mConfig.steps);
            }
        }
    }

private:
    __device__ void addStep(VectorSums<T>& sums, int32_t rows, int32_t pixelsLeft)
    {
        waitForCopies(mToAdd.numTakenAfter(mLoader.slots()));
        uint4 const* const slot = mToAdd.next();
        addVectorsLeft<T, kStepVectors>(sums, rows, pixelsLeft, [&](int k) { return slot[k * kStreamedThreads]; });
    }

    __device__ void storeStep(Finish const& finish, [[maybe_unused]] int32_t numLeft)
    {
        if constexpr (Kind == ResultKind::kPlain)
        {
            waitForCopies(mToStore.numTakenAfter(mLoader.slots()));
            uint4 const* const slot = mToStore.next();
            mStored.forEachVector(
                [&](int k, ChannelResult<T, Kind> const& target) { target.store(slot[k * kStreamedThreads], finish); });
            mStored.next(mConfig);
        }
        else
        {
            storeFused(finish, numLeft);
        }
    }

    __device__ void storeFused(Finish const& finish, int32_t numLeft)
    {
        if (mTensors.result.epilogue.hasResidual)
        {
            storeStepWith<true>(finish);
            mStored.next(mConfig);
            requestResiduals(numLeft);
        }
        else
        {
            storeStepWith<false>(finish);
            mStored.next(mConfig);
        }
    }

    // Asks for the residual of the step to store next, if there is one: it comes while a step is added. That of a later
    // step is brought into the L2 cache.
    __device__ void requestResiduals(int32_t numLeft)
    {
        if (numLeft > 0)
        {
            mResiduals.load(mStored, mTensors.result);
        }
        if (numLeft > kResidualSteps)
        {
            StepWalk<ResultPlace<T, Kind>> later = mStored;
            for (int32_t i = 0; i < kResidualSteps; ++i)
            {
                later.next(mConfig);
            }
            later.forEachVector(
                [&](int, ResultPlace<T, Kind> const& place) { prefetchLine(residualAt(mTensors.result, place)); });
        }
    }

    template <bool HasResidual>
    __device__ void storeStepWith(Finish const& finish)
    {
        waitForCopies(mToStore.numTakenAfter(mLoader.slots()));
        uint4 const* const slot = mToStore.next();
        if constexpr (kIsPlaced<Kind>)
        {
            return scatterStepWith<HasResidual>(slot, finish);
        }
        else
        {
            withCurve<HasResidual>(mTensors.result.epilogue,
                [&](auto form)
                {
                    mStored.forEachVector(
                        [&](int k, ChannelResult<T, Kind> const& target)
                        {
                            uint4 const residual = HasResidual ? mResiduals[k] : uint4{};
                            target.template store<decltype(form)>(slot[k * kStreamedThreads], residual, finish);
                        });
                });
        }
    }

    // All are finished before one is scattered, as in a resident kernel.
    template <bool HasResidual>
    __device__ void scatterStepWith(uint4 const* slot, Finish const& finish)
    {
        uint4 results[kStepVectors];
        withCurve<HasResidual>(mTensors.result.epilogue,
            [&](auto form)
            {
                TRTCONV_UNROLL
                for (int k = 0; k < kStepVectors; ++k)
                {
                    uint4 const residual = HasResidual ? mResiduals[k] : uint4{};
                    results[k] = finishedWords<decltype(form), T>(slot[k * kStreamedThreads], residual, finish);
                }
            });
        mTensors.result.scatter(
            results, [&](int k) { return mStored.vectorAt(k).value; }, [&](int k) { return mStored.exists(k); });
    }

    static constexpr int32_t kResidualSteps = 2; // that are on their way beyond the next

    Tensors<T, Kind> const& mTensors;
    Config const& mConfig;
    SlotCursor mToAdd;
    SlotCursor mToStore;
    StepLoader<T, Kind> mLoader;
    StepWalk<ResultPlace<T, Kind>> mStored;
    std::conditional_t<Kind == ResultKind::kPlain, NoGroups, StepResiduals<T, Kind>>
        mResiduals; // of the step to store next
};

template <typename T, ResultKind Kind>
__global__ __launch_bounds__(kStreamedThreads, 1) void normaliseStreamedColumns(
    __grid_constant__ Tensors<T, Kind> const tensors, __grid_constant__ Config const config, TaggedNumbers* memory)
{
    extern __shared__ uint4 slots[];
    __shared__ WarpTotals<kStreamedThreads / kWarpSize> warpTotals;
    __shared__ ColumnFinish<Kind> columnFinish;
    static_assert(sizeof(warpTotals) + sizeof(columnFinish) <= kStreamedStaticBytes);
    BlockPlace const place(config);
    int32_t const columnChannels = config.lanes * kVectorChannels<T>;
    GridExchange<T, Kind> const exchange(tensors, columnChannels, config.splits, place, memory);
    ColumnStream<T, Kind> stream(tensors, config, place, slots + threadIdx.x);
    waitForEarlierWork();
    if constexpr (kIsPlaced<Kind>)
    {
        letNextKernelBegin(); // which fills the pads
    }
    auto cleared = exchange.begin();
    stream.fillSlots();

    typename ChannelResult<T, Kind>::Finish finish{};
    int64_t column = place.column;
    for (uint32_t round = 0;; ++round, column += config.columnsAtOnce)
    {
        bool const adds = column - place.column < config.columns; // the same for all blocks
        ColumnPart const part(tensors, config, column, place.split);
        VectorSums<T> sums;
        beginSums(sums, tensors, part);
        stream.pass(round > 0, finish, adds, part, sums);
        if (!adds)
        {
            break;
        }
        flush<T>(sums);
        stream.turnFrom(part);
        constexpr bool kIsPlain = Kind == ResultKind::kPlain;
        ChannelFacts const facts(
            tensors, part, kIsPlain ? exchange.firstChannel() : static_cast<int32_t>(threadIdx.x), columnChannels);
        ChannelTotals const total = sumOverBlock<T>(sums, config.lanes, warpTotals);
        if (round == 0)
        {
            cooperative_groups::this_grid().barrier_wait(std::move(cleared));
        }
        Affine affine;
        if constexpr (kIsPlain)
        {
            affine = exchange.finish(total, facts, part, round + 1);
        }
        else
        {
            affine = affineInGroup(exchange.sum(total, round + 1), facts, tensors, warpTotals[0]);
        }
        finish = shareFinish(affine, facts.parameter, columnFinish, tensors, part, columnChannels);
    }
}

} // namespace trtconv::channels_last
