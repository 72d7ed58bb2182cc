// How the tasks of a streamed launch's block hand slices to each other, and the blocks of a group their sums.
#pragma once

#include "norm/linear/stage_loader.cuh"
#include "norm/linear/sums.cuh"

namespace trtconv::linear
{

// What the tasks hand to each other. There are two of each, for slices in turn.
template <typename Finish, typename Threads>
struct StreamShared
{
    StageRing ring;
    AsyncBarrier summed[2];
    AsyncBarrier sumsTaken[2];
    AsyncBarrier finishReady[2];
    AsyncBarrier finishTaken[2];
    SliceSums warpSums[2][Threads::kSum / kWarpSize];
    Finish finishes[2];

    __device__ void initialise(int32_t numStages)
    {
        ring.initialise(numStages, Threads::kStore);
        for (int32_t i = 0; i < 2; ++i)
        {
            summed[i].initialise(Threads::kSum);
            sumsTaken[i].initialise(kWarpSize);
            finishReady[i].initialise(kWarpSize);
            finishTaken[i].initialise(Threads::kStore);
        }
        publishBarriers();
    }
};
static_assert(sizeof(StreamShared<GroupFinish, StreamThreads<ResultKind::kGrouped>>) <= kStreamedStaticBytes);

// The number of a slice within its group, and which of the two it uses.
struct Round
{
    uint32_t number = 0;

    __device__ uint32_t which() const { return number & 1U; }
    __device__ uint32_t parity() const { return number >> 1 & 1U; }

    __device__ void waitFor(AsyncBarrier* barriers) const { barriers[which()].wait(parity()); }

    // Waits until what was handed over two rounds ago has been taken.
    __device__ void waitForSpace(AsyncBarrier* barriers) const
    {
        if (number >= 2)
        {
            barriers[which()].wait(parity() ^ 1U);
        }
    }

    // Tells that this thread has handed over or taken. Each thread arrives for itself, which costs no time;
    // compute-sanitizer's racecheck could not follow one that arrives for its warp.
    __device__ void tell(AsyncBarrier* barriers) const { barriers[which()].arrive(); }
};

// Gives a warp the sum over the blocks of a group. Two sums for each block are enough: no block writes its sum of slice
// n + 2 before it has seen all sums of slice n + 1, which are written by blocks that have seen those of slice n.
__device__ inline SliceSums exchangeInGroup(
    SliceSums const& own, StreamLayout const& layout, int32_t group, int32_t rank, Round round)
{
    auto const lane = static_cast<int32_t>(threadIdx.x % kWarpSize);
    SliceSums* const sums = layout.partialSums + (group * 2 + round.which()) * layout.blocksPerSlice;
    uint32_t* const counter = layout.counters + group;
    if (lane == 0)
    {
        sums[rank] = own;
        addReleased(counter, 1);
        uint32_t const awaited = layout.blocksPerSlice * (round.number + 1);
        while (static_cast<int32_t>(loadAcquired(counter) - awaited) < 0)
        {
        }
    }
    __syncwarp();
    SliceSums total;
    for (int32_t other = lane; other < layout.blocksPerSlice; other += kWarpSize)
    {
        auto const* const source = reinterpret_cast<double2 const*>(sums + other);
        double2 const values = __ldcg(source);
        total.add({values.x, values.y});
    }
    return sumOverWarp(total);
}

} // namespace trtconv::linear
