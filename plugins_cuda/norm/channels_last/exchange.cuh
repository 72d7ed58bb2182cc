// How the blocks of a cooperative grid that share a column exchange totals and affines: through device memory,
// lock-free and with no barrier of the grid.
//
// Each block gives its totals to those blocks that finish the channels, a warp for each channel; they give the affine
// to each block. Where few blocks share a column, each block finishes all channels. A value is given in words of 8
// bytes, half of which is the round that it belongs to: a word is written at once, so whoever sees the round sees the
// rest. No block gives totals of a round before it has all affines of the last one, so no word is overwritten before it
// was taken. Few blocks have no affines to wait for: one may give totals of a round while another still takes those of
// the last one, but not of the next, so rounds take turns with two memories.
//
// What this buys over grid.sync() was not measured on its own. A block waits only for the blocks of its own column, and
// what it waits for already is the value: one trip through the L2 cache, not one for the barrier and one for the value.
#pragma once

#include <cooperative_groups.h>

#include "norm/channels_last/sums.cuh"
#include "norm/channels_last/workspace.h"

namespace trtconv::channels_last
{

// 8 bytes on their way from one block to another, in two words with the round.
class alignas(16) TaggedBits
{
public:
    __device__ void give(uint64_t bits, uint32_t round)
    {
        uint64_t const tag = uint64_t{round} << 32;
        asm volatile("st.relaxed.gpu.global.v2.b64 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(this)),
            "l"(tag | (bits & kLowBits)), "l"(tag | bits >> 32)
            : "memory");
    }

    // Returns whether the bits of this round have come.
    __device__ bool take(uint64_t& bits, uint32_t round) const
    {
        uint64_t low = 0;
        uint64_t high = 0;
        asm volatile("ld.relaxed.gpu.global.v2.b64 {%0, %1}, [%2];"
            : "=l"(low), "=l"(high)
            : "l"(__cvta_generic_to_global(this))
            : "memory");
        bits = (low & kLowBits) | high << 32;
        return low >> 32 == round && high >> 32 == round;
    }

private:
    static constexpr uint64_t kLowBits = 0xffffffffU;

    uint64_t mWords[2];
};

// Two numbers of 8 bytes on their way: totals or an affine.
struct TaggedNumbers
{
    TaggedBits numbers[2];

    __device__ void give(uint64_t first, uint64_t second, uint32_t round)
    {
        numbers[0].give(first, round);
        numbers[1].give(second, round);
    }

    __device__ bool take(uint64_t (&taken)[2], uint32_t round) const
    {
        bool const hasFirst = numbers[0].take(taken[0], round);
        return numbers[1].take(taken[1], round) && hasFirst;
    }
};
static_assert(sizeof(TaggedNumbers) == kTaggedNumbersBytes);

template <typename T, ResultKind Kind>
class GridExchange
{
public:
    // `memory` is the workspace, which the whole grid shares.
    __device__ GridExchange(Tensors<T, Kind> const& tensors, int32_t columnChannels, int32_t splits,
        BlockPlace const& place, TaggedNumbers* memory)
        : mTensors(tensors)
        , mLayout{columnChannels, splits}
        , mSplit(place.split)
        , mMemory(memory + place.column * mLayout.size())
    {
    }

    // Clears what the memory holds. No block may give before all blocks have arrived.
    __device__ cooperative_groups::grid_group::arrival_token begin() const
    {
        if (threadIdx.x < mLayout.columnChannels)
        {
            mMemory[threadIdx.x * mLayout.splits + mSplit].give(0, 0, 0);
            mMemory[mLayout.numTotals() + threadIdx.x * mLayout.splits + mSplit].give(0, 0, 0);
        }
        return cooperative_groups::this_grid().barrier_arrive();
    }

    // Returns the channel that the calling thread finishes first, and so needs the facts of.
    __device__ int32_t firstChannel() const
    {
        return mLayout.areFew() ? static_cast<int32_t>(threadIdx.x)
                                : mSplit + static_cast<int32_t>(threadIdx.x / kWarpSize) * mLayout.splits;
    }

    // Gives the totals of this block, and returns to each of the first threads the affine of one channel.
    __device__ Affine finish(
        ChannelTotals const& total, ChannelFacts const& facts, ColumnPart const& part, uint32_t round) const
    {
        bool const hasChannel = threadIdx.x < mLayout.columnChannels;
        if (hasChannel)
        {
            totalsAt(threadIdx.x, mSplit, round)->give(bitsOf(total.values), bitsOf(total.squares), round);
        }
        if (mLayout.areFew())
        {
            return hasChannel ? affineOf(takeTotals(threadIdx.x, 0, 1, round), facts, mTensors) : Affine{};
        }
        finishByWarps(facts, part, round);
        return hasChannel ? takeAffine(threadIdx.x, round) : Affine{};
    }

    // Gives the totals of this block, and returns to each of the first threads those of one channel over all blocks.
    // Every block then finishes its channels itself, which groups need.
    __device__ ChannelTotals sum(ChannelTotals const& own, uint32_t round) const
    {
        bool const hasChannel = threadIdx.x < mLayout.columnChannels;
        if (hasChannel)
        {
            totalsAt(threadIdx.x, mSplit, round)->give(bitsOf(own.values), bitsOf(own.squares), round);
        }
        if (mLayout.areFew())
        {
            return hasChannel ? takeTotals(threadIdx.x, 0, 1, round) : ChannelTotals{};
        }
        int32_t const numWarps = static_cast<int32_t>(blockDim.x) / kWarpSize;
        int32_t const first = mSplit + static_cast<int32_t>(threadIdx.x / kWarpSize) * mLayout.splits;
        for (int32_t channel = first; channel < mLayout.columnChannels; channel += numWarps * mLayout.splits)
        {
            ChannelTotals const total = sumByWarp(channel, round);
            giveToAll(bitsOf(total.values), bitsOf(total.squares), channel, round);
        }
        uint64_t taken[2]{};
        if (hasChannel)
        {
            takeFinished(taken, threadIdx.x, round);
        }
        return {__longlong_as_double(taken[0]), __longlong_as_double(taken[1])};
    }

private:
    static constexpr int kAtOnce = 5; // loads that a lane has on their way: the H100's 132 blocks need as many

    __device__ static uint64_t bitsOf(double value) { return __double_as_longlong(value); }

    __device__ TaggedNumbers* totalsAt(int32_t channel, int32_t split, uint32_t round) const
    {
        return mMemory + mLayout.totalsAt(channel, split, round);
    }

    __device__ TaggedNumbers* finishedAt(int32_t channel, int32_t split) const
    {
        return mMemory + mLayout.finishedAt(channel, split);
    }

    __device__ void finishByWarps(ChannelFacts facts, ColumnPart const& part, uint32_t round) const
    {
        int32_t const numWarps = static_cast<int32_t>(blockDim.x) / kWarpSize;
        for (int32_t channel = firstChannel(); channel < mLayout.columnChannels; channel += numWarps * mLayout.splits)
        {
            if (channel != firstChannel())
            {
                facts = ChannelFacts(mTensors, part, channel, mLayout.columnChannels);
            }
            giveAffine(affineOf(sumByWarp(channel, round), facts, mTensors), channel, round);
        }
    }

    // Gives a warp a channel's totals over all blocks.
    __device__ ChannelTotals sumByWarp(int32_t channel, uint32_t round) const
    {
        ChannelTotals total = takeTotals(channel, static_cast<int32_t>(threadIdx.x % kWarpSize), kWarpSize, round);
        __syncwarp();
        TRTCONV_UNROLL
        for (int32_t distance = kWarpSize / 2; distance > 0; distance /= 2)
        {
            total.add(fromLane(total, distance));
        }
        return total;
    }

    // Returns a channel's totals over the blocks first, first + stride, ...
    __device__ ChannelTotals takeTotals(int32_t channel, int32_t first, int32_t stride, uint32_t round) const
    {
        ChannelTotals total;
        for (int32_t begin = first; begin < mLayout.splits; begin += stride * kAtOnce)
        {
            uint64_t taken[kAtOnce][2]{}; // zeros add nothing
            bool isComplete = false;
            while (!isComplete)
            {
                isComplete = true;
                TRTCONV_UNROLL
                for (int k = 0; k < kAtOnce; ++k)
                {
                    if (begin + stride * k < mLayout.splits)
                    {
                        isComplete = totalsAt(channel, begin + stride * k, round)->take(taken[k], round) && isComplete;
                    }
                }
            }
            TRTCONV_UNROLL
            for (int k = 0; k < kAtOnce; ++k)
            {
                total.add({__longlong_as_double(taken[k][0]), __longlong_as_double(taken[k][1])});
            }
        }
        return total;
    }

    // Gives an affine, which all lanes of the calling warp have, to all blocks of the column.
    __device__ void giveAffine(Affine const& affine, int32_t channel, uint32_t round) const
    {
        uint64_t const factor = __float_as_uint(affine.factor);
        giveToAll(factor << 32 | __float_as_uint(affine.mean), __float_as_uint(affine.offset), channel, round);
    }

    __device__ void giveToAll(uint64_t first, uint64_t second, int32_t channel, uint32_t round) const
    {
        for (auto split = static_cast<int32_t>(threadIdx.x % kWarpSize); split < mLayout.splits; split += kWarpSize)
        {
            finishedAt(channel, split)->give(first, second, round);
        }
    }

    __device__ void takeFinished(uint64_t (&taken)[2], int32_t channel, uint32_t round) const
    {
        while (!finishedAt(channel, mSplit)->take(taken, round))
        {
        }
    }

    __device__ Affine takeAffine(int32_t channel, uint32_t round) const
    {
        uint64_t taken[2];
        takeFinished(taken, channel, round);
        return {__uint_as_float(static_cast<uint32_t>(taken[0])),
            __uint_as_float(static_cast<uint32_t>(taken[0] >> 32)), __uint_as_float(static_cast<uint32_t>(taken[1]))};
    }

    Tensors<T, Kind> const& mTensors;
    ExchangeLayout mLayout;
    int32_t mSplit;
    TaggedNumbers* mMemory; // of the column
};

} // namespace trtconv::channels_last
