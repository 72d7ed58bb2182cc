// The statistics of slice_statistics.h for tensors whose channels lie together: a thread reads many pixels of a
// channel, and of its neighbours, so it cannot hold them all and look at them twice.
//
// Three samples of the slice give a center near its mean, around which all squares are taken: their median, as one
// outlier must not move it. The sum of the values carries its rounding errors along. Both run in float over at most
// kPixelsPerFlush pixels and are then added up in double. Merging is plain addition in a fixed order, so results repeat
// bit for bit. Limits, infinities and NaN are as there.
#pragma once

#include "norm/statistics.h"

namespace trtconv
{

constexpr int32_t kPixelsPerFlush = 32; // as many squares of 1e18 still fit a float

// Of a set of a channel's values; all sets of a slice share the center.
struct alignas(16) ChannelTotals
{
    double values = 0.0; // sum of x
    double squares = 0.0; // sum of (x - center)^2

    TRTCONV_HOST_DEVICE void add(ChannelTotals const& other)
    {
        values += other.values;
        squares += other.squares;
    }
};

// The AnchoredSum of slice_statistics.h with one sum instead of two, which takes half its registers, for at most 32
// numbers of fp16, or 16 sums of two. What an addition drops is at most 0.25: while that adds up to less than 1,
// nothing is rounded at all.
class AnchoredPairs
{
public:
    TRTCONV_HOST_DEVICE void add(float value)
    {
        float const total = mSum + value;
        mDropped += value - (total - mSum);
        mSum = total;
    }

    TRTCONV_HOST_DEVICE double exact() const { return static_cast<double>(mSum - kAnchor) + mDropped; }

private:
    static constexpr float kAnchor = 6291456.0F; // 3 * 2^21; and 32 * 65504 < 2^21

    float mSum = kAnchor;
    float mDropped = 0.0F;
};
static_assert(kPixelsPerFlush <= 32);

// What a thread adds up. `Sum` is CompensatedSum, or AnchoredPairs for fp16, which takes 4 instructions instead of 7.
template <typename Sum>
class ChannelSums
{
public:
    ChannelSums() = default;

    TRTCONV_HOST_DEVICE explicit ChannelSums(float center)
        : mCenter(center)
    {
    }

    TRTCONV_HOST_DEVICE void add(float value)
    {
        mTotal.add(value);
        float const deviation = value - mCenter;
        mSquares = fmaf(deviation, deviation, mSquares);
    }

    // Two values of 16 bits: a float holds their sum, unless one is more than 2^13 times the other. It is rounded then,
    // which moves the mean by 2^-24 standard deviations at most, as such pairs make up much of the variance.
    TRTCONV_HOST_DEVICE void addPair(float first, float second)
    {
        mTotal.add(first + second);
        float const firstDeviation = first - mCenter;
        float const secondDeviation = second - mCenter;
        mSquares = fmaf(firstDeviation, firstDeviation, mSquares);
        mSquares = fmaf(secondDeviation, secondDeviation, mSquares);
    }

    // To be called after at most kPixelsPerFlush values, and after the last.
    TRTCONV_HOST_DEVICE void flush()
    {
        mTotals.add({mTotal.exact(), static_cast<double>(mSquares)});
        mTotal = {};
        mSquares = 0.0F;
    }

    TRTCONV_HOST_DEVICE ChannelTotals const& totals() const { return mTotals; }

private:
    float mCenter = 0.0F;
    Sum mTotal;
    float mSquares = 0.0F;
    ChannelTotals mTotals;
};

// `inverseCount` is 1 / count: divisions in double take long.
TRTCONV_HOST_DEVICE inline SliceMap finishChannel(ChannelTotals const& totals, double count, double inverseCount,
    float center, float epsilon, float scale, float bias)
{
    double const quotient = totals.values * inverseCount;
    double const mean = fma(fma(-quotient, count, totals.values), inverseCount, quotient); // exact if all are alike
    double const distance = mean - center;
    double const spread = totals.squares * inverseCount - distance * distance;
    return makeSliceMap(makeSliceMoments(mean, spread, epsilon), scale, bias);
}

} // namespace trtconv
